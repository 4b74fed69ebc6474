"""Localisation: boxes as regions of a film, maps held against them, priors, intervals, figures."""

import io
from functools import partial

import matplotlib.text
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.heatmaps import attention_maps
from unichest_kedro.evaluation.localisation import (
    CENTRE_PRIOR,
    CENTRE_SPREAD,
    FIXED,
    IOUS,
    MEAN_BOX_PRIOR,
    THRESHOLDS,
    centre_prior,
    choose_thresholds,
    ious,
    localisation_differences,
    localisation_table,
    localise,
    localise_priors,
    mean_box_priors,
    pointing_hit,
)
from unichest_kedro.evaluation.localisation_figures import (
    draw_examples,
    examples_figure,
    film_overlay,
    localisation_figure,
    pick_examples,
)
from unichest_kedro.evaluation.localisation_targets import (
    LEAVES_FILM,
    NO_AGREEMENT,
    NO_AREA,
    NO_FILM,
    NOT_ASKED,
    NOT_PRESENT,
    TRAINED_ON,
    UNMAPPED,
    BoxedSource,
    LocalisationSettings,
    box_frames,
    boxed_findings,
    find_targets,
    no_targets,
    region,
)
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.imaging.store import ImagingSettings, update_image_store
from unichest_kedro.models.unichest import ModelSettings, build_unichest
from unichest_kedro.schemas import (
    BoxesLeftOut,
    BoxTargets,
    LocalisationDifferences,
    LocalisationMetrics,
    Localisations,
)

SETTINGS = LocalisationSettings(raster=32, resamples=50, fewest_films=2)
LABELS = {"Mass": ("mass",), "Effusion": ("effusion",), "Scar": ("scar",), "Gas": ()}
ASKED = ("mass", "effusion")


def make_targets(rows):
    """`BoxTargets` from (split, image, patient, finding, reader, needed, left, top, right, bottom)."""
    table = pd.DataFrame(
        rows,
        columns=["split", "image_id", "patient_id", "finding", "reader", "needed", "left", "top", "right", "bottom"],
    )
    numbers = pd.factorize(table["image_id"])[0]
    table = table.assign(source="vindr_cxr", image_row=numbers, height=200.0, width=100.0)
    return table[no_targets().columns].astype(no_targets().dtypes)


def only(targets):
    (boxed,) = boxed_findings(targets)
    return boxed


def slow_region(boxes, needed, raster):
    """Cell by cell, reader by reader; boxes are (reader, left, top, right, bottom)."""
    out = np.zeros((raster, raster), dtype=bool)
    for i in range(raster):
        for j in range(raster):
            y, x = (i + 0.5) / raster, (j + 0.5) / raster
            who = {r for r, left, top, right, bottom in boxes if left <= x < right and top <= y < bottom}
            out[i, j] = len(who) >= needed
    return out


@pytest.mark.parametrize("needed", [1, 2, 3])
def test_region_against_every_cell(needed):
    generator = np.random.default_rng(0)
    low = generator.random((9, 2)) * 0.6
    corners = np.hstack([low, low + 0.1 + 0.3 * generator.random((9, 2))])
    readers = [f"R{k % 4}" for k in range(9)]
    rows = [("test", "a", "p", "mass", reader, needed, *box) for reader, box in zip(readers, corners)]
    expected = slow_region([(reader, *box) for reader, box in zip(readers, corners)], needed, 37)
    np.testing.assert_array_equal(region(only(make_targets(rows)), 37), expected)
    assert 0 < expected.sum() < expected.size


def test_a_box_smaller_than_a_cell_has_the_cell_of_its_centre():
    drawn = region(only(make_targets([("test", "a", "p", "mass", "R1", 1, 0.51, 0.99, 0.52, 1.0)])), 10)
    assert drawn.sum() == 1 and drawn[9, 5]


