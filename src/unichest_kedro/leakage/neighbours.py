"""All pairs of hashes within a Hamming distance of each other or of each other's inverse: exact, in bounded memory.

The bits are dealt to g groups, with `max_distance` < 2 g. Two hashes within the distance then differ in at most one
bit of some group. Each group is cut into pieces; with at most one bit wrong, all but one of its pieces agree. So the
hashes are sorted once by every "group without one piece", and only those in one bucket are compared. No pair can be
missed, whatever the bits are; how unequal and dependent they are decides only how full the buckets get.

A film and its negative have opposite bits. Buckets are named by a key or its inverse, whichever is smaller, so one
pass finds pairs of either kind.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

WORD = 64
LARGEST_DISTANCE = 31
"""Beyond it the groups would be too small to tell hashes apart, and everything would be compared with everything."""

_PIECES = 4
_ROWS, _COLUMNS = 128, 1024
_TILE = _ROWS * _COLUMNS
"""Comparisons in one step: 1 MB of 64-bit words, so that they stay in a core's own cache."""

_UNPACKED = 1 << 16  # hashes whose bits are spread out at once


class Near(NamedTuple):
    """K pairs of hashes: rows `first` < `second` (int64), their `distance` and whether one is `inverted`."""

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    inverted: np.ndarray


def near_pairs(hashes: np.ndarray, max_distance: int, workers: int = 1) -> Iterator[Near]:
    """Every pair whose Hamming distance, or that to the other's inverse, is at most `max_distance`, once.

    Args:
        hashes: uint64 (N, W), W words of 64 bits each.
        max_distance: 0 to `LARGEST_DISTANCE`, and less than a quarter of the bits.
        workers: Threads.

    Yields:
        Batches in an order that depends on the hashes alone. `distance` counts the bits that differ, after inverting
        one hash where that is nearer (`inverted`).

    Raises:
        ValueError: The hashes are not an (N, W) array of uint64, or the distance is out of range.
    """
    hashes = np.ascontiguousarray(hashes)
    if hashes.ndim != 2 or hashes.dtype != np.uint64:
        raise ValueError(f"hashes must be uint64 (N, W), not {hashes.dtype} {hashes.shape}")
    bits = hashes.shape[1] * WORD
    if not 0 <= max_distance <= min(LARGEST_DISTANCE, bits // 4 - 1):
        raise ValueError(f"max_distance is {max_distance}; allowed is 0 to {min(LARGEST_DISTANCE, bits // 4 - 1)}")
    keys = _keys(hashes, max_distance)

    def of_key(number: int) -> Near:
        return _once(_in_buckets(hashes, keys[number], max_distance), keys, number)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        yield from pool.map(of_key, range(len(keys)))


def _keys(hashes: np.ndarray, max_distance: int) -> np.ndarray:
    """Bucket names, (number of keys, N) unsigned: the bits of each group without one of its pieces, or inverted."""
    bits = hashes.shape[1] * WORD
    groups = max_distance // 2 + 1
    # Every groups-th bit, so that coarse and fine ones are mixed in each.
    chosen = [
        np.concatenate([piece for k, piece in enumerate(pieces) if k != left_out])
        for pieces in (np.array_split(np.arange(group, bits, groups), _PIECES) for group in range(groups))
        for left_out in range(_PIECES)
    ]
    kept = [picked[:16] for picked in chosen]  # fewer bits are still exact, and 16 sort in linear time
    weights = np.zeros((bits, len(kept)), dtype=np.float32)
    for number, picked in enumerate(kept):
        weights[picked, number] = 2.0 ** np.arange(len(picked))
    keys = np.empty((len(kept), len(hashes)), dtype=np.uint16)
    for start in range(0, len(hashes), _UNPACKED):
        part = hashes[start : start + _UNPACKED]
        spread = np.unpackbits(part.view(np.uint8), axis=1).astype(np.float32)
        keys[:, start : start + len(part)] = (spread @ weights).T  # below 2 ** 16, so exact in float32
    largest = np.array([(1 << len(picked)) - 1 for picked in kept], dtype=np.uint16)
    return np.minimum(keys, largest[:, None] - keys)


def _in_buckets(hashes: np.ndarray, key: np.ndarray, max_distance: int) -> Near:
    """The near pairs among the hashes that share a bucket; the rows of each in no particular order."""
    order = np.argsort(key, kind="stable")
    ordered, ranked = hashes[order], key[order]
    word = np.ascontiguousarray(ordered[:, 0])
    edges = np.flatnonzero(np.diff(ranked)) + 1
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(ranked)]])
    scratch = _Scratch()
    found = [
        pair
        for start, end in zip(starts.tolist(), ends.tolist())
        if end - start > 1
        for pair in _within(word, ordered, start, end, max_distance, scratch)
    ]
    nothing = np.empty(0, dtype=np.int64)
    left = order[np.concatenate([nothing, *(pair[0] for pair in found)])]
    right = order[np.concatenate([nothing, *(pair[1] for pair in found)])]
    first, second = np.minimum(left, right), np.maximum(left, right)
    return _measured(hashes, first, second)


