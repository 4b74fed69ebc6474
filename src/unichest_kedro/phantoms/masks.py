"""Masks as runs of pixels: down the first column, then down the second, and so on.

A mask is written as start, length, start, length, ...; each start counts from the end of the run before (the
first from the top left pixel). This is how SIIM-ACR publishes its masks.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""(H, W) bool."""


def runs_of(mask: Mask) -> tuple[int, ...]:
    """The runs of a mask (H, W); none for an empty one."""
    column = np.concatenate([[False], mask.T.ravel(), [False]])
    edges = np.flatnonzero(column[1:] != column[:-1])
    return tuple(np.diff(edges, prepend=0).tolist())


def mask_of(runs: Sequence[int], shape: tuple[int, int]) -> Mask:
    """The mask (height, width) of `shape` that the runs describe."""
    height, width = shape
    edges = np.cumsum(np.asarray(runs, dtype=np.int64))
    steps = np.zeros(height * width + 1, dtype=np.int8)
    steps[edges[::2]] = 1
    steps[edges[1::2]] -= 1
    return np.cumsum(steps[:-1]).astype(bool).reshape(width, height).T


def rescaled(mask: Mask, shape: tuple[int, int]) -> Mask:
    """The mask at another size (height, width): each pixel takes the value at its centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp) for new, old in zip(shape, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


class Outline(NamedTuple):
    """A mask in few bytes: its runs, and its size as (height, width)."""

    runs: tuple[int, ...]
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: Mask) -> "Outline":
        """The outline of a mask (H, W)."""
        return cls(runs_of(mask), mask.shape)

    def mask(self, shape: tuple[int, int]) -> Mask:
        """The mask at the size (height, width) asked for."""
        return rescaled(mask_of(self.runs, self.shape), shape)
