"""The tables that prediction makes: one row per film, and one per film and finding."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

from unichest_kedro.evaluation.calibration import Calibrations, apply_calibrations
from unichest_kedro.prediction.answers import Seen
from unichest_kedro.prediction.questions import Questions

STATUSES = ("answered", "warned", "unreadable")


class PredictedFilms(pa.DataFrameModel):
    """One row per film, in the order in which the films are listed.

    `status` is "answered", "warned" (the picture is no upright frontal chest film or may not be one; `reason` says
    why) or "unreadable" (`reason` says why). `height` and `width` are pixels of the picture as read, 0 where it was
    not; `frontal` is `film_check`'s probability of an upright frontal chest film, NaN where it was not read.
    """

    film: Series[str] = pa.Field(unique=True)
    path: Series[str]
    status: Series[str] = pa.Field(isin=STATUSES)
    reason: Series[str]
    height: Series[int] = pa.Field(ge=0, coerce=True)
    width: Series[int] = pa.Field(ge=0, coerce=True)
    frontal: Series[float] = pa.Field(ge=0, le=1, nullable=True)

    class Config:
        """No other columns."""

        strict = True


class Predictions(pa.DataFrameModel):
    """One row per film and finding, films and findings in the order in which they are listed.

    `finding` is the model's name of it, `asked_as` the words that were used. `probability` is the model's answer,
    `calibrated` what it means by the model folder's calibration, `threshold` that of the folder, on `probability`; all
    from 0 to 1. `above` is `probability >= threshold`. `trained` says whether the finding was asked in training
    (missing: the folder does not say). `expert_1` ... are the gate's weights of the film, sum one; missing for a model
    that uses no experts. Without a calibration `calibrated`, `threshold` and `above` are missing; for a film that is
    not answered, the probabilities and weights are, and `warning` says why.
    """

    film: Series[str]
    path: Series[str]
    finding: Series[str]
    asked_as: Series[str]
    probability: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    calibrated: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    threshold: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    above: Series[pd.BooleanDtype] = pa.Field(nullable=True)
    trained: Series[pd.BooleanDtype] = pa.Field(nullable=True)
    expert: Series[float] = pa.Field(alias=r"^expert_\d+$", regex=True, ge=0, le=1, nullable=True)
    warning: Series[str]

    class Config:
        """No other columns."""

        strict = True


def films_table(films: pd.DataFrame, seen: Sequence[Seen]) -> pd.DataFrame:
    """Schema `PredictedFilms`.

    Args:
        films: Columns `film` and `path`.
        seen: What is known of each.
    """
    columns = Seen(*zip(*seen)) if seen else Seen((), (), (), (), ())
    errors, warnings = (np.array(part, dtype=object) for part in (columns.error, columns.warning))
    status = np.where(errors != "", "unreadable", np.where(warnings != "", "warned", "answered"))
    table = films[["film", "path"]].reset_index(drop=True)
    return table.assign(
        status=pd.Series(status, dtype="str"),
        reason=pd.Series(np.where(errors != "", errors, warnings), dtype="str"),
        height=np.array(columns.height, dtype=np.int64),
        width=np.array(columns.width, dtype=np.int64),
        frontal=np.array(columns.frontal, dtype=np.float64),
    )


def predictions_table(
    films: pd.DataFrame,
    probabilities: np.ndarray,
    gates: np.ndarray,
    questions: Questions,
    calibrations: Calibrations | None,
    *,
    answer_anyway: bool = False,
) -> pd.DataFrame:
    """Schema `Predictions`.

    Args:
        films: N rows of schema `PredictedFilms`.
        probabilities: float (N, Q).
        gates: float (N, K).
        questions: What was asked.
        calibrations: Of the model folder.
        answer_anyway: Whether a film with a warning keeps its answers.
    """
    silenced = np.array(films["status"] == "unreadable")
    if not answer_anyway:
        silenced |= np.array(films["status"] == "warned")
    probabilities = np.where(silenced[:, None], np.nan, probabilities)
    gates = np.where(silenced[:, None], np.nan, gates)
    calibrated, thresholds = apply_calibrations(calibrations, probabilities, questions.findings)
    count = len(questions.findings)
    table = films[["film", "path"]].iloc[np.repeat(np.arange(len(films)), count)].reset_index(drop=True)
    table["finding"] = pd.Series(list(questions.findings) * len(films), dtype="str")
    table["asked_as"] = pd.Series(list(questions.asked_as) * len(films), dtype="str")
    table["probability"] = probabilities.ravel()
    table["calibrated"] = calibrated.ravel()
    table["threshold"] = np.tile(thresholds, len(films))
    known = table["probability"].notna() & table["threshold"].notna()
    table["above"] = (table["probability"] >= table["threshold"]).astype("boolean").where(known)
    table["trained"] = pd.array(list(questions.trained) * len(films), dtype="boolean")
    for expert in range(gates.shape[1]):
        table[f"expert_{expert + 1}"] = np.repeat(gates[:, expert], count)
    reasons = films["reason"].to_numpy(dtype=object)
    unread = np.array(films["status"] == "unreadable")
    words = np.where(unread, "cannot be read: " + reasons, reasons)
    table["warning"] = pd.Series(np.repeat(words, count), dtype="str")
    return table
