import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from unichest_kedro.evaluation.calibration import Calibration, Calibrations, Platt
from unichest_kedro.evaluation.curves import bins_table, curve_table
from unichest_kedro.evaluation.measures import auroc, average_precision
from unichest_kedro.schemas import CalibrationBins, Curves

from .conftest import make_scores


def benchmark_scores(images=40, models=("Conquer",), digits=1):
    scores = make_scores(images=images, models=models)
    noise = np.random.default_rng(2).random(len(scores)) * 0.099
    return scores.assign(benchmark=scores["source"], score=np.round(np.clip(scores["score"] + noise, 0, 1), digits))


def test_whole_curves_agree_with_sklearn():
    scores = benchmark_scores()
    table = curve_table(scores)
    Curves.validate(table)
    curves = dict(list(table.groupby(["benchmark", "finding", "curve"])))
    for (benchmark, finding), films in scores.groupby(["benchmark", "finding"]):
        known = films[films["label"] != -1]
        false, true, threshold = roc_curve(known["label"], known["score"], drop_intermediate=False)
        roc = curves[(benchmark, finding, "roc")]
        np.testing.assert_allclose(roc["x"], false)
        np.testing.assert_allclose(roc["y"], true)
        np.testing.assert_allclose(roc["threshold"], threshold)
        precision, recall, threshold = precision_recall_curve(known["label"], known["score"])
        pr = curves[(benchmark, finding, "pr")].iloc[1:]  # the first point repeats the second at recall 0
        np.testing.assert_allclose(pr["x"][::-1], recall[:-1])
        np.testing.assert_allclose(pr["y"][::-1], precision[:-1])
        np.testing.assert_allclose(pr["threshold"][::-1], threshold)


def test_thinned_curves_keep_their_ends_and_their_areas():
    scores = benchmark_scores(images=3000, digits=9)
    scores = scores[(scores["source"] == "mimic_cxr") & (scores["finding"] == "edema")]
    table = curve_table(scores, points=100)
    films = scores["label"].to_numpy(), scores["score"].to_numpy()
    roc, pr = (table[table["curve"] == kind] for kind in ("roc", "pr"))
    assert 50 < len(roc) <= 100 and 50 < len(pr) <= 100
    assert roc[["x", "y"]].iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert (pr["x"].iloc[0], pr["x"].iloc[-1]) == (0, 1)
    assert np.trapezoid(roc["y"], roc["x"]) == pytest.approx(auroc(*films), abs=0.005)
    assert np.sum(np.diff(pr["x"]) * pr["y"].iloc[1:]) == pytest.approx(average_precision(*films), abs=0.01)


def test_a_finding_without_both_classes_has_no_curve():
    scores = benchmark_scores()
    table = curve_table(scores.assign(label=scores["label"].where(scores["finding"] != "ILD", 0)))
    assert "ILD" not in set(table["finding"]) and "edema" in set(table["finding"])
    empty = curve_table(scores.assign(label=0))
    Curves.validate(empty)
    assert empty.empty


def calibrations(*findings):
    one = Calibration(threshold=0.5, curve=Platt(slope=0.5, intercept=0.1), positives=1, negatives=1)
    return Calibrations(origin="validation", criterion="youden", findings=dict.fromkeys(findings, one))


def test_calibration_bins_agree_with_a_loop_before_and_after_calibration():
    scores = benchmark_scores(digits=3)
    scores["score"] = scores["score"].clip(0.001, 0.999)  # where the logit is finite
    table = bins_table(scores, calibrations("edema"), bins=5)
    CalibrationBins.validate(table)
    for row in table.itertuples():
        films = scores[(scores["benchmark"] == row.benchmark) & (scores["label"] != -1)]
        score = films["score"]
        if row.kind == "calibrated":
            films = films[films["finding"] == "edema"]
            logit = np.log(films["score"] / (1 - films["score"]))
            score = 1 / (1 + np.exp(-(0.5 * logit + 0.1)))
        inside = (score * 5).astype(int).clip(upper=4) == row.bin
        assert row.count == inside.sum() and (row.low, row.high) == (row.bin / 5, (row.bin + 1) / 5)
        if row.count:
            assert row.mean_score == pytest.approx(score[inside].mean())
            assert row.share_positive == pytest.approx((films["label"][inside] == 1).mean())
    kinds = table.groupby("benchmark")["kind"].agg(set)
    assert kinds["mimic_cxr"] == {"raw", "calibrated"} and kinds["vindr_cxr"] == {"raw"}


def test_without_a_calibration_there_are_raw_bins_only():
    scores = benchmark_scores()
    assert set(bins_table(scores, None)["kind"]) == set(bins_table(scores, calibrations())["kind"]) == {"raw"}
    pd.testing.assert_frame_equal(bins_table(scores, None), bins_table(scores, calibrations("hernia")))
