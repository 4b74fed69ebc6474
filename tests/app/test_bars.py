"""From a film's rows to bars."""

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.app.bars import Bar, bars_of, experts_line, first_choice, split_words

from .conftest import CALIBRATIONS


def _table(**columns):
    table = {
        "finding": ["hernia", "pleural effusion", "pneumothorax", "No Finding"],
        "asked_as": ["hernia", "Effusion", "PNEUMOTHORAX", "No Finding"],
        "probability": [0.6, 0.4, 0.9, 0.6],
        "calibrated": [np.nan, 0.55, 0.77, np.nan],
        "threshold": [np.nan, 0.05, 0.95, np.nan],
        "above": pd.array([None, True, False, None], dtype="boolean"),
        "trained": pd.array([False, True, True, None], dtype="boolean"),
        "expert_1": [0.25] * 4,
        "expert_2": [0.75] * 4,
    }
    return pd.DataFrame(table | columns)


def _logistic(slope, intercept, probability):
    return 1 / (1 + np.exp(-(slope * np.log(probability / (1 - probability)) + intercept)))


def test_bars_are_sorted_and_show_the_calibrated_value_where_there_is_one():
    bars = bars_of(_table(), CALIBRATIONS)
    assert [bar.finding for bar in bars] == ["pneumothorax", "pleural effusion", "hernia", "No Finding"]
    assert [bar.shown for bar in bars] == ["77%", "55%", "0.60", "0.60"]
    assert [bar.above for bar in bars] == [False, True, None, None]
    assert [bar.trained for bar in bars] == [True, True, False, None]
    assert [bar.asked_as for bar in bars] == ["", "Effusion", "", ""]
    assert bars[1].title == "Pleural effusion"


def test_a_threshold_goes_through_the_curve_of_its_finding():
    thresholds = {bar.finding: bar.threshold for bar in bars_of(_table(), CALIBRATIONS)}
    assert thresholds["pleural effusion"] == pytest.approx(_logistic(2, 1, 0.05))
    assert thresholds["pneumothorax"] == pytest.approx(_logistic(1, -1, 0.95))
    assert thresholds["hernia"] is None


def test_without_calibration_the_scores_are_shown():
    nothing = [np.nan] * 4
    bars = bars_of(_table(calibrated=nothing, threshold=nothing, above=pd.array([None] * 4, dtype="boolean")), None)
    assert [bar.shown for bar in bars] == ["0.90", "0.60", "0.60", "0.40"]
    assert not any(bar.calibrated for bar in bars)
    assert all(bar.threshold is None and bar.above is None for bar in bars)


def test_the_first_choice_is_the_former_one_or_the_highest_that_is_a_finding():
    bars = [Bar(name, name, "", 0.5, False, None, None, None) for name in ("No Finding", "hernia", "nodule")]
    assert first_choice(bars) == "hernia"
    assert first_choice(bars, "nodule") == "nodule"
    assert first_choice(bars, "gone") == "hernia"
    assert first_choice(bars[:1]) == "No Finding"
    assert first_choice([]) == ""


def test_experts_are_named_where_there_are_any():
    assert experts_line(_table()) == "1: 25% · 2: 75%"
    assert experts_line(_table(expert_1=[np.nan] * 4, expert_2=[np.nan] * 4)) == ""


def test_words_are_split_at_semicolons_and_lines():
    assert split_words(" rib  fracture ;hiatal hernia;; rib fracture\nnodule") == (
        "rib fracture",
        "hiatal hernia",
        "nodule",
    )
    assert split_words(" ; ") == ()
