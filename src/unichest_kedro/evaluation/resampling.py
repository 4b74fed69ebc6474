"""Every measure on bootstrap resamples by patient, for many findings and groups of films at once.

Drawing a patient k times counts all films of that patient k times, so a resample is a weight for each patient. What
is a sum over films (confusion counts, squared errors, bins of the calibration error) is summed by patient once; all
resamples are then one matrix product. AUROC and average precision need the films in the order of their scores: there
the stretches between positives are summed, again by one (sparse) product, and cumulated. Both agree with computing
each measure on the drawn films, to rounding.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from unichest_kedro.evaluation.measures import BINS, bin_of, confusion, ratio
from unichest_kedro.evaluation.sheets import Sheet
from unichest_kedro.schemas import UNKNOWN

MEASURES = (
    "auroc",
    "average_precision",
    "f1",
    "mcc",
    "accuracy",
    "sensitivity",
    "specificity",
    "brier",
    "calibration_error",
)
AT_THRESHOLD = ("f1", "mcc", "accuracy", "sensitivity", "specificity")
"""Measures of calling a finding from a threshold on."""

BLOCK_CELLS = 4_000_000
"""Weights that are held as float64 at once: 32 MB."""

_SUMS = 5  # known, present, called and present, called and absent, squared error; the bins follow


class Draws(NamedTuple):
    """How often each of P patients is drawn.

    Attributes:
        patients: Number of each film's patient, int (n,), below P.
        blocks: int16 (P,b) each, b resamples; the first column of the first block is 1 throughout, the films as they
            are.
    """

    patients: np.ndarray
    blocks: tuple[np.ndarray, ...]

    @property
    def count(self) -> int:
        """P, how many patients there are."""
        return len(self.blocks[0])


def generator_for(key: str, seed: int) -> np.random.Generator:
    """Random numbers for one source or benchmark, from the seed and its key alone: another one changes nothing."""
    return np.random.default_rng([seed, zlib.crc32(key.encode())])


def times_drawn(generator: np.random.Generator, count: int, resamples: int) -> np.ndarray:
    """How often each of `count` patients is drawn when as many are drawn with replacement, int64 (resamples, count)."""
    return generator.multinomial(count, np.full(count, 1 / count), size=resamples)


def draw_patients(patients: np.ndarray, source: str, resamples: int, seed: int) -> Draws:
    """Draw as many patients as there are, with replacement.

    The draws depend on the seed, the source's key and the number of patients alone: another source or model changes
    nothing, and all models are drawn alike.

    Args:
        patients: Name of each film's patient, (n,), n at least 1.
        source: Key of the source.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """
    numbers, names = _numbered(patients)
    count = len(names)
    generator = generator_for(source, seed)
    size = max(1, BLOCK_CELLS // max(count, len(patients)))
    blocks = [np.ones((count, 1), dtype=np.int16)]
    for start in range(0, resamples, size):
        drawn = times_drawn(generator, count, min(size, resamples - start))
        blocks.append(np.ascontiguousarray(drawn.T.astype(np.int16)))
    return Draws(numbers, tuple(blocks))


def measure_samples(
    sheet: Sheet, thresholds: Mapping[str, float], groups: Sequence[np.ndarray], draws: Draws, bins: int = BINS
) -> np.ndarray:
    """Every measure of every finding in every group of films, as it is and on every resample.

    Args:
        sheet: Scores and labels of n films and F findings.
        thresholds: From which score on a finding is called; NaN, or no entry, where there is none.
        groups: G masks, bool (n,).
        draws: Of the sheet's patients.
        bins: Of the calibration error.

    Returns:
        float64 (M,G,F,1+R), measures as in `MEASURES`, the first column as it is; NaN where a measure is undefined.
    """
    shape = (len(MEASURES), len(groups), len(sheet.findings), sum(block.shape[1] for block in draws.blocks))
    values = np.empty(shape)
    for place, finding in enumerate(sheet.findings):
        threshold = thresholds.get(finding, float("nan"))
        values[:, :, place] = _of_finding(
            sheet.labels[:, place], sheet.scores[:, place], threshold, groups, draws, bins
        )
    return values


def auroc_samples(sheet: Sheet, draws: Draws) -> np.ndarray:
    """AUROC of every finding, float64 (F,1+R): as it is, then on every resample."""
    everyone = [np.ones(len(sheet.images), dtype=bool)]
    rows = []
    for labels, scores in zip(sheet.labels.T, sheet.scores.T):
        plans = _plans(labels, scores, everyone, draws)
        rows.append(np.concatenate([plans[0].areas(weights)[0] for weights in _weights(draws)]))
    return np.stack(rows)


def limits(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 2.5th and 97.5th percentile over the last axis (linear between samples), NaN left out.

    Args:
        samples: float (...,R).

    Returns:
        Two arrays (...); NaN where every sample is.
    """
    ranked = np.sort(samples, axis=-1)  # NaN comes last
    count = np.isfinite(ranked).sum(axis=-1)
    return _percentile(ranked, count, 0.025), _percentile(ranked, count, 0.975)


def p_value(differences: np.ndarray) -> float:
    """Two-sided p-value of a difference from its resamples: 2 (1 + m) / (1 + R), at most 1.

    m is the smaller of the numbers of resamples at or below 0 and at or above 0: below 0.05 the 95 % percentile
    interval leaves 0 out.

    Args:
        differences: float (R,); NaN is left out.

    Returns:
        NaN where no resample is left.
    """
    known = differences[np.isfinite(differences)]
    if not len(known):
        return float("nan")
    smaller = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (1 + smaller) / (1 + len(known)))


