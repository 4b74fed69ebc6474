"""Is this picture an upright frontal chest film at all? Rules that can be read, and one small logistic model.

A network answers whatever it is shown, a hand or a holiday picture with the same confidence as a chest. Before a
picture is answered it is looked at, in this order; the first that applies is named as the warning:

1. **size**: the shorter side is below `SMALLEST` pixels;
2. **shape**: one side is more than `LONGEST` times the other;
3. **blank**: almost all pixels have the same grey level;
4. **colour**: at least `COLOURED` of the pixels are coloured (`colourfulness`);
5. **page**: much of it is one single bright level, as the paper of a page or a drawing;
6. **header**: a DICOM header that says so itself (`reading.header_warning`);
7. **view**: a multinomial logistic model on some eighty numbers of a 32 x 32 thumbnail says "lateral" or "something
   else" (`features`); its coefficients are in `film_check.json`, fitted and measured by `benchmarks/film_check.py`.

`docs/predict.md` says how often this errs, and on what that was measured.
"""

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from scipy.fft import dctn

from unichest_kedro.leakage.hashing import ranks, thumbnail

CHECK_VERSION = 1
"""Raise when the same picture may be judged otherwise than before, so that kept results are made anew."""

CLASSES = ("frontal", "lateral", "other")
COEFFICIENTS = "film_check.json"

SMALLEST = 64
LONGEST = 2.0
BLANK = 0.97
COLOURED = 0.05
PAPER = 0.35
BRIGHT = 160
VIVID = 40
"""Difference between the strongest and the weakest channel (of 255) from which a pixel counts as coloured; what JPEG
makes of grey pictures stays below 25."""

LIMIT = 1 / 3
"""Least probability of "frontal" that passes: what a coin with three sides would give."""

WAVES = 8
"""Frequencies per axis of the thumbnail's cosine transform that the model sees."""


class FilmCheck(NamedTuple):
    """What was found: `warning` ("" for none), `frontal` the model's probability of an upright frontal chest film."""

    warning: str
    frontal: float


def check_film(film: np.ndarray, coloured: float = 0.0, header: str = "") -> FilmCheck:
    """Judge one picture.

    Args:
        film: uint8 (height, width), 0 black to 255 white.
        coloured: Share of coloured pixels of the picture it was made from (`colourfulness`), 0 to 1.
        header: What its header says against it (`reading.header_warning`), "" for nothing.
    """
    height, width = film.shape
    shares = np.bincount(film.ravel(), minlength=256) / film.size
    probabilities = view_probabilities(film)
    warning = (
        _size(height, width) or _blank(shares) or _colour(coloured) or _page(shares) or header or _view(probabilities)
    )
    return FilmCheck(warning, float(probabilities[0]))


def colourfulness(picture: np.ndarray) -> float:
    """Share of coloured pixels, 0 to 1: those whose channels differ by more than `VIVID` of 255.

    Args:
        picture: uint8 (height, width, 3).
    """
    channels = picture.astype(np.int16)
    return float(np.mean(channels.max(axis=2) - channels.min(axis=2) > VIVID))


def features(film: np.ndarray) -> np.ndarray:
    """The numbers that the model of the view sees, float64 (`feature_count`,).

    Of the 32 x 32 thumbnail with grey levels replaced by ranks (blind to windowing and gamma): the lowest frequencies
    of its cosine transform. Those that are even from left to right stand as they are; the odd ones, which say how
    unlike its mirror image a picture is, without their sign, so that a mirrored picture has the same features. Then
    the correlation with the mirror image, the share of energy in the odd frequencies, how rough the thumbnail is, and
    the profile of the lung fields: how dark the two halves are beside the middle, from top to bottom.

    Args:
        film: uint8 (height, width).
    """
    small = ranks(thumbnail(film)[None])[0].astype(np.float64)
    spread = small.std() or 1.0
    small = (small - small.mean()) / spread
    waves = dctn(small, norm="ortho")
    low = waves[:WAVES, :WAVES].copy()
    low[:, 1::2] = np.abs(low[:, 1::2])
    mirrored = float((small * small[:, ::-1]).mean())
    energy = waves**2
    odd = float(energy[:, 1::2].sum() / energy.sum()) if energy.sum() else 0.0
    rough = [float(np.abs(np.diff(small, axis=axis)).mean()) for axis in (0, 1)]
    return np.concatenate([low.ravel()[1:], [mirrored, odd, *rough], _lung_profile(small)])


def view_probabilities(film: np.ndarray) -> np.ndarray:
    """Probabilities float64 (3,) of `CLASSES`: upright frontal chest film, lateral chest film, something else.

    Args:
        film: uint8 (height, width).
    """
    model = _model()
    logits = model["weights"] @ ((features(film) - model["mean"]) / model["scale"]) + model["bias"]
    odds = np.exp(logits - logits.max())
    return odds / odds.sum()


def _lung_profile(small: np.ndarray) -> np.ndarray:
    """In eight bands from top to bottom: middle third minus the mean of the outer thirds, and their difference."""
    bands = small.reshape(8, 4, 32).mean(axis=1)
    left, middle, right = bands[:, 3:12].mean(axis=1), bands[:, 12:20].mean(axis=1), bands[:, 20:29].mean(axis=1)
    return np.concatenate([middle - (left + right) / 2, np.abs(left - right)])


@cache
def _model() -> dict[str, np.ndarray]:
    text = (files("unichest_kedro.prediction") / COEFFICIENTS).read_text(encoding="utf-8")
    content = json.loads(text)
    return {name: np.array(content[name], dtype=np.float64) for name in ("mean", "scale", "weights", "bias")}


def _size(height: int, width: int) -> str:
    if min(height, width) < SMALLEST:
        return f"too small to read: {width} x {height} pixels, at least {SMALLEST} are needed"
    if max(height, width) > LONGEST * min(height, width):
        return f"not the shape of a chest film: {width} x {height} pixels"
    return ""


def _blank(shares: np.ndarray) -> str:
    # Neighbouring levels count together: noise of one level does not make a picture.
    near = np.convolve(shares, np.ones(5), mode="same").max()
    return f"nearly blank: {near:.0%} of it has the same grey level" if near >= BLANK else ""


def _colour(coloured: float) -> str:
    return f"colour picture: {coloured:.0%} of its pixels are coloured" if coloured >= COLOURED else ""


def _page(shares: np.ndarray) -> str:
    bright = shares[BRIGHT:].max()
    return f"a page or a drawing: {bright:.0%} of it is one bright level" if bright >= PAPER else ""


def _view(probabilities: Sequence[float]) -> str:
    if probabilities[0] >= LIMIT:
        return ""
    if probabilities[1] >= probabilities[2]:
        return f"looks like a lateral film ({probabilities[1]:.2f})"
    return f"does not look like an upright frontal chest film ({probabilities[0]:.2f})"
