"""From a model's answer to a probability that means what it says, and to a yes or no; kept in the model's folder.

`calibration.json` in a model folder holds, for each finding that could be calibrated,

* a **threshold** on the model's own probability: the finding is called where `probability >= threshold`;
* a **method**: `platt`, `sigmoid(slope * logit(probability) + intercept)`; temperature scaling is Platt scaling with
  `slope = 1 / temperature` and `intercept = 0`. Or `isotonic`, a rising line through points.

and where all of this comes from, such as "validation of chestxray14, chexpert". Whoever has validation scores fits it
with `fit_calibration`, finding by finding, and writes it with `write_calibrations` (as `calibrating` does).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sklearn.isotonic import IsotonicRegression

from unichest_kedro.datasets.atomic import replacing_file
from unichest_kedro.errors import MissingArtefact, UniChestError
from unichest_kedro.schemas import UNKNOWN

CALIBRATION_FILE = "calibration.json"

Criterion = Literal["youden", "f1"]
Method = Literal["platt", "isotonic"]
Unit = Annotated[float, Field(ge=0, le=1)]

_EDGE = 1e-7
"""Probabilities are kept this far from 0 and 1 before their logit is taken."""

_NEWTON_STEPS = 100
_CONVERGED = 1e-10


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Platt(_Frozen):
    """`sigmoid(slope * logit(p) + intercept)` (Platt 1999, on the logit); it never turns the order of answers round."""

    method: Literal["platt"] = "platt"
    slope: float = Field(ge=0)
    intercept: float

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float64 of probabilities in [0, 1], any shape."""
        return _sigmoid(self.slope * _logit(probabilities) + self.intercept)


