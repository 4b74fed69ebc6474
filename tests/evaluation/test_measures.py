import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    matthews_corrcoef,
    recall_score,
    roc_auc_score,
)

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.measures import (
    at_threshold,
    auroc,
    average_precision,
    bin_of,
    brier,
    calibration_bins,
    calibration_error,
    called_at_each_score,
)


def random_case(seed, films=80):
    """Labels with unknown ones among them, and scores that tie more or less often."""
    generator = np.random.default_rng(seed)
    labels = generator.choice([1, 0, -1], films, p=[0.3, 0.5, 0.2])
    return labels, np.round(generator.random(films), seed % 3 + 1)


def slow_auroc(labels, scores):
    """Every positive against every negative, one by one."""
    pairs = [
        1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0
        for i in np.flatnonzero(labels == 1)
        for j in np.flatnonzero(labels == 0)
    ]
    return np.mean(pairs)


@pytest.mark.parametrize("seed", range(8))
def test_measures_of_ranking_and_of_probabilities_agree_with_sklearn(seed):
    labels, scores = random_case(seed)
    known = labels != -1
    expected = roc_auc_score(labels[known], scores[known])
    assert auroc(labels, scores) == pytest.approx(expected, abs=1e-9)
    assert auroc(labels, scores) == pytest.approx(slow_auroc(labels, scores), abs=1e-12)
    expected = average_precision_score(labels[known], scores[known])
    assert average_precision(labels, scores) == pytest.approx(expected, abs=1e-9)
    assert brier(labels, scores) == pytest.approx(brier_score_loss(labels[known], scores[known]), abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_measures_at_a_threshold_agree_with_sklearn(seed, threshold):
    labels, scores = random_case(seed)
    known = labels != -1
    truth, called = labels[known], (scores >= threshold)[known]
    found = at_threshold(labels, scores, threshold)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found.f1 == pytest.approx(f1_score(truth, called), abs=1e-9)
        assert found.mcc == pytest.approx(matthews_corrcoef(truth, called), abs=1e-9)
    assert found.accuracy == pytest.approx(accuracy_score(truth, called), abs=1e-9)
    assert found.sensitivity == pytest.approx(recall_score(truth, called), abs=1e-9)
    assert found.specificity == pytest.approx(recall_score(truth, called, pos_label=0), abs=1e-9)
    assert (found.tp, found.fp) == (int((called & (truth == 1)).sum()), int((called & (truth == 0)).sum()))
    assert (found.fn, found.tn) == (int((~called & (truth == 1)).sum()), int((~called & (truth == 0)).sum()))


def test_scores_of_unknown_labels_are_not_looked_at():
    labels, scores = np.array([1, 0, -1, -1]), np.array([0.9, 0.1, np.nan, 7.0])
    assert auroc(labels, scores) == average_precision(labels, scores) == 1.0
    assert brier(labels, scores) == pytest.approx(0.01)
    assert calibration_error(labels, scores) == pytest.approx(0.1)
    assert at_threshold(labels, scores, 0.5).accuracy == 1.0


@pytest.mark.parametrize("labels", [[1, 1, -1], [0, 0, -1], [-1, -1, -1], []])
def test_what_needs_both_classes_is_nan_without_one(labels):
    labels, scores = np.array(labels), np.linspace(0, 1, len(labels))
    assert np.isnan([auroc(labels, scores), average_precision(labels, scores)]).all()
    found = at_threshold(labels, scores, 0.5)
    assert np.isnan([found.f1, found.mcc]).all()
    assert np.isnan(found.sensitivity) == (1 not in labels)
    assert np.isnan(found.specificity) == (0 not in labels)
    nothing_known = not (labels != -1).any()
    assert np.isnan([found.accuracy, brier(labels, scores), calibration_error(labels, scores)]).all() == nothing_known


def test_a_threshold_that_no_film_reaches_calls_none():
    found = at_threshold(np.array([1, 0, 0]), np.array([0.1, 0.2, 0.3]), 0.9)
    assert (found.tp, found.fp, found.fn, found.tn) == (0, 0, 1, 2)
    assert (found.f1, found.mcc, found.sensitivity, found.specificity) == (0, 0, 0, 1)


def test_without_a_threshold_nothing_at_it_is_defined():
    found = at_threshold(np.array([1, 0]), np.array([0.1, 0.2]), float("nan"))
    assert np.isnan(found[:5]).all() and found[5:] == (0, 0, 0, 0)


def test_films_that_tie_are_called_together():
    positive, scores = np.array([True, False, True, False]), np.array([0.5, 0.5, 0.5, 0.2])
    thresholds, hits, called = called_at_each_score(positive, scores)
    assert (thresholds.tolist(), hits.tolist(), called.tolist()) == ([0.5, 0.2], [2, 2], [3, 4])
    assert average_precision(positive.astype(int), scores) == pytest.approx(2 / 3)


def slow_calibration_error(labels, scores, bins):
    total, films = 0.0, 0
    for k in range(bins):
        inside = [i for i in range(len(scores)) if min(int(scores[i] * bins), bins - 1) == k and labels[i] != -1]
        if inside:
            total += abs(np.mean(scores[inside]) - np.mean(labels[inside])) * len(inside)
            films += len(inside)
    return total / films


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bins", [2, 15])
def test_calibration_error_agrees_with_a_loop_and_with_its_bins(seed, bins):
    labels, scores = random_case(seed)
    error = calibration_error(labels, scores, bins)
    assert error == pytest.approx(slow_calibration_error(labels, scores, bins), abs=1e-12)
    table = calibration_bins(labels, scores, bins)
    assert table.count.sum() == (labels != -1).sum()
    filled = table.count > 0
    gaps = np.abs(table.mean_score - table.share_positive)[filled]
    assert np.average(gaps, weights=table.count[filled]) == pytest.approx(error, abs=1e-12)
    assert np.isnan(table.mean_score[~filled]).all()


def test_bins_hold_their_lower_limit_and_the_last_one_both():
    assert bin_of(np.array([0, 0.0999, 0.1, 0.95, 1]), 10).tolist() == [0, 0, 1, 9, 9]
    table = calibration_bins(np.array([1]), np.array([1.0]), 4)
    assert (table.low.tolist(), table.high.tolist()) == ([0, 0.25, 0.5, 0.75], [0.25, 0.5, 0.75, 1])
    assert table.count.tolist() == [0, 0, 0, 1]


def test_perfectly_calibrated_answers_have_no_error():
    assert calibration_error(np.array([0] * 3 + [1]), np.full(4, 0.25)) == pytest.approx(0)


def test_scores_that_are_no_numbers_or_no_probabilities_are_refused():
    labels = np.array([1, 0])
    for measure in (auroc, average_precision, brier, calibration_error):
        with pytest.raises(UniChestError, match="1 of 2 scores are not finite"):
            measure(labels, np.array([np.nan, 0.5]))
    with pytest.raises(UniChestError, match="1 of 2 scores are not finite"):
        at_threshold(labels, np.array([np.inf, 0.5]), 0.5)
    for measure in (brier, calibration_error, calibration_bins):
        with pytest.raises(UniChestError, match="1 of 2 scores are no probabilities"):
            measure(labels, np.array([-0.1, 0.5]))
