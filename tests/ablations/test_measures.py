"""Measures at lines that all sources share, and paired differences, against slow and obvious versions."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, f1_score, roc_auc_score

from unichest_kedro.ablations import measures
from unichest_kedro.ablations.figures import difference_figure, is_beyond_noise
from unichest_kedro.ablations.page import differences_table, markdown, paper_table
from unichest_kedro.ablations.settings import AblationSettings
from unichest_kedro.errors import UniChestError
from unichest_kedro.pipelines.ablation.nodes import measure_variants
from unichest_kedro.schemas import AblationDifferences, AblationGates, AblationScores, AblationTable

SOURCES = ("a", "b")
VARIANTS = AblationSettings.model_validate(
    {
        "seeds": [1, 2],
        "variants": [
            {"name": "conquer", "title": "Conquer", "stage": "conquer"},
            {"name": "alone", "title": "Alone", "stage": "conquer", "each_source": True, "against": ["conquer"]},
            {"name": "divide", "title": "Divide", "stage": "divide", "start": "conquer", "against": ["conquer"]},
        ],
    }
).variants


def make_scores(noise, seed, sources=(*SOURCES, "z"), films=60, shift=0.0):
    """`Scores` whose labels depend on the source alone; `noise` says how bad the model is."""
    tables = []
    for number, source in enumerate(sources):
        truth = np.random.default_rng(number)
        own = np.random.default_rng([seed, number])
        for split in ("val", "test"):
            label = (truth.random((films, 3)) < 0.4).astype(int)
            label[:, 2] = 0 if split == "test" else label[:, 2]  # never present among the test films
            score = np.clip(0.3 + 0.3 * label + own.normal(0, noise, label.shape) + shift * number, 0, 1)
            label[truth.random(label.shape) < 0.1] = -1
            tables.append(
                pd.DataFrame(
                    {
                        "model": "m",
                        "source": source,
                        "split": split,
                        "image_id": np.repeat([f"{split}{i}" for i in range(films)], 3),
                        "patient_id": np.repeat([f"{split}{i // 2}" for i in range(films)], 3),
                        "finding": ["x", "y", "never"] * films,
                        "score": score.ravel(),
                        "label": label.ravel(),
                        "trained_on": source in SOURCES,
                        "leaked": np.repeat((split == "test") & (np.arange(films) == 5), 3),
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def results():
    made = {}
    for seed in (1, 2):
        made["conquer", seed] = measures.measure(make_scores(0.3, seed), SOURCES, 100, 0)
        made["divide", seed] = measures.measure(make_scores(0.1, seed + 10), SOURCES, 100, 0)
        for source in SOURCES:
            made[f"alone_{source}", seed] = measures.measure(make_scores(0.5, seed + 20), [source], 100, 0)
    return made | measures.own_sources(made, VARIANTS[1], SOURCES, [1, 2])


def test_measures_are_those_of_scikit_learn_at_lines_shared_by_all_sources():
    scores = make_scores(0.3, 1, shift=0.1)
    measured = measures.measure(scores, SOURCES, 5, 0)["b"]
    validation = scores[(scores["split"] == "val") & scores["source"].isin(SOURCES) & (scores["finding"] == "x")]
    validation = validation[validation["label"] >= 0]
    best = max(sorted(validation["score"]), key=lambda t: (f1_score(validation["label"], validation["score"] >= t), t))
    assert measured.thresholds[0] == best
    test = scores.query("split == 'test' and source == 'b' and finding == 'x' and label >= 0 and not leaked")
    values = dict(zip(measures.SHOWN, measured.values[:, 0, 0]))
    assert values["auroc"] == pytest.approx(roc_auc_score(test["label"], test["score"]), abs=1e-6)
    assert values["f1"] == pytest.approx(f1_score(test["label"], test["score"] >= best), abs=1e-6)
    curve = measures.shared_lines(validation)["x"].curve
    calibrated = curve.apply(test["score"].to_numpy())
    assert values["brier"] == pytest.approx(brier_score_loss(test["label"], calibrated), abs=1e-6)
    assert (measured.positive[0], measured.negative[0]) == (test["label"].sum(), (test["label"] == 0).sum())


def test_a_finding_that_is_never_present_has_no_auroc_and_is_left_out_of_the_mean():
    measured = measures.measure(make_scores(0.3, 1), SOURCES, 5, 0)["a"]
    assert np.isnan(measured.values[0, 2]).all()
    assert measured.macro[0, 0] == pytest.approx(measured.values[0, :2, 0].mean(), abs=1e-6)


def test_a_finding_that_validation_does_not_know_has_no_f1_and_no_brier_score():
    scores = make_scores(0.3, 1)
    scores.loc[(scores["split"] == "val") & (scores["finding"] == "y"), "label"] = -1
    measured = measures.measure(scores, SOURCES, 5, 0)["a"]
    assert np.isnan(measured.thresholds[1])
    assert np.isnan(measured.values[1:, 1]).all()
    assert np.isfinite(measured.values[0, 1]).all()


def test_one_line_for_all_costs_f1_and_calibration_where_sources_draw_it_elsewhere_but_no_auroc():
    alike = measures.measure(make_scores(0.1, 1), SOURCES, 5, 0)["b"].macro[:, 0]
    apart = measures.measure(make_scores(0.1, 1, shift=0.25), SOURCES, 5, 0)["b"].macro[:, 0]
    assert apart[0] == pytest.approx(alike[0], abs=0.02)
    assert apart[1] < alike[1] - 0.05
    assert apart[2] > alike[2] + 0.02


def test_validation_films_that_training_has_seen_choose_no_line():
    scores = make_scores(0.3, 1)
    seen = (scores["split"] == "val") & scores["image_id"].isin([f"val{i}" for i in range(0, 60, 2)])
    turned = scores.assign(score=scores["score"].mask(seen, 1 - scores["score"]), leaked=scores["leaked"] | seen)
    marked = measures.measure(turned, SOURCES, 5, 0)["a"]
    without = measures.measure(turned[~seen], SOURCES, 5, 0)["a"]
    np.testing.assert_array_equal(marked.thresholds, without.thresholds)
    np.testing.assert_array_equal(marked.values, without.values)


def test_no_test_film_is_an_error():
    with pytest.raises(UniChestError, match="no test film to judge by"):
        measures.measure(make_scores(0.3, 1).query("split == 'val'"), SOURCES, 5, 0)


def test_each_source_alone_is_judged_on_its_own_source(results):
    assert set(results["alone", 1]) == set(SOURCES)
    assert results["alone", 1]["b"] is results["alone_b", 1]["b"]


def test_means_and_spreads_over_seeds(results):
    table = measures.mean_table(results, {"divide": "Divide"}, SOURCES)
    AblationTable.validate(table)
    row = table.query("variant == 'conquer' and source == 'mean' and measure == 'auroc'").iloc[0]
    values = [np.mean([results["conquer", seed][source].macro[0, 0] for source in SOURCES]) for seed in (1, 2)]
    assert row["value"] == pytest.approx(np.mean(values))
    assert row["spread"] == pytest.approx(np.std(values, ddof=1))
    assert set(table.query("variant == 'alone'")["source"]) == {"a", "b", "mean"}  # no zero-shot mean
    assert "mean_zero_shot" in set(table.query("variant == 'divide'")["source"])
    AblationScores.validate(measures.score_table(results))


def test_differences_are_paired_by_seed_and_resample(results):
    table = measures.difference_table(results, VARIANTS, SOURCES)
    AblationDifferences.validate(table)
    # Two seeds may differ as far as can be: by 1 and by -1.
    AblationDifferences.validate(table.assign(spread=float(np.std([1, -1], ddof=1))))
    row = table.query("variant == 'divide' and source == 'a' and measure == 'auroc'").iloc[0]
    each = [results["divide", seed]["a"].macro[0] - results["conquer", seed]["a"].macro[0] for seed in (1, 2)]
    assert row["difference"] == pytest.approx(np.mean([one[0] for one in each]), abs=1e-6)
    assert row["low"] == pytest.approx(np.percentile(np.mean(each, axis=0)[1:], 2.5), abs=1e-6)
    assert row["same_sign"]
    assert row["difference"] > 0.1
    assert row["p_patients"] < 0.05
    assert is_beyond_noise(table).loc[row.name]
    mean = table.query("variant == 'alone' and source == 'mean' and measure == 'auroc'")["difference"].iloc[0]
    assert mean < 0


def test_a_model_is_no_different_from_itself(results):
    same = {("divide", 1): results["conquer", 1], ("conquer", 1): results["conquer", 1]}
    table = measures.difference_table(same, VARIANTS, SOURCES)
    assert (table["difference"] == 0).all()
    assert (table["p_patients"] == 1).all()
    assert table["p_seeds"].isna().all()
    assert not is_beyond_noise(table).any()


def test_findings_that_one_of_two_has_no_value_of_are_left_out_of_their_difference():
    scores = make_scores(0.3, 1)
    blind = scores.copy()
    blind.loc[(blind["split"] == "val") & (blind["finding"] == "y"), "label"] = -1
    both = {
        ("conquer", 1): measures.measure(scores, SOURCES, 5, 0),
        ("divide", 1): measures.measure(blind, SOURCES, 5, 0),
    }
    table = measures.difference_table(both, VARIANTS, SOURCES)
    f1 = table.query("source == 'a' and measure == 'f1'")["difference"].iloc[0]
    assert f1 == 0  # over x alone, which both have


def test_how_sharp_a_gate_is_and_what_it_knows():
    gates = pd.DataFrame(
        {
            "source": ["a", "a", "b", "b", "z"],
            "split": ["test"] * 5,
            "image_id": list("12345"),
            "expert_1": [1.0, 0.8, 0.1, 0.1, 0.5],
            "expert_2": [0.0, 0.2, 0.9, 0.9, 0.5],
        }
    )
    table = measures.gate_table("divide", 1, gates, SOURCES)
    AblationGates.validate(table)
    row = table.iloc[0]
    assert row["sharpness"] == pytest.approx(0.9)
    means = np.array([[0.9, 0.1], [0.1, 0.9]])
    slow = np.mean([sum(p * np.log2(p / 0.5) for p in row) for row in means])
    assert row["mutual_information"] == pytest.approx(slow)
    assert row["possible"] == 1


def test_variants_without_experts_have_no_gate(tmp_path):
    """As with `only: [conquer]`: nothing is said of gates, and the other tables are there."""
    folder = tmp_path / "conquer" / "seed_1"
    folder.mkdir(parents=True)
    make_scores(0.3, 1).to_parquet(folder / "scores.parquet")
    pd.DataFrame(columns=["source", "split", "image_id", "expert_1"]).to_parquet(folder / "gates.parquet")
    run = {"variant": "conquer", "title": "Conquer", "seed": 1, "sources": "a, b", "uses_experts": False}
    settings = AblationSettings(seeds=(1,), only=("conquer",), variants=VARIANTS, resamples=5)
    labels = {f"{source}_labels": pd.DataFrame() for source in SOURCES}
    scores, table, differences, gates = measure_variants(pd.DataFrame([run]), tmp_path, settings, SOURCES, **labels)
    assert AblationGates.validate(gates).empty and AblationDifferences.validate(differences).empty
    AblationScores.validate(scores)
    assert "Conquer" in markdown(paper_table(AblationTable.validate(table), gates, SOURCES))


def test_tables_and_figure_show_every_variant(results):
    table = measures.mean_table(results, {}, SOURCES)
    differences = measures.difference_table(results, VARIANTS, SOURCES)
    gates = pd.DataFrame({"variant": ["divide"], "seed": [1], "sharpness": [0.5], "mutual_information": [0.25]})
    grid = paper_table(table, gates, SOURCES)
    rows = {row[0]: row for row in grid.rows}
    assert all(len(row) == len(grid.columns) for row in grid.rows)
    assert rows["divide"][-2:] == ("0.500", "0.250")
    assert rows["alone"][grid.columns.index("Zero-shot AUROC")] == "–"
    against = differences_table(differences, {"divide": "Divide", "conquer": "Conquer"})
    assert "Divide − Conquer" in [row[0] for row in against.rows]
    line = next(line for line in markdown(against).splitlines() if line.startswith("| Divide − Conquer"))
    assert " * |" in line
    figure = difference_figure(differences, table)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["alone − conquer", "divide − conquer"]
