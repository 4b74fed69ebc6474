import numpy as np
import pandas as pd
import pytest

from unichest_kedro.evaluation.calibration_figure import calibration_figure, pooled_error
from unichest_kedro.evaluation.measures import calibration_error

from .conftest import MODELS
from .looking import draws, texts
from .report_tables import make_benchmarks, make_calibration_bins


def test_before_and_after_stand_in_one_panel(scores):
    bins = make_calibration_bins(scores)
    benchmarks = make_benchmarks({"mimic_cxr": ["edema"], "vindr_cxr": ["ILD"]}, ("mimic_cxr",))
    figure, numbers = calibration_figure(bins, benchmarks)
    assert draws(figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["MIMIC_CXR", "VINDR_CXR (zero-shot)"]
    for kind, words in (("raw", "as the model answers"), ("calibrated", "calibrated")):
        error = pooled_error(bins[(bins["benchmark"] == "mimic_cxr") & (bins["kind"] == kind)])
        assert f"{words}  {error:.3f}" in texts(figure)
    assert numbers is bins


def test_the_pooled_error_is_the_expected_calibration_error(scores):
    one = scores[(scores["model"] == MODELS[-1]) & (scores["source"] == "mimic_cxr") & (scores["label"] != -1)]
    bins = make_calibration_bins(one.assign(score=0.01 + 0.98 * one["score"]), bins=15)
    expected = calibration_error(one["label"].to_numpy(), 0.01 + 0.98 * one["score"].to_numpy(), bins=15)
    assert pooled_error(bins[bins["kind"] == "raw"]) == pytest.approx(expected)


def test_without_answers_it_says_so():
    bins = pd.DataFrame({"benchmark": ["a"], "kind": ["raw"], "count": [0], "mean_score": [np.nan]})
    bins = bins.assign(share_positive=np.nan)
    assert np.isnan(pooled_error(bins))
    assert "No answer has a known label" in texts(calibration_figure(bins, make_benchmarks()).figure)
