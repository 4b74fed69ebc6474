"""Calibration against slow, obvious versions; the file that a model folder holds."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize

from unichest_kedro.errors import MissingArtefact, UniChestError
from unichest_kedro.evaluation.calibration import (
    CALIBRATION_FILE,
    Calibration,
    Calibrations,
    Isotonic,
    Platt,
    apply_calibrations,
    best_threshold,
    fit_calibration,
    fit_platt,
    read_calibrations,
    write_calibrations,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def overconfident(count=4000, seed=0):
    """Scores whose logit is three times too large and one too low, and the labels they should have had."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-0.5, 1.2, count)
    labels = (rng.random(count) < sigmoid(truth)).astype(int)
    return sigmoid(3 * truth - 1), labels


def test_platt_finds_the_curve_that_undoes_overconfidence():
    scores, labels = overconfident()
    curve = fit_platt(scores, labels == 1)
    assert curve.slope == pytest.approx(1 / 3, abs=0.03)
    assert curve.intercept == pytest.approx(1 / 3, abs=0.08)


@pytest.mark.parametrize("seed", range(4))
def test_platt_is_the_minimum_that_a_general_optimiser_finds(seed):
    rng = np.random.default_rng(seed)
    scores = rng.random(60)
    present = rng.random(60) < scores
    present[:2] = True, False
    positives, negatives = present.sum(), (~present).sum()
    targets = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    logits = np.log(scores / (1 - scores))

    def loss(weights):
        p = sigmoid(weights[0] * logits + weights[1])
        return -np.sum(targets * np.log(p) + (1 - targets) * np.log(1 - p))

    expected = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).x
    curve = fit_platt(scores, present)
    np.testing.assert_allclose([curve.slope, curve.intercept], expected, atol=1e-4)


def test_scores_that_part_the_films_without_an_error_give_a_finite_curve():
    curve = fit_platt(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert 0 < curve.slope < 100
    calibrated = curve.apply(np.array([0.1, 0.9]))
    assert 0.1 < calibrated[0] < 0.5 < calibrated[1] < 0.9


@pytest.mark.parametrize("scores", [[0.9, 0.8, 0.2, 0.1], [0.5, 0.5, 0.5, 0.5]])
def test_scores_worse_than_chance_or_all_alike_give_every_film_the_share_of_positives(scores):
    curve = fit_platt(np.array(scores), np.array([False, False, True, True]))
    np.testing.assert_allclose(curve.apply(np.array([0.0, 0.3, 1.0])), 0.5, atol=1e-6)


@pytest.mark.parametrize("criterion", ["youden", "f1"])
@pytest.mark.parametrize("seed", range(5))
def test_threshold_is_the_best_of_all_that_can_be_tried(criterion, seed):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(80), 1)  # many ties
    present = rng.random(80) < 0.3 + 0.4 * scores
    best = {}
    for threshold in np.unique(scores):
        called = scores >= threshold
        hits, false = np.sum(called & present), np.sum(called & ~present)
        youden = hits / present.sum() - false / (~present).sum()
        f1 = 2 * hits / (2 * hits + false + np.sum(~called & present))
        best[threshold] = round(youden if criterion == "youden" else f1, 12)
    highest = max(best.values())
    expected = max(threshold for threshold, value in best.items() if value == highest)
    assert best_threshold(scores, present, criterion) == expected


def test_unknown_labels_are_left_out():
    scores, labels = overconfident(300)
    with_unknown = fit_calibration(np.append(scores, [0.99, 0.01]), np.append(labels, [-1, -1]))
    assert with_unknown == fit_calibration(scores, labels)
    assert with_unknown.positives + with_unknown.negatives == 300


def test_isotonic_rises_and_meets_the_shares():
    scores, labels = overconfident()
    one = fit_calibration(scores, labels, method="isotonic")
    calibrated = one.apply(scores)
    assert np.all(np.diff(calibrated[np.argsort(scores)]) >= 0)
    assert calibrated.mean() == pytest.approx(labels.mean(), abs=1e-6)
    assert one.apply(np.array([0.0, 1.0])).tolist() == [one.curve.probabilities[0], one.curve.probabilities[-1]]


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ([0.1, 0.2], [1, 1], "2 films with the finding and 0 without"),
        ([0.1, 0.2], [0, -1], "0 films with the finding and 1 without"),
        ([0.1, 1.2], [0, 1], "not a probability"),
        ([0.1, np.nan], [0, 1], "not a probability"),
        ([0.1], [0, 1], "as long as each other"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(scores, labels, words):
    with pytest.raises(UniChestError, match=words):
        fit_calibration(np.array(scores), np.array(labels))


def whole():
    return Calibrations(
        origin="validation of chestxray14",
        criterion="youden",
        findings={
            "edema": Calibration(threshold=0.4, curve=Platt(slope=0.5, intercept=-1), positives=3, negatives=9),
            "mass": Calibration(
                threshold=0.2, curve=Isotonic(scores=(0.1, 0.9), probabilities=(0, 0.5)), positives=1, negatives=2
            ),
        },
    )


def test_written_calibrations_are_read_back(tmp_path):
    write_calibrations(tmp_path, whole())
    assert read_calibrations(tmp_path) == whole()
    assert [path.name for path in tmp_path.iterdir()] == [CALIBRATION_FILE]


def test_a_folder_without_the_file_has_none(tmp_path):
    assert read_calibrations(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"origin": ""}, "origin"),
        ({"version": 2}, "version"),
        ({"findings": {"edema": {"threshold": 2}}}, "findings.edema.threshold"),
        ({"criterion": "best"}, "criterion"),
        ({"more": 1}, "more"),
    ],
)
def test_a_wrong_file_is_named_with_the_field(tmp_path, change, words):
    content = json.loads(whole().model_dump_json()) | change
    (tmp_path / CALIBRATION_FILE).write_text(json.dumps(content))
    with pytest.raises(MissingArtefact, match=f"(?s){CALIBRATION_FILE}.*{words}"):
        read_calibrations(tmp_path)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / CALIBRATION_FILE).write_text("{")
    with pytest.raises(MissingArtefact, match="cannot be read"):
        read_calibrations(tmp_path)


def test_curves_that_fall_are_refused():
    with pytest.raises(ValueError, match="rise"):
        Isotonic(scores=(0.9, 0.1), probabilities=(0, 1))
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Platt(slope=-1, intercept=0)


def test_findings_without_a_calibration_get_nan():
    probabilities = np.array([[0.5, 0.9, 0.5], [0.3, np.nan, 0.1]])
    calibrated, thresholds = whole().apply(probabilities, ["edema", "hernia", "mass"])
    np.testing.assert_allclose(thresholds, [0.4, np.nan, 0.2])
    np.testing.assert_allclose(
        calibrated[:, 0], sigmoid(0.5 * np.log(probabilities[:, 0] / (1 - probabilities[:, 0])) - 1)
    )
    assert np.isnan(calibrated[:, 1]).all()
    np.testing.assert_allclose(calibrated[:, 2], [0.25, 0.0])
    assert np.isnan(apply_calibrations(None, probabilities, ["a", "b", "c"]).probabilities).all()
    assert np.isnan(whole().apply(np.array([[np.nan]]), ["edema"]).probabilities).all()


def test_a_finding_is_called_from_its_threshold_on():
    one = whole().findings["edema"]
    assert one.above(np.array([0.39, 0.4, 0.41])).tolist() == [False, True, True]
