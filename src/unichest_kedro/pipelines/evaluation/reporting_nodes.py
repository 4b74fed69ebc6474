"""Nodes that show: figures, films, summary and report."""

from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from pydantic import BaseModel

from unichest_kedro.evaluation.figures import (
    auroc_figure,
    films_figure,
    gate_figure,
    roc_figure,
    training_figure,
)
from unichest_kedro.evaluation.films import Film, pick_films
from unichest_kedro.evaluation.leaks import judged
from unichest_kedro.evaluation.report import ReportContent, leaked_in_words, render_report, summary_text
from unichest_kedro.evaluation.settings import EvaluationSettings
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.pipelines.evaluation.shared import DESCRIPTIONS, MODELS, quarantine_of, trained_sources_of
from unichest_kedro.pipelines.per_source import by_source

SHOWN_VERSIONS = (
    "unichest_kedro",
    "kedro",
    "torch",
    "timm",
    "transformers",
    "datasets",
    "pandas",
    "scikit-learn",
)


def draw_figures(
    conquer: pd.DataFrame,
    continued: pd.DataFrame,
    unichest: pd.DataFrame,
    metrics: pd.DataFrame,
    gates: pd.DataFrame,
    conquer_history: pd.DataFrame,
    continued_history: pd.DataFrame,
    divide_history: pd.DataFrame,
    settings: EvaluationSettings,
) -> tuple[Figure, Figure, Figure, Figure]:
    """Draw ROC curves, AUROC per finding, gate weights by source, and the training curves."""
    histories = dict(zip(MODELS.values(), (conquer_history, continued_history, divide_history)))
    scores = judged(pd.concat([conquer, continued, unichest], ignore_index=True), settings.leave_out_leaked)
    return roc_figure(scores), auroc_figure(metrics), gate_figure(gates), training_figure(histories)


def draw_films(scores: pd.DataFrame, settings: EvaluationSettings, seed: int, **stores: Any) -> Figure:
    """Draw a page of example test films with their labels and the model's highest answers."""
    return films_figure(_films(scores, settings, seed, stores))


def write_summary(headline: pd.DataFrame, test_films: pd.DataFrame, settings: EvaluationSettings, **roots: Any) -> str:
    """Write the short tables that a run ends with: AUROC per source for each model, and what was left out."""
    phantom = any(folder.phantom for folder in by_source(roots, "root").values())
    note = "Phantom films: these numbers say nothing about real patients." if phantom else ""
    return summary_text(headline, leaked_in_words(test_films, settings.leave_out_leaked), note)


def write_report(
    metrics: pd.DataFrame,
    headline: pd.DataFrame,
    comparison: pd.DataFrame,
    accounting: pd.DataFrame,
    test_films: pd.DataFrame,
    coverage: pd.DataFrame,
    teachers: pd.DataFrame,
    contradictions: pd.DataFrame,
    leakage_summary: pd.DataFrame,
    leakage_pairs: pd.DataFrame,
    unichest_scores: pd.DataFrame,
    unichest_gates: pd.DataFrame,
    settings: EvaluationSettings,
    seed: int,
    train_on: Sequence[str],
    parameters: dict[str, Any],
    **tables: Any,
) -> str:
    """Write the self-contained HTML report: results, data accounts, figures, films, settings and versions."""
    trained_on = trained_sources_of(tables["unichest_model"], train_on, by_source(tables, "root"))
    outcomes = [tables[f"{stage}_outcome"] for stage in MODELS]
    figures = {name: png for name, png in by_source(tables, "figure").items() if name != "films"}
    content = ReportContent(
        title="UniChest on chest X-rays from several sources",
        created=f"{datetime.now().astimezone():%d %B %Y, %H:%M %Z}",
        sources=_describe_sources(tables, trained_on),
        macro=headline,
        differences={
            name: part.drop(columns="comparison") for name, part in comparison.groupby("comparison", sort=False)
        },
        metrics=metrics,
        gates=unichest_gates,
        accounting=accounting,
        quarantine=quarantine_of(tables),
        coverage=coverage,
        teachers=teachers,
        contradictions=contradictions,
        leakage_summary=leakage_summary,
        leakage_pairs=leakage_pairs,
        test_films=test_films,
        leave_out_leaked=settings.leave_out_leaked,
        stages=pd.DataFrame([{"stage": MODELS[stage], **outcome} for stage, outcome in zip(MODELS, outcomes)]),
        models=_describe_models({stage: tables[f"{stage}_model"] for stage in MODELS}),
        figures=figures,
        films=_films(unichest_scores, settings, seed, tables),
        settings=yaml.safe_dump(_plain(parameters), sort_keys=True, allow_unicode=True),
        versions={name: version(name) for name in SHOWN_VERSIONS},
        seed=seed,
        seconds=sum(outcome["seconds"] for outcome in outcomes),
    )
    return render_report(content)


def _films(scores: pd.DataFrame, settings: EvaluationSettings, seed: int, tables: dict[str, Any]) -> tuple[Film, ...]:
    stores = by_source(tables, "images")

    def read(source: str, image_id: str) -> np.ndarray:
        return stores[source][int(stores[source].row_of([image_id])[0])]

    shown = judged(scores, settings.leave_out_leaked)
    return pick_films(shown, read, per_source=settings.films_per_source, top=settings.top_findings, seed=seed)


def _describe_sources(tables: dict[str, Any], trained_on: Sequence[str]) -> pd.DataFrame:
    """Each source with where its films come from, whether it was trained on and how its splits were made."""
    studies = by_source(tables, "studies")
    rows = [
        {
            "source": source,
            "origin": "embedded phantoms" if folder.phantom else folder.root.name,
            "phantom": folder.phantom,
            "trained_on": source in trained_on,
            "splits": "; ".join(
                f"{split}: {', '.join(part.unique())}"
                for split, part in studies[source].groupby("split", sort=False)["split_origin"]
            ),
        }
        for source, folder in by_source(tables, "root").items()
    ]
    return pd.DataFrame(rows)


def _describe_models(models: dict[str, UniChest]) -> pd.DataFrame:
    rows = [
        {
            "model": MODELS[stage],
            "description": DESCRIPTIONS[stage],
            "parameters": sum(p.numel() for p in model.parameters()),
            "fingerprint": model.fingerprint(),
        }
        for stage, model in models.items()
    ]
    return pd.DataFrame(rows)


def _plain(value: Any) -> Any:
    """Return parameters as plain YAML values; validated ones arrive as Pydantic models."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
