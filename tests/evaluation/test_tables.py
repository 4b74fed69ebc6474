import numpy as np
import pandas as pd
import pytest

from unichest_kedro.evaluation.benchmarks import Benchmarks
from unichest_kedro.evaluation.measures import (
    at_threshold,
    auroc,
    average_precision,
    brier,
    calibration_error,
)
from unichest_kedro.evaluation.metrics import MEAN, ZERO_SHOT_MEAN
from unichest_kedro.evaluation.resampling import AT_THRESHOLD, MEASURES, draw_patients
from unichest_kedro.evaluation.subgroups import NOT_TOLD, groups_in_order, groups_of, views_of
from unichest_kedro.evaluation.tables import MACRO, measure_tables
from unichest_kedro.schemas import Comparisons, Headline, Measures, Metrics

from .conftest import EIGHT, FINDINGS, MODELS, make_scores

BANDS = (18, 40, 65)


def studies_of(scores):
    """`Studies` with two sexes and ages in all bands, a few unknown, and half of the films PA."""
    tables = {}
    for source, part in scores.drop_duplicates(["source", "image_id"]).groupby("source", sort=False):
        number = np.arange(len(part))
        tables[source] = pd.DataFrame(
            {
                "image_id": part["image_id"],
                "view": np.where(number % 7 == 6, "unknown", "frontal"),
                "projection": np.where(number % 7 == 6, "", np.where(number % 2, "PA", "AP")),
                "sex": np.array(["F", "M", "M", "F", ""])[number % 5],
                "age": np.where(number % 9 == 8, np.nan, (number * 13) % 90),
            }
        )
    return tables


def benchmarks_of(findings, **more):
    settings = {
        source: {"title": source, "source": source, "findings": names, **more.get(source, {})}
        for source, names in findings.items()
    }
    return Benchmarks.model_validate(settings).root


def thresholds_of(scores, without=()):
    """0.5 for everything but some pairs of benchmark and finding."""
    table = scores[["model", "benchmark", "finding"]].drop_duplicates()
    keys = list(zip(table["benchmark"], table["finding"]))
    return table.assign(threshold=[np.nan if key in without else 0.5 for key in keys])


def measured(scores, findings=FINDINGS, without=(), resamples=40, **more):
    scores = scores.assign(benchmark=scores["source"]) if "benchmark" not in scores else scores
    tables = measure_tables(
        scores,
        benchmarks_of(findings, **more),
        studies_of(scores),
        thresholds_of(scores, without),
        models=list(scores["model"].unique()),
        own=MODELS,
        compared="Conquer + Divide",
        age_bands=BANDS,
        resamples=resamples,
        seed=3,
    )
    Measures.validate(tables.measures)
    Metrics.validate(tables.metrics)
    Headline.validate(tables.headline)
    Comparisons.validate(tables.comparison)
    return tables


def slow(films, threshold=0.5):
    """Every measure of one finding's films."""
    labels, scores = films["label"].to_numpy(), films["score"].to_numpy()
    found = at_threshold(labels, scores, threshold)
    values = {"auroc": auroc(labels, scores), "average_precision": average_precision(labels, scores)}
    values |= dict(zip(AT_THRESHOLD, found[:5]))
    return values | {"brier": brier(labels, scores), "calibration_error": calibration_error(labels, scores)}