def mean_of_defined(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean over an axis without NaN; NaN where all are."""
    return ratio(np.nansum(values, axis=axis), np.isfinite(values).sum(axis=axis))


class _Plan:
    """The films of one group in the order of their scores, ready to be weighted.

    Films are summed in rows: for each distinct score that a positive has, its positives and its negatives (tied with
    them); and the negatives between two such scores.
    """

    def __init__(self, positive: np.ndarray, scores: np.ndarray, patients: np.ndarray, count: int) -> None:
        order = np.argsort(scores, kind="stable")
        ranked, positive, patients = scores[order], positive[order], patients[order]
        tie = np.cumsum(np.concatenate([[0], ranked[1:] != ranked[:-1]]).astype(np.int64)[: len(ranked)])
        has_positive = np.bincount(tie, weights=positive) > 0
        before = np.cumsum(has_positive) - has_positive
        self.ties = int(has_positive.sum())
        row = np.where(has_positive[tie], np.where(positive, 0, self.ties), 2 * self.ties) + before[tie]
        self.matrix = csr_matrix((np.ones(len(row)), (row, patients)), shape=(3 * self.ties + 1, count))

    def areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """AUROC and average precision, (b,) each, of patients weighted float64 (P,b)."""
        sums = self.matrix @ weights
        positive, tied, between = sums[: self.ties], sums[self.ties : 2 * self.ties], sums[2 * self.ties :]
        positives, negatives = positive.sum(axis=0), tied.sum(axis=0) + between.sum(axis=0)
        below = np.cumsum(between, axis=0)[:-1] + np.cumsum(tied, axis=0) - tied
        won = np.einsum("kb,kb->b", positive, below + tied / 2)
        hits = positives - np.cumsum(positive, axis=0) + positive
        precision = np.divide(hits, hits + negatives - below, out=np.zeros_like(hits), where=hits > 0)
        gained = np.einsum("kb,kb->b", positive, precision)
        pairs = positives * negatives
        return ratio(won, pairs), np.where(pairs > 0, ratio(gained, positives), np.nan)


def _plans(labels: np.ndarray, scores: np.ndarray, groups: Sequence[np.ndarray], draws: Draws) -> list[_Plan]:
    plans = []
    for group in groups:
        films = np.flatnonzero(group & (labels != UNKNOWN))
        plans.append(_Plan(labels[films] == 1, scores[films], draws.patients[films], draws.count))
    return plans


def _of_finding(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    groups: Sequence[np.ndarray],
    draws: Draws,
    bins: int,
) -> np.ndarray:
    """(M,G,1+R) of one finding."""
    plans = _plans(labels, scores, groups, draws)
    sums = np.stack([_sums(labels, scores, threshold, group, draws, bins) for group in groups])
    parts = []
    for weights in _weights(draws):
        areas = np.stack([plan.areas(weights) for plan in plans], axis=1)
        totals = (sums.reshape(-1, draws.count) @ weights).reshape(len(groups), _SUMS + bins, -1)
        parts.append(np.concatenate([areas, _from_sums(totals, threshold)]))
    return np.concatenate(parts, axis=-1)


def _sums(
    labels: np.ndarray, scores: np.ndarray, threshold: float, group: np.ndarray, draws: Draws, bins: int
) -> np.ndarray:
    """What is summed over the films of each patient, (sums, P)."""
    films = np.flatnonzero(group & (labels != UNKNOWN))
    patients, score = draws.patients[films], scores[films]
    present = labels[films] == 1
    called = score >= threshold  # never, of NaN
    error = score - present
    columns = (np.ones(len(films)), present, called & present, called & ~present, error**2)
    sums = [np.bincount(patients, weights=column, minlength=draws.count) for column in columns]
    place = bin_of(score, bins) * draws.count + patients
    excess = np.bincount(place, weights=error, minlength=bins * draws.count)
    return np.concatenate([np.stack(sums), excess.reshape(bins, draws.count)])


def _from_sums(totals: np.ndarray, threshold: float) -> np.ndarray:
    """(7,G,b): F1, MCC, accuracy, sensitivity, specificity, Brier score, calibration error of sums (G,sums,b)."""
    known, present, tp, fp, squared = np.moveaxis(totals[:, :_SUMS], 1, 0)
    rates = np.stack(confusion(tp, fp, present - tp, known - present - fp)[: len(AT_THRESHOLD)])
    if np.isnan(threshold):
        rates = np.full_like(rates, np.nan)
    off = np.abs(totals[:, _SUMS:]).sum(axis=1)
    return np.concatenate([rates, ratio(squared, known)[None], ratio(off, known)[None]])


def _weights(draws: Draws) -> Iterator[np.ndarray]:
    for block in draws.blocks:
        yield block.astype(np.float64)


def _numbered(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of each name in the order of appearance, and the distinct names."""
    distinct, first, inverse = np.unique(names.astype("str"), return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    order = np.argsort(first)
    place[order] = np.arange(len(first))
    return place[inverse], distinct[order]


def _percentile(ranked: np.ndarray, count: np.ndarray, share: float) -> np.ndarray:
    at = share * np.maximum(count - 1, 0)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    lower, upper = (np.take_along_axis(ranked, place[..., None], axis=-1)[..., 0] for place in (low, high))
    return lower + (upper - lower) * (at - low)
