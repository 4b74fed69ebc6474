"""Whether two films of similar hash are copies: the correlation of their thumbnails' edges, after alignment.

Chest films look alike: any two correlate at 0.9 and more. What sets them apart is fine structure, so each
frequency of the (rank-levelled) thumbnails is weighted by how high it is, as in a gradient. A copy may have lost a
few per cent at its edges: either film is cropped by 0 to 3 % on each side to fit the other, and the best fit counts.
"""

import numpy as np
from scipy.fft import dct

from unichest_kedro.leakage.hashing import SIDE, ranks

CROPS = (0.0, 0.01, 0.02, 0.03)
"""Share of a side that may be missing at either end."""

_HOPELESS = 0.6
"""A correlation after the first round that the second will not lift to that of a copy."""

_PAIRS_AT_ONCE = 512


def _transform() -> np.ndarray:
    """The cosine transform as a matrix (frequency, place), float32."""
    return dct(np.eye(SIDE), axis=0, norm="ortho").astype(np.float32)


def _weights() -> np.ndarray:
    """How much each frequency counts, (SIDE, SIDE): its distance from the constant, which counts nothing."""
    down, across = np.mgrid[:SIDE, :SIDE]
    return np.hypot(down, across).astype(np.float32)


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -1/2."""
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _crop_matrix(low: float, high: float) -> np.ndarray:
    """Resampling (SIDE, SIDE) of a line of pixels whose ends are cropped, stretched to the old length."""
    place = (low + (1 - low - high) * (np.arange(SIDE) + 0.5) / SIDE) * SIDE - 0.5
    kernel = _cubic(place[:, None] - np.arange(SIDE)[None, :])
    return (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)


_TRANSFORM, _WEIGHTS = _transform(), _weights()
_CROPPED = np.stack([_crop_matrix(low, high) for low in CROPS for high in CROPS])


def edge_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How well pairs of films agree in their edges once one is cropped to fit the other.

    Args:
        first: uint8 (K, `SIDE`, `SIDE`) thumbnails.
        second: The same, pair by pair; the order within a pair does not matter.

    Returns:
        float32 (K,) in [0, 1]; 1 for the same thumbnail and for its negative.
    """
    result = np.empty(len(first), dtype=np.float32)
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        a, b = ranks(first[part]), ranks(second[part])
        result[part] = np.maximum(_best_crop(a, b), _best_crop(b, a))
    return np.clip(result, 0, 1)


def _best_crop(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Largest correlation (K,) found over crops of `whole`; both float32 (K, SIDE, SIDE)."""
    wanted = _edges(part)
    nothing = np.zeros(len(whole), dtype=np.int64)  # the first crop matrix crops nothing
    best, down = _fit(whole, wanted, nothing)
    again = best > _HOPELESS
    best[again] = np.maximum(best[again], _fit(whole[again], wanted[again], down[again])[0])
    return best


def _fit(whole: np.ndarray, wanted: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best crop across, given that down, then best crop down: its correlation (K,) and its number (K,)."""
    lines = _CROPPED[down] @ whole
    across = np.stack([_agreement(lines @ crop.T, wanted) for crop in _CROPPED]).argmax(axis=0)
    columns = whole @ np.swapaxes(_CROPPED[across], 1, 2)
    scores = np.stack([_agreement(crop @ columns, wanted) for crop in _CROPPED])
    return scores.max(axis=0), scores.argmax(axis=0)


def _edges(thumbnails: np.ndarray) -> np.ndarray:
    """Weighted spectra (K, SIDE, SIDE) of length one; zeros for a thumbnail without any edge."""
    spectrum = (_TRANSFORM @ thumbnails @ _TRANSFORM.T) * _WEIGHTS
    length = np.sqrt((spectrum**2).sum(axis=(1, 2), keepdims=True))
    return spectrum / np.maximum(length, np.finfo(np.float32).tiny)


def _agreement(thumbnails: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Absolute correlation (K,): a negative agrees as well as a positive."""
    return np.abs(np.einsum("kij,kij->k", _edges(thumbnails), wanted))