def test_every_value_and_count_agrees_with_a_loop_over_its_films(scores):
    scores.loc[scores["finding"] == "ILD", "label"] = 0
    measures = measured(scores, without=[("mimic_cxr", "edema")]).measures
    studies = studies_of(scores)
    assert len(measures) == len(measures.drop_duplicates())
    of_finding = measures[(measures["finding"] != MACRO)]
    for (model, benchmark, finding, kind, group), rows in of_finding.groupby(
        ["model", "benchmark", "finding", "group_kind", "group"]
    ):
        films = scores[(scores["model"] == model) & (scores["source"] == benchmark) & (scores["finding"] == finding)]
        table = studies[benchmark].set_index("image_id").loc[films["image_id"]]
        low, high = {"18 to 39": (18, 40), "40 to 64": (40, 65), "65 and over": (65, 200)}.get(group, (0, 18))
        inside = {
            "all": np.ones(len(films), dtype=bool),
            "sex": (table["sex"] == group).to_numpy(),
            "age": ((table["age"] >= low) & (table["age"] < high)).to_numpy(),
            "view": (table["projection"] == group).to_numpy(),
        }[kind]
        if group == NOT_TOLD:
            told = {"sex": table["sex"] != "", "age": table["age"].notna(), "view": table["projection"] != ""}
            inside = ~told[kind].to_numpy()
        films = films[inside]
        expected = slow(films, np.nan if (benchmark, finding) == ("mimic_cxr", "edema") else 0.5)
        assert rows["measure"].tolist() == list(MEASURES)
        for row in rows.itertuples():
            assert row.value == pytest.approx(expected[row.measure], abs=1e-9, nan_ok=True)
            assert (row.positive, row.negative) == ((films["label"] == 1).sum(), (films["label"] == 0).sum())
            assert row.patients == films.loc[films["label"] != -1, "patient_id"].nunique()
            assert row.findings == 1


def test_groups_of_one_kind_add_up_to_all_films(scores):
    measures = measured(scores).measures
    one = measures[(measures["model"] == "Conquer") & (measures["measure"] == "auroc")]
    one = one[(one["benchmark"] == "mimic_cxr") & (one["finding"] == "edema")]
    films = scores[(scores["model"] == "Conquer") & (scores["source"] == "mimic_cxr") & (scores["finding"] == "edema")]
    table = studies_of(scores)["mimic_cxr"].set_index("image_id").loc[films["image_id"]]
    known = {"sex": table["sex"] != "", "age": table["age"].notna(), "view": table["projection"] != ""}
    for kind, has in known.items():
        part = one[one["group_kind"] == kind]
        told = part["group"] != "not told"
        for rows, chosen in ((part[told], has), (part[~told], ~has)):
            labels = films.loc[chosen.to_numpy(), "label"]
            assert rows[["positive", "negative"]].sum().tolist() == [(labels == 1).sum(), (labels == 0).sum()]
        assert not has.all()


def test_macro_is_the_mean_over_findings_with_both_classes_and_a_threshold(scores):
    scores.loc[scores["finding"] == "ILD", "label"] = 0
    measures = measured(scores, without=[("mimic_cxr", "edema")]).measures
    everyone = measures[(measures["group_kind"] == "all") & ~measures["benchmark"].isin([MEAN, ZERO_SHOT_MEAN])]
    for (_, benchmark, measure), part in everyone.groupby(["model", "benchmark", "measure"]):
        of_each = part[part["finding"] != MACRO]
        usable = of_each[(of_each["positive"] > 0) & (of_each["negative"] > 0) & of_each["value"].notna()]
        macro = part[part["finding"] == MACRO].iloc[0]
        assert macro["value"] == pytest.approx(usable["value"].mean(), abs=1e-12)
        assert (
            macro["findings"]
            == len(usable)
            == {"mimic_cxr": 3, "vindr_cxr": 1}[benchmark] - (benchmark == "mimic_cxr" and measure in AT_THRESHOLD)
        )


def test_undefined_values_have_no_limits_and_defined_ones_lie_between_theirs(scores):
    scores.loc[scores["finding"] == "ILD", "label"] = 0
    measures = measured(scores, resamples=300).measures
    undefined = measures["value"].isna()
    assert undefined.any() and measures.loc[undefined, ["low", "high"]].isna().all(axis=None)
    areas = measures[~undefined & measures["measure"].isin(["auroc", "brier"]) & (measures["group_kind"] == "all")]
    assert ((areas["low"] <= areas["value"]) & (areas["value"] <= areas["high"])).all()


