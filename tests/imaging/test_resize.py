import numpy as np
import pytest

from unichest_kedro.imaging.resize import shorter_side


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(300, 200, (96, 64)), (200, 300, (64, 96)), (64, 64, (64, 64)), (20, 50, (64, 160)), (1, 5, (64, 320))],
)
def test_shorter_side_is_exact_and_aspect_kept(height, width, expected):
    resized = shorter_side(np.zeros((height, width), dtype=np.uint8), 64)
    assert resized.shape == expected
    assert resized.dtype == np.uint8


def test_fine_pattern_becomes_its_mean_instead_of_aliasing():
    stripes = np.tile(np.array([0, 200], dtype=np.uint8), (600, 300))
    inner = shorter_side(stripes, 70)[5:-5, 5:-5].astype(int)
    assert np.abs(inner - 100).max() <= 3


def test_smooth_film_agrees_with_averaging_blocks():
    y, x = np.mgrid[0:512, 0:768] / 512
    film = (127 + 60 * np.sin(5 * x) + 60 * np.cos(4 * y)).astype(np.uint8)
    averaged = film.reshape(64, 8, 96, 8).mean((1, 3))
    np.testing.assert_allclose(shorter_side(film, 64), averaged, atol=2)
