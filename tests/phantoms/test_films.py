"""Drawing: a film looks like a chest, and findings change it where their boxes say."""

from dataclasses import replace

import numpy as np
import pytest

from unichest_kedro.phantoms.acquisition import acquire, film_shape, take_film
from unichest_kedro.phantoms.anatomy import clean_film, expose, random_anatomy
from unichest_kedro.phantoms.cohort import Plan
from unichest_kedro.phantoms.differences import Difference, Differences, Profile, profile_of
from unichest_kedro.phantoms.findings import KINDS, altered, draw, random_finding
from unichest_kedro.phantoms.grid import Grid, Pose, Strokes, box_of, smooth_noise, step

SHAPE = (128, 128)


def picture_of(seed, findings=()):
    rng = np.random.default_rng(seed)
    anatomy = random_anatomy(rng, "M")
    film = clean_film(altered(anatomy, findings), Grid.of(SHAPE), np.random.default_rng(seed))
    boxes = draw(film, findings)
    return expose(film), boxes, film


def finding_of(kind, severity, seed=5):
    return replace(random_finding(kind, np.random.default_rng(seed)), severity=severity)


def test_a_clean_film_is_a_chest():
    for seed in range(5):
        picture, _, film = picture_of(seed)
        assert picture.shape == SHAPE and picture.dtype == np.float32
        assert picture.min() >= 0 and picture.max() <= 1
        lungs, heart = film.lungs > 0.9, film.heart > 0.9
        below = film.grid.y > max(film.anatomy.dome.values()) + 0.3
        in_lungs = picture[lungs & ~(film.heart > 0.1)].mean()
        assert in_lungs + 0.2 < picture[heart].mean()
        assert in_lungs + 0.2 < picture[below & (np.abs(film.grid.x) < 0.5)].mean()
        assert picture[:, :2].mean() < 0.5, "beside the body it is dark"
        # The heart lies two thirds on the patient's left, which is the film's right.
        assert film.heart[:, 64:].sum() > 1.5 * film.heart[:, :64].sum()


def test_grid_is_the_inverse_of_to_pixels():
    grid = Grid.of((40, 56), Pose(0.03, -0.05, 1.1, 0.06))
    for row, column in ((0, 0), (13, 40), (39, 55)):
        point = np.array([[grid.x[row, column], grid.y[row, column]]])
        assert np.allclose(grid.to_pixels(point), [[column + 0.5, row + 0.5]], atol=1e-3)


def test_strokes_land_where_they_are_drawn():
    grid = Grid.of((64, 64))
    sheet = Strokes(grid)
    sheet.line(np.array([[-0.5, 0.25], [0.5, 0.25]]), 0.1)
    drawn = sheet.field() > 0.5
    expected = (np.abs(grid.y - 0.25) < 0.05) & (np.abs(grid.x) < 0.5)
    assert (drawn & expected).sum() / (drawn | expected).sum() > 0.75


