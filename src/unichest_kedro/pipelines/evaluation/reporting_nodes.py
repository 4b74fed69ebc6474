"""Nodes that show: figures, example films, summary, report and model card."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
import yaml
from pydantic import BaseModel

from unichest_kedro.evaluation.asking import asked_in
from unichest_kedro.evaluation.calibration_figure import calibration_figure
from unichest_kedro.evaluation.card import CardContent, render_card
from unichest_kedro.evaluation.curve_figures import precision_recall_figure, roc_figure
from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.evaluation.example_figure import example_figure
from unichest_kedro.evaluation.examples import pick_examples, with_pictures
from unichest_kedro.evaluation.finding_figure import finding_figure
from unichest_kedro.evaluation.forest_figure import forest_figure
from unichest_kedro.evaluation.heatmaps import HeatmapSettings, look_with
from unichest_kedro.evaluation.provenance import fingerprints, versions
from unichest_kedro.evaluation.report import CAPTIONS, ReportContent, Run, render_report
from unichest_kedro.evaluation.report_data import Data
from unichest_kedro.evaluation.report_inspection import Inspection
from unichest_kedro.evaluation.report_results import Results
from unichest_kedro.evaluation.settings import EvaluationSettings, ReportSettings
from unichest_kedro.evaluation.subgroup_figure import subgroup_figure
from unichest_kedro.evaluation.summary import leaked_in_words, not_judged_in_words, summary_text
from unichest_kedro.evaluation.training_figure import training_figure
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.models.device import pick_device
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.pipelines.evaluation.shared import DESCRIPTIONS, MODELS, quarantine_of, trained_sources_of
from unichest_kedro.pipelines.per_source import by_source

T = TypeVar("T")

FINAL = MODELS["unichest"]
"""The model that report and card are about."""

FROM_FILE = "Scores from a file; not run here."


def draw_figures(
    headline: pd.DataFrame,
    metrics: pd.DataFrame,
    measures: pd.DataFrame,
    curves: pd.DataFrame,
    calibration_bins: pd.DataFrame,
    benchmark_table: pd.DataFrame,
    conquer_history: pd.DataFrame,
    continued_history: pd.DataFrame,
    divide_history: pd.DataFrame,
) -> tuple[Drawing, ...]:
    """Draw forest plot, AUROC by finding, ROC and precision-recall curves, reliability, subgroups, training curves."""
    titles = dict(zip(benchmark_table["benchmark"], benchmark_table["title"]))
    histories = dict(zip(MODELS.values(), (conquer_history, continued_history, divide_history)))
    return (
        forest_figure(headline, titles),
        finding_figure(metrics, benchmark_table, FINAL),
        roc_figure(curves, _macro(measures, "auroc"), benchmark_table),
        precision_recall_figure(curves, _macro(measures, "average_precision"), benchmark_table),
        calibration_figure(calibration_bins, benchmark_table),
        subgroup_figure(measures, benchmark_table, FINAL),
        training_figure(histories),
    )


def draw_example_maps(
    model: UniChest,
    scores: pd.DataFrame,
    judged_scores: pd.DataFrame,
    thresholds: pd.DataFrame,
    benchmark_table: pd.DataFrame,
    evaluation: EvaluationSettings,
    settings: ReportSettings,
    heatmaps: HeatmapSettings,
    seed: int,
    **tables: Any,
) -> tuple[pd.DataFrame, Drawing]:
    """Draw right and wrong answers of each benchmark at random, and the heat maps of what they were asked.

    Returns:
        `examples.with_pictures`; the first example of each kind as a figure.
    """
    stores = by_source(tables, "images")
    final = judged_scores[judged_scores["model"] == FINAL]
    examples = pick_examples(final, thresholds, per_kind=settings.examples_per_kind, seed=seed)
    films = [_film(stores[source], image_id) for source, image_id in zip(examples["source"], examples["image_id"])]
    heats = _heats(model.to(pick_device(evaluation.device)), heatmaps, examples, films, asked_in(scores))
    titles = dict(zip(benchmark_table["benchmark"], benchmark_table["title"]))
    kept = with_pictures(examples, films, heats)
    return kept, example_figure(kept, titles)


def fingerprint_data(examples: pd.DataFrame, **tables: pd.DataFrame) -> pd.DataFrame:
    """Count the rows of each source's studies, labels and examples, and note a digest of each table."""
    of_source = {str(source): part for source, part in examples.groupby("source", sort=False)}
    return fingerprints(
        {"studies": by_source(tables, "studies"), "labels": by_source(tables, "labels"), "examples": of_source}
    )


def write_summary(
    headline: pd.DataFrame,
    benchmark_table: pd.DataFrame,
    test_films: pd.DataFrame,
    settings: EvaluationSettings,
    **roots: Any,
) -> str:
    """Write the short tables that a run ends with: AUROC per benchmark for each model, and what was left out."""
    phantom = any(folder.phantom for folder in by_source(roots, "root").values())
    note = "Phantom films: these numbers say nothing about real patients." if phantom else ""
    titles = dict(zip(benchmark_table["benchmark"], benchmark_table["title"]))
    leaked = leaked_in_words(test_films, settings.leave_out_leaked)
    return summary_text(headline, titles, not_judged_in_words(benchmark_table), leaked, note)


