import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.accounting import FATES
from unichest_kedro.evaluation.settings import EvaluationSettings
from unichest_kedro.pipelines.evaluation import create_pipeline
from unichest_kedro.pipelines.evaluation.measuring_nodes import compute_metrics
from unichest_kedro.pipelines.evaluation.reporting_nodes import draw_figures, write_report, write_summary
from unichest_kedro.pipelines.evaluation.scoring_nodes import _asked
from unichest_kedro.pipelines.evaluation.shared import trained_sources_of
from unichest_kedro.schemas import Metrics

from .conftest import (
    MODELS,
    make_contradictions,
    make_coverage,
    make_gates,
    make_history,
    make_leakage_pairs,
    make_leakage_summary,
    make_scores,
    make_teachers,
)

QUICK = EvaluationSettings(resamples=10)
KEEP = EvaluationSettings(resamples=10, leave_out_leaked=False)


@pytest.fixture
def by_model():
    """Scores of the three models; four films of VinDr-CXR, a zero-shot source here, were trained on."""
    scores = make_scores(trained_on=("mimic_cxr",))
    scores["leaked"] = scores["image_id"].isin([f"vindr_cxr_00{k}" for k in range(4)])
    return [scores[scores["model"] == model].reset_index(drop=True) for model in MODELS]


def test_leaked_films_count_in_no_metric_unless_asked_for(by_model):
    metrics, headline, comparison, films = compute_metrics(*by_model, QUICK, 1)
    Metrics.validate(metrics)
    assert films.to_numpy().tolist() == [["mimic_cxr", True, 40, 0], ["vindr_cxr", False, 40, 4]]
    clean = [part[~part["leaked"]] for part in by_model]
    pd.testing.assert_frame_equal(metrics, compute_metrics(*clean, QUICK, 1)[0])
    kept, *_, same = compute_metrics(*by_model, KEEP, 1)
    assert kept["positive"].sum() > metrics["positive"].sum()
    pd.testing.assert_frame_equal(films, same)
    assert set(headline["source"]) == {"mimic_cxr", "mean", "vindr_cxr", "mean_zero_shot"}
    assert set(comparison["source"]) == set(headline["source"])


def test_a_source_of_leaked_films_only_is_left_out_and_counted(by_model):
    for part in by_model:
        part["leaked"] = part["source"] == "vindr_cxr"
    metrics, headline, _, films = compute_metrics(*by_model, QUICK, 1)
    assert set(metrics["source"]) == {"mimic_cxr"} and set(headline["source"]) == {"mimic_cxr", "mean"}
    assert films.set_index("source")["leaked"].to_dict() == {"mimic_cxr": 0, "vindr_cxr": 40}


def test_nothing_but_leaked_films_is_an_error(by_model):
    with pytest.raises(UniChestError, match="nothing is left to judge the model by"):
        compute_metrics(*[part.assign(leaked=True) for part in by_model], QUICK, 1)


def test_summary_says_what_was_left_out(by_model):
    _, headline, _, films = compute_metrics(*by_model, QUICK, 1)
    roots = {"mimic_cxr_root": SourceFolder("mimic_cxr", Path("x"), phantom=True)}
    lines = write_summary(headline, films, QUICK, **roots).splitlines()
    assert lines[-2] == "4 of 80 test films are also among the films trained on (VinDr-CXR 4): left out."
    assert lines[-1].startswith("Phantom films")
    assert "NOT left out" in write_summary(headline, films, KEEP)


def test_a_model_says_itself_what_it_was_trained_on():
    active = {"mimic_cxr": None, "open_i": None}
    told = SimpleNamespace(facts={"trained_on": ["open_i"]})
    assert trained_sources_of(told, ["mimic_cxr"], active) == ("open_i",)
    assert trained_sources_of(SimpleNamespace(facts={}), ["mimic_cxr", "chexpert"], active) == ("mimic_cxr",)
    assert trained_sources_of(SimpleNamespace(facts={"trained_on": []}), ["mimic_cxr"], active) == ()