def test_box_of_against_a_plain_loop():
    rng = np.random.default_rng(0)
    layer = smooth_noise(rng, (20, 30), 4)
    inside = [(r, c) for r in range(20) for c in range(30) if abs(layer[r, c]) > 0.35 * np.abs(layer).max()]
    rows, columns = [r for r, _ in inside], [c for _, c in inside]
    assert box_of(layer) == (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
    assert box_of(np.zeros((4, 4), dtype=np.float32)) is None


def test_step_is_a_soft_step():
    values = step(np.array([-2, -0.5, 0, 0.5, 2], dtype=np.float32), 0.5)
    assert np.allclose(values, [0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_finding_shows_inside_its_box(kind):
    clean, _, _ = picture_of(3)
    for severity in (0.3, 1.0):
        picture, boxes, _ = picture_of(3, [finding_of(kind, severity)])
        change = np.abs(picture - clean)
        assert boxes, f"{kind} of severity {severity} has a box"
        inside = np.zeros(SHAPE, dtype=bool)
        for box in boxes:
            assert box.kind == kind
            assert 0 <= box.x_min < box.x_max <= 128 and 0 <= box.y_min < box.y_max <= 128
            inside[int(box.y_min) : int(box.y_max), int(box.x_min) : int(box.x_max)] = True
        assert change[inside].mean() > 1.5 * change[~inside].mean(), f"{kind} of severity {severity}"
        assert change[inside].max() > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_the_more_severe_the_more_it_shows(kind):
    clean, _, _ = picture_of(3)
    mild, severe = (picture_of(3, [finding_of(kind, severity)])[0] for severity in (0.25, 1.0))
    assert np.abs(severe - clean).sum() > 1.15 * np.abs(mild - clean).sum()


def test_the_outline_of_a_pneumothorax_is_what_was_drawn():
    _, boxes, film = picture_of(3, [finding_of("pneumothorax", 0.7), finding_of("mass", 0.7)])
    lung, other = boxes
    mask = lung.outline.mask(SHAPE)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    drawn = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    assert np.abs(drawn - np.array(lung[2:6])).max() <= 2
    assert (film.lungs[mask] > 0.4).all() and 0.01 < mask.mean() < 0.2
    assert other.outline is None


def test_tuberculosis_lies_in_the_upper_zones_and_may_be_on_both_sides():
    for seed in range(12):
        finding = finding_of("tuberculosis", 0.8, seed)
        _, boxes, film = picture_of(seed, [finding])
        assert len(boxes) == (2 if finding.side == "both" else 1)
        middle = film.grid.to_pixels(np.array([[0.0, -0.05]]))[0, 1]
        assert all((box.y_min + box.y_max) / 2 < middle for box in boxes)
    sides = {finding_of("tuberculosis", 0.5, seed).side for seed in range(30)}
    assert sides == {"left", "right", "both"}


def test_side_is_the_patients_side():
    for side, half in (("right", slice(0, 64)), ("left", slice(64, 128))):
        _, boxes, _ = picture_of(1, [replace(finding_of("mass", 0.8), side=side)])
        centre = (boxes[0].x_min + boxes[0].x_max) / 2
        assert half.start <= centre < half.stop


def plan_of(lateral=False, findings=()):
    anatomy = random_anatomy(np.random.default_rng(2), "F")
    return Plan(1, 1, 1, lateral, "F", 50, anatomy, tuple(findings), "train", 77)


def test_a_film_repeats_exactly_and_follows_its_seed():
    plan, profile = plan_of(findings=[finding_of("effusion", 0.7)]), profile_of("mimic_cxr", Differences())
    first, boxes = take_film(plan, 64, profile)
    again, _ = take_film(plan, 64, profile)
    other, _ = take_film(replace(plan, seed=78), 64, profile)
    assert np.array_equal(first, again) and boxes
    assert not np.array_equal(first, other)


def test_a_lateral_film_is_another_picture_without_boxes():
    frontal, _ = take_film(plan_of(), 64, Profile())
    lateral, boxes = take_film(plan_of(lateral=True, findings=[finding_of("mass", 0.8)]), 64, Profile())
    assert boxes == [] and lateral.shape == frontal.shape
    assert np.corrcoef(lateral.ravel(), frontal.ravel())[0, 1] < 0.8


def acquired(profile, picture=None):
    picture = np.full((96, 96), 0.4, dtype=np.float32) if picture is None else picture
    return acquire(picture, profile, np.random.default_rng(9))


def only(kind, strength=1.0):
    return Differences(**{**Differences.none().model_dump(), kind: Difference(strength=strength)})


def test_response_changes_grey_values():
    plain, own = acquired(Profile()), acquired(profile_of("chestxray14", only("response")))
    half = acquired(profile_of("chestxray14", only("response", 0.5)))
    assert own.mean() < half.mean() < plain.mean()


def test_noise_changes_the_spread():
    plain, own = acquired(Profile()), acquired(profile_of("mimic_cxr", only("noise")))
    assert own.std() > 1.5 * plain.std()
    assert abs(own.mean() - plain.mean()) < 0.01


def test_resolution_changes_size_and_sharpness():
    edge = np.zeros((96, 96), dtype=np.float32)
    edge[:, 48:] = 0.8
    quiet = Profile(noise=0.0)
    sharp = acquired(quiet, edge)
    soft = acquired(replace(quiet, blur=profile_of("chexpert", only("resolution")).blur), edge)
    assert np.abs(np.diff(soft, axis=1)).max() < 0.8 * np.abs(np.diff(sharp, axis=1)).max()
    assert min(film_shape(128, profile_of("chexpert", only("resolution")))) == 115
    assert min(film_shape(128, profile_of("chexpert", Differences.none()))) == 128


def test_collimation_blackens_borders():
    profile = replace(profile_of("chexpert", only("collimation")), collimated=1.0)
    assert profile_of("chexpert", Differences.none()).collimated == 0
    own, plain = acquired(profile), acquired(Profile())
    borders = [own[:2], own[-2:], own[:, :2], own[:, -2:]]
    assert sum(border.mean() < 0.1 for border in borders) >= 2
    assert plain.min() > 0.2 and np.array_equal(own[40:56, 40:56], plain[40:56, 40:56])


def test_markers_are_burnt_in():
    profile = replace(profile_of("chestxray14", only("markers")), marked=1.0)
    own, plain = acquired(profile), acquired(Profile())
    changed = own != plain
    assert 10 < changed.sum() < 0.1 * changed.size and changed[:24].sum() == changed.sum()
    assert profile_of("chestxray14", Differences.none()).marked == 0
