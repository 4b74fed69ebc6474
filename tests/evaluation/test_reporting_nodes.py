import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.evaluation.benchmarks import Benchmarks
from unichest_kedro.evaluation.examples import KINDS, example_picture
from unichest_kedro.evaluation.heatmaps import HeatmapSettings, attention_maps, overlay
from unichest_kedro.evaluation.other_models import OtherModels
from unichest_kedro.evaluation.settings import EvaluationSettings, ReportSettings
from unichest_kedro.evaluation.style import message, new_figure
from unichest_kedro.models.unichest import ModelSettings, build_unichest
from unichest_kedro.pipelines.evaluation import create_pipeline, create_reporting_pipeline
from unichest_kedro.pipelines.evaluation.measuring_nodes import judge_scores
from unichest_kedro.pipelines.evaluation.reporting_nodes import (
    draw_example_maps,
    draw_figures,
    fingerprint_data,
    write_card,
    write_report,
    write_summary,
)
from unichest_kedro.pipelines.evaluation.shared import trained_sources_of

from .conftest import MODELS, make_history, make_scores
from .looking import words_of
from .report_tables import (
    WHOLE,
    jpeg,
    make_calibration_bins,
    make_curves,
    make_data,
    make_example_maps,
    make_fingerprints,
    make_inspection,
    make_results,
    make_thresholds,
    png,
)

FINDINGS = ("cardiomegaly", "edema", "No Finding", "ILD")
SOURCES = ("mimic_cxr", "vindr_cxr")
FACTS = {"trained_on": ["mimic_cxr"], "training_films": {"mimic_cxr": 9}, "findings_asked": ["edema"], "seed": 1}
SMALL = {"backbone": "test_resnet", "reduction": 8, "image_size": 32, "width": 16, "layers": 1, "heads": 2}
QUICK = EvaluationSettings(device="cpu")


@pytest.fixture(scope="module")
def scores():
    """VinDr-CXR is a zero-shot source here."""
    return make_scores(trained_on=("mimic_cxr",))


@pytest.fixture(scope="module")
def results(scores):
    return make_results(scores)


@pytest.fixture(scope="module")
def model():
    embeddings = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    settings = ModelSettings.model_validate(SMALL | {"feedforward": 8, "experts": 2})
    return build_unichest(settings, FINDINGS, embeddings, 1, "", FACTS).eval()


class Store:
    """Films of noise, no two alike."""

    def row_of(self, ids):
        return [int(name.rsplit("_", 1)[1]) for name in ids]

    def __getitem__(self, row):
        return np.random.default_rng(row).integers(0, 255, (40, 30), dtype=np.uint8)


@pytest.fixture(scope="module")
def tables(results, model):
    """What report and card are given."""
    studies = pd.DataFrame({"split": ["train", "test"], "split_origin": "official"})
    nothing = pd.DataFrame(columns=["source", "image_id", "path", "stage", "reason"], dtype="str")
    made = {"example_maps": make_example_maps(SOURCES), "data_fingerprints": make_fingerprints(SOURCES)}
    for source in SOURCES:
        made[f"{source}_root"] = SourceFolder(source, Path("films"), phantom=False)
        made[f"{source}_studies"] = studies
        made |= {f"{source}_{stage}_quarantine": nothing for stage in ("ingestion", "imaging")}
    outcome = {"epochs": 3, "steps": 30, "best_epoch": 2, "best_auroc": 0.8, "stopped": "plateau", "seconds": 1.0}
    for stage in ("conquer", "continued", "unichest"):
        made |= {f"{stage}_outcome": outcome, f"{stage}_model": model}
    other = pd.DataFrame({"model": ["KAD", "KAD"], "fingerprint": "digest of the file"})
    return made | vars(results) | vars(make_inspection()) | vars(make_data(SOURCES)) | {"other_scores": other}


