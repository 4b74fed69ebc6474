import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.metrics import (
    MEAN,
    ZERO_SHOT_MEAN,
    auroc,
    auroc_table,
    difference_table,
    gate_summary,
    gate_table,
    macro_roc,
    macro_samples,
    macro_table,
    mutual_information,
    roc_points,
    weighted_auroc,
)
from unichest_kedro.schemas import Metrics

from .conftest import EIGHT, make_scores


def slow_auroc(labels, scores, weights=None):
    """Every positive against every negative, one by one."""
    weights = np.ones(len(labels)) if weights is None else weights
    won, pairs = 0.0, 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            pair = float(weights[i]) * float(weights[j])
            won += pair * (1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0)
            pairs += pair
    return won / pairs if pairs else np.nan


def random_case(seed, images=60):
    generator = np.random.default_rng(seed)
    labels = generator.choice([1, 0, -1], images, p=[0.3, 0.5, 0.2])
    return labels, np.round(generator.random(images), seed % 3 + 1)


@pytest.mark.parametrize("seed", range(8))
def test_auroc_agrees_with_sklearn_and_with_counting_pairs(seed):
    labels, scores = random_case(seed)
    known = labels != -1
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels[known], scores[known]), abs=1e-12)
    assert auroc(labels, scores) == pytest.approx(slow_auroc(labels, scores), abs=1e-12)


def test_auroc_ignores_the_scores_of_unknown_labels():
    labels = np.array([1, 0, -1, -1])
    assert auroc(labels, np.array([0.9, 0.1, 0.0, np.nan])) == 1.0


@pytest.mark.parametrize("labels", [[1, 1, -1], [0, 0, -1], [-1, -1, -1], []])
def test_auroc_is_nan_where_a_class_is_missing(labels):
    assert np.isnan(auroc(np.array(labels), np.linspace(0, 1, len(labels))))


def test_auroc_refuses_scores_that_are_not_finite():
    with pytest.raises(UniChestError, match="1 of 2 scores are not finite"):
        auroc(np.array([1, 0]), np.array([np.nan, 0.5]))


def test_auroc_table_agrees_with_a_loop_and_keeps_the_order(scores):
    scores.loc[scores["finding"] == "ILD", "label"] = 0
    table = auroc_table(scores)
    Metrics.validate(table)
    assert list(table["finding"][:3]) == ["cardiomegaly", "edema", "No Finding"]
    for row in table.itertuples():
        part = scores[
            (scores["model"] == row.model) & (scores["source"] == row.source) & (scores["finding"] == row.finding)
        ]
        expected = slow_auroc(part["label"].to_numpy(), part["score"].to_numpy())
        assert row.auroc == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert (row.positive, row.negative) == ((part["label"] == 1).sum(), (part["label"] == 0).sum())
    assert table.loc[table["finding"] == "ILD", "auroc"].isna().all()


def test_macro_table_averages_findings_then_sources_and_names_what_it_leaves_out(scores):
    scores.loc[scores["finding"] == "ILD", "label"] = 0
    metrics = auroc_table(scores)
    table = macro_table(metrics).set_index(["model", "source"])
    first = metrics[(metrics["model"] == "Conquer") & (metrics["source"] == "mimic_cxr")]["auroc"]
    assert table.loc[("Conquer", "mimic_cxr"), "auroc"] == pytest.approx(np.mean(first.to_numpy()))
    assert table.loc[("Conquer", "vindr_cxr"), "left_out"] == "ILD"
    assert table.loc[("Conquer", "vindr_cxr"), "findings"] == 1
    per_source = [table.loc[("Conquer", source), "auroc"] for source in ("mimic_cxr", "vindr_cxr")]
    assert table.loc[("Conquer", MEAN), "auroc"] == pytest.approx(np.mean(per_source))


def test_macro_table_of_a_source_without_any_usable_finding(scores):
    scores.loc[scores["source"] == "vindr_cxr", "label"] = -1
    samples = macro_samples(scores, resamples=20)
    table = macro_table(auroc_table(scores), samples).set_index(["model", "source"])
    assert np.isnan(table.loc[("Conquer", "vindr_cxr"), "low"])
    assert table.loc[("Conquer", MEAN), "left_out"] == "vindr_cxr"
    assert table.loc[("Conquer", MEAN), "auroc"] == table.loc[("Conquer", "mimic_cxr"), "auroc"]


