"""Augmentation as a whole: strengths, determinism, and a slow version that goes image by image."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from unichest_kedro.imaging import augment
from unichest_kedro.imaging.augment import (
    OPERATIONS,
    AugmentationSettings,
    BatchAugmentation,
    Drawn,
    affine_matrices,
    draw,
    enhancement,
    random_resized_crop,
    resize_square,
)
from unichest_kedro.imaging.batch_operations import (
    autocontrasted,
    brighter,
    contrasted,
    equalised,
    identity_curve,
    level_counts,
    sharpened,
    shown,
    warped,
)

OFF = {"jitter": 0, "randaugment_operations": 0, "fourier_probability": 0}
FILM = np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(count=12, size=32, seed=0):
    return torch.randint(20, 230, (count, 1, size, size), generator=generator(seed), dtype=torch.uint8)


# --- crop and flip


def test_crop_is_a_function_of_its_generator():
    settings = AugmentationSettings()
    first, second = (random_resized_crop(FILM, 64, settings, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (64, 64) and first.dtype == np.uint8 and first.flags.c_contiguous
    other = random_resized_crop(FILM, 64, settings, np.random.default_rng(8))
    assert (first != other).any()


def test_no_crop_and_no_flip_is_the_evaluation_resize():
    settings = AugmentationSettings(crop_scale=None, flip_probability=0)
    cropped = random_resized_crop(FILM, 40, settings, np.random.default_rng(0))
    np.testing.assert_array_equal(cropped, resize_square(FILM, 40))


def test_certain_flip_mirrors_left_and_right():
    settings = AugmentationSettings(crop_scale=None, flip_probability=1)
    flipped = random_resized_crop(FILM, 40, settings, np.random.default_rng(0))
    np.testing.assert_array_equal(flipped, resize_square(FILM, 40)[:, ::-1])


def test_resize_of_the_same_size_keeps_pixels():
    square = FILM[:70]
    np.testing.assert_array_equal(resize_square(square, 70), square)


def test_crops_lie_inside_and_cover_the_stated_share_and_ratio():
    rng = np.random.default_rng(1)
    boxes = np.array([augment._random_box(600, 512, (0.2, 1.0), (3 / 4, 4 / 3), rng) for _ in range(3000)])
    left, top, right, bottom = boxes.T
    assert left.min() >= 0 and top.min() >= 0 and right.max() <= 512 and bottom.max() <= 600
    share = (right - left) * (bottom - top) / (600 * 512)
    ratio = (right - left) / (bottom - top)
    assert 0.198 < share.min() < 0.21 and share.max() > 0.9
    assert 0.745 < ratio.min() < 0.76 and 1.32 < ratio.max() < 1.345


def test_crop_that_never_fits_takes_the_middle():
    """A very wide film: no rectangle of nearly its whole area has an allowed ratio."""
    box = augment._random_box(100, 1000, (1.0, 1.0), (3 / 4, 4 / 3), np.random.default_rng(0))
    assert box == (433, 0, 566, 100)
    box = augment._random_box(1000, 100, (1.0, 1.0), (3 / 4, 4 / 3), np.random.default_rng(0))
    assert box == (0, 433, 100, 566)


# --- batches


def test_everything_off_only_rescales():
    images = batch()
    result = BatchAugmentation(AugmentationSettings(**OFF))(images, generator())
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, images / 255)


def test_batch_is_a_function_of_its_generator_and_leaves_its_input():
    images = batch()
    before = images.clone()
    module = BatchAugmentation(AugmentationSettings())
    torch.manual_seed(1)
    first = module(images, generator(4))
    torch.manual_seed(2)
    assert torch.equal(first, module(images, generator(4)))
    assert not torch.equal(first, module(images, generator(5)))
    assert torch.equal(images, before)


def test_global_random_state_is_not_touched():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    BatchAugmentation(AugmentationSettings())(batch(), generator())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", range(4))
def test_stays_in_range_without_fourier_mixing(seed):
    settings = AugmentationSettings(fourier_probability=0, jitter=1, randaugment_magnitude=10)
    result = BatchAugmentation(settings)(batch(seed=seed), generator(seed))
    assert result.min() >= 0 and result.max() <= 1 and result.isfinite().all()


def augmented_slowly(image, drawn, row, settings):
    """One image: tone in the drawn order, then sharpness, then one geometric map."""
    levels = image.flatten(1).long()
    counts = level_counts(levels)
    curve = brighter(identity_curve(1, image.device), drawn.brightness[row : row + 1])
    curve = contrasted(curve, counts, drawn.contrast[row : row + 1])
    strength = enhancement(settings.randaugment_magnitude)
    names = [OPERATIONS[number] for number in drawn.operations[row].tolist()]
    for name in names:
        if name == "autocontrast":
            curve = autocontrasted(curve, counts)
        elif name == "equalise":
            curve = equalised(curve, counts)
        elif name == "brightness":
            curve = brighter(curve, torch.tensor([strength]))
    result = shown(curve, levels).view(image.shape)
    for _ in range(names.count("sharpness")):
        result = sharpened(result, strength)
    if any(name.startswith(("shear", "translate", "rotate")) for name in names):
        one = Drawn(*(part[row : row + 1] for part in drawn))
        result = warped(result, affine_matrices(one, settings.randaugment_magnitude))
    return result


def test_batch_agrees_with_one_image_at_a_time():
    settings = AugmentationSettings(fourier_probability=0, randaugment_operations=3)
    images = batch(count=40)
    result = BatchAugmentation(settings)(images, generator(9))
    drawn = draw(40, settings, generator(9))
    assert len(drawn.operations.unique()) == len(OPERATIONS)
    for row in range(40):
        expected = augmented_slowly(images[row : row + 1], drawn, row, settings)
        torch.testing.assert_close(result[row : row + 1], expected, atol=1e-5, rtol=0)


def test_pieces_do_not_change_the_result(monkeypatch):
    module = BatchAugmentation(AugmentationSettings(fourier_probability=1))
    result = module(batch(), generator(3))
    monkeypatch.setattr(augment, "_IMAGES_AT_ONCE", 100)
    torch.testing.assert_close(module(batch(), generator(3)), result)


def test_fourier_mixing_is_per_batch_and_as_often_as_stated():
    images = batch(count=3, size=8)
    module = BatchAugmentation(AugmentationSettings(**{**OFF, "fourier_probability": 0.5}))
    shared = generator(0)
    changed = [not torch.allclose(module(images, shared), images / 255) for _ in range(300)]
    # Of three images, one permutation in six leaves all amplitudes where they are.
    assert 0.3 < np.mean(changed) < 0.53


def test_jitter_is_uniform_around_one():
    drawn = draw(4000, AugmentationSettings(jitter=0.4), generator())
    for factors in (drawn.brightness, drawn.contrast):
        assert 0.6 <= factors.min() < 0.61 and 1.39 < factors.max() <= 1.4
        assert factors.mean().item() == pytest.approx(1, abs=0.02)


def test_operations_and_directions_are_equally_likely():
    drawn = draw(20_000, AugmentationSettings(), generator())
    shares = torch.bincount(drawn.operations.flatten()) / drawn.operations.numel()
    torch.testing.assert_close(shares, torch.full((10,), 0.1), atol=0.006, rtol=0)
    assert set(drawn.signs.unique().tolist()) == {-1, 1} and abs(drawn.signs.mean()) < 0.02


def drawn_as(names, signs):
    numbers = torch.tensor([[OPERATIONS.index(name) for name in names]])
    return Drawn(torch.ones(1), torch.ones(1), numbers, torch.tensor([signs], dtype=torch.float32))


def test_geometric_operations_at_full_magnitude():
    turned = affine_matrices(drawn_as(["rotate"], [1]), 10)[0]
    assert math.degrees(math.atan2(turned[1, 0], turned[0, 0])) == pytest.approx(30, abs=1e-3)
    shifted = affine_matrices(drawn_as(["translate_x"], [-1]), 10)[0]
    torch.testing.assert_close(shifted, torch.tensor([[1, 0, -20 / 256], [0, 1, 0]]))
    sheared = affine_matrices(drawn_as(["shear_y"], [1]), 5)[0]
    torch.testing.assert_close(sheared, torch.tensor([[1, 0, 0], [0.15, 1, 0]]))
    still = affine_matrices(drawn_as(["equalise"], [1]), 10)[0]
    torch.testing.assert_close(still, torch.eye(2, 3))


def test_two_maps_composed_are_the_second_applied_to_the_first_s_result():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    blob = torch.exp(-8 * ((x - 0.2) ** 2 + (y + 0.1) ** 2))[None, None]
    both = warped(blob, affine_matrices(drawn_as(["shear_x", "rotate"], [1, -1]), 7))
    first = warped(blob, affine_matrices(drawn_as(["shear_x"], [1]), 7))
    second = warped(first, affine_matrices(drawn_as(["rotate"], [-1]), 7))
    torch.testing.assert_close(both, second, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop_scale", (0.0, 1.0)),
        ("crop_scale", (0.9, 0.5)),
        ("crop_scale", (0.5, 1.5)),
        ("crop_ratio", (2.0, 1.0)),
        ("flip_probability", 1.5),
        ("jitter", -0.1),
        ("randaugment_operations", -1),
        ("randaugment_magnitude", 11),
        ("fourier_probability", 2),
        ("colour", 1),
    ],
)
def test_wrong_settings_name_the_field(field, value):
    with pytest.raises(ValidationError, match=field):
        AugmentationSettings(**{field: value})