def test_boxed_findings_keep_the_first_order_and_their_rows():
    rows = [
        ("test", "b", "p1", "mass", "R1", 1, 0, 0, 1, 1),
        ("test", "a", "p2", "mass", "R2", 1, 0, 0, 0.5, 1),
        ("test", "b", "p1", "scar", "R1", 1, 0, 0, 1, 0.5),
        ("test", "b", "p1", "mass", "R3", 1, 0.5, 0, 1, 1),
    ]
    found = list(boxed_findings(make_targets(rows)))
    assert [(one.key[2], one.finding, list(one.rows)) for one in found] == [
        ("b", "mass", [0, 3]),
        ("a", "mass", [1]),
        ("b", "scar", [2]),
    ]
    assert found[0].readers.tolist() == [0, 1] and found[0].shape == (200, 100)


def make_boxed(boxes, *, readers=None, labels=None, films="abc"):
    """A source of 200 x 100 films, all findings present unless `labels` says otherwise."""
    films = list(films)
    corners = ["x_min", "y_min", "x_max", "y_max"]
    table = pd.DataFrame(boxes, columns=["image_id", "label", "reader", *corners]).assign(source="vindr_cxr")
    present = pd.DataFrame({"source": "vindr_cxr", "image_id": films} | dict.fromkeys(("mass", "effusion", "scar"), 1))
    for film, finding, value in labels or ():
        present.loc[present["image_id"] == film, finding] = value
    studies = pd.DataFrame({"image_id": films, "readers": [(readers or {}).get(film, 1) for film in films]})
    sizes = pd.DataFrame({"image_id": films, "height": 200, "width": 100})
    return BoxedSource(table.astype({"image_id": "str"}), studies, present, sizes, LABELS, ASKED)


def make_examples(films="abc", split="test"):
    films = list(films)
    return pd.DataFrame(
        {
            "source": "vindr_cxr",
            "image_id": films,
            "patient_id": films,
            "split": split,
            "image_row": range(len(films)),
            "label_row": range(len(films)),
            "text_row": -1,
        }
    )


def test_boxes_become_parts_of_their_film_and_of_the_findings_they_state():
    boxed = make_boxed([("b", "Effusion", "R1", 25, 50, 75, 100), ("a", "Mass", "R1", -0.5, 0, 50, 200.9)])
    targets, left_out = find_targets(make_examples(), {"vindr_cxr": boxed}, SETTINGS)
    BoxTargets.validate(targets), BoxesLeftOut.validate(left_out)
    assert targets[["image_id", "finding", "image_row"]].values.tolist() == [["a", "mass", 0], ["b", "effusion", 1]]
    np.testing.assert_allclose(targets[["left", "top", "right", "bottom"]], [[0, 0, 0.5, 1], [0.25, 0.25, 0.75, 0.5]])
    assert left_out.empty


def test_every_box_that_is_left_out_is_counted_with_its_reason():
    boxes = [
        ("a", "Mass", "R1", 0, 0, 10, 10),
        ("a", "Gas", "R1", 0, 0, 10, 10),
        ("a", "Scar", "R1", 0, 0, 10, 10),
        ("a", "Pox", "R1", 0, 0, 10, 10),
        ("z", "Mass", "R1", 0, 0, 10, 10),
        ("b", "Mass", "R1", 10, 0, 10, 10),
        ("b", "Mass", "R1", 0, 0, np.nan, 10),
        ("b", "Effusion", "R1", 0, 0, 150, 10),
        ("c", "Mass", "R1", 0, 0, 10, 10),
        ("c", "Effusion", "R1", 0, 0, 10, 10),
        ("d", "Effusion", "R1", 0, 0, 10, 10),
        ("e", "Mass", "R1", 0, 0, 10, 10),
        ("e", "Mass", "R2", 50, 50, 90, 90),
    ]
    boxed = make_boxed(
        boxes, films="abcde", readers={"e": 3}, labels=[("c", "mass", 0), ("c", "effusion", -1), ("b", "mass", 0)]
    )
    leaked = pd.DataFrame({"source": ["vindr_cxr"], "image_id": ["d"]})
    targets, left_out = find_targets(make_examples("abcde"), {"vindr_cxr": boxed}, SETTINGS, leaked)
    BoxesLeftOut.validate(left_out)
    assert targets["image_id"].tolist() == ["a"]
    counted = left_out.set_index(["label", "reason"])["boxes"].to_dict()
    assert counted == {
        ("Pox", UNMAPPED): 1,
        ("Gas", NOT_ASKED): 1,
        ("Scar", NOT_ASKED): 1,
        ("Mass", NO_FILM): 1,
        ("Mass", NO_AREA): 2,
        ("Effusion", LEAVES_FILM): 1,
        ("Effusion", TRAINED_ON): 1,
        ("Mass", NOT_PRESENT): 1,
        ("Effusion", NOT_PRESENT): 1,
        ("Mass", NO_AGREEMENT): 2,
    }
    assert left_out["boxes"].sum() + len(targets) == len(boxes)


