"""What is told apart from an upright frontal chest film, on phantoms, made-up pictures and the real films at hand."""

import json
from importlib.resources import files

import numpy as np
import pytest
from scipy.fft import dctn

from unichest_kedro.imaging.decode import decode_image
from unichest_kedro.leakage.hashing import ranks, thumbnail
from unichest_kedro.prediction import film_check
from unichest_kedro.prediction.film_check import check_film, colourfulness, features, view_probabilities
from unichest_kedro.prediction.reading import read_picture

from .conftest import draw


def test_frontal_phantoms_of_every_device_pass():
    for source in ("mimic_cxr", "chestxray14", "vindr_cxr", "padchest"):
        for film in draw(4, source=source, seed=77):
            assert check_film(film).warning == ""


def test_lateral_phantoms_are_called_lateral():
    for film in draw(8, lateral=True, seed=77):
        assert check_film(film).warning.startswith("looks like a lateral film")


@pytest.mark.parametrize("change", [np.rot90, lambda film: np.rot90(film, 2), lambda film: 255 - film])
def test_turned_and_negative_films_are_no_upright_frontal_ones(films, change):
    warnings = [check_film(np.ascontiguousarray(change(film))).warning for film in films]
    assert sum(warning != "" for warning in warnings) >= len(films) - 1


def test_noise_and_ramps_are_no_films():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128)).astype(np.uint8)
    ramp = np.tile(np.arange(128, dtype=np.uint8), (128, 1))
    assert "does not look like" in check_film(noise).warning
    assert check_film(ramp).warning != ""


@pytest.mark.parametrize(
    ("film", "words"),
    [
        (np.full((63, 80), 90, np.uint8), "too small to read: 80 x 63 pixels"),
        (np.full((300, 100), 90, np.uint8), "not the shape of a chest film: 100 x 300"),
        (np.full((100, 100), 90, np.uint8), "nearly blank: 100%"),
    ],
)
def test_what_can_be_seen_without_a_model_is_named(film, words):
    assert words in check_film(film).warning


def test_a_page_is_named(films):
    page = films[0].copy()
    page[: len(page) // 2] = 255
    assert "one bright level" in check_film(page).warning


def test_colour_counts_from_a_share_of_coloured_pixels_on(films):
    assert "colour picture: 6%" in check_film(films[0], coloured=0.06).warning
    assert check_film(films[0], coloured=0.04).warning == ""
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[:5, :, 0] = 200
    picture[5:, :, :] = (100, 110, 120)
    assert colourfulness(picture) == 0.5


def test_a_mirrored_film_has_the_same_features(films):
    np.testing.assert_allclose(features(films[0]), features(np.ascontiguousarray(films[0][:, ::-1])), atol=0.06)
    square = np.asarray(thumbnail(films[0]))
    np.testing.assert_allclose(features(square), features(np.ascontiguousarray(square[:, ::-1])), atol=1e-9)


def test_features_are_what_they_are_said_to_be(films):
    small = ranks(thumbnail(films[1])[None])[0].astype(float)
    small = (small - small.mean()) / small.std()
    waves = dctn(small, norm="ortho")
    slow = []
    for row in range(8):
        for column in range(8):
            if (row, column) != (0, 0):
                slow.append(abs(waves[row, column]) if column % 2 else waves[row, column])
    slow.append(np.mean([small[i, j] * small[i, 31 - j] for i in range(32) for j in range(32)]))
    slow.append((waves[:, 1::2] ** 2).sum() / (waves**2).sum())
    slow.append(np.mean([abs(small[i + 1, j] - small[i, j]) for i in range(31) for j in range(32)]))
    slow.append(np.mean([abs(small[i, j + 1] - small[i, j]) for i in range(32) for j in range(31)]))
    for statistic in ("beside", "apart"):
        for band in range(8):
            rows = small[4 * band : 4 * band + 4]
            left, middle, right = rows[:, 3:12].mean(), rows[:, 12:20].mean(), rows[:, 20:29].mean()
            slow.append(middle - (left + right) / 2 if statistic == "beside" else abs(left - right))
    np.testing.assert_allclose(features(films[1]), slow, rtol=1e-6, atol=1e-9)


def test_the_shipped_coefficients_fit_the_features_and_give_probabilities(films):
    content = json.loads((files("unichest_kedro.prediction") / film_check.COEFFICIENTS).read_text())
    assert content["classes"] == list(film_check.CLASSES)
    assert np.shape(content["weights"]) == (3, len(features(films[0]))) == (3, len(content["mean"]))
    probabilities = view_probabilities(films[0])
    assert probabilities.sum() == pytest.approx(1)
    flat = view_probabilities(np.full((70, 70), 8, np.uint8))
    assert np.isfinite(flat).all()


def test_real_frontal_films_are_rarely_doubted(real):
    """The rates are in docs/predict.md; these bounds only catch a check that has come undone."""
    held_out = sorted((real / "chestxray14" / "images").iterdir())[::10]
    doubted = sum(check_film(decode_image(path)).warning != "" for path in held_out)
    assert doubted <= 0.1 * len(held_out)
    web = sorted((real / "own_hospital" / "films").iterdir())
    assert sum(read_picture(path).check.warning != "" for path in web) <= 4
