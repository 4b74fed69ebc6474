"""Nodes of the evaluation stage."""

import logging
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from pydantic import BaseModel

from unichest_kedro.evaluation.accounting import account
from unichest_kedro.evaluation.figures import (
    auroc_figure,
    films_figure,
    gate_figure,
    roc_figure,
    training_figure,
)
from unichest_kedro.evaluation.films import Film, pick_films
from unichest_kedro.evaluation.leaks import count_test_films, judged
from unichest_kedro.evaluation.metrics import auroc_table, difference_table, macro_samples, macro_table
from unichest_kedro.evaluation.report import ReportContent, leaked_in_words, render_report, summary_text
from unichest_kedro.evaluation.scoring import score
from unichest_kedro.evaluation.settings import EvaluationSettings
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.imaging.store import ImagingSettings
from unichest_kedro.models.device import pick_device
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.schemas import UNKNOWN
from unichest_kedro.sources import trained_sources
from unichest_kedro.training.examples import check_rows
from unichest_kedro.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

MODELS = {"conquer": "Conquer", "continued": "Conquer continued", "unichest": "Conquer + Divide"}
"""Title of each model in tables and figures, in their order."""

DESCRIPTIONS = {
    "conquer": "One network on all sources together.",
    "continued": "Control: the same network trained on for as many steps as Divide takes.",
    "unichest": "Main network and gated experts; the image encoder stays frozen.",
}
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


def score_conquer(
    model: UniChest,
    examples: pd.DataFrame,
    vocabulary: dict[str, Any],
    leaked_films: pd.DataFrame,
    settings: EvaluationSettings,
    train_on: Sequence[str],
    **tables: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every test film of every source once with the Conquer model (schemas `Scores`, `Gates`)."""
    return _score(model, MODELS["conquer"], examples, vocabulary, leaked_films, settings, train_on, tables)


def score_continued(
    model: UniChest,
    examples: pd.DataFrame,
    vocabulary: dict[str, Any],
    leaked_films: pd.DataFrame,
    settings: EvaluationSettings,
    train_on: Sequence[str],
    **tables: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every test film of every source once with the control, Conquer continued for Divide's steps."""
    return _score(model, MODELS["continued"], examples, vocabulary, leaked_films, settings, train_on, tables)


def score_unichest(
    model: UniChest,
    examples: pd.DataFrame,
    vocabulary: dict[str, Any],
    leaked_films: pd.DataFrame,
    settings: EvaluationSettings,
    train_on: Sequence[str],
    **tables: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every test film of every source once with the whole model, Conquer + Divide."""
    return _score(model, MODELS["unichest"], examples, vocabulary, leaked_films, settings, train_on, tables)


def compute_metrics(
    conquer: pd.DataFrame,
    continued: pd.DataFrame,
    unichest: pd.DataFrame,
    settings: EvaluationSettings,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Compute AUROC per source and finding, macro means with intervals, and paired differences between models.

    Returns:
        `Metrics`; one row per model and source with its macro AUROC; one row per pair of models and source; one row
        per source with its test films and how many of them training has seen.
    """
    scores = judged(pd.concat([conquer, continued, unichest], ignore_index=True), settings.leave_out_leaked)
    metrics = auroc_table(scores)
    samples = macro_samples(scores, settings.resamples, seed)
    headline = macro_table(metrics, samples)
    return metrics, headline, _comparisons(headline, samples), count_test_films(unichest)


def count_listed_images(examples: pd.DataFrame, settings: ImagingSettings, **tables: pd.DataFrame) -> pd.DataFrame:
    """Account for every listed image: missing, rejected, unreadable, of another view, or used in a split."""
    studies = pd.concat(by_source(tables, "studies").values(), ignore_index=True)
    return account(studies, examples, _quarantine(tables), settings.views)


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
    outcomes = [tables[f"{stage}_outcome"] for stage in MODELS]
    figures = {name: png for name, png in by_source(tables, "figure").items() if name != "films"}
    content = ReportContent(
        title="UniChest on chest X-rays from several sources",
        created=f"{datetime.now().astimezone():%d %B %Y, %H:%M %Z}",
        sources=_describe_sources(tables, _trained_on(tables["unichest_model"], train_on, by_source(tables, "root"))),
        macro=headline,
        differences={
            name: part.drop(columns="comparison") for name, part in comparison.groupby("comparison", sort=False)
        },
        metrics=metrics,
        gates=unichest_gates,
        accounting=accounting,
        quarantine=_quarantine(tables),
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


def _score(
    model: UniChest,
    title: str,
    examples: pd.DataFrame,
    vocabulary: dict[str, Any],
    leaked_films: pd.DataFrame,
    settings: EvaluationSettings,
    train_on: Sequence[str],
    tables: dict[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    stores, labels = by_source(tables, "images"), by_source(tables, "labels")
    check_rows(examples, stores, labels)
    asked = _asked(Vocabulary.from_mapping(vocabulary), labels)
    return score(
        model.to(pick_device(settings.device)),
        title,
        examples[examples["source"].isin(list(asked))],
        stores=stores,
        labels=labels,
        findings_by_source=asked,
        trained_on=_trained_on(model, train_on, labels),
        leaked_films=leaked_films,
        image_size=model.settings.image_size,
        batch_size=settings.batch_size,
        resize=resize_square,
        workers=settings.num_workers,
    )


def _asked(words: Vocabulary, labels: dict[str, pd.DataFrame]) -> dict[str, list[str]]:
    """The findings that each source annotates and knows of at least one image; a source without any is named."""
    asked = {
        source: [finding for finding in words.annotated(source) if (table[finding] != UNKNOWN).any()]
        for source, table in labels.items()
    }
    for source in [source for source, findings in asked.items() if not findings]:
        logger.warning("%s is not scored: not one of its films has a known label.", source)
        del asked[source]
    return asked


def _trained_on(model: UniChest, train_on: Sequence[str], active: dict[str, Any]) -> tuple[str, ...]:
    """The sources that a model was trained on, as it says itself, or else those that the settings name."""
    told = model.facts.get("trained_on")
    return trained_sources(train_on, active) if told is None else tuple(told)


def _comparisons(headline: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Paired differences of the whole model against each control, with their intervals."""
    final = MODELS["unichest"]
    parts = [
        difference_table(headline, samples, final, other).assign(comparison=f"{final} minus {other}")
        for other in (MODELS["continued"], MODELS["conquer"])
    ]
    return pd.concat(parts, ignore_index=True)


def _quarantine(tables: dict[str, Any]) -> pd.DataFrame:
    """Everything that could not be used, of all sources and stages (schema `Quarantine`)."""
    parts = [t for name, t in tables.items() if name.endswith(("_ingestion_quarantine", "_imaging_quarantine"))]
    return pd.concat(parts, ignore_index=True)


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