def test_leaked_films_stay_where_the_model_learns_from_them():
    boxed = make_boxed([("a", "Mass", "R1", 0, 0, 10, 10)])
    leaked = pd.DataFrame({"source": ["vindr_cxr"], "image_id": ["a"]})
    targets, _ = find_targets(make_examples(split="train"), {"vindr_cxr": boxed}, SETTINGS, leaked)
    assert len(targets) == 1


def test_readers_rule():
    boxes = [
        ("a", "Mass", "R1", 0, 0, 50, 100),
        ("a", "Mass", "R2", 25, 0, 75, 100),
        ("b", "Mass", "consensus", 0, 0, 50, 100),
    ]
    boxed = make_boxed(boxes, readers={"a": 3, "b": 5})
    majority, _ = find_targets(make_examples(), {"vindr_cxr": boxed}, SETTINGS)
    assert majority["needed"].tolist() == [2, 2, 1]
    assert region(next(boxed_findings(majority)), 20).sum() == 5 * 10
    either, _ = find_targets(make_examples(), {"vindr_cxr": boxed}, SETTINGS.model_copy(update={"readers": "any"}))
    assert region(next(boxed_findings(either)), 20).sum() == 15 * 10


def test_no_source_with_boxes_makes_empty_tables():
    empty = make_boxed([])
    for sources in ({}, {"vindr_cxr": empty}):
        targets, left_out = find_targets(make_examples(), sources, SETTINGS)
        BoxTargets.validate(targets), BoxesLeftOut.validate(left_out)
        records = localise_priors(targets, SETTINGS)
        Localisations.validate(records)
        assert records.empty
        table = localisation_table(records, SETTINGS)
        assert table.empty and localisation_figure(table)


def test_a_film_of_unknown_size_is_named():
    boxed = make_boxed([("a", "Mass", "R1", 0, 0, 10, 10)])
    boxed = boxed._replace(sizes=boxed.sizes.iloc[:2])
    with pytest.raises(UniChestError, match="size of film 'c'"):
        find_targets(make_examples(), {"vindr_cxr": boxed}, SETTINGS)


def test_frames_are_those_of_the_release_where_they_are_known():
    manifest = pd.DataFrame({"image_id": ["a", "b"], "original_height": [512, 30], "original_width": [512, 40]})
    assert box_frames("chestxray14", manifest)[["height", "width"]].values.tolist() == [[1024, 1024]] * 2
    assert box_frames("chestxray14", manifest, phantom=True)["width"].tolist() == [512, 40]
    assert box_frames("vindr_cxr", manifest)["height"].tolist() == [512, 30]


