"""Measures of one finding's scores against its labels, one number each; every table of the evaluation uses these.

Labels are 1 (present), 0 (absent) or `UNKNOWN`; films with an unknown label are left out of every measure. AUROC,
average precision, F1 and MCC need films of both classes, sensitivity a positive and specificity a negative: where that
is missing they are undefined, which is NaN, never 0 or 1.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from unichest_kedro.errors import UniChestError
from unichest_kedro.schemas import UNKNOWN

BINS = 15
"""Equal-width bins of the probability behind the calibration error, as in Guo et al. 2017."""

UNDEFINED = float("nan")


class Confusion(NamedTuple):
    """What calling a finding from a threshold on gives: rates in [0, 1] (MCC in [-1, 1]) and counts of films.

    `f1` is 2 tp / (2 tp + fp + fn); `mcc` is Matthews' correlation coefficient, 0 where all films are called alike;
    `accuracy` the share of films called rightly. Numbers, or arrays of one shape.
    """

    f1: float | np.ndarray
    mcc: float | np.ndarray
    accuracy: float | np.ndarray
    sensitivity: float | np.ndarray
    specificity: float | np.ndarray
    tp: int | np.ndarray
    fp: int | np.ndarray
    fn: int | np.ndarray
    tn: int | np.ndarray


class Bins(NamedTuple):
    """Films by their probability, per bin: `low` and `high` limits, `count`, `mean_score`, `share_positive`.

    A bin holds `low <= probability < high`, the last one 1 as well. Float64 (bins,), `count` int64; the last two are
    NaN where a bin is empty.
    """

    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    mean_score: np.ndarray
    share_positive: np.ndarray


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Args:
        labels: (n,) 1, 0 or `UNKNOWN`; unknown ones are left out.
        scores: (n,) finite numbers, larger meaning more likely present.

    Returns:
        A number in [0, 1], exact (from mid-ranks, Mann-Whitney); NaN where one class is missing.

    Raises:
        UniChestError: A known image has a score that is not finite.
    """
    positive, scores = known_only(labels, scores)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        return UNDEFINED
    won = rankdata(scores)[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(won / (n_positive * n_negative))


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Average precision: the precision at each distinct score, weighted by the recall gained there.

    `sum_k (recall_k - recall_(k-1)) * precision_k` over the distinct scores, highest first; films of equal score are
    called together. No interpolation (as in scikit-learn).

    Args:
        labels: (n,) 1, 0 or `UNKNOWN`.
        scores: (n,) finite numbers, larger meaning more likely present.

    Returns:
        A number in [0, 1]; NaN where one class is missing. The share of positives is what chance gives.

    Raises:
        UniChestError: A known image has a score that is not finite.
    """
    positive, scores = known_only(labels, scores)
    if positive.all() or not positive.any():
        return UNDEFINED
    hits, called = called_at_each_score(positive, scores)[1:]
    gained = np.diff(hits, prepend=0) / hits[-1]
    return float(np.sum(gained * hits / called))


def called_at_each_score(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is called from each distinct score on.

    Args:
        positive: bool (n,).
        scores: (n,) finite numbers.

    Returns:
        The distinct scores, highest first; and, of the films at or above each, how many are positive and how many
        there are in all, both int64.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    return ranked[last], np.cumsum(positive[order])[last], last + 1


def brier(labels: np.ndarray, scores: np.ndarray) -> float:
    """Brier score: the mean squared difference of probability and label, from 0 (perfect) to 1.

    Args:
        labels: (n,) 1, 0 or `UNKNOWN`.
        scores: (n,) probabilities.

    Returns:
        NaN where no label is known.

    Raises:
        UniChestError: A known image has a score that is not a probability.
    """
    positive, scores = _known_probabilities(labels, scores)
    return float(np.mean((scores - positive) ** 2)) if len(scores) else UNDEFINED


def calibration_error(labels: np.ndarray, scores: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: how far probability and share of positives differ, over equal-width bins.

    `sum_b n_b / n * |mean score of b - share of positives in b|` (Naeini et al. 2015, of the finding's own
    probability); bins as in `Bins`.

    Args:
        labels: (n,) 1, 0 or `UNKNOWN`.
        scores: (n,) probabilities.
        bins: Number of bins from 0 to 1.

    Returns:
        A number in [0, 1]; NaN where no label is known.

    Raises:
        UniChestError: A known image has a score that is not a probability.
    """
    positive, scores = _known_probabilities(labels, scores)
    if not len(scores):
        return UNDEFINED
    excess = np.bincount(bin_of(scores, bins), weights=scores - positive, minlength=bins)
    return float(np.abs(excess).sum() / len(scores))


def bin_of(scores: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin (int64, from 0) of each probability, of `bins` equally wide ones from 0 to 1."""
    return np.minimum((np.asarray(scores, dtype=np.float64) * bins).astype(np.int64), bins - 1)


def calibration_bins(labels: np.ndarray, scores: np.ndarray, bins: int = BINS) -> Bins:
    """The films by their probability, as a calibration curve shows them.

    Args:
        labels: (n,) 1, 0 or `UNKNOWN`.
        scores: (n,) probabilities.
        bins: Number of bins from 0 to 1.

    Raises:
        UniChestError: A known image has a score that is not a probability.
    """
    positive, scores = _known_probabilities(labels, scores)
    place = bin_of(scores, bins)
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=values, minlength=bins) for values in (scores, positive)]
    means = [np.divide(total, count, out=np.full(bins, np.nan), where=count > 0) for total in sums]
    edges = np.arange(bins + 1) / bins
    return Bins(edges[:-1], edges[1:], count, *means)


def at_threshold(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Confusion:
    """Call a finding where `score >= threshold`, and compare with the labels.

    Args:
        labels: (n,) 1, 0 or `UNKNOWN`.
        scores: (n,) finite numbers.
        threshold: NaN stands for "none could be chosen": every rate is NaN and every count 0.

    Raises:
        UniChestError: A known image has a score that is not finite.
    """
    positive, scores = known_only(labels, scores)
    if np.isnan(threshold):
        return Confusion(*[UNDEFINED] * 5, 0, 0, 0, 0)
    called = scores >= threshold
    tp, fp = int((called & positive).sum()), int((called & ~positive).sum())
    fn, tn = int(positive.sum()) - tp, int((~positive).sum()) - fp
    rates = confusion(tp, fp, fn, tn)
    return Confusion(*(float(rate) for rate in rates[:5]), tp, fp, fn, tn)


def confusion(tp: int | np.ndarray, fp: int | np.ndarray, fn: int | np.ndarray, tn: int | np.ndarray) -> Confusion:
    """The rates that go with counts of films: true and false positives, false and true negatives, of one shape."""
    tp, fp, fn, tn = (np.asarray(count, dtype=np.float64) for count in (tp, fp, fn, tn))
    present, absent, called = tp + fn, fp + tn, tp + fp
    both = (present > 0) & (absent > 0)
    spread = np.sqrt(present * absent * called * (fn + tn))
    mcc = ratio(tp * tn - fp * fn, spread)
    return Confusion(
        f1=np.where(both, ratio(2 * tp, 2 * tp + fp + fn), np.nan),
        mcc=np.where(both, np.where(spread > 0, mcc, 0.0), np.nan),
        accuracy=ratio(tp + tn, present + absent),
        sensitivity=ratio(tp, present),
        specificity=ratio(tn, absent),
        tp=tp,
        fp=fp,
        fn=fn,
        tn=tn,
    )


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, NaN where the whole is 0 or less; shapes are broadcast."""
    part, whole = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def known_only(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether positive (bool) and the scores (float64) of the films whose label is known.

    Raises:
        UniChestError: One of these scores is not finite.
    """
    labels = np.asarray(labels)
    known = labels != UNKNOWN
    scores = np.asarray(scores, dtype=np.float64)[known]
    require_finite(scores)
    return labels[known] == 1, scores


def require_finite(scores: np.ndarray) -> None:
    """Check scores.

    Raises:
        UniChestError: Some are not finite; says how many.
    """
    bad = int((~np.isfinite(scores)).sum())
    if bad:
        raise UniChestError(
            f"{bad} of {len(scores)} scores are not finite numbers; a model with such scores has diverged: "
            "train it again with a lower learning rate"
        )


def _known_probabilities(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    positive, scores = known_only(labels, scores)
    outside = int(((scores < 0) | (scores > 1)).sum())
    if outside:
        raise UniChestError(
            f"{outside} of {len(scores)} scores are no probabilities from 0 to 1: Brier score and calibration error "
            "are of probabilities; turn scores such as logits into probabilities first"
        )
    return positive, scores