def test_macro_table_summarises_one_split_only(scores):
    validation = scores.assign(split="val", score=0.5)
    metrics = auroc_table(pd.concat([scores, validation], ignore_index=True))
    pd.testing.assert_frame_equal(macro_table(metrics), macro_table(auroc_table(scores)))
    assert set(macro_table(metrics, split="val")["auroc"]) == {0.5}


@pytest.mark.parametrize("seed", range(4))
def test_weighted_auroc_agrees_with_counting_pairs(seed):
    labels, scores = random_case(seed, images=25)
    weights = np.random.default_rng(seed).integers(0, 3, (25, 6)).astype(np.int16)
    weights[labels == 1, 5] = 0
    expected = [slow_auroc(labels, scores, weights[:, r]) for r in range(6)]
    np.testing.assert_allclose(weighted_auroc(labels, scores, weights), expected, rtol=1e-12)
    assert np.isnan(expected[5])


def test_bootstrap_draws_whole_patients_and_agrees_with_a_slow_loop(scores):
    import zlib

    samples = macro_samples(scores, resamples=5, seed=3)
    generator = np.random.default_rng([3, zlib.crc32(b"vindr_cxr")])
    draws = generator.multinomial(20, np.full(20, 1 / 20), size=5)
    part = scores[(scores["source"] == "vindr_cxr") & (scores["model"] == "Conquer")]
    for r in range(5):
        areas = []
        for _, rows in part.groupby("finding"):
            weight = [draws[r, int(patient[1:])] for patient in rows["patient_id"]]
            areas.append(slow_auroc(rows["label"].to_numpy(), rows["score"].to_numpy(), weight))
        assert samples[("Conquer", "vindr_cxr")][r] == pytest.approx(np.nanmean(areas), abs=1e-12)


def test_bootstrap_is_seeded_and_independent_of_other_sources_and_block_size(scores, monkeypatch):
    samples = macro_samples(scores, resamples=30, seed=1)
    pd.testing.assert_frame_equal(samples, macro_samples(scores, resamples=30, seed=1))
    assert not samples.equals(macro_samples(scores, resamples=30, seed=2))
    alone = macro_samples(scores[scores["source"] == "vindr_cxr"], resamples=30, seed=1)
    assert (alone[("Conquer", "vindr_cxr")] == samples[("Conquer", "vindr_cxr")]).all()
    monkeypatch.setattr("unichest_kedro.evaluation.metrics.BLOCK_CELLS", 400)
    pd.testing.assert_frame_equal(samples, macro_samples(scores, resamples=30, seed=1))


def test_intervals_hold_the_estimate_and_paired_differences_are_paired(scores):
    samples = macro_samples(scores, resamples=300)
    macro = macro_table(auroc_table(scores), samples)
    assert ((macro["low"] <= macro["auroc"]) & (macro["auroc"] <= macro["high"])).all()
    same = difference_table(macro, samples, "Conquer", "Conquer")
    assert (same[["difference", "low", "high"]] == 0).all(axis=None)
    difference = difference_table(macro, samples, "Conquer + Divide", "Conquer continued")
    assert list(difference["source"]) == ["mimic_cxr", "vindr_cxr", MEAN]
    area = macro.set_index(["model", "source"])["auroc"]
    expected = area[("Conquer + Divide", MEAN)] - area[("Conquer continued", MEAN)]
    assert difference["difference"].iloc[-1] == pytest.approx(expected)
    assert difference["low"].iloc[-1] < expected < difference["high"].iloc[-1]


def test_bootstrap_refuses_models_scored_on_different_images(scores):
    wrong = scores.drop(scores.index[(scores["model"] == "Conquer") & (scores["image_id"] == "vindr_cxr_003")])
    with pytest.raises(UniChestError, match="not scored on the same images, findings and labels of source 'vindr_cxr'"):
        macro_samples(wrong, resamples=5)


