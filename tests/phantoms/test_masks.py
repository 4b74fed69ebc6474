"""Masks as runs of pixels, against slow versions of themselves."""

import numpy as np
import pytest

from unichest_kedro.phantoms.masks import Outline, mask_of, rescaled, runs_of


def slow_runs(mask):
    """Walk down the columns pixel by pixel."""
    runs, gap, length = [], 0, 0
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if mask[row, column]:
                length += 1
                continue
            if length:
                runs += [gap, length]
                gap = length = 0
            gap += 1
    return (*runs, gap, length) if length else tuple(runs)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(7, 5), (4, 9), (1, 1)])
def test_runs_against_a_plain_loop(share, shape):
    mask = np.random.default_rng(3).random(shape) < share
    assert runs_of(mask) == slow_runs(mask)
    assert np.array_equal(mask_of(runs_of(mask), shape), mask)


def test_runs_go_down_the_columns_and_count_from_the_run_before():
    mask = np.zeros((3, 3), dtype=bool)
    mask[1:, 0] = True
    mask[2, 1] = True
    assert runs_of(mask) == (1, 2, 2, 1)


def test_a_run_may_go_on_in_the_next_column():
    assert mask_of((2, 2), (3, 2)).T.ravel().tolist() == [False, False, True, True, False, False]


def test_rescaled_against_a_plain_loop():
    mask = np.random.default_rng(1).random((6, 4)) < 0.5
    for shape in ((24, 16), (9, 9), (3, 2), (6, 4)):
        expected = [
            [mask[int((r + 0.5) * 6 / shape[0]), int((c + 0.5) * 4 / shape[1])] for c in range(shape[1])]
            for r in range(shape[0])
        ]
        assert np.array_equal(rescaled(mask, shape), expected)


def test_an_outline_keeps_the_mask_at_any_size():
    mask = np.random.default_rng(2).random((8, 8)) < 0.3
    outline = Outline.of(mask)
    assert np.array_equal(outline.mask((8, 8)), mask)
    assert np.array_equal(outline.mask((16, 16)), np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1))