@pytest.mark.parametrize("side", [None, 512])
def test_a_bright_square_is_found_where_its_box_says(tmp_path, side):
    """From a file on disk, through store and square image, to the map and back: only the right box is hit."""
    height, width, (left, top, right, bottom) = 300, 210, (120, 190, 190, 280)
    film = np.full((height, width), 20, dtype=np.uint8)
    film[top:bottom, left:right] = 250
    picture = Image.fromarray(film)
    if side:  # a copy in another size, with the boxes of the release
        picture = picture.resize((side, side))
    picture.save(tmp_path / "a.png")
    studies = pd.DataFrame({"source": "vindr_cxr", "image_id": ["a"], "path": "a.png", "view": "frontal"})
    store, _ = update_image_store(
        studies, tmp_path, tmp_path / "cache", ImagingSettings(image_size=96, n_jobs=1), description="x"
    )
    sizes = box_frames("vindr_cxr", store.manifest)
    if side:
        sizes = sizes.assign(height=height, width=width)
    else:
        assert sizes[["height", "width"]].values.tolist() == [[height, width]]
    boxes = [("a", "Mass", "R1", left, top, right, bottom), ("a", "Effusion", "R1", 20, 20, 90, 110)]
    boxed = make_boxed(boxes, films="a")._replace(sizes=sizes)
    targets, left_out = find_targets(make_examples("a"), {"vindr_cxr": boxed}, SETTINGS)
    assert left_out.empty

    def brightness(images, findings):
        bright = images.float() / 255
        bright = (bright - bright.amin()) / (bright.amax() - bright.amin())
        return bright.clamp(0, 1).expand(-1, len(findings), -1, -1)

    records = localise(
        brightness,
        "bright",
        targets,
        {"vindr_cxr": store},
        {"vindr_cxr": ASKED},
        SETTINGS.model_copy(update={"raster": 128}),
        image_size=64,
        batch_size=4,
        resize=resize_square,
    ).set_index("finding")
    Localisations.validate(records.reset_index())
    assert records.loc["mass", "hit"] == 1 and records.loc["mass", "iou_50"] > 0.93
    assert records.loc["effusion", "hit"] == 0 and records.loc["effusion", "iou_50"] == 0
    area = (right - left) * (bottom - top) / (height * width)
    assert records.loc["mass", "area"] == pytest.approx(area, abs=0.01)


def slow_hit(heat, truth, tolerance, shape):
    """Point by point: the share of highest points that are near enough to any cell of the region."""
    raster, near = len(truth), []
    for i, j in np.argwhere(heat == heat.max()):
        away = [
            np.hypot((i - y) * shape[0] / raster, (j - x) * shape[1] / raster) / min(shape)
            for y, x in np.argwhere(truth)
        ]
        near.append(min(away) <= tolerance)
    return np.mean(near)


@pytest.mark.parametrize("tolerance", [0.0, 0.05, 0.2])
def test_pointing_against_every_distance(tolerance):
    generator = np.random.default_rng(4)
    got, expected = [], []
    for shape in ((200, 100), (100, 150)) * 15:
        heat = generator.integers(0, 5 if generator.random() < 0.5 else 200, (16, 16)).astype(float)
        truth = np.zeros((16, 16), dtype=bool)
        y, x = generator.integers(0, 10, 2)
        truth[y : y + 5, x : x + 6] = True
        got.append(pointing_hit(heat, truth, tolerance, shape))
        expected.append(slow_hit(heat, truth, tolerance, shape))
    np.testing.assert_allclose(got, expected)
    assert 0 < np.mean(expected) < 1


def test_a_map_that_is_even_hits_by_the_regions_part_of_the_film():
    truth = np.zeros((10, 10), dtype=bool)
    truth[:3] = True
    assert pointing_hit(np.zeros((10, 10)), truth) == pytest.approx(0.3)


def test_iou_against_sets_of_cells():
    generator = np.random.default_rng(1)
    for _ in range(10):
        heat = np.round(generator.random((12, 12)), 2)  # many cells lie exactly on a threshold
        truth = generator.random((12, 12)) < 0.3
        truth[0, 0] = True
        cells = [(i, j) for i in range(12) for j in range(12)]
        inside = {c for c in cells if truth[c]}
        expected = [
            len(inside & found) / len(inside | found)
            for found in ({c for c in cells if heat[c] >= threshold} for threshold in THRESHOLDS)
        ]
        np.testing.assert_allclose(ious(heat, truth), expected, atol=1e-12)