def test_intervals_are_percentiles_over_really_drawn_patients(scores):
    measures = measured(scores, resamples=30).measures
    films = scores[(scores["model"] == "Conquer") & (scores["source"] == "vindr_cxr")].sort_values("image_id")
    one = films[films["finding"] == "ILD"]
    draws = draw_patients(one["patient_id"].to_numpy(dtype=object), "vindr_cxr", 30, 3)
    weights = np.concatenate(draws.blocks[1:], axis=1)
    areas, macros = [], []
    for r in range(30):
        repeats = weights[draws.patients, r]
        each = [
            slow(part.iloc[np.repeat(np.arange(len(part)), repeats)])
            for _, part in films.groupby("finding", sort=False)
        ]
        areas.append(slow(one.iloc[np.repeat(np.arange(len(one)), repeats)])["auroc"])
        macros.append(np.mean([values["f1"] for values in each]))
    rows = measures[(measures["model"] == "Conquer") & (measures["benchmark"] == "vindr_cxr")]
    rows = rows[rows["group_kind"] == "all"].set_index(["finding", "measure"])[["low", "high"]]
    np.testing.assert_allclose(rows.loc[("ILD", "auroc")], np.percentile(areas, [2.5, 97.5]), atol=1e-9)
    np.testing.assert_allclose(rows.loc[(MACRO, "f1")], np.percentile(macros, [2.5, 97.5]), atol=1e-9)


def test_a_finding_without_positives_in_a_resample_stays_in_the_mean_of_what_needs_none(scores):
    """Else the mean Brier score of resamples would be over other findings than the value, and its interval aside."""
    here = (scores["source"] == "vindr_cxr") & (scores["finding"] == "ILD")
    scores.loc[here, "label"] = (scores.loc[here, "image_id"] == "vindr_cxr_004").astype(int)
    tables = measured(scores, resamples=40)
    films = scores[scores["source"] == "vindr_cxr"].sort_values(["model", "image_id"])
    one = films[(films["model"] == "Conquer") & (films["finding"] == "ILD")]
    draws = draw_patients(one["patient_id"].to_numpy(dtype=object), "vindr_cxr", 40, 3)
    macros = {model: [] for model in films["model"].unique()}
    without = 0
    for repeats in np.concatenate(draws.blocks[1:], axis=1)[draws.patients].T:
        without += not repeats[one["label"] == 1].any()
        for model, part in films.groupby("model"):
            each = [slow(of.iloc[np.repeat(np.arange(len(of)), repeats)])["brier"] for _, of in part.groupby("finding")]
            macros[model].append(np.mean(each))
    assert without
    rows = tables.measures.set_index(["model", "benchmark", "group_kind", "finding", "measure"])[["low", "high"]]
    expected = np.percentile(macros["Conquer"], [2.5, 97.5])
    np.testing.assert_allclose(rows.loc[("Conquer", "vindr_cxr", "all", MACRO, "brier")], expected, atol=1e-9)
    row = tables.comparison.set_index(["against", "benchmark", "measure"]).loc[("Conquer", "vindr_cxr", "brier")]
    differences = np.subtract(macros["Conquer + Divide"], macros["Conquer"])
    np.testing.assert_allclose(row[["low", "high"]].astype(float), np.percentile(differences, [2.5, 97.5]), atol=1e-9)


def test_another_benchmark_changes_no_interval(scores):
    both = measured(scores).measures
    alone = measured(scores[scores["source"] == "vindr_cxr"], findings={"vindr_cxr": FINDINGS["vindr_cxr"]}).measures
    both, alone = (table[table["benchmark"] == "vindr_cxr"].reset_index(drop=True) for table in (both, alone))
    pd.testing.assert_frame_equal(both, alone)