def test_report_lays_everything_out_on_one_page(tables):
    figure = png(message(new_figure(2, 2), "words"))
    text = words_of(
        write_report(QUICK, ReportSettings(), 1, ["vindr_cxr"], {"seed": 1}, **tables, forest_figure=figure)
    )
    # The model knows better than the settings what it was trained on.
    assert "MIMIC-CXR real trained on films train: official; test: official" in text
    assert "VinDr-CXR real zero-shot films" in text
    assert "KAD Scores from a file; not run here. – digest of the file" in text
    assert "Conquer + Divide Main network and gated experts" in text and "seed: 1" in text and "Python 3." in text


def test_the_page_keeps_to_the_limit_of_the_settings(tables):
    small = write_report(QUICK, ReportSettings(limit_mb=0.09), 1, [], {}, **tables)
    assert len(small) < 90_000 < len(write_report(QUICK, ReportSettings(), 1, [], {}, **tables))


def test_card_is_of_the_models_own_facts(tables, model):
    given = {name: table for name, table in tables.items() if name not in ("unichest_model", "model")}
    text = write_card(model, QUICK, ["vindr_cxr"], **given)
    assert "MIMIC-CXR: 9 training films" in text and "**Asked in training** (1): edema." in text
    assert "**Never asked in training** (3): cardiomegaly, No Finding, ILD." in text
    assert model.fingerprint() in text and "backbone test_resnet, 2 experts, 32 pixels" in text
    assert ModelCard(text).data.model_name


def test_examples_are_of_judged_test_films_and_their_maps_are_the_models(scores, model, project):
    seen = scores.assign(leaked=scores["image_id"].isin([f"vindr_cxr_{k:03d}" for k in range(20)]))
    early = seen.assign(split="val", image_id=seen["image_id"] + "_5")
    vocabulary = yaml.safe_load((project / "conf/base/vocabulary.yml").read_text())
    nothing = pd.DataFrame(columns=["image_id", "view", "split", "split_origin"])
    studies = {f"{source}_studies": nothing for source in SOURCES}
    benchmarks = Benchmarks.model_validate({source: {"title": source.upper(), "source": source} for source in SOURCES})
    whole = pd.concat([seen, early])
    by_model = [whole[whole["model"] == name] for name in MODELS]
    judged, *_ = judge_scores(*by_model, whole.iloc[:0], benchmarks, OtherModels({}), vocabulary, QUICK, **studies)
    kept, (figure, numbers) = draw_example_maps(
        model,
        by_model[-1],
        judged,
        make_thresholds(scores),
        make_results(scores).benchmark_table,
        QUICK,
        ReportSettings(examples_per_kind=2),
        HeatmapSettings(),
        7,
        **{f"{source}_images": Store() for source in SOURCES},
    )
    assert set(kept["kind"]) == set(KINDS) and set(kept["benchmark"]) == set(SOURCES)
    assert kept["image_id"].str.fullmatch(r".*_\d{3}").all()
    leaked = seen.loc[seen["leaked"], "image_id"]
    assert not kept["image_id"].isin(leaked).any()
    pd.testing.assert_frame_equal(numbers, kept[numbers.columns])
    assert len(figure.axes) == 2 * len(KINDS)
    # One map, made the slow way: the film alone, all findings of its source asked together.
    one = kept[kept["benchmark"] == "mimic_cxr"].iloc[-1]
    asked = ["cardiomegaly", "edema", "No Finding"]
    film = Store()[int(one["image_id"][-3:])]
    square = torch.from_numpy(np.array(Image.fromarray(film).resize((32, 32), Image.BICUBIC)))
    heat = attention_maps(model, square[None, None], asked)[0, asked.index(one["finding"])].numpy()
    assert kept["film"].iloc[-1][:2] == b"\xff\xd8" and one["film"] == example_picture(film)
    expected, drawn = (
        np.asarray(Image.open(io.BytesIO(p))).astype(int) for p in (jpeg(overlay(film, heat)), one["heat"])
    )
    assert np.abs(expected - drawn).mean() < 12