def test_only_findings_with_a_known_label_are_asked(caplog):
    words = SimpleNamespace(annotated=lambda source: ("edema", "scar", "mass"))
    labels = {
        "open_i": pd.DataFrame({"edema": [1, -1], "scar": [-1, -1], "mass": [0, -1]}),
        "padchest": pd.DataFrame({"edema": [-1], "scar": [-1], "mass": [-1]}),
    }
    with caplog.at_level(logging.WARNING):
        assert _asked(words, labels) == {"open_i": ["edema", "mass"]}
    assert "padchest is not scored: not one of its films has a known label" in caplog.text


def test_the_switch_is_a_switch():
    assert EvaluationSettings().leave_out_leaked
    with pytest.raises(ValidationError, match="leave_out_leaked"):
        EvaluationSettings(leave_out_leaked="perhaps")


def test_every_scorer_knows_the_leaked_films_and_the_report_the_audit():
    nodes = {node.name: set(node.inputs) for node in create_pipeline(("open_i", "mine")).nodes}
    for stage in ("conquer", "continued", "unichest"):
        assert {"leaked_films", "params:train_on"} <= nodes[f"score_{stage}"]
    assert {"leakage_pairs", "leakage_summary", "leakage_figure", "contradictions", "teachers"} <= nodes["write_report"]
    assert "test_films" in nodes["write_summary"]


class Model(SimpleNamespace):
    """What the report asks of a model."""

    def parameters(self):
        return []

    def fingerprint(self):
        return "f1n9e2"


class Store:
    """A store of nothing but grey films."""

    def row_of(self, ids):
        return [0]

    def __getitem__(self, row):
        return np.full((8, 8), 128, np.uint8)


def test_report_node_lays_everything_out_on_one_page(by_model):
    metrics, headline, comparison, test_films = compute_metrics(*by_model, QUICK, 1)
    sources = ("mimic_cxr", "vindr_cxr")
    tables = {}
    for source in sources:
        studies = pd.DataFrame({"split": ["train", "test"], "split_origin": "official"})
        tables |= {f"{source}_root": SourceFolder(source, Path("x"), phantom=False), f"{source}_images": Store()}
        tables |= {f"{source}_studies": studies}
        nothing = pd.DataFrame(columns=["source", "image_id", "path", "stage", "reason"], dtype="str")
        tables |= {f"{source}_ingestion_quarantine": nothing, f"{source}_imaging_quarantine": nothing}
    outcome = {"epochs": 3, "steps": 30, "best_epoch": 2, "best_auroc": 0.8, "stopped": "plateau", "seconds": 1.0}
    for stage in ("conquer", "continued", "unichest"):
        tables |= {f"{stage}_outcome": outcome, f"{stage}_model": Model(facts={"trained_on": ["mimic_cxr"]})}
    accounting = pd.DataFrame([(source, *[1] * 9) for source in sources], columns=["source", "listed", *FATES])
    html = write_report(
        metrics,
        headline,
        comparison,
        accounting,
        test_films,
        make_coverage(),
        make_teachers(),
        make_contradictions(),
        make_leakage_summary(),
        make_leakage_pairs(),
        by_model[-1],
        make_gates(),
        QUICK,
        seed=1,
        train_on=["vindr_cxr"],
        parameters={"seed": 1},
        **tables,
    )
    assert "4 of 80 test films are also among the films trained on (VinDr-CXR 4): left out." in html
    assert "vindr_cxr_001" not in html.split('id="films"')[1]
    # The model knows better than the settings what it was trained on.
    assert html.index("Sources trained on") < html.index(">MIMIC-CXR<") < html.index("Zero-shot sources")


def test_figures_are_drawn_of_judged_films(by_model):
    history = make_history()
    histories = [history, history, history]
    metrics = compute_metrics(*by_model, QUICK, 1)[0]
    roc, *_ = draw_figures(*by_model, metrics, make_gates(), *histories, QUICK)
    kept, *_ = draw_figures(*by_model, metrics, make_gates(), *histories, KEEP)
    lines = [figure.axes[1].lines[-2].get_ydata() for figure in (roc, kept)]
    assert not np.array_equal(*lines)
