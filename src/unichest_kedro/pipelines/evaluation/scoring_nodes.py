"""Nodes that ask the models about films."""

import logging
from collections.abc import Sequence
from typing import Any

import pandas as pd

from unichest_kedro.evaluation.scoring import score
from unichest_kedro.evaluation.settings import EvaluationSettings
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.models.device import pick_device
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.pipelines.evaluation.shared import MODELS, trained_sources_of
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.schemas import UNKNOWN
from unichest_kedro.training.examples import check_rows
from unichest_kedro.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


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
        trained_on=trained_sources_of(model, train_on, labels),
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
