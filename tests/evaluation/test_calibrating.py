"""The calibration of a whole model: all sources together, films that training has seen left out, gaps named."""

import logging

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.evaluation.calibrating import NOWHERE, CalibrationSettings, fit_calibrations
from unichest_kedro.evaluation.calibration import Isotonic, fit_calibration
from unichest_kedro.schemas import CalibrationTable


def make_scores(seed=0):
    """Validation scores of two sources; "scar" is never there, "hernia" once, "mass" unknown in one source."""
    generator = np.random.default_rng(seed)
    rows = []
    for source, finding, count in (("a", "mass", 40), ("b", "mass", 30), ("a", "scar", 40), ("a", "hernia", 40)):
        for k in range(count):
            label = int(generator.random() < 0.4)
            label = {"scar": 0, "hernia": int(k == 3)}.get(finding, label)
            label = -1 if source == "b" else label
            score = float(np.clip(0.3 * max(label, 0) + 0.6 * generator.random(), 0, 1))
            rows.append((source, f"{source}{k}", finding, score, label, False))
    return pd.DataFrame(rows, columns=["source", "image_id", "finding", "score", "label", "leaked"])


def test_each_finding_is_fitted_on_all_known_films(caplog):
    scores = make_scores()
    with caplog.at_level(logging.WARNING):
        calibrations, table = fit_calibrations(scores, CalibrationSettings())
    CalibrationTable.validate(table)
    known = scores[(scores["finding"] == "mass") & (scores["label"] >= 0)]
    alone = fit_calibration(known["score"].to_numpy(), known["label"].to_numpy())
    assert calibrations.findings == {"mass": alone} and calibrations.origin == "validation of a, b"
    rows = table.set_index("finding")
    assert rows.loc["mass", ["threshold", "slope", "intercept"]].tolist() == [
        alone.threshold,
        alone.curve.slope,
        alone.curve.intercept,
    ]
    assert rows.loc["mass", "origin"] == "validation of a" and rows.loc["mass", "left_out"] == ""
    assert rows.loc[["scar", "hernia"], "threshold"].isna().all()
    assert rows.loc["hernia", ["positives", "negatives"]].tolist() == [1, 39]
    assert "fewer than 5 validation films" in rows.loc["scar", "left_out"]
    assert "Not calibrated" in caplog.text and "scar, hernia" in caplog.text


def test_films_that_training_has_seen_do_not_count():
    scores = make_scores()
    seen = scores.assign(leaked=scores["image_id"].isin([f"a{k}" for k in range(10)]))
    calibrations, table = fit_calibrations(seen, CalibrationSettings())
    clean, expected = fit_calibrations(scores[~seen["leaked"]], CalibrationSettings())
    assert calibrations == clean
    pd.testing.assert_frame_equal(table, expected)
    assert table.set_index("finding").loc["mass", ["positives", "negatives"]].sum() == 30


@pytest.mark.parametrize("scores", [None, make_scores().assign(leaked=True)])
def test_nothing_to_fit_to_is_said_and_kept(scores, caplog):
    with caplog.at_level(logging.WARNING):
        calibrations, table = fit_calibrations(scores, CalibrationSettings(criterion="f1"))
    CalibrationTable.validate(table)
    assert calibrations.findings == {} and calibrations.origin == NOWHERE and table.empty
    assert "not calibrated" in caplog.text


def test_settings_are_passed_on():
    settings = CalibrationSettings(method="isotonic", criterion="f1", fewest_films=1)
    calibrations, table = fit_calibrations(make_scores(), settings)
    CalibrationTable.validate(table)
    assert set(calibrations.findings) == {"mass", "hernia"} and calibrations.criterion == "f1"
    assert isinstance(calibrations.findings["mass"].curve, Isotonic)
    assert table.set_index("finding").loc["mass", ["slope", "intercept"]].isna().all()
