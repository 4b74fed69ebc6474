"""Nodes of the pretrain stage."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.pipelines.seeding import seeded
from unichest_kedro.training.data import TrainingData
from unichest_kedro.training.examples import check_rows
from unichest_kedro.training.loop import TrainingResult
from unichest_kedro.training.settings import ConquerSettings, DivideSettings
from unichest_kedro.training.stages import continue_conquer, train_conquer, train_divide
from unichest_kedro.vocabulary import Vocabulary

Trained = tuple[UniChest, pd.DataFrame, dict[str, Any]]


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
    **tables: Any,
) -> Trained:
    """Train image encoder and main query network on all sources together, until validation AUROC stops rising.

    Returns:
        The model with the weights of its best epoch; one row per epoch; how the stage ended.
    """
    words = Vocabulary.from_mapping(vocabulary)
    data = _training_data(examples, text_embeddings, words, tables)
    model = build_unichest(
        model_settings, words.findings, prompt_embeddings, seed, words.to_yaml(), _facts(data, tables, seed)
    )
    return _laid_out(train_conquer(model, data, seeded(settings, seed), checkpoints, log_folder))


def divide(
    model: UniChest,
    examples: pd.DataFrame,
    text_embeddings: np.ndarray,
    vocabulary: dict[str, Any],
    checkpoints: Path,
    log_folder: Path,
    settings: DivideSettings,
    seed: int,
    **tables: Any,
) -> Trained:
    """Train main network, experts and gate on top of Conquer, with the image encoder frozen.

    Returns:
        The model with the weights of its best epoch; one row per epoch; how the stage ended.
    """
    data = _training_data(examples, text_embeddings, Vocabulary.from_mapping(vocabulary), tables)
    model.facts = _facts(data, tables, seed)
    return _laid_out(train_divide(model, data, seeded(settings, seed), checkpoints, log_folder))


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
    divided: dict[str, Any],
    **tables: Any,
) -> Trained:
    """Train Conquer on for as many epochs as Divide took: what Divide has to be compared with.

    Returns:
        The model with the weights of its best epoch; one row per epoch; how the stage ended.
    """
    data = _training_data(examples, text_embeddings, Vocabulary.from_mapping(vocabulary), tables)
    model.facts = _facts(data, tables, seed)
    settings = seeded(conquer_settings, seed)
    epochs = divided["epochs"]
    return _laid_out(continue_conquer(model, data, settings, divide_settings, checkpoints, log_folder, epochs))


def _training_data(
    examples: pd.DataFrame, text_embeddings: np.ndarray, words: Vocabulary, tables: dict[str, Any]
) -> TrainingData:
    stores, labels = by_source(tables, "images"), by_source(tables, "labels")
    check_rows(examples, stores, labels)
    return TrainingData(
        examples=examples,
        stores=stores,
        labels={source: table[list(words.findings)].to_numpy(np.int8) for source, table in labels.items()},
        findings=words.findings,
        text_embeddings=text_embeddings,
        findings_by_source={source: words.annotated(source) for source in labels},
    )


def _facts(data: TrainingData, tables: dict[str, Any], seed: int) -> dict[str, str]:
    """Return what the model card says of the training data, phantoms called phantoms."""
    counts = data.examples.query("split == 'train'")["source"].value_counts()
    kinds = {source: "phantoms of " if folder.phantom else "" for source, folder in by_source(tables, "root").items()}
    trained_on = ", ".join(f"{kinds[source]}{source} ({counts.get(source, 0):,} films)" for source in data.sources)
    return {"Trained on": trained_on, "Findings asked in training": ", ".join(data.asked), "Seed": str(seed)}


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
