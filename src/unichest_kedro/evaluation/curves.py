"""The numbers behind curves: ROC and precision-recall curves finding by finding, and calibration curves."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from unichest_kedro.evaluation.calibration import Calibrations
from unichest_kedro.evaluation.measures import BINS, calibration_bins, called_at_each_score, known_only
from unichest_kedro.evaluation.sheets import sheets_of

POINTS = 200
"""Most points that are kept of a curve."""

CURVE_COLUMNS = ["model", "benchmark", "finding", "curve", "x", "y", "threshold"]
BIN_COLUMNS = ["model", "benchmark", "kind", "bin", "low", "high", "count", "mean_score", "share_positive"]


def curve_table(scores: pd.DataFrame, points: int = POINTS) -> pd.DataFrame:
    """ROC and precision-recall curve of every model, benchmark and finding that has films of both classes.

    ROC: x is the false, y the true positive rate, from (0, 0) to (1, 1); the threshold of the first point is infinite.
    Precision-recall: x is recall, y precision, from the highest score down; it begins at recall 0 with the precision of
    the first point. A film is called at or above the threshold.

    Args:
        scores: `Scores` with a column `benchmark`.
        points: Most points of a curve; where there are more distinct scores, points at even steps along the curve's
            length are kept, the ends among them.

    Returns:
        `Curves`.
    """
    tables = []
    for benchmark, part in scores.groupby("benchmark", sort=False):
        for model, sheet in sheets_of(part).items():
            for finding, labels, values in zip(sheet.findings, sheet.labels.T, sheet.scores.T):
                positive, known = known_only(labels, values)
                if positive.any() and not positive.all():
                    key = {"model": model, "benchmark": benchmark, "finding": finding}
                    tables += [table.assign(**key) for table in _curves(positive, known, points)]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=CURVE_COLUMNS)
    types = dict.fromkeys(["model", "benchmark", "finding", "curve"], "str")
    return table[CURVE_COLUMNS].astype(types | dict.fromkeys(["x", "y", "threshold"], float))


def bins_table(scores: pd.DataFrame, calibrations: Calibrations | None, bins: int = BINS) -> pd.DataFrame:
    """Films by their probability, all findings of a benchmark together, before and after calibration.

    Args:
        scores: `Scores` of one model with a column `benchmark`.
        calibrations: Of the model; findings without one are left out of the rows of kind "calibrated".
        bins: Number of equally wide bins from 0 to 1.

    Returns:
        `CalibrationBins`.
    """
    tables = []
    for benchmark, part in scores.groupby("benchmark", sort=False):
        labels, values = part["label"].to_numpy(), part["score"].to_numpy(dtype=np.float64)
        kinds = {"raw": (labels, values)}
        if calibrations is not None:
            calibrated = _calibrated(part["finding"].to_numpy(dtype=object), values, calibrations.findings)
            has = np.isfinite(calibrated)
            kinds |= {"calibrated": (labels[has], calibrated[has])} if has.any() else {}
        for kind, (of_kind, probabilities) in kinds.items():
            table = pd.DataFrame(calibration_bins(of_kind, probabilities, bins)._asdict())
            key = {"model": part["model"].iloc[0], "benchmark": benchmark, "kind": kind}
            tables.append(table.assign(bin=np.arange(bins), **key))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=BIN_COLUMNS)
    return table[BIN_COLUMNS]


def _curves(positive: np.ndarray, scores: np.ndarray, points: int) -> list[pd.DataFrame]:
    thresholds, hits, called = called_at_each_score(positive, scores)
    positives, negatives = hits[-1], len(positive) - hits[-1]
    recall, precision = hits / positives, hits / called
    false = (called - hits) / negatives
    roc = {
        "curve": "roc",
        "x": np.concatenate([[0], false]),
        "y": np.concatenate([[0], recall]),
        "threshold": np.concatenate([[np.inf], thresholds]),
    }
    pr = {
        "curve": "pr",
        "x": np.concatenate([[0], recall]),
        "y": np.concatenate([precision[:1], precision]),
        "threshold": np.concatenate([thresholds[:1], thresholds]),
    }
    return [_thinned(pd.DataFrame(curve), points) for curve in (roc, pr)]


def _thinned(curve: pd.DataFrame, points: int) -> pd.DataFrame:
    """At most so many points, at even steps along the curve."""
    if len(curve) <= points:
        return curve
    x, y = curve["x"].to_numpy(), curve["y"].to_numpy()
    length = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.searchsorted(length, np.linspace(0, length[-1], points))
    kept[-1] = len(curve) - 1
    return curve.iloc[np.unique(kept)]


def _calibrated(findings: np.ndarray, scores: np.ndarray, curves: Mapping[str, object]) -> np.ndarray:
    """Calibrated probabilities (n,), NaN of findings without a calibration."""
    calibrated = np.full(len(scores), np.nan)
    for finding in set(findings.tolist()) & set(curves):
        films = findings == finding
        calibrated[films] = curves[finding].apply(scores[films])
    return calibrated
