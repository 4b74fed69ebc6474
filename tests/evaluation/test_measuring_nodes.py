import numpy as np
import pandas as pd
import pytest
import yaml

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.benchmarks import Benchmarks
from unichest_kedro.evaluation.calibration import Calibrations
from unichest_kedro.evaluation.metrics import MEAN, ZERO_SHOT_MEAN
from unichest_kedro.evaluation.other_models import OtherModels
from unichest_kedro.evaluation.settings import EvaluationSettings
from unichest_kedro.pipelines.evaluation.measuring_nodes import (
    compute_measures,
    gather_other_scores,
    judge_scores,
    select_thresholds,
    trace_curves,
)
from unichest_kedro.schemas import (
    BenchmarkTable,
    CalibrationBins,
    Comparisons,
    Curves,
    Headline,
    JudgedScores,
    Measures,
    Metrics,
    Scores,
    Thresholds,
)
from unichest_kedro.vocabulary import read_yaml

from .conftest import FINDINGS, MODELS, make_leakage_pairs, make_leaked_films, make_scores

QUICK = EvaluationSettings(resamples=10)
KEEP = EvaluationSettings(resamples=10, leave_out_leaked=False)
NO_OTHERS = OtherModels({})
BENCHMARKS = Benchmarks.model_validate(
    {
        "mimic_cxr": {"title": "MIMIC-CXR", "source": "mimic_cxr", "findings": FINDINGS["mimic_cxr"]},
        "vindr_cxr": {"title": "VinDr-CXR", "source": "vindr_cxr", "findings": FINDINGS["vindr_cxr"]},
        "open_i": {"title": "Open-I", "source": "open_i", "findings": ["edema"]},
    }
)


@pytest.fixture(scope="module")
def vocabulary(project):
    return read_yaml(project / "conf/base/vocabulary.yml")[0]


@pytest.fixture
def by_model():
    """Scores of the three models; of MIMIC-CXR ten films validate, four films of VinDr-CXR were trained on."""
    scores = make_scores(trained_on=("mimic_cxr",))
    number = scores["image_id"].str[-3:].astype(int)
    scores["split"] = np.where((scores["source"] == "mimic_cxr") & (number < 10), "val", "test")
    scores["leaked"] = (scores["source"] == "vindr_cxr") & (number < 4)
    return [scores[scores["model"] == model].reset_index(drop=True) for model in MODELS]


@pytest.fixture
def studies(by_model):
    films = by_model[0].drop_duplicates(["source", "image_id"])
    films = films.assign(view="frontal", sex="F", age=50.0, split_origin="official")
    return {f"{source}_studies": part.reset_index(drop=True) for source, part in films.groupby("source")}


@pytest.fixture
def measure(vocabulary, studies):
    """Thresholds and measures of scores, through the nodes."""

    def run(by_model, settings=QUICK, others=NO_OTHERS, other_scores=None, pairs=None):
        other_scores = by_model[-1].iloc[:0] if other_scores is None else other_scores
        given = (*by_model, other_scores)
        judged, table, films = judge_scores(*given, BENCHMARKS, others, vocabulary, settings, **studies)
        JudgedScores.validate(judged)
        pairs = make_leakage_pairs() if pairs is None else pairs
        thresholds = select_thresholds(*given, judged, pairs, BENCHMARKS, vocabulary, settings, **studies)
        measures = compute_measures(judged, thresholds, BENCHMARKS, others, settings, 1, **studies)
        return thresholds, *measures, table, films

    return run


def test_tables_are_what_their_schemas_say(by_model, measure):
    schemas = (Thresholds, Measures, Metrics, Headline, Comparisons, BenchmarkTable)
    *tables, films = measure(by_model)
    for table, schema in zip(tables, schemas, strict=True):
        assert len(schema.validate(table))
    assert films.to_numpy().tolist() == [["mimic_cxr", True, 30, 0], ["vindr_cxr", False, 40, 4]]


def test_tables_survive_being_written_as_csv(by_model, measure, tmp_path, project):
    """As the catalog reads them: a text may be empty, a number missing."""
    catalog = yaml.safe_load((project / "conf/base/catalog_reporting.yml").read_text())
    by_model = [part.assign(label=part["label"].where(part["finding"] != "ILD", 0)) for part in by_model]
    names = ("thresholds", "measures", "metrics", "headline", "comparison", "benchmark_table")
    schemas = (Thresholds, Measures, Metrics, Headline, Comparisons, BenchmarkTable)
    for name, table, schema in zip(names, measure(by_model), schemas):
        table.to_csv(tmp_path / "table.csv", index=False)
        read = schema.validate(pd.read_csv(tmp_path / "table.csv", **catalog[name].get("load_args", {})))
        pd.testing.assert_frame_equal(read, schema.validate(table), check_dtype=False)


def test_leaked_films_count_in_no_measure_unless_asked_for(by_model, measure):
    _, measures, metrics, headline, comparison, benchmarks, _ = measure(by_model)
    clean = [part[~part["leaked"]].reset_index(drop=True) for part in by_model]
    pd.testing.assert_frame_equal(measures, measure(clean)[1])
    assert benchmarks.set_index("benchmark")["films_left_out_leaked"].to_dict() == {"mimic_cxr": 0, "vindr_cxr": 4}
    kept = measure(by_model, KEEP)[2]
    assert kept["positive"].sum() > metrics["positive"].sum()
    assert (
        set(headline["benchmark"]) == set(comparison["benchmark"]) == {"mimic_cxr", MEAN, "vindr_cxr", ZERO_SHOT_MEAN}
    )