def test_iou_of_nothing_found_is_0():
    truth = np.ones((4, 4), dtype=bool)
    assert (ious(np.zeros((4, 4)), truth) == 0).all()


def test_centre_prior_is_a_bell():
    prior = centre_prior(8)
    for i in range(8):
        for j in range(8):
            y, x = (i + 0.5) / 8 - 0.5, (j + 0.5) / 8 - 0.5
            bell = np.exp(-(y**2 + x**2) / (2 * CENTRE_SPREAD**2))
            low, high = (np.exp(-2 * d**2 / (2 * CENTRE_SPREAD**2)) for d in (0.4375, 0.0625))
            assert prior[i, j] == pytest.approx((bell - low) / (high - low), abs=1e-6)


def test_mean_box_prior_learns_from_training_films_alone():
    rows = [
        ("train", "a", "p1", "mass", "R1", 1, 0.0, 0.0, 0.5, 0.5),
        ("train", "b", "p2", "mass", "R1", 1, 0.0, 0.0, 0.5, 1.0),
        ("val", "c", "p3", "mass", "R1", 1, 0.5, 0.5, 1.0, 1.0),
        ("test", "d", "p4", "effusion", "R1", 1, 0.5, 0.5, 1.0, 1.0),
    ]
    priors = mean_box_priors(make_targets(rows), 4)
    assert list(priors) == ["mass"]
    expected = np.zeros((4, 4))
    expected[:2, :2], expected[2:, :2] = 1, 0.5
    np.testing.assert_allclose(priors["mass"], expected)


def test_priors_are_held_against_the_same_regions():
    rows = [
        ("train", "a", "p1", "mass", "R1", 1, 0.0, 0.0, 0.5, 0.5),
        ("test", "b", "p2", "mass", "R1", 1, 0.0, 0.0, 0.5, 0.5),
        ("test", "c", "p3", "effusion", "R1", 1, 0.25, 0.25, 0.75, 0.75),
    ]
    records = localise_priors(make_targets(rows), SETTINGS)
    Localisations.validate(records)
    by = records.set_index(["model", "finding"])
    assert set(by.index) == {(CENTRE_PRIOR, "mass"), (MEAN_BOX_PRIOR, "mass"), (CENTRE_PRIOR, "effusion")}
    assert by.loc[(MEAN_BOX_PRIOR, "mass"), "hit"] == 1 and by.loc[(MEAN_BOX_PRIOR, "mass"), "iou_50"] == 1
    # The middle of the film is the corner of the first region (one of four equally high cells) and inside the second.
    assert by.loc[(CENTRE_PRIOR, "mass"), "hit"] == 0.25 and by.loc[(CENTRE_PRIOR, "effusion"), "hit"] == 1


class Store:
    """Films of different brightness by row."""

    def __init__(self, count):
        self.films = np.arange(1, count + 1, dtype=np.uint8)[:, None, None] * np.ones((1, 20, 10), dtype=np.uint8)

    def __getitem__(self, row):
        return self.films[row]


def many_targets(films=12):
    generator = np.random.default_rng(2)
    rows = []
    for k in range(films):
        for finding in ("mass", "effusion")[: 1 + k % 2]:
            left, top = generator.random(2) * 0.5
            split = ("test", "val")[k % 4 == 3]
            rows.append((split, f"i{k}", f"p{k // 2}", finding, "R1", 1, left, top, left + 0.4, top + 0.3))
    return make_targets(rows)


def look_by_brightness(images, findings):
    """A map that only depends on the film's row (its brightness) and the finding asked about."""
    maps = []
    for image in images:
        row = int(image.max()) - 1
        maps.append([np.random.default_rng([row, ASKED.index(finding)]).random((4, 4)) for finding in findings])
    maps = torch.from_numpy(np.array(maps))
    return (maps - maps.amin((-2, -1), keepdim=True)) / (maps - maps.amin((-2, -1), keepdim=True)).amax(
        (-2, -1), keepdim=True
    )


