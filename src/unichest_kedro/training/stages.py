"""Conquer, Conquer continued, and Divide (docs/method.md, sections 1 to 3)."""

import copy
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from unichest_kedro.models.losses import asymmetric_loss, contrastive_loss, source_contrastive_loss
from unichest_kedro.models.unichest import UniChest, UniChestOutput
from unichest_kedro.schemas import UNKNOWN
from unichest_kedro.training.data import Batch, TrainingData
from unichest_kedro.training.loop import EpochCallback, TrainingResult, run_stage
from unichest_kedro.training.processes import ALONE, Processes
from unichest_kedro.training.ray_engine import run_workers
from unichest_kedro.training.settings import ConquerSettings, DivideSettings, TrainerSettings, TrainingSettings
from unichest_kedro.training.setup import Stage

LOCAL = TrainerSettings()

CONQUERED = ("image_encoder", "mixture.norm", "mixture.main", "logit_scale")
"""Parts that Conquer trains; gate and experts are neither run nor trained."""

DIVIDED = ("mixture.norm", "mixture.main", "mixture.experts", "mixture.gate", "mixture.gate_embedding")
"""Parts that Divide trains; the image encoder is frozen, its batch-norm statistics included."""


def train_conquer(
    model: UniChest,
    data: TrainingData,
    settings: ConquerSettings,
    folder: Path,
    log_folder: Path | None = None,
    on_epoch_end: EpochCallback | None = None,
    trainer: TrainerSettings = LOCAL,
) -> TrainingResult:
    """Trains image encoder and main network on all sources: classification and contrastive loss.

    Args:
        model: Starting weights; left as they are.
        data: What to train and validate on.
        settings: Of the stage.
        folder: Where the resumable state lies while the stage runs.
        log_folder: Where trackers write; None for no trackers.
        on_epoch_end: Called with the history's row after each epoch (of a local run).
        trainer: Where it runs.

    Raises:
        TrainingError: the loss is not finite, or the saved state belongs to another run.
        SettingsError: the settings cannot work on this machine or with this model.
    """
    stage = conquer_stage("conquer", settings)
    return _run(copy.deepcopy(model), data, stage, folder, log_folder, None, on_epoch_end, trainer)


def continue_conquer(
    model: UniChest,
    data: TrainingData,
    conquer: ConquerSettings,
    divide: DivideSettings,
    folder: Path,
    log_folder: Path | None = None,
    epochs: int | None = None,
    on_epoch_end: EpochCallback | None = None,
    trainer: TrainerSettings = LOCAL,
) -> TrainingResult:
    """Continues Conquer for Divide's steps with Divide's schedule: what Divide is to be judged against.

    Args:
        model: Best Conquer weights; left as they are.
        data: What to train and validate on.
        conquer: Loss, sampling and augmentation.
        divide: Epochs, batches and optimiser; its plateau is not used.
        folder: Where the resumable state lies while the stage runs.
        log_folder: Where trackers write; None for no trackers.
        epochs: Epochs that Divide ran, where its plateau cut it short; None for all of its epochs.
        on_epoch_end: Called with the history's row after each epoch (of a local run).
        trainer: Where it runs.

    Raises:
        TrainingError: the loss is not finite, or the saved state belongs to another run.
        SettingsError: the settings cannot work on this machine or with this model.
    """
    taken = ("epochs", "batch_size", "accumulation", "optimiser", "gradient_clip")
    settings = conquer.model_copy(update={name: getattr(divide, name) for name in taken} | {"plateau": None})
    stage = conquer_stage("conquer_continued", settings)
    return _run(copy.deepcopy(model), data, stage, folder, log_folder, epochs, on_epoch_end, trainer)