def test_nothing_but_leaked_films_is_an_error(by_model, measure):
    with pytest.raises(UniChestError, match="nothing is left to judge the model by"):
        measure([part.assign(leaked=True) for part in by_model])


def test_validation_films_are_in_no_measure(by_model, measure):
    before = measure(by_model)
    turned = [part.assign(score=part["score"].where(part["split"] == "test", 1 - part["score"])) for part in by_model]
    after = measure(turned)
    pd.testing.assert_frame_equal(before[2], after[2])  # AUROC
    assert not before[0]["threshold"].equals(after[0]["threshold"])


def test_a_benchmark_without_validation_films_says_where_its_thresholds_come_from(by_model, measure):
    thresholds = measure(by_model)[0]
    origins = thresholds.dropna(subset="threshold").groupby("benchmark")["threshold_from"].unique()
    assert origins["mimic_cxr"].tolist() == ["validation of mimic_cxr"]
    assert origins["vindr_cxr"].tolist() == ["validation of mimic_cxr (training sources)"]
    assert set(thresholds["criterion"]) == {"youden"}


def test_a_validation_film_that_another_source_tests_on_chooses_no_threshold(by_model, measure):
    """As ChestX-ray14's validation films are test films of SIIM-ACR, of which they are a part."""
    pair = make_leakage_pairs().iloc[:1].assign(image_a="mimic_cxr_003", split_a="val", image_b="vindr_cxr_030")
    turned = [
        part.assign(score=part["score"].mask(part["image_id"] == "mimic_cxr_003", 1 - part["score"]))
        for part in by_model
    ]
    assert not measure(by_model)[0].equals(measure(turned)[0])
    pd.testing.assert_frame_equal(measure(by_model, pairs=pair)[0], measure(turned, pairs=pair)[0])


def test_films_that_another_model_was_trained_on_are_counted_as_left_out(by_model, measure):
    other = by_model[-1].assign(model="KAD", leaked=by_model[-1]["image_id"] == "mimic_cxr_020")
    others = OtherModels.model_validate({"KAD": {"predictions": "kad.csv", "trained_on": []}})
    *_, table, films = measure(by_model, others=others, other_scores=other)
    left_out = table.set_index("source")["films_left_out_leaked"]
    assert left_out.to_dict() == films.set_index("source")["leaked"].to_dict() == {"mimic_cxr": 1, "vindr_cxr": 4}


def test_other_models_stand_in_the_same_tables(by_model, measure, vocabulary, tmp_path):
    whole = by_model[-1]
    part = whole[whole["source"] == "vindr_cxr"]
    part.rename(columns={"image_id": "image"})[["image", "finding", "score"]].to_csv(tmp_path / "kad.csv", index=False)
    settings = {"predictions": tmp_path / "kad.csv", "trained_on": ["vindr_cxr"]}
    others = OtherModels.model_validate({"KAD": settings, "Folder": {"folder": tmp_path}})
    folder = whole.assign(model="Folder", score=1 - whole["score"])
    gathered = gather_other_scores(whole, folder, others, make_leaked_films(), vocabulary)
    Scores.validate(gathered)
    assert gathered["model"].unique().tolist() == ["KAD", "Folder"]
    tables = measure(by_model, others=others, other_scores=gathered)
    headline = tables[3].set_index(["model", "benchmark"])
    assert headline.index.get_level_values(0).unique().tolist() == [*MODELS, "KAD", "Folder"]
    # What KAD was trained on is not what ours were: the benchmark stays zero-shot, and the row says so.
    assert headline.loc[("KAD", "vindr_cxr"), ["trained_on", "in_domain"]].tolist() == [True, False]
    comparison = tables[4].set_index(["against", "benchmark", "measure"])
    same = comparison.loc[("KAD", "vindr_cxr", "auroc")]
    assert (same["difference"], same["p_value"]) == (0, 1)
    assert headline.loc[("Folder", "mimic_cxr"), "auroc"] == pytest.approx(
        1 - headline.loc[("Conquer + Divide", "mimic_cxr"), "auroc"]
    )
    notes = tables[5].set_index("benchmark")["notes"]
    assert notes["mimic_cxr"] == "KAD gives no prediction"


def test_without_other_models_their_table_is_empty_and_typed(by_model, vocabulary):
    gathered = gather_other_scores(by_model[-1], Scores.empty(), NO_OTHERS, make_leaked_films(), vocabulary)
    assert gathered.empty
    Scores.validate(gathered)


def test_curves_and_bins_are_of_judged_films(by_model, vocabulary, studies):
    def trace(parts, settings=QUICK):
        given = (*parts, parts[-1].iloc[:0])
        judged, *_ = judge_scores(*given, BENCHMARKS, NO_OTHERS, vocabulary, settings, **studies)
        calibrations = Calibrations(origin="validation", criterion="youden", findings={})
        return trace_curves(judged, calibrations, settings)

    curves, bins = trace(by_model)
    Curves.validate(curves)
    CalibrationBins.validate(bins)
    assert set(bins["model"]) == {"Conquer + Divide"} and set(curves["model"]) == set(MODELS)
    clean, _ = trace([part[~part["leaked"]].reset_index(drop=True) for part in by_model])
    pd.testing.assert_frame_equal(curves, clean)
    assert not curves.equals(trace(by_model, KEEP)[0])


@pytest.mark.parametrize(
    "wrong", [{"age_bands": [40, 18]}, {"age_bands": [0]}, {"calibration_bins": 1}, {"criterion": "accuracy"}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EvaluationSettings(**wrong)
