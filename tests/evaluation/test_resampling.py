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
from unichest_kedro.evaluation import resampling
from unichest_kedro.evaluation.measures import calibration_error
from unichest_kedro.evaluation.resampling import (
    MEASURES,
    auroc_samples,
    draw_patients,
    limits,
    mean_of_defined,
    measure_samples,
    p_value,
)
from unichest_kedro.evaluation.sheets import Sheet, sheet_of, sheets_of

THRESHOLDS = {"a": 0.5, "b": 0.2, "c": float("nan")}


def make_sheet(seed=0, films=40, people=15, decimals=1):
    """Three findings: common with unknown labels, rare, and one without any positive; scores that tie."""
    generator = np.random.default_rng(seed)
    labels = generator.choice([1, 0, -1], (films, 3), p=[0.35, 0.5, 0.15])
    labels[:, 1] = np.where(np.arange(films) < 3, 1, 0)
    labels[:, 2] = np.where(labels[:, 2] == 1, 0, labels[:, 2])
    scores = np.round(np.clip(0.25 * (labels == 1) + generator.random((films, 3)) * 0.8, 0, 1), decimals)
    patients = np.array([f"p{n}" for n in generator.integers(0, people, films)], dtype=object)
    images = np.array([f"i{n:03d}" for n in range(films)], dtype=object)
    return Sheet(images, patients, ("a", "b", "c"), labels.astype(np.int8), scores)


def slow(labels, scores, threshold):
    """All measures of films, drawn ones repeated, by scikit-learn."""
    known = labels != -1
    truth, score = labels[known], scores[known]
    if len(truth) == 0:
        return [np.nan] * len(MEASURES)
    called = score >= threshold
    has, lacks = (truth == 1).any(), (truth == 0).any()
    both = has and lacks
    judged = not np.isnan(threshold)
    return [
        roc_auc_score(truth, score) if both else np.nan,
        average_precision_score(truth, score) if both else np.nan,
        f1_score(truth, called) if both and judged else np.nan,
        matthews_corrcoef(truth, called) if both and judged else np.nan,
        accuracy_score(truth, called) if judged else np.nan,
        recall_score(truth, called) if has and judged else np.nan,
        recall_score(truth, called, pos_label=0) if lacks and judged else np.nan,
        brier_score_loss(truth, score, labels=[0, 1]),
        calibration_error(truth, score),
    ]