def test_without_examples_wanted_there_are_none(scores, model):
    final = scores[scores["model"] == WHOLE]
    kept, (_, numbers) = draw_example_maps(
        model,
        final,
        final.assign(benchmark=final["source"]),
        make_thresholds(scores),
        make_results(scores).benchmark_table,
        QUICK,
        ReportSettings(examples_per_kind=0),
        HeatmapSettings(),
        7,
    )
    assert kept.empty and numbers.empty and {"film", "heat"} <= set(kept.columns)


def test_every_figure_comes_with_its_numbers(scores, results):
    history = make_history()
    drawings = draw_figures(
        results.headline,
        results.metrics,
        results.measures,
        make_curves(scores),
        make_calibration_bins(scores),
        results.benchmark_table,
        history,
        history,
        history,
    )
    (node,) = [node for node in create_reporting_pipeline(SOURCES).nodes if node.name == "draw_figures"]
    assert len(drawings) == len(node.outputs) and all(len(numbers) for _, numbers in drawings)


def test_fingerprints_are_of_every_source():
    table = pd.DataFrame({"source": ["a", "a", "b"], "image_id": ["1", "2", "1"]})
    other = {f"{source}_{kind}": table for source in "ab" for kind in ("studies", "labels")}
    rows = fingerprint_data(table, **other)
    assert rows.groupby("source")["table"].agg(list).to_dict() == {
        source: ["studies", "labels", "examples"] for source in "ab"
    }
    assert rows.loc[rows["table"] == "examples", "rows"].tolist() == [2, 1]


def test_summary_says_what_was_left_out(results):
    films = results.test_films.assign(leaked=[0, 4])
    roots = {"mimic_cxr_root": SourceFolder("mimic_cxr", Path("x"), phantom=True)}
    lines = write_summary(results.headline, results.benchmark_table, films, QUICK, **roots).splitlines()
    assert lines[-2] == "4 of 80 test films are also among the films trained on (VinDr-CXR 4): left out."
    assert lines[-1].startswith("Phantom films") and "MIMIC_CXR" in lines[0]
    keep = EvaluationSettings(leave_out_leaked=False)
    assert "NOT left out" in write_summary(results.headline, results.benchmark_table, films, keep)


def test_a_model_says_itself_what_it_was_trained_on():
    active = {"mimic_cxr": None, "open_i": None}
    told = SimpleNamespace(facts={"trained_on": ["open_i"]})
    assert trained_sources_of(told, ["mimic_cxr"], active) == ("open_i",)
    assert trained_sources_of(SimpleNamespace(facts={}), ["mimic_cxr", "chexpert"], active) == ("mimic_cxr",)
    assert trained_sources_of(SimpleNamespace(facts={"trained_on": []}), ["mimic_cxr"], active) == ()


def test_scorers_know_the_leaked_films_report_and_card_the_same_tables():
    nodes = {node.name: set(node.inputs) for node in create_pipeline(("open_i", "mine")).nodes}
    for stage in ("conquer", "continued", "unichest"):
        assert {"leaked_films", "params:train_on"} <= nodes[f"score_{stage}"]
    shown = {"leakage_pairs", "leakage_summary", "leakage_figure", "contradictions", "teachers", "example_maps"}
    assert shown <= nodes["write_report"] and "test_films" in nodes["write_summary"]
    assert {"unichest_model", "measures", "localisation", "calibration_table"} <= nodes["write_card"]


def test_everything_that_is_reported_can_be_looked_at_in_kedro_viz(project):
    """Each CSV and Parquet table has rows for its preview, each entry a layer."""
    catalogs = [
        yaml.safe_load((project / f"conf/base/catalog_{name}.yml").read_text()) for name in ("reporting", "inspection")
    ]
    for name, entry in {key: value for catalog in catalogs for key, value in catalog.items()}.items():
        viz = entry["metadata"]["kedro-viz"]
        assert viz["layer"] in ("reporting", "models", "model_output"), name
        if entry["type"].startswith("pandas.") and viz.get("preview", True):
            assert viz["preview_args"]["nrows"] > 0, name
