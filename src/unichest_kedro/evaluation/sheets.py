"""Scores of one benchmark and model as arrays, films by findings, which is what measures are computed from."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.measures import require_finite
from unichest_kedro.schemas import UNKNOWN


class Sheet(NamedTuple):
    """What one model answers on one benchmark.

    Attributes:
        images: Names of the n films, sorted.
        patients: Name of each film's patient, (n,).
        findings: Names of the F findings, in order of appearance.
        labels: int8 (n,F), 1, 0 or `UNKNOWN`.
        scores: float64 (n,F).
    """

    images: np.ndarray
    patients: np.ndarray
    findings: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray

    @property
    def positive(self) -> np.ndarray:
        """Films with each finding, int64 (F,)."""
        return (self.labels == 1).sum(axis=0)

    @property
    def negative(self) -> np.ndarray:
        """Films known to be without each finding, int64 (F,)."""
        return (self.labels == 0).sum(axis=0)


def sheet_of(scores: pd.DataFrame) -> Sheet:
    """Lay out the scores of one model on one benchmark or source.

    Args:
        scores: `Scores`, in any order.

    Raises:
        UniChestError: a film has not every finding exactly once, or a film with a known label has a score that is not
            finite.
    """
    row, images = pd.factorize(scores["image_id"], sort=True)
    column, findings = pd.factorize(scores["finding"])
    if len(scores) != len(images) * len(findings) or len(np.unique(row * len(findings) + column)) != len(scores):
        raise UniChestError(
            f"model {scores['model'].iloc[0]!r} has {len(scores):,} scores of {len(images):,} images and "
            f"{len(findings)} findings of source {scores['source'].iloc[0]!r}; each image needs each finding exactly "
            "once: run the evaluate pipeline again"
        )
    labels = np.empty((len(images), len(findings)), dtype=np.int8)
    values = np.empty(labels.shape)
    labels[row, column] = scores["label"].to_numpy()
    values[row, column] = scores["score"].to_numpy(dtype=np.float64)
    require_finite(values[labels != UNKNOWN])
    patients = np.empty(len(images), dtype=object)
    patients[row] = scores["patient_id"].to_numpy(dtype=object)
    return Sheet(np.asarray(images, dtype=object), patients, tuple(findings), labels, values)


def sheets_of(scores: pd.DataFrame) -> dict[str, Sheet]:
    """The sheets of all models on one benchmark or source, by model in order of appearance.

    Models may differ in the findings that they answer, but not in films, nor in the labels of what both answer.

    Raises:
        UniChestError: they do.
    """
    sheets = {str(model): sheet_of(part) for model, part in scores.groupby("model", sort=False)}
    first = next(iter(sheets), None)
    for model, sheet in sheets.items():
        if not _alike(sheets[first], sheet):
            raise UniChestError(
                f"models {first!r} and {model!r} were not scored on the same images, findings and labels of source "
                f"{scores['source'].iloc[0]!r}; run the evaluate pipeline again for both"
            )
    return sheets


def _alike(one: Sheet, other: Sheet) -> bool:
    if not (np.array_equal(one.images, other.images) and np.array_equal(one.patients, other.patients)):
        return False
    shared = [finding for finding in one.findings if finding in other.findings]
    places = [[sheet.findings.index(finding) for finding in shared] for sheet in (one, other)]
    return np.array_equal(one.labels[:, places[0]], other.labels[:, places[1]])