@pytest.mark.parametrize("seed", range(3))
def test_roc_points_agree_with_sklearn(seed):
    labels, scores = random_case(seed)
    known = labels != -1
    false, true, threshold = roc_curve(labels[known], scores[known], drop_intermediate=False)
    points = roc_points(labels, scores)
    np.testing.assert_allclose(points["false_positive_rate"], false)
    np.testing.assert_allclose(points["true_positive_rate"], true)
    np.testing.assert_allclose(points["threshold"][1:], threshold[1:])


def test_roc_of_one_class_is_empty_and_its_macro_curve_nan(scores):
    assert len(roc_points(np.array([1, 1, -1]), np.array([0.1, 0.2, 0.3]))) == 0
    _, true = macro_roc(scores.assign(label=0))
    assert np.isnan(true).all()
    _, true = macro_roc(scores[(scores["model"] == "Conquer") & (scores["source"] == "mimic_cxr")])
    assert (true[0], true[-1]) == (0, 1)
    assert (np.diff(true) >= 0).all()


def test_mutual_information_agrees_with_a_loop_and_with_its_limits():
    gates = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    overall = gates.mean(axis=0)
    expected = sum(0.5 * gates[s, k] * np.log2(gates[s, k] / overall[k]) for s in range(2) for k in range(3))
    assert mutual_information(gates) == pytest.approx(expected)
    assert mutual_information(np.full((4, 3), 1 / 3)) == 0
    assert mutual_information(np.eye(4)) == 2


def test_gate_tables(gates):
    table = gate_table(gates)
    part = gates[gates["source"] == "mimic_cxr"]
    assert table["images"].to_list() == [10, 10]
    assert table["expert_2"][0] == pytest.approx(part["expert_2"].mean())
    largest = part[["expert_1", "expert_2", "expert_3"]].to_numpy().max(axis=1)
    assert table["sharpness"][0] == pytest.approx(largest.mean())
    summary = gate_summary(gates).iloc[0]
    assert (summary["possible"], summary["experts"]) == (1.0, 3)
    assert 0 < summary["mutual_information"] < 1


def test_sources_trained_on_and_zero_shot_sources_are_averaged_apart():
    scores = make_scores(findings=EIGHT)
    metrics, samples = auroc_table(scores), macro_samples(scores, resamples=30)
    Metrics.validate(metrics)
    table = macro_table(metrics, samples)
    of_one = table[table["model"] == "Conquer"]
    assert of_one["source"].tolist() == [*list(EIGHT)[:4], MEAN, *list(EIGHT)[4:], ZERO_SHOT_MEAN]
    assert of_one["trained_on"].tolist() == [True] * 5 + [False] * 5
    area = of_one.set_index("source")["auroc"]
    assert area[MEAN] == pytest.approx(area[list(EIGHT)[:4]].mean())
    assert area[ZERO_SHOT_MEAN] == pytest.approx(area[list(EIGHT)[4:]].mean())
    for mean, sources in ((MEAN, list(EIGHT)[:4]), (ZERO_SHOT_MEAN, list(EIGHT)[4:])):
        np.testing.assert_allclose(
            samples[("Conquer", mean)], np.mean([samples[("Conquer", source)] for source in sources], axis=0)
        )
    names = difference_table(table, samples, "Conquer + Divide", "Conquer")["source"].tolist()
    assert names == of_one["source"].tolist()


@pytest.mark.parametrize(("trained_on", "mean"), [(True, MEAN), (False, ZERO_SHOT_MEAN)])
def test_sources_of_one_kind_have_one_mean(scores, trained_on, mean):
    scores = scores.assign(trained_on=trained_on)
    table = macro_table(auroc_table(scores), macro_samples(scores, resamples=5))
    assert set(table["source"]) == {"mimic_cxr", "vindr_cxr", mean}


def test_zero_shot_sources_listed_first_still_come_last(scores):
    scores = scores.assign(trained_on=scores["source"] == "vindr_cxr")
    table = macro_table(auroc_table(scores))
    assert table["source"].tolist()[:4] == ["vindr_cxr", MEAN, "mimic_cxr", ZERO_SHOT_MEAN]


def test_models_trained_on_different_sources_do_not_stand_in_one_table(scores):
    scores["trained_on"] = (scores["source"] == "mimic_cxr") | (scores["model"] == "Conquer")
    with pytest.raises(UniChestError, match="some were trained on vindr_cxr and some were not"):
        macro_table(auroc_table(scores))
