"""Fits the calibration of a whole model to its answers on validation films."""

import logging

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from unichest_kedro.evaluation.calibration import Calibration, Calibrations, Criterion, Method, Platt, fit_calibration
from unichest_kedro.schemas import UNKNOWN

logger = logging.getLogger(__name__)

NOWHERE = "no validation films"
"""The origin of calibrations that there was nothing to fit to."""

COLUMNS = {
    "finding": "str",
    **dict.fromkeys(("threshold", "slope", "intercept"), "float64"),
    **dict.fromkeys(("positives", "negatives"), "int64"),
    **dict.fromkeys(("origin", "left_out"), "str"),
}


class CalibrationSettings(BaseModel):
    """How a model's calibration is fitted.

    `method` is the curve from the model's answer to a probability, `criterion` what each threshold maximises. A finding
    with fewer than `fewest_films` validation films that have it, or fewer that are known not to, is left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = "platt"
    criterion: Criterion = "youden"
    fewest_films: int = Field(default=5, ge=1)


def fit_calibrations(scores: pd.DataFrame | None, settings: CalibrationSettings) -> tuple[Calibrations, pd.DataFrame]:
    """Fit one calibration per finding to the films of all sources together.

    Args:
        scores: `Scores` of one model on validation films, asked as it will be asked by its user; None for no film.
            Films that the model was trained on are left out.
        settings: How to fit.

    Returns:
        The calibrations, and the table `CalibrationTable`, in which findings that are left out are named.
    """
    scores = scores[~scores["leaked"]] if scores is not None else None
    if scores is None or scores.empty:
        logger.warning("The model is not calibrated: its sources have no validation films that it has not seen.")
        return Calibrations(origin=NOWHERE, criterion=settings.criterion, findings={}), _table([])
    found: dict[str, Calibration] = {}
    rows = []
    for finding, part in scores.groupby("finding", sort=False):
        known = part[part["label"] != UNKNOWN]
        row = _row(str(finding), known)
        if min(row["positives"], row["negatives"]) < settings.fewest_films:
            row["left_out"] = f"fewer than {settings.fewest_films} validation films with and without it"
        else:
            one = fit_calibration(
                known["score"].to_numpy(),
                known["label"].to_numpy(),
                criterion=settings.criterion,
                method=settings.method,
            )
            found[str(finding)] = one
            row |= {"threshold": one.threshold, **_curve(one)}
        rows.append(row)
    left_out = [row["finding"] for row in rows if row["left_out"]]
    if left_out:
        logger.warning("Not calibrated, for want of validation films with and without it: %s.", ", ".join(left_out))
    origin = f"validation of {', '.join(scores['source'].unique())}"
    return Calibrations(origin=origin, criterion=settings.criterion, findings=found), _table(rows)


def _row(finding: str, known: pd.DataFrame) -> dict[str, object]:
    sources = ", ".join(known["source"].unique())
    return {
        "finding": finding,
        **dict.fromkeys(("threshold", "slope", "intercept"), np.nan),
        "positives": int((known["label"] == 1).sum()),
        "negatives": int((known["label"] == 0).sum()),
        "origin": f"validation of {sources}" if sources else NOWHERE,
        "left_out": "",
    }


def _curve(calibration: Calibration) -> dict[str, float]:
    curve = calibration.curve
    return {"slope": curve.slope, "intercept": curve.intercept} if isinstance(curve, Platt) else {}


def _table(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