def test_headline_keeps_benchmarks_trained_on_and_zero_shot_ones_apart():
    scores = make_scores(findings=EIGHT)
    tables = measured(scores, findings=EIGHT)
    of_one = tables.headline[tables.headline["model"] == "Conquer"]
    assert of_one["benchmark"].tolist() == [*list(EIGHT)[:4], MEAN, *list(EIGHT)[4:], ZERO_SHOT_MEAN]
    assert of_one["in_domain"].tolist() == of_one["trained_on"].tolist() == [True] * 5 + [False] * 5
    area = of_one.set_index("benchmark")["auroc"]
    assert area[MEAN] == pytest.approx(area[list(EIGHT)[:4]].mean())
    assert area[ZERO_SHOT_MEAN] == pytest.approx(area[list(EIGHT)[4:]].mean())
    means = tables.measures[tables.measures["benchmark"] == MEAN]
    assert set(means["measure"]) == set(MEASURES) and set(means["finding"]) == {MACRO}
    assert tables.headline["model"].unique().tolist() == list(MODELS)


def test_headline_names_what_is_left_out_of_a_mean(scores):
    scores.loc[scores["finding"] == "ILD", "label"] = 0
    scores.loc[scores["source"] == "mimic_cxr", "label"] = -1
    headline = measured(scores).headline.set_index(["model", "benchmark"])
    assert headline.loc[("Conquer", "vindr_cxr"), "left_out"] == "ILD"
    assert np.isnan(headline.loc[("Conquer", "mimic_cxr"), "auroc"])
    assert headline.loc[("Conquer", "mimic_cxr"), "findings"] == 0
    assert headline.loc[("Conquer", MEAN), "left_out"] == "mimic_cxr"
    assert headline.loc[("Conquer", MEAN), "auroc"] == headline.loc[("Conquer", "vindr_cxr"), "auroc"]


def test_a_benchmark_out_of_the_mean_is_shown_and_not_averaged(scores):
    tables = measured(scores, vindr_cxr={"in_mean": False})
    headline = tables.headline.set_index(["model", "benchmark"])
    assert not headline.loc[("Conquer", "vindr_cxr"), "in_mean"]
    assert headline.loc[("Conquer", MEAN), "auroc"] == headline.loc[("Conquer", "mimic_cxr"), "auroc"]
    assert (tables.comparison["benchmark"] == "vindr_cxr").any()


def test_metrics_hold_the_auroc_of_every_finding_with_its_interval(scores):
    tables = measured(scores)
    rows = tables.measures[
        (tables.measures["measure"] == "auroc")
        & (tables.measures["group_kind"] == "all")
        & (tables.measures["finding"] != MACRO)
    ]
    assert tables.metrics["auroc"].tolist() == rows["value"].tolist()
    assert tables.metrics["finding"].tolist()[:3] == FINDINGS["mimic_cxr"]
    assert (tables.metrics["low"] <= tables.metrics["auroc"]).all()


def test_the_difference_of_a_model_from_itself_is_none_with_p_one(scores):
    same = scores[scores["model"] == "Conquer"]
    twin = pd.concat([same, same.assign(model="Conquer + Divide")], ignore_index=True)
    comparison = measured(twin).comparison
    assert (comparison[["difference", "low", "high"]] == 0).all(axis=None)
    assert (comparison["p_value"] == 1).all() and len(comparison) == 3 * len(MEASURES)


def test_differences_are_paired_and_of_the_macro(scores):
    better = scores["score"] * 0.5 + 0.5 * (scores["label"] == 1)
    scores["score"] = scores["score"].where(scores["model"] != "Conquer + Divide", better)
    tables = measured(scores, resamples=199)
    comparison = tables.comparison.set_index(["against", "benchmark", "measure"])
    area = tables.headline.set_index(["model", "benchmark"])["auroc"]
    row = comparison.loc[("Conquer", MEAN, "auroc")]
    assert row["difference"] == pytest.approx(area[("Conquer + Divide", MEAN)] - area[("Conquer", MEAN)])
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["low"] > 0 and row["p_value"] == pytest.approx(2 / 200)
    assert comparison.loc[("Conquer", MEAN, "brier"), "difference"] < 0
    assert set(comparison.index.get_level_values("against")) == {"Conquer", "Conquer continued"}