def write_report(
    settings: EvaluationSettings,
    report_settings: ReportSettings,
    seed: int,
    train_on: Sequence[str],
    parameters: dict[str, Any],
    **tables: Any,
) -> str:
    """Write the self-contained HTML report."""
    outcomes = [tables[f"{stage}_outcome"] for stage in MODELS]
    figures = by_source(tables, "figure")
    run = Run(
        title="UniChest on chest X-rays from several sources",
        created=_now(),
        stages=pd.DataFrame([{"stage": MODELS[stage], **outcome} for stage, outcome in zip(MODELS, outcomes)]),
        models=_describe_models(tables),
        settings=yaml.safe_dump(_plain(parameters), sort_keys=True, allow_unicode=True),
        versions=versions(),
        seed=seed,
        seconds=sum(outcome["seconds"] for outcome in outcomes),
    )
    content = ReportContent(
        run=run,
        data=_fill(Data, tables, sources=_describe_sources(tables, train_on), quarantine=quarantine_of(tables)),
        results=_fill(Results, tables, model=FINAL, leave_out_leaked=settings.leave_out_leaked),
        inspection=_fill(Inspection, tables),
        figures={name: figures[name] for name in CAPTIONS if name in figures},
        examples=tables["example_maps"],
    )
    return render_report(content, limit=round(report_settings.limit_mb * 1e6))


def write_card(model: UniChest, settings: EvaluationSettings, train_on: Sequence[str], **tables: Any) -> str:
    """Write the model card from the tables that the report shows."""
    tables = tables | {"unichest_model": model}
    return render_card(
        CardContent(
            facts=model.facts,
            findings=model.findings,
            shape=model.settings.model_dump(),
            parameters=_size(model),
            fingerprint=model.fingerprint(),
            sources=_describe_sources(tables, train_on),
            teachers=tables["teachers"],
            results=_fill(Results, tables, model=FINAL, leave_out_leaked=settings.leave_out_leaked),
            inspection=_fill(Inspection, tables),
            data_fingerprints=tables["data_fingerprints"],
            versions=versions(),
            created=_now(),
        )
    )


def _macro(measures: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The mean of a measure over the findings of each benchmark, all films: `model, benchmark, value`."""
    chosen = (measures["measure"] == measure) & (measures["finding"] == "mean") & (measures["group_kind"] == "all")
    return measures.loc[chosen, ["model", "benchmark", "value"]]


def _film(store: Any, image_id: str) -> np.ndarray:
    return store[int(store.row_of([image_id])[0])]


def _heats(
    model: UniChest,
    settings: HeatmapSettings,
    examples: pd.DataFrame,
    films: Sequence[np.ndarray],
    asked: dict[str, dict[str, str]],
) -> list[np.ndarray]:
    """The heat map of each example, its finding asked in the words and company in which its score was."""
    heats: list[np.ndarray] = [np.zeros((1, 1))] * len(examples)
    look, size, device = look_with(model, settings), model.settings.image_size, model.logit_scale.device
    for source, part in examples.groupby("source", sort=False):
        words = asked[str(source)]
        place = {finding: k for k, finding in enumerate(words)}
        images = torch.from_numpy(np.stack([resize_square(films[row], size) for row in part.index]))
        maps = look(images[:, None].to(device), list(words.values())).cpu().numpy()
        for number, (row, finding) in enumerate(zip(part.index, part["finding"])):
            heats[row] = maps[number, place[finding]]
    return heats


def _fill(kind: type[T], tables: dict[str, Any], **others: Any) -> T:
    """A bundle of tables: each field is the table of its name, or one of the others."""
    return kind(**{f.name: others[f.name] if f.name in others else tables[f.name] for f in fields(kind)})


def _describe_sources(tables: dict[str, Any], train_on: Sequence[str]) -> pd.DataFrame:
    """Each source with where its films come from, whether it was trained on and how its splits were made."""
    folders, studies = by_source(tables, "root"), by_source(tables, "studies")
    trained_on = trained_sources_of(tables["unichest_model"], train_on, folders)
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
        for source, folder in folders.items()
    ]
    return pd.DataFrame(rows)


def _describe_models(tables: dict[str, Any]) -> pd.DataFrame:
    """The models trained here, and those whose scores came from elsewhere."""
    trained = {stage: tables[f"{stage}_model"] for stage in MODELS}
    rows = [(MODELS[stage], DESCRIPTIONS[stage], _size(one), one.fingerprint()) for stage, one in trained.items()]
    others = tables["other_scores"].drop_duplicates("model")
    rows += [(name, FROM_FILE, np.nan, digest) for name, digest in zip(others["model"], others["fingerprint"])]
    return pd.DataFrame(rows, columns=["model", "description", "parameters", "fingerprint"])


def _size(model: UniChest) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _now() -> str:
    return f"{datetime.now().astimezone():%d %B %Y, %H:%M %Z}"


def _plain(value: Any) -> Any:
    """Return parameters as plain YAML values; validated ones arrive as Pydantic models."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
