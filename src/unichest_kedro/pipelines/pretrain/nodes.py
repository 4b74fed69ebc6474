"""Nodes of the pretrain stage."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.pipelines.seeding import seeded
from unichest_kedro.sources import trained_sources
from unichest_kedro.training.data import TrainingData
from unichest_kedro.training.examples import check_rows, without_one_sided
from unichest_kedro.training.loop import TrainingResult
from unichest_kedro.training.settings import ConquerSettings, DivideSettings, TrainerSettings
from unichest_kedro.training.stages import continue_conquer, train_conquer, train_divide
from unichest_kedro.vocabulary import Vocabulary

Trained = tuple[UniChest, pd.DataFrame, dict[str, Any]]

logger = logging.getLogger(__name__)


def conquer(
    examples: pd.DataFrame,
    text_embeddings: np.ndarray,
    prompt_embeddings: np.ndarray,
    vocabulary: dict[str, Any],
    checkpoints: Path,
    log_folder: Path,
    model_settings: ModelSettings,
    settings: ConquerSettings,
    seed: int,
    train_on: Sequence[str],
    trainer: TrainerSettings,
    **tables: Any,
) -> Trained:
    """Train image encoder and main query network on all sources of `train_on`, until validation AUROC stops rising.

    Returns:
        The model with the weights of its best epoch; one row per epoch; how the stage ended.
    """
    words = Vocabulary.from_mapping(vocabulary)
    data, facts = _training_data(examples, text_embeddings, words, seed, train_on, tables)
    model = build_unichest(model_settings, words.findings, prompt_embeddings, seed, words.to_yaml(), facts)
    return _laid_out(train_conquer(model, data, seeded(settings, seed), checkpoints, log_folder, trainer=trainer))


def divide(
    model: UniChest,
    examples: pd.DataFrame,
    text_embeddings: np.ndarray,
    vocabulary: dict[str, Any],
    checkpoints: Path,
    log_folder: Path,
    settings: DivideSettings,
    seed: int,
    train_on: Sequence[str],
    trainer: TrainerSettings,
    **tables: Any,
) -> Trained:
    """Train main network, experts and gate on top of Conquer, with the image encoder frozen.

    Returns:
        The model with the weights of its best epoch; one row per epoch; how the stage ended.
    """
    words = Vocabulary.from_mapping(vocabulary)
    data, model.facts = _training_data(examples, text_embeddings, words, seed, train_on, tables)
    return _laid_out(train_divide(model, data, seeded(settings, seed), checkpoints, log_folder, trainer=trainer))


def continue_conquering(
    model: UniChest,
    examples: pd.DataFrame,
    text_embeddings: np.ndarray,
    vocabulary: dict[str, Any],
    checkpoints: Path,
    log_folder: Path,
    conquer_settings: ConquerSettings,
    divide_settings: DivideSettings,
    seed: int,
    train_on: Sequence[str],
    trainer: TrainerSettings,
    divided: dict[str, Any],
    **tables: Any,
) -> Trained:
    """Train Conquer on for as many epochs as Divide took: what Divide has to be compared with.

    Returns:
        The model with the weights of its best epoch; one row per epoch; how the stage ended.
    """
    words = Vocabulary.from_mapping(vocabulary)
    data, model.facts = _training_data(examples, text_embeddings, words, seed, train_on, tables)
    settings = seeded(conquer_settings, seed)
    epochs = divided["epochs"]
    return _laid_out(
        continue_conquer(model, data, settings, divide_settings, checkpoints, log_folder, epochs, trainer=trainer)
    )


def _training_data(
    examples: pd.DataFrame,
    text_embeddings: np.ndarray,
    words: Vocabulary,
    seed: int,
    train_on: Sequence[str],
    tables: dict[str, Any],
) -> tuple[TrainingData, dict[str, Any]]:
    """Put together what the sources of `train_on` have to teach, and what the model's facts say of it."""
    stores, labels = by_source(tables, "images"), by_source(tables, "labels")
    trained = trained_sources(train_on, labels)
    examples = examples[examples["source"].isin(trained)].reset_index(drop=True)
    check_rows(examples, stores, labels)
    values = {source: labels[source][list(words.findings)].to_numpy(np.int8) for source in trained}
    labelled = {source: words.annotated(source) for source in trained}
    values, one_sided = without_one_sided(examples, values, words.findings, labelled)
    for source, names in one_sided.items():
        logger.warning("Left out of training: %s knows in one way only: %s.", source, ", ".join(names))
    data = TrainingData(
        examples=examples,
        stores={source: stores[source] for source in trained},
        labels=values,
        findings=words.findings,
        text_embeddings=text_embeddings,
        findings_by_source=labelled,
    )
    for source in trained:
        if not len(data.rows("train", source)):
            logger.warning("train_on names %s, which has no training film: nothing is learnt from it.", source)
    return data, _facts(data, trained, one_sided, by_source(tables, "root"), seed)


def _facts(
    data: TrainingData,
    trained: Sequence[str],
    one_sided: dict[str, list[str]],
    folders: dict[str, SourceFolder],
    seed: int,
) -> dict[str, Any]:
    """Return what is known of the training data: in words for the model card, phantoms called phantoms, and as data."""
    films = {source: len(data.rows("train", source)) for source in trained}
    trained = [source for source in trained if films[source]]
    kinds = {source: "phantoms of " if folders[source].phantom else "" for source in trained}
    in_words = {
        "Trained on": ", ".join(f"{kinds[source]}{source} ({films[source]:,} films)" for source in trained),
        "Findings asked in training": ", ".join(data.asked),
        "Left out of training, known in one way only": "; ".join(
            f"{source}: {', '.join(names)}" for source, names in one_sided.items()
        ),
        "Seed": str(seed),
    }
    return {name: words for name, words in in_words.items() if words} | {
        "trained_on": list(trained),
        "training_films": films,
        "phantoms": [source for source in trained if folders[source].phantom],
        "findings_asked": list(data.asked),
        "stored_image_size": max((getattr(store, "image_size", 0) for store in data.stores.values()), default=0),
        "one_sided": one_sided,
        "seed": seed,
    }


def _laid_out(result: TrainingResult) -> Trained:
    """Lay a stage's result out as the three artefacts that are saved."""
    outcome = {
        "epochs": result.epochs,
        "steps": result.steps,
        "best_epoch": result.best_epoch,
        "best_auroc": result.best_auroc,
        "stopped": result.stopped,
        "seconds": round(float(result.history["seconds"].sum()), 1),
    }
    return result.model, result.history, outcome