def test_models_are_compared_on_what_both_answer_and_by_what_ours_were_trained_on(scores):
    other = scores[(scores["model"] == "Conquer") & (scores["source"] == "mimic_cxr") & (scores["finding"] != "edema")]
    other = other.assign(model="KAD", score=other["score"] * 0.9, trained_on=False)
    tables = measured(pd.concat([scores, other], ignore_index=True))
    headline = tables.headline.set_index(["model", "benchmark"])
    row = headline.loc[("KAD", "mimic_cxr")]
    assert (row["trained_on"], row["in_domain"], row["findings"]) == (False, True, 2)
    assert headline.loc[("KAD", MEAN), "left_out"] == "vindr_cxr"
    comparison = tables.comparison[tables.comparison["against"] == "KAD"].set_index(["benchmark", "measure"])
    assert set(comparison.index.get_level_values(0)) == {"mimic_cxr", MEAN}
    assert comparison.loc[("mimic_cxr", "auroc"), "findings"] == 2
    metrics = tables.metrics[tables.metrics["benchmark"] == "mimic_cxr"].set_index(["model", "finding"])["auroc"]
    shared = ["cardiomegaly", "No Finding"]
    expected = np.mean([metrics[("Conquer + Divide", f)] - metrics[("KAD", f)] for f in shared])
    assert comparison.loc[("mimic_cxr", "auroc"), "difference"] == pytest.approx(expected)


def test_undefined_differences_have_no_p_value(scores):
    scores["label"] = scores["label"].where(scores["source"] != "vindr_cxr", 0)
    comparison = measured(scores).comparison.set_index(["against", "benchmark", "measure"])
    row = comparison.loc[("Conquer", "vindr_cxr", "auroc")]
    assert row[["difference", "low", "high", "p_value"]].isna().all() and row["findings"] == 0


def test_age_bands_and_views():
    studies = pd.DataFrame(
        {
            "image_id": list("abcdef"),
            "view": ["frontal", "frontal", "lateral", "unknown", "frontal", "frontal"],
            "projection": ["PA", "", "", "", "AP", "PA"],
            "sex": ["F", "", "M", "M", "F", "M"],
            "age": [17.9, 18.0, 39.5, np.nan, 40.0, 90.0],
        }
    )
    groups = {(g.kind, g.name): g.films.tolist() for g in groups_of(list("fedcba"), studies, (18, 40))}
    assert groups[("all", "all")] == [True] * 6
    assert groups[("age", "0 to 17")] == [False] * 5 + [True]
    assert groups[("age", "18 to 39")] == [False, False, False, True, True, False]
    assert groups[("age", "40 and over")] == [True, True, False, False, False, False]
    assert groups[("view", "PA")] == [True, False, False, False, False, True]
    assert [name for kind, name in groups if kind == "view"] == ["AP", "PA", "frontal", "lateral", "not told"]
    assert groups[("sex", "not told")] == [False] * 4 + [True, False]
    assert groups[("age", "not told")] == groups[("view", "not told")] == [False, False, True, False, False, False]
    nothing = studies.assign(sex="F", view="unknown", projection="")  # one group of all films says nothing new
    assert [group.kind for group in groups_of(list("abc"), nothing, ())] == ["all"]
    assert groups_in_order(["100 and over", "not told", "5 to 99", "0 to 4"]) == [
        "0 to 4",
        "5 to 99",
        "100 and over",
        "not told",
    ]
    assert views_of(studies.drop(columns="projection")).tolist()[:4] == ["frontal", "frontal", "lateral", ""]