def run(look=look_by_brightness, targets=None, batch_size=3, asked=ASKED):
    targets = many_targets() if targets is None else targets
    return localise(
        look,
        "ours",
        targets,
        {"vindr_cxr": Store(12)},
        {"vindr_cxr": asked},
        SETTINGS,
        image_size=16,
        batch_size=batch_size,
        resize=resize_square,
    )


def test_each_region_meets_the_map_of_its_film_and_finding():
    targets = many_targets()
    records = run(targets=targets.iloc[::-1])
    Localisations.validate(records)
    assert len(records) == len(targets)
    from unichest_kedro.evaluation.heatmaps import stretch

    for boxed in boxed_findings(targets):
        row = records[(records["image_id"] == boxed.key[2]) & (records["finding"] == boxed.finding)].iloc[0]
        image = torch.full((1, 1, 16, 16), boxed.image_row + 1, dtype=torch.uint8)
        heat = stretch(look_by_brightness(image, [boxed.finding])[0, 0].numpy(), 32, 32)
        np.testing.assert_allclose(row[IOUS].to_numpy(float), ious(heat, region(boxed, 32)))
        assert row["hit"] == pointing_hit(heat, region(boxed, 32))
    pd.testing.assert_frame_equal(records, run(targets=targets.iloc[::-1], batch_size=100))


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(UniChestError, match="'mass', which it is not asked about"):
        run(asked=("effusion",))
    with pytest.raises(UniChestError, match="asked were 3 images and 2 findings"):
        run(look=lambda images, findings: torch.zeros(len(images), 1, 4, 4))
    with pytest.raises(UniChestError, match="beyond 0 to 1 or not finite"):
        run(look=lambda images, findings: torch.full((len(images), 2, 4, 4), float("nan")))


def test_a_trained_models_maps_go_the_same_way():
    settings = ModelSettings(backbone="test_resnet", reduction=8, image_size=32, width=16, layers=2, heads=2)
    model = build_unichest(settings, ASKED, torch.randn(2, 16), 0)
    records = run(look=partial(attention_maps, model))
    Localisations.validate(records)
    assert model.training


@pytest.fixture
def records():
    return pd.concat([run(), localise_priors(many_targets(), SETTINGS)], ignore_index=True)


def test_thresholds_come_from_validation_films(records):
    chosen = choose_thresholds(records, SETTINGS).set_index("model")
    val = records[(records["split"] == "val") & (records["model"] == "ours")]
    best, where = -1, None
    for threshold, column in zip(THRESHOLDS, IOUS):
        mean = np.mean([part[column].mean() for _, part in val.groupby("finding")])
        if mean > best:
            best, where = mean, threshold
    assert chosen.loc["ours", "threshold"] == where and chosen.loc["ours", "threshold_from"] == "vindr_cxr"
    without = choose_thresholds(records[records["split"] == "test"], SETTINGS)
    assert set(without["threshold_from"]) == {FIXED} and set(without["threshold"]) == {0.5}


def slow_interval(values, patients, everyone, draws):
    """Percentiles of the mean over patients drawn with replacement, resample by resample."""
    means = []
    for draw in draws:
        drawn = []
        for person, times in zip(everyone, draw):
            drawn += [value for value, patient in zip(values, patients) if patient == person] * times
        if drawn:
            means.append(np.mean(drawn))
    return np.percentile(means, [2.5, 97.5])


def draws_of(everyone, seed=42):
    import zlib

    generator = np.random.default_rng([seed, zlib.crc32(b"vindr_cxr")])
    return generator.multinomial(len(everyone), np.full(len(everyone), 1 / len(everyone)), size=SETTINGS.resamples)


