"""Nodes of the ablations."""

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from unichest_kedro.ablations.figures import difference_figure
from unichest_kedro.ablations.measures import (
    GATE_COLUMNS,
    Results,
    difference_table,
    gate_table,
    mean_table,
    measure,
    own_sources,
    score_table,
)
from unichest_kedro.ablations.page import render_page
from unichest_kedro.ablations.plan import Shared, plan
from unichest_kedro.ablations.running import Bench, Films, read_results, run_parts
from unichest_kedro.ablations.settings import AblationSettings
from unichest_kedro.evaluation.settings import EvaluationSettings
from unichest_kedro.evaluation.style import source_title
from unichest_kedro.models.text_encoder import TextEncoder, TextEncoderSettings
from unichest_kedro.models.unichest import ModelSettings
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.pipelines.training_data import training_data
from unichest_kedro.schemas import UNKNOWN
from unichest_kedro.sources import trained_sources
from unichest_kedro.training.data import TrainingData
from unichest_kedro.training.settings import ConquerSettings, DivideSettings
from unichest_kedro.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def train_variants(
    examples: pd.DataFrame,
    text_embeddings: np.ndarray,
    prompt_embeddings: np.ndarray,
    vocabulary: dict[str, Any],
    leaked_films: pd.DataFrame,
    text_encoder: TextEncoder,
    text_cache: Path,
    text_settings: TextEncoderSettings,
    folder: Path,
    model_settings: ModelSettings,
    conquer_settings: ConquerSettings,
    divide_settings: DivideSettings,
    settings: AblationSettings,
    evaluation: EvaluationSettings,
    train_on: Sequence[str],
    **tables: Any,
) -> pd.DataFrame:
    """Train and score every variant with every seed; what an earlier run finished is not done again.

    Returns:
        `AblationRuns`; the scores lie in the folder.
    """
    words = Vocabulary.from_mapping(vocabulary)
    stores, labels = by_source(tables, "images"), by_source(tables, "labels")
    trained = trained_sources(train_on, labels)

    @cache
    def data_of(sources: tuple[str, ...]) -> TrainingData:
        return training_data(examples, text_embeddings, words, 0, sources, tables)[0]

    asked = {
        source: [finding for finding in words.annotated(source) if (table[finding] != UNKNOWN).any()]
        for source, table in labels.items()
    }
    asked = {source: findings for source, findings in asked.items() if findings}
    films = Films(
        examples[examples["source"].isin(list(asked))],
        stores,
        labels,
        asked,
        leaked_films,
        evaluation.batch_size,
        evaluation.device,
    )
    named = None
    if any(variant.source_prompts for variant in settings.wanted()):
        named = {
            source: text_encoder.embed(_prompts(settings.prompt, words, source), text_cache, text_settings)
            for source in trained
        }
    parts = plan(settings, Shared(model_settings, conquer_settings, divide_settings), trained)
    return run_parts(parts, Bench(data_of, tuple(trained), words.findings, prompt_embeddings, named, films), folder)


def measure_variants(
    runs: pd.DataFrame, folder: Path, settings: AblationSettings, train_on: Sequence[str], **tables: Any
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Measure every model on its test films, and every variant against its controls.

    Returns:
        `AblationScores`, `AblationTable`, `AblationDifferences` and `AblationGates`.
    """
    trained = trained_sources(train_on, by_source(tables, "labels"))
    results: Results = {}
    gates = []
    for run in runs.itertuples():
        scores, weights = read_results(folder, run.variant, run.seed)
        own = run.sources.split(", ")
        results[(run.variant, run.seed)] = measure(scores, own, settings.resamples, settings.bootstrap_seed)
        if run.uses_experts:
            gates.append(gate_table(run.variant, run.seed, weights, trained))
    for variant in settings.wanted():
        if variant.each_source:
            results |= own_sources(results, variant, trained, settings.seeds)
    titles = {variant.name: variant.title for variant in settings.variants} | dict(zip(runs["variant"], runs["title"]))
    table = mean_table(results, titles, trained)
    differences = difference_table(results, settings.wanted(), trained)
    none = pd.DataFrame(columns=GATE_COLUMNS).astype({"variant": "str"})
    of_gates = pd.concat(gates or [none], ignore_index=True)
    return score_table(results), table, differences, of_gates


def draw_differences(differences: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Draw every variant minus its controls, with 95 % intervals and the values of the seeds' spread."""
    return difference_figure(differences, table)


def write_page(
    table: pd.DataFrame,
    differences: pd.DataFrame,
    gates: pd.DataFrame,
    runs: pd.DataFrame,
    settings: AblationSettings,
    train_on: Sequence[str],
    **roots: Any,
) -> str:
    """Write the tables as one self-contained HTML page."""
    folders = by_source(roots, "root")
    phantom = any(folder.phantom for folder in folders.values())
    return render_page(table, differences, gates, runs, settings, trained_sources(train_on, folders), phantom)


def _prompts(prompt: str, words: Vocabulary, source: str) -> list[str]:
    """The words with which a source's films are asked for each finding."""
    return [prompt.format(finding=finding, source=source_title(source)) for finding in words.prompts.values()]