@pytest.mark.parametrize("decimals", [1, 6])
def test_every_resample_is_that_of_really_drawn_patients_measured_by_sklearn(decimals):
    sheet = make_sheet(decimals=decimals)
    generator = np.random.default_rng(5)
    groups = [np.ones(40, dtype=bool), generator.random(40) < 0.5, np.arange(40) < 3, np.zeros(40, dtype=bool)]
    draws = draw_patients(sheet.patients, "open_i", resamples=25, seed=3)
    found = measure_samples(sheet, THRESHOLDS, groups, draws)
    assert found.shape == (len(MEASURES), len(groups), 3, 26)
    weights = np.concatenate(draws.blocks, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for g, group in enumerate(groups):
            for r in range(26):
                films = np.repeat(np.arange(40), np.where(group, weights[draws.patients, r], 0))
                for f, finding in enumerate(sheet.findings):
                    expected = slow(sheet.labels[films, f], sheet.scores[films, f], THRESHOLDS[finding])
                    np.testing.assert_allclose(found[:, g, f, r], expected, atol=1e-9)


def test_the_first_column_is_all_films_as_they_are():
    sheet = make_sheet()
    draws = draw_patients(sheet.patients, "open_i", resamples=4, seed=3)
    assert (draws.blocks[0] == 1).all()
    found = measure_samples(sheet, THRESHOLDS, [np.ones(40, dtype=bool)], draws)[:, 0, 0, 0]
    np.testing.assert_allclose(found, slow(sheet.labels[:, 0], sheet.scores[:, 0], 0.5), atol=1e-9)


def test_auroc_alone_is_the_same():
    sheet = make_sheet()
    draws = draw_patients(sheet.patients, "open_i", resamples=10, seed=3)
    whole = measure_samples(sheet, THRESHOLDS, [np.ones(40, dtype=bool)], draws)
    np.testing.assert_array_equal(auroc_samples(sheet, draws), whole[0, 0])


def test_whole_patients_are_drawn_as_many_as_there_are():
    sheet = make_sheet()
    draws = draw_patients(sheet.patients, "open_i", resamples=50, seed=3)
    people = len(set(sheet.patients))
    weights = np.concatenate(draws.blocks, axis=1)
    assert weights.shape == (people, 51) and (weights.sum(axis=0) == people).all()
    for patient in set(sheet.patients):
        assert len(set(draws.patients[sheet.patients == patient])) == 1


def test_draws_follow_seed_and_source_and_not_the_size_of_blocks(monkeypatch):
    sheet = make_sheet()

    def drawn(source="open_i", seed=1):
        return np.concatenate(draw_patients(sheet.patients, source, 30, seed).blocks, axis=1)

    first = drawn()
    np.testing.assert_array_equal(first, drawn())
    assert not np.array_equal(first, drawn(seed=2))
    assert not np.array_equal(first, drawn(source="shenzhen"))
    monkeypatch.setattr(resampling, "BLOCK_CELLS", 100)
    np.testing.assert_array_equal(first, drawn())


def test_a_single_patient_has_an_interval_without_width():
    sheet = make_sheet(people=1)
    draws = draw_patients(sheet.patients, "open_i", resamples=20, seed=3)
    low, high = limits(measure_samples(sheet, THRESHOLDS, [np.ones(40, dtype=bool)], draws)[0, 0, 0, 1:])
    assert low == high == measure_samples(sheet, THRESHOLDS, [np.ones(40, dtype=bool)], draws)[0, 0, 0, 0]


def test_limits_agree_with_numpy_and_leave_nan_out():
    samples = np.random.default_rng(0).random((3, 4, 50))
    samples[0, 0, :20] = np.nan
    samples[2, 3] = np.nan
    samples[1, 1, 1:] = np.nan
    low, high = limits(samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(low, np.nanpercentile(samples, 2.5, axis=-1))
        np.testing.assert_allclose(high, np.nanpercentile(samples, 97.5, axis=-1))


def test_p_value_counts_resamples_on_the_other_side_of_none():
    assert p_value(np.zeros(99)) == 1.0
    assert p_value(np.full(99, 0.1)) == p_value(np.full(99, -0.1)) == pytest.approx(2 / 100)
    assert p_value(np.array([-1.0] * 4 + [1.0] * 95)) == pytest.approx(2 * 5 / 100)
    assert p_value(np.array([np.nan, 0.5])) == 1.0
    assert np.isnan(p_value(np.full(3, np.nan)))


def test_mean_of_defined():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 2.0, np.nan]])
    np.testing.assert_array_equal(mean_of_defined(values), [2.0, 2.0, np.nan])


def test_sheet_of_scores_in_any_order(scores):
    part = scores[(scores["model"] == "Conquer") & (scores["source"] == "vindr_cxr")]
    sheet = sheet_of(part.sample(frac=1, random_state=1))
    assert sorted(sheet.findings) == ["ILD", "cardiomegaly"] and list(sheet.images) == sorted(set(part["image_id"]))
    for row in part.itertuples():
        place = list(sheet.images).index(row.image_id), sheet.findings.index(row.finding)
        assert (sheet.labels[place], sheet.scores[place]) == (row.label, row.score)
        assert sheet.patients[place[0]] == row.patient_id


def test_a_film_without_a_finding_or_with_one_twice_is_refused(scores):
    part = scores[(scores["model"] == "Conquer") & (scores["source"] == "vindr_cxr")]
    for wrong in (part.iloc[1:], part.iloc[[0, *range(len(part))]], part.iloc[[0, *range(len(part) - 1)]]):
        with pytest.raises(UniChestError, match="each image needs each finding exactly once"):
            sheet_of(wrong)


def test_models_scored_on_different_films_or_labels_are_refused(scores):
    part = scores[scores["source"] == "vindr_cxr"]
    wrong = part.drop(part.index[(part["model"] == "Conquer") & (part["image_id"] == "vindr_cxr_003")])
    with pytest.raises(UniChestError, match="not scored on the same images, findings and labels of source 'vindr_cxr'"):
        sheets_of(wrong)
    last = part["model"] == "Conquer + Divide"
    with pytest.raises(UniChestError, match="not scored on the same images"):
        sheets_of(part.assign(label=part["label"].where(~last, 1)))