def test_table_against_slow_means_and_intervals(records):
    table = localisation_table(records, SETTINGS)
    LocalisationMetrics.validate(table)
    test = records[records["split"] == "test"]
    everyone = sorted(test["patient_id"].unique())
    threshold = choose_thresholds(records, SETTINGS).set_index("model")["threshold"]
    for row in table[table["finding"] != "mean"].itertuples():
        part = test[(test["model"] == row.model) & (test["finding"] == row.finding)]
        at = part[f"iou_{round(100 * threshold[row.model]):02d}"]
        for measure, values in (("pointing", part["hit"]), ("iou", at), ("mean_iou", part[IOUS].mean(axis=1))):
            assert getattr(row, measure) == pytest.approx(values.mean())
            low, high = slow_interval(values, part["patient_id"], everyone, draws_of(everyone))
            assert (getattr(row, f"{measure}_low"), getattr(row, f"{measure}_high")) == pytest.approx((low, high))
        assert row.films == len(part) and row.area == pytest.approx(part["area"].mean())
    means = table[table["finding"] == "mean"].set_index("model")
    for model, part in table[table["finding"] != "mean"].groupby("model"):
        assert means.loc[model, "pointing"] == pytest.approx(part["pointing"].mean())
        assert means.loc[model, "pointing_low"] <= means.loc[model, "pointing"] <= means.loc[model, "pointing_high"]


def test_findings_with_few_films_count_in_no_mean(records):
    few = SETTINGS.model_copy(update={"fewest_films": 6})
    table = localisation_table(records, few).query("model == 'ours'").set_index("finding")
    assert table["in_mean"].to_dict() == {"effusion": False, "mass": True, "mean": True}
    assert table.loc["mean", "pointing"] == table.loc["mass", "pointing"]
    none = localisation_table(records, SETTINGS.model_copy(update={"fewest_films": 99})).set_index("finding")
    assert none.loc["mean", "pointing"].isna().all() and not none.loc["mean", "in_mean"].any()
    assert localisation_figure(none.reset_index())


def test_differences_are_paired(records):
    pairs = [("ours", CENTRE_PRIOR), ("ours", "ours")]
    table = localisation_differences(records, SETTINGS, pairs)
    LocalisationDifferences.validate(table)
    itself = table[table["against"] == "ours"]
    assert (itself[["pointing", "iou_low", "mean_iou_high"]] == 0).all(axis=None)
    test = records[records["split"] == "test"]
    one, other = (
        test[(test["model"] == name) & (test["finding"] == "mass")].set_index("image_id")
        for name in ("ours", CENTRE_PRIOR)
    )
    gap = one["hit"] - other["hit"]
    row = table[(table["against"] == CENTRE_PRIOR) & (table["finding"] == "mass")].iloc[0]
    everyone = sorted(test["patient_id"].unique())
    low, high = slow_interval(gap, one["patient_id"], everyone, draws_of(everyone))
    assert (row["pointing"], row["pointing_low"], row["pointing_high"]) == pytest.approx((gap.mean(), low, high))


def test_differences_are_of_regions_that_both_have(records):
    some = records[(records["model"] == "ours") | (records["finding"] == "mass")]
    table = localisation_differences(some, SETTINGS, [("ours", CENTRE_PRIOR)])
    assert set(table["finding"]) == {"mass", "mean"}


def test_a_pair_without_maps_is_named(records):
    with pytest.raises(UniChestError, match="'theirs'"):
        localisation_differences(records, SETTINGS, [("ours", "theirs")])