class Isotonic(_Frozen):
    """A line through the points (`scores`, `probabilities`), both rising; level beyond its ends."""

    method: Literal["isotonic"] = "isotonic"
    scores: tuple[Unit, ...] = Field(min_length=1)
    probabilities: tuple[Unit, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if len(self.scores) != len(self.probabilities):
            raise ValueError(f"{len(self.scores)} scores but {len(self.probabilities)} probabilities")
        if any(np.diff(self.scores) <= 0) or any(np.diff(self.probabilities) < 0):
            raise ValueError("scores must rise, and probabilities must not fall")
        return self

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float64 of probabilities in [0, 1], any shape."""
        return np.interp(np.asarray(probabilities, dtype=np.float64), self.scores, self.probabilities)


class Calibration(_Frozen):
    """Of one finding: what its answers mean, and from which answer on it is called.

    Attributes:
        threshold: On the model's own probability, before `curve`.
        curve: From the model's own probability to the calibrated one.
        positives: Films with the finding that it was fitted on.
        negatives: Films known to be without it.
    """

    threshold: Unit
    curve: Annotated[Platt | Isotonic, Field(discriminator="method")]
    positives: int = Field(ge=1)
    negatives: int = Field(ge=1)

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float64, of the shape given; NaN stays NaN."""
        return self.curve.apply(probabilities)

    def above(self, probabilities: np.ndarray) -> np.ndarray:
        """Whether the finding is called, bool of the shape given: `probability >= threshold`."""
        return np.asarray(probabilities) >= self.threshold


class Calibrations(_Frozen):
    """All of a model folder, as in `calibration.json`.

    Attributes:
        origin: Films they were fitted on, such as "validation of chestxray14, chexpert".
        criterion: What the thresholds maximise: `youden` (sensitivity + specificity - 1) or `f1`.
        findings: By finding.
    """

    version: Literal[1] = 1
    origin: str = Field(min_length=1)
    criterion: Criterion
    findings: dict[str, Calibration]

    def apply(self, probabilities: np.ndarray, findings: Sequence[str]) -> "Calibrated":
        """Calibrate the answers of films.

        Args:
            probabilities: float (N, Q) in [0, 1]; NaN where there is no answer.
            findings: Names of the Q findings; those without a calibration get NaN.
        """
        return apply_calibrations(self, probabilities, findings)


class Calibrated(NamedTuple):
    """`probabilities` float64 (N, Q) and `thresholds` float64 (Q,), both NaN for a finding without a calibration."""

    probabilities: np.ndarray
    thresholds: np.ndarray


def apply_calibrations(
    calibrations: Calibrations | None, probabilities: np.ndarray, findings: Sequence[str]
) -> Calibrated:
    """Calibrate the answers of films, with a folder's calibrations or with None, which give NaN throughout.

    Args:
        calibrations: Of the model folder.
        probabilities: float (N, Q) in [0, 1]; NaN where there is no answer.
        findings: Names of the Q findings.
    """
    calibrated = np.full(np.shape(probabilities), np.nan)
    thresholds = np.full(len(findings), np.nan)
    for column, finding in enumerate(findings):
        one = calibrations.findings.get(finding) if calibrations is not None else None
        if one is not None:
            calibrated[:, column] = one.apply(probabilities[:, column])
            thresholds[column] = one.threshold
    return Calibrated(calibrated, thresholds)


def fit_calibration(
    scores: np.ndarray,
    labels: np.ndarray,
    *,
    criterion: Criterion = "youden",
    method: Method = "platt",
) -> Calibration:
    """Fit the calibration of one finding.

    Args:
        scores: float (N,), the model's probabilities of validation films, in [0, 1].
        labels: int (N,), 1 present, 0 absent; `UNKNOWN` is left out.
        criterion: What the threshold maximises.
        method: Kind of curve.

    Raises:
        UniChestError: the lengths differ, a score is no probability, or no film is known to have the finding, or to
            be without it.
    """
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if scores.shape != labels.shape or scores.ndim != 1:
        raise UniChestError(
            f"calibration: scores {scores.shape} and labels {labels.shape} must be as long as each other"
        )
    known = labels != UNKNOWN
    scores, present = scores[known], labels[known] == 1
    if not np.all((scores >= 0) & (scores <= 1)):
        raise UniChestError("calibration: a score is not a probability from 0 to 1")
    positives = int(present.sum())
    negatives = len(present) - positives
    if not positives or not negatives:
        raise UniChestError(
            f"calibration: {positives} films with the finding and {negatives} without: both are needed; leave this "
            "finding out of the calibration"
        )
    curve = fit_platt(scores, present) if method == "platt" else _fit_isotonic(scores, present)
    return Calibration(
        threshold=best_threshold(scores, present, criterion), curve=curve, positives=positives, negatives=negatives
    )


def fit_platt(scores: np.ndarray, present: np.ndarray) -> Platt:
    """Platt scaling: logistic regression of presence on the logit of the score.

    As Platt (1999) does, the targets are (positives + 1) / (positives + 2) and 1 / (negatives + 2) instead of 1 and 0,
    which keeps the curve finite where the scores part the films without an error. Scores that order the films no better
    than chance would give a negative slope; then the slope is 0, and every film gets the share of positives.

    Args:
        scores: float (N,) in [0, 1].
        present: bool (N,), both values among them.
    """
    positives = int(present.sum())
    negatives = len(present) - positives
    targets = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, intercept = _logistic_fit(_logit(scores), targets)
    if slope <= 0:
        share = targets.mean()
        return Platt(slope=0.0, intercept=float(np.log(share / (1 - share))))
    return Platt(slope=slope, intercept=intercept)


def best_threshold(scores: np.ndarray, present: np.ndarray, criterion: Criterion = "youden") -> float:
    """The score from which on a finding is called, so that the criterion is highest; of equals the highest score.

    Args:
        scores: float (N,) in [0, 1].
        present: bool (N,), both values among them.
        criterion: `youden` (sensitivity + specificity - 1) or `f1`.

    Returns:
        One of the scores.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(present[order])
    last = np.append(ranked[1:] != ranked[:-1], True)  # films of equal score are called together
    ranked, hits, called = ranked[last], hits[last], np.flatnonzero(last) + 1
    positives = hits[-1]
    if criterion == "f1":
        quality = 2 * hits / (called + positives)
    else:
        quality = hits / positives - (called - hits) / (len(scores) - positives)
    # Equal but for rounding counts as equal; the first is the highest score.
    return float(ranked[np.flatnonzero(quality >= quality.max() - 1e-12)[0]])


def write_calibrations(folder: Path, calibrations: Calibrations) -> Path:
    """Write `calibration.json` into a model folder, replacing a former one as a whole; returns its path."""
    path = folder / CALIBRATION_FILE
    with replacing_file(path) as fresh:
        fresh.write_text(calibrations.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def read_calibrations(folder: Path) -> Calibrations | None:
    """Read `calibration.json` of a model folder; None where it has none.

    Raises:
        MissingArtefact: the file is damaged or not of this format; names field and value.
    """
    path = folder / CALIBRATION_FILE
    if not path.is_file():
        return None
    try:
        return Calibrations.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise MissingArtefact(
            f"{path}: {where}: {first['msg'][:1].lower()}{first['msg'][1:]}; write the file anew or remove it"
        ) from error
    except (OSError, ValueError) as error:
        raise MissingArtefact(f"{path}: cannot be read ({error}); write it anew or remove it") from error


def _fit_isotonic(scores: np.ndarray, present: np.ndarray) -> Isotonic:
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, present.astype(np.float64))
    points, index = np.unique(fitted.X_thresholds_, return_index=True)
    heights = np.maximum.accumulate(np.clip(fitted.y_thresholds_[index], 0, 1))
    return Isotonic(scores=tuple(points.tolist()), probabilities=tuple(heights.tolist()))


def _logistic_fit(x: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of targets in (0, 1) on x, by damped Newton steps."""
    design = np.stack([x, np.ones_like(x)], axis=1)
    share = targets.mean()
    weights = np.array([0.0, np.log(share / (1 - share))])
    loss = _cross_entropy(design @ weights, targets)
    for _ in range(_NEWTON_STEPS):
        expected = _sigmoid(design @ weights)
        gradient = design.T @ (expected - targets)
        # A little ridge, so that scores that are all the same do not make the matrix singular.
        curvature = (design * (expected * (1 - expected))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        for _ in range(30):
            better = _cross_entropy(design @ (weights - step), targets)
            if better <= loss:
                break
            step = step / 2
        done = loss - better < _CONVERGED * max(1.0, loss)
        weights, loss = weights - step, better
        if done:
            break
    return float(weights[0]), float(weights[1])


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    return float(np.sum(np.logaddexp(0, logits) - targets * logits))


def _logit(probabilities: np.ndarray) -> np.ndarray:
    inner = np.clip(np.asarray(probabilities, dtype=np.float64), _EDGE, 1 - _EDGE)
    return np.log(inner) - np.log1p(-inner)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # NaN, no answer, stays NaN
        return np.exp(-np.logaddexp(0, -logits))