def train_divide(
    model: UniChest,
    data: TrainingData,
    settings: DivideSettings,
    folder: Path,
    log_folder: Path | None = None,
    on_epoch_end: EpochCallback | None = None,
    trainer: TrainerSettings = LOCAL,
) -> TrainingResult:
    """Trains main network, experts and gate, encoder frozen: classification and source-contrastive.

    Args:
        model: Best Conquer weights; left as they are.
        data: What to train and validate on.
        settings: Of the stage.
        folder: Where the resumable state lies while the stage runs.
        log_folder: Where trackers write; None for no trackers.
        on_epoch_end: Called with the history's row after each epoch (of a local run).
        trainer: Where it runs.

    Raises:
        TrainingError: the loss is not finite, or the saved state belongs to another run.
        SettingsError: the settings cannot work on this machine or with this model.
    """
    model = copy.deepcopy(model)
    if settings.experts_from == "main":
        model.mixture.start_experts_from_main()
    return _run(model, data, divide_stage(settings), folder, log_folder, None, on_epoch_end, trainer)


def _run(
    model: UniChest,
    data: TrainingData,
    stage: Stage,
    folder: Path,
    log_folder: Path | None,
    stop_after: int | None,
    on_epoch_end: EpochCallback | None,
    trainer: TrainerSettings,
) -> TrainingResult:
    """Runs a stage where `trainer` says; workers leave a finished state, from which the result is read here."""
    if trainer.engine == "ray":
        run_workers(model, data, stage, folder, log_folder, stop_after, trainer)
        stage = replace(stage, settings=stage.settings.model_copy(update={"restart": False}))
    return run_stage(model, data, stage, folder, log_folder, stop_after, on_epoch_end)


def conquer_stage(name: str, settings: ConquerSettings) -> Stage:
    """What Conquer trains and by which losses: classification of both branches, and image against text."""

    def terms(output: UniChestOutput, batch: Batch, labels: Tensor, processes: Processes = ALONE) -> dict[str, Tensor]:
        pooled, text = processes.gather(output.pooled.float()), processes.gather(batch.text)
        text_ids = processes.gather(batch.text_ids)
        contrastive = contrastive_loss(pooled, text, output.logit_scale, text_ids)
        return _classification(output, batch, labels, settings, processes) | {
            "contrastive": settings.contrastive_weight * contrastive
        }

    return Stage(name, 1.0, 0.0, CONQUERED, terms, settings)


def divide_stage(settings: DivideSettings) -> Stage:
    """What Divide trains and by which losses; the contrastive one, constant with both encoders frozen, is left out."""

    def terms(output: UniChestOutput, batch: Batch, labels: Tensor, processes: Processes = ALONE) -> dict[str, Tensor]:
        weight, temperature = settings.source_contrastive_weight, settings.source_contrastive_temperature
        named = _classification(output, batch, labels, settings, processes)
        embeddings, sources = processes.gather(output.image.gate_embedding.float()), processes.gather(batch.sources)
        named["source_image"] = weight * source_contrastive_loss(embeddings, sources, temperature)
        if output.text is not None:
            embeddings = processes.gather(output.text.gate_embedding.float())
            has_text = processes.gather(batch.text_ids) >= 0
            embeddings = embeddings[has_text] if len(embeddings) == len(has_text) else embeddings
            named["source_text"] = weight * source_contrastive_loss(embeddings, sources[has_text], temperature)
        return named

    trained = DIVIDED if settings.expert_ratio else DIVIDED[:2]
    is_oracle = settings.gate == "oracle"
    if is_oracle:
        trained = tuple(part for part in trained if part != "mixture.gate")
    return Stage("divide", settings.main_ratio, settings.expert_ratio, trained, terms, settings, is_oracle)


def _classification(
    output: UniChestOutput, batch: Batch, labels: Tensor, settings: TrainingSettings, processes: Processes
) -> dict[str, Tensor]:
    """The asymmetric loss of both branches: a sum over images, of which each process has its part.

    Times their number, because the gradients of the processes are averaged.
    """
    options = settings.classification.model_dump()
    terms = {"image": processes.count * asymmetric_loss(output.image.probabilities, labels, **options)}
    if output.text is not None:
        answers = output.text.probabilities
        terms["text"] = processes.count * asymmetric_loss(answers, _text_labels(labels, batch, len(answers)), **options)
    return terms


def _text_labels(labels: Tensor, batch: Batch, rows: int) -> Tensor:
    """Labels of the text branch's rows: the images with a text, or all of them, those without a text unknown."""
    has_text = batch.text_ids >= 0
    return labels.masked_fill(~has_text[:, None], UNKNOWN) if rows == len(labels) else labels[has_text]
