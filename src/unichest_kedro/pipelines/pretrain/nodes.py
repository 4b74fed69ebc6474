"""Nodes of the pretrain stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unichest_kedro.evaluation.leaks import without_tested
from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest
from unichest_kedro.pipelines.seeding import seeded
from unichest_kedro.pipelines.training_data import training_data
from unichest_kedro.training.loop import TrainingResult
from unichest_kedro.training.settings import ConquerSettings, DivideSettings, TrainerSettings
from unichest_kedro.training.stages import continue_conquer, train_conquer, train_divide
from unichest_kedro.vocabulary import Vocabulary

Trained = tuple[UniChest, pd.DataFrame, dict[str, Any]]


def conquer(
    examples: pd.DataFrame,
    text_embeddings: np.ndarray,
    prompt_embeddings: np.ndarray,
    leakage_pairs: pd.DataFrame,
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
    data, facts = training_data(without_tested(examples, leakage_pairs), text_embeddings, words, seed, train_on, tables)
    model = build_unichest(model_settings, words.findings, prompt_embeddings, seed, words.to_yaml(), facts)
    return _laid_out(train_conquer(model, data, seeded(settings, seed), checkpoints, log_folder, trainer=trainer))


def divide(
    model: UniChest,
    examples: pd.DataFrame,
    text_embeddings: np.ndarray,
    leakage_pairs: pd.DataFrame,
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
    data, model.facts = training_data(
        without_tested(examples, leakage_pairs), text_embeddings, words, seed, train_on, tables
    )
    return _laid_out(train_divide(model, data, seeded(settings, seed), checkpoints, log_folder, trainer=trainer))


def continue_conquering(
    model: UniChest,
    examples: pd.DataFrame,
    text_embeddings: np.ndarray,
    leakage_pairs: pd.DataFrame,
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
    data, model.facts = training_data(
        without_tested(examples, leakage_pairs), text_embeddings, words, seed, train_on, tables
    )
    settings = seeded(conquer_settings, seed)
    epochs = divided["epochs"]
    return _laid_out(
        continue_conquer(model, data, settings, divide_settings, checkpoints, log_folder, epochs, trainer=trainer)
    )


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
