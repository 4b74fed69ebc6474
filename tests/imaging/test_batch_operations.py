"""Each batched operation against a slow version that goes pixel by pixel, and against Pillow's."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

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


@pytest.fixture
def films():
    """Six films of 24 x 24: dark, bright, full range, few levels, one value, all black."""
    rng = np.random.default_rng(0)
    shape = (24, 24)
    pixels = [
        rng.integers(10, 90, shape),
        rng.integers(150, 256, shape),
        (rng.random(shape) ** 2 * 255).astype(int),
        rng.choice([20, 90, 200], shape),
        np.full(shape, 77),
        np.zeros(shape, dtype=int),
    ]
    return torch.tensor(np.stack(pixels)[:, None], dtype=torch.uint8)


@pytest.fixture
def tables(films):
    levels = films.flatten(1)
    return levels, level_counts(levels), identity_curve(len(films), films.device)


def values(film):
    return film.numpy().ravel().astype(float) / 255


def test_counts(films, tables):
    for film, row in zip(films, tables[1]):
        np.testing.assert_array_equal(row, np.bincount(film.numpy().ravel(), minlength=256))


def test_identity(films, tables):
    levels, _, curve = tables
    torch.testing.assert_close(shown(curve, levels), films.flatten(1) / 255)


def test_brightness_and_contrast(films, tables):
    levels, counts, curve = tables
    factors = torch.tensor([0.6, 1.4, 1.0, 1.36, 0.0, 1.2])
    bright = brighter(curve, factors)
    both = shown(contrasted(bright, counts, factors.flip(0)), levels)
    for row, film in enumerate(films):
        expected = [min(1, v * factors[row].item()) for v in values(film)]
        mean = sum(expected) / len(expected)
        factor = factors[len(films) - 1 - row].item()
        expected = [min(1, max(0, mean + (v - mean) * factor)) for v in expected]
        np.testing.assert_allclose(both[row], expected, atol=1e-5)


def test_autocontrast(films, tables):
    levels, counts, curve = tables
    result = shown(autocontrasted(curve, counts), levels)
    for row, film in enumerate(films):
        own = values(film)
        low, high = own.min(), own.max()
        expected = own if low == high else (own - low) / (high - low)
        np.testing.assert_allclose(result[row], expected, atol=1e-5)
        if low < high:
            pillow = np.asarray(ImageOps.autocontrast(Image.fromarray(film[0].numpy()))).ravel()
            # Pillow cuts the fraction off.
            np.testing.assert_allclose(result[row] * 255, pillow, atol=1.001)


def equalised_slowly(own):
    brightest = max(own)
    below_brightest = sum(v < brightest for v in own)
    if below_brightest == 0:
        return own
    return [sum(w < v for w in own) / below_brightest for v in own]


@pytest.mark.parametrize("factor", [1.0, 1.9])
def test_equalise(films, tables, factor):
    """Also after a curve that makes several levels white: they are one value then."""
    levels, counts, curve = tables
    curve = brighter(curve, torch.full((len(films),), factor))
    result = shown(equalised(curve, counts), levels)
    for row in range(len(films)):
        own = [round(v, 6) for v in shown(curve, levels)[row].tolist()]
        np.testing.assert_allclose(result[row], equalised_slowly(own), atol=1e-5)


def test_equalise_agrees_with_pillow():
    film = torch.randint(30, 200, (1, 1, 200, 200), generator=torch.Generator().manual_seed(0)).byte()
    levels = film.flatten(1)
    result = shown(equalised(identity_curve(1, film.device), level_counts(levels)), levels)
    pillow = np.asarray(ImageOps.equalize(Image.fromarray(film[0, 0].numpy()))).ravel()
    np.testing.assert_allclose(result[0] * 255, pillow, atol=2.5)


@pytest.mark.parametrize("factor", [0.1, 1.0, 1.36, 1.9])
def test_sharpness(films, factor):
    result = sharpened(films / 255, factor)
    for row, film in enumerate(films[:, 0].numpy() / 255):
        expected = film.copy()
        for y in range(1, 23):
            for x in range(1, 23):
                smooth = (film[y - 1 : y + 2, x - 1 : x + 2].sum() + 4 * film[y, x]) / 13
                expected[y, x] = min(1, max(0, smooth + (film[y, x] - smooth) * factor))
        np.testing.assert_allclose(result[row, 0], expected, atol=1e-5)
        pillow = ImageEnhance.Sharpness(Image.fromarray(films[row, 0].numpy())).enhance(factor)
        np.testing.assert_allclose(result[row, 0] * 255, np.asarray(pillow), atol=2)


def sampled_slowly(film, x, y):
    """Bilinear value at a position in pixels, black outside."""
    left, top = math.floor(x), math.floor(y)
    total = 0.0
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < film.shape[0] and 0 <= column < film.shape[1]:
                total += film[row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


def test_warp(films):
    images = films / 255
    matrices = torch.eye(2, 3).repeat(len(films), 1, 1)
    matrices += 0.3 * torch.randn(len(films), 2, 3, generator=torch.Generator().manual_seed(5))
    result = warped(images, matrices)
    size = images.shape[-1]
    for row in range(len(films)):
        film, matrix = images[row, 0].double().numpy(), matrices[row].double().numpy()
        for y in range(0, size, 3):
            for x in range(0, size, 3):
                position = matrix @ [(2 * x + 1) / size - 1, (2 * y + 1) / size - 1, 1]
                there = ((position + 1) * size - 1) / 2
                assert result[row, 0, y, x] == pytest.approx(sampled_slowly(film, *there), abs=1e-4)
