"""Masks written as runs of pixels, as in SIIM-ACR: relative offsets, counted down the columns.

A text such as `10 3 1021 4` says: skip 10 pixels, then 3 belong to the mask, skip 1,021, then 4 belong to it. Pixel 0
is the upper left one; pixel 1 is the one below it.
"""

import numpy as np
from numpy.typing import NDArray

from unichest_kedro.errors import SourceError


def decode_runs(text: str, height: int, width: int) -> NDArray[np.int64]:
    """Read the runs of one mask.

    Args:
        text: pairs of numbers, each the pixels skipped since the last run and the run's length.
        height: pixels in a column.
        width: columns.

    Returns:
        int64 of shape (runs, 2): each run's first pixel and the one after its last, counted down the columns.

    Raises:
        SourceError: no pair at all, something that is no whole number, an odd number of them, a run without pixels,
            or a run that leaves the image. The message says what, for the caller to add the row.
    """
    try:
        numbers = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise SourceError(f"holds {text[:40]!r}, not whole numbers") from error
    if not len(numbers) or len(numbers) % 2:
        raise SourceError(f"holds {len(numbers)} numbers, not pairs of an offset and a length")
    pairs = numbers.reshape(-1, 2)
    if (pairs[:, 0] < 0).any() or (pairs[:, 1] < 1).any():
        raise SourceError("holds a negative offset or a run without pixels")
    if (pairs > height * width).any():  # Before the sum, which could overflow.
        raise SourceError(f"holds a run that leaves the image of {height} x {width} pixels")
    ends = pairs.sum(axis=1).cumsum()
    if ends[-1] > height * width:
        raise SourceError(f"holds a run that leaves the image of {height} x {width} pixels")
    return np.stack([ends - pairs[:, 1], ends], axis=1)


def runs_to_mask(runs: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    """The mask (bool, rows x columns) of runs as `decode_runs` gives them."""
    # +1 where a run begins and -1 after its end: the running sum is 1 inside. Runs that touch cancel out.
    steps = np.zeros(height * width + 1, dtype=np.int8)
    np.add.at(steps, runs[:, 0], 1)
    np.add.at(steps, runs[:, 1], -1)
    return steps[:-1].cumsum(dtype=np.int8).astype(bool).reshape(width, height).T


def runs_to_box(runs: NDArray[np.int64], height: int) -> tuple[int, int, int, int]:
    """The smallest box around runs: x_min, y_min, x_max, y_max in pixels, the upper ends exclusive."""
    first, last = runs[:, 0], runs[:, 1] - 1
    one_column = first // height == last // height
    top = np.where(one_column, first % height, 0)
    bottom = np.where(one_column, last % height, height - 1)
    return (
        int((first // height).min()),
        int(top.min()),
        int((last // height).max()) + 1,
        int(bottom.max()) + 1,
    )