class _Scratch:
    """Buffers that one thread reuses for every step."""

    def __init__(self) -> None:
        self.xor = np.empty(_TILE, dtype=np.uint64)
        self.count = np.empty(_TILE, dtype=np.uint8)
        self.near = np.empty(_TILE, dtype=bool)


def _within(
    word: np.ndarray, ordered: np.ndarray, start: int, end: int, max_distance: int, scratch: _Scratch
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Near pairs (left, right places, left < right) of one bucket, by tiles."""
    for top in range(start, end, _ROWS):
        bottom = min(top + _ROWS, end)
        for left in range(top, end, _COLUMNS):
            right = min(left + _COLUMNS, end)
            rows, columns = _maybe_near(word, top, bottom, left, right, max_distance, scratch)
            keep = rows < columns
            rows, columns = rows[keep], columns[keep]
            distance = _distances(ordered, rows, columns)
            keep = np.minimum(distance, ordered.shape[1] * WORD - distance) <= max_distance
            if keep.any():
                yield rows[keep], columns[keep]


def _maybe_near(
    word: np.ndarray, top: int, bottom: int, left: int, right: int, max_distance: int, scratch: _Scratch
) -> tuple[np.ndarray, np.ndarray]:
    """Places whose first words are near or nearly inverse: a pair further apart cannot be near as a whole."""
    width = right - left
    size = (bottom - top) * width
    xor, count, near = scratch.xor[:size].reshape(-1, width), scratch.count[:size], scratch.near[:size]
    np.bitwise_xor(word[top:bottom, None], word[None, left:right], out=xor)
    np.bitwise_count(xor.ravel(), out=count)
    # One comparison for "at most d" and "at least 64 - d": small counts wrap round to the top.
    np.subtract(count, np.uint8(max_distance + 1), out=count)
    np.greater(count, np.uint8(WORD - 2 * max_distance - 2), out=near)
    places = np.flatnonzero(near)
    return places // width + top, places % width + left


def _distances(hashes: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Bits that differ, int64 (K,)."""
    return np.bitwise_count(hashes[first] ^ hashes[second]).sum(axis=1, dtype=np.int64)


def _measured(hashes: np.ndarray, first: np.ndarray, second: np.ndarray) -> Near:
    """The pairs, sorted, with distances."""
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    distance = _distances(hashes, first, second)
    inverse = hashes.shape[1] * WORD - distance
    return Near(first, second, np.minimum(distance, inverse), inverse < distance)


def _once(near: Near, keys: np.ndarray, number: int) -> Near:
    """The pairs that no earlier key has brought together: each is given once, and none has to be remembered."""
    fresh = np.ones(len(near.first), dtype=bool)
    for earlier in keys[:number]:
        fresh &= earlier[near.first] != earlier[near.second]
    return Near(*(column[fresh] for column in near))