@pytest.mark.parametrize(
    "wrong", [{"tolerance": 0.5}, {"threshold": 0.52}, {"threshold": 0.0}, {"readers": "all"}, {"raster": 8}, {"x": 1}]
)
def test_wrong_settings_name_their_field(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        LocalisationSettings.model_validate(wrong)


def draws(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return np.asarray(Image.open(buffer).convert("L")).std() > 0


def texts(figure):
    return " | ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_localisation_figure_shows_every_model_finding_and_choice(records):
    figure = localisation_figure(localisation_table(records, SETTINGS.model_copy(update={"tolerance": 0.03})))
    words = texts(figure)
    for expected in ("VinDr-CXR", "Mass (9)", "Effusion", "ours", CENTRE_PRIOR, "within 3%", "(validation)"):
        assert expected in words
    assert draws(figure)


def test_examples_are_drawn_at_random_from_hits_and_misses(records):
    picked = pick_examples(records, "ours", per_source=4)
    assert len(picked) == 4 and picked["image_id"].is_unique
    assert set(picked["split"]) == {"test"} and set(picked["model"]) == {"ours"}
    pd.testing.assert_frame_equal(picked, pick_examples(records, "ours", per_source=4))
    assert pick_examples(records, "nobody").empty


def test_example_films_carry_map_and_boxes(records):
    picked = pick_examples(records, "ours", per_source=3)
    examples = draw_examples(
        look_by_brightness,
        picked,
        many_targets(),
        {"vindr_cxr": Store(12)},
        {"vindr_cxr": ASKED},
        image_size=16,
        resize=resize_square,
    )
    assert [e.image_id for e in examples] == picked["image_id"].tolist()
    assert [e.words for e in examples] == ["hit" if hit >= 0.5 else "miss" for hit in picked["hit"]]
    assert examples[0].picture.shape == (400, 200, 3)
    figure = examples_figure(examples)
    assert "VinDr-CXR" in texts(figure) and draws(figure)
    assert draws(examples_figure(()))


def test_film_overlay_draws_boxes_at_their_place():
    film, even = np.zeros((400, 200), dtype=np.uint8), partial(_even, value=0.0)
    with_box = film_overlay(
        even, film, "mass", ASKED, image_size=16, resize=resize_square, boxes=np.array([[0.25, 0.5, 0.75, 0.9]])
    )
    rows, columns = (np.flatnonzero(with_box.any(axis=(2, axis))) for axis in (1, 0))
    assert 200 <= rows[0] <= 206 and 354 <= rows[-1] <= 360 and 50 <= columns[0] <= 56 and 144 <= columns[-1] <= 150
    with pytest.raises(UniChestError, match="'scar'"):
        film_overlay(even, film, "scar", ASKED, image_size=16, resize=resize_square)


def _even(images, findings, value):
    return torch.full((len(images), len(findings), 4, 4), value)


def test_the_real_boxes_fit_the_release_and_not_a_copy_of_half_its_size(real, project):
    from unichest_kedro.sources.base import IngestionSettings
    from unichest_kedro.sources.chestxray14 import read
    from unichest_kedro.vocabulary import Vocabulary

    tables = read(real / "chestxray14", IngestionSettings())
    boxes = tables.boxes.assign(source="chestxray14")
    films = pd.Index(boxes["image_id"].unique())
    listed = tables.listing.set_index("image_id").loc[films].reset_index()
    assert len(boxes) == 984 and len(films) == 880 and set(listed["split"]) == {"test"}
    rules = Vocabulary.from_yaml(project / "conf" / "base" / "vocabulary.yml").rules("chestxray14")
    asked = {finding for label in boxes["label"].unique() for finding in rules.labels[label]}
    labels = pd.DataFrame({"source": "chestxray14", "image_id": films} | dict.fromkeys(asked, 1))
    examples = make_examples(films).assign(source="chestxray14", patient_id=listed["patient_id"])
    manifest = pd.DataFrame({"image_id": films, "original_height": 512, "original_width": 512})

    def of(sizes):
        source = BoxedSource(boxes, listed, labels, sizes, rules.labels, asked)
        return find_targets(examples, {"chestxray14": source}, SETTINGS)

    targets, left_out = of(box_frames("chestxray14", manifest))
    assert len(targets) == 984 and left_out.empty and targets["finding"].nunique() == 8
    wrong = of(manifest.set_axis(["image_id", "height", "width"], axis=1))[1]
    assert set(wrong["reason"]) == {LEAVES_FILM} and wrong["boxes"].sum() > 500
