import numpy as np
import pytest
from scipy.fft import dctn

from unichest_kedro.leakage.confirm import edge_correlation
from unichest_kedro.leakage.hashing import ranks, thumbnail

from .conftest import film


def plain(a, b):
    """Correlation of the weighted spectra without any alignment, one frequency at a time."""
    one, two = (dctn(ranks(x[None])[0].astype(float), norm="ortho") for x in (a, b))
    dot = left = right = 0.0
    for i in range(32):
        for j in range(32):
            weight = i * i + j * j
            dot += weight * one[i, j] * two[i, j]
            left += weight * one[i, j] ** 2
            right += weight * two[i, j] ** 2
    return abs(dot) / np.sqrt(left * right)


def small(*pictures):
    return np.stack([thumbnail(picture) for picture in pictures])


def test_a_film_agrees_wholly_with_itself_and_its_negative():
    one = small(film(1))
    assert edge_correlation(one, one)[0] == pytest.approx(1, abs=1e-5)
    assert edge_correlation(one, 255 - one)[0] == pytest.approx(1, abs=1e-5)


def test_alignment_never_makes_the_agreement_worse_and_does_not_depend_on_the_order():
    one, two = small(*map(film, range(8))), small(*map(film, range(8, 16)))
    aligned = edge_correlation(one, two)
    slow = [plain(a, b) for a, b in zip(one, two)]
    assert (aligned >= np.array(slow) * (np.array(slow) > 0.6) - 1e-5).all()
    np.testing.assert_allclose(aligned, edge_correlation(two, one), atol=1e-6)
    assert aligned.max() < 0.5


def test_a_cropped_copy_is_aligned():
    whole = film(1, 400)
    one, two = small(whole), small(whole[8:396, 4:390])
    assert edge_correlation(one, two)[0] > 0.9 > plain(one[0], two[0]) + 0.1
    assert edge_correlation(two, one)[0] > 0.9


def test_flat_thumbnails_and_no_pairs():
    flat = np.full((1, 32, 32), 9, np.uint8)
    assert edge_correlation(flat, flat)[0] == 0
    assert edge_correlation(flat[:0], flat[:0]).shape == (0,)


def test_pairs_are_judged_alike_in_any_company():
    many = np.tile(small(*map(film, range(20))), (26, 1, 1))
    alone = edge_correlation(many[:1], many[:1] // 2)
    together = edge_correlation(many, many // 2)
    assert together[0] == pytest.approx(alone[0], abs=1e-5)
    assert together.min() > 0.9
