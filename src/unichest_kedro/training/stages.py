"""Conquer, Conquer continued, and Divide (METHOD.md, sections 1 to 3)."""

import copy
from pathlib import Path

from torch import Tensor

from unichest_kedro.models.losses import asymmetric_loss, contrastive_loss, source_contrastive_loss
from unichest_kedro.models.unichest import UniChest, UniChestOutput
from unichest_kedro.training.data import Batch, TrainingData
from unichest_kedro.training.loop import EpochCallback, TrainingResult, run_stage
from unichest_kedro.training.settings import ConquerSettings, DivideSettings, TrainingSettings
from unichest_kedro.training.setup import Stage

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
) -> TrainingResult:
    """Trains image encoder and main network on all sources: classification and contrastive loss.

    Args:
        model: Starting weights; left as they are.
        data: What to train and validate on.
        settings: Of the stage.
        folder: Where the resumable state lies while the stage runs.
        log_folder: Where trackers write; None for no trackers.
        on_epoch_end: Called with the history's row after each epoch.

    Raises:
        TrainingError: the loss is not finite, or the saved state belongs to another run.
        SettingsError: the settings cannot work on this machine or with this model.
    """
    stage = _conquer("conquer", settings)
    return run_stage(copy.deepcopy(model), data, stage, folder, log_folder, on_epoch_end=on_epoch_end)


def continue_conquer(
    model: UniChest,
    data: TrainingData,
    conquer: ConquerSettings,
    divide: DivideSettings,
    folder: Path,
    log_folder: Path | None = None,
    epochs: int | None = None,
    on_epoch_end: EpochCallback | None = None,
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
        on_epoch_end: Called with the history's row after each epoch.

    Raises:
        TrainingError: the loss is not finite, or the saved state belongs to another run.
        SettingsError: the settings cannot work on this machine or with this model.
    """
    taken = ("epochs", "batch_size", "accumulation", "optimiser", "gradient_clip")
    settings = conquer.model_copy(update={name: getattr(divide, name) for name in taken} | {"plateau": None})
    stage = _conquer("conquer_continued", settings)
    return run_stage(copy.deepcopy(model), data, stage, folder, log_folder, epochs, on_epoch_end)


def train_divide(
    model: UniChest,
    data: TrainingData,
    settings: DivideSettings,
    folder: Path,
    log_folder: Path | None = None,
    on_epoch_end: EpochCallback | None = None,
) -> TrainingResult:
    """Trains main network, experts and gate, encoder frozen: classification and source-contrastive.

    Args:
        model: Best Conquer weights; left as they are.
        data: What to train and validate on.
        settings: Of the stage.
        folder: Where the resumable state lies while the stage runs.
        log_folder: Where trackers write; None for no trackers.
        on_epoch_end: Called with the history's row after each epoch.

    Raises:
        TrainingError: the loss is not finite, or the saved state belongs to another run.
        SettingsError: the settings cannot work on this machine or with this model.
    """
    model = copy.deepcopy(model)
    if settings.experts_from == "main":
        model.mixture.start_experts_from_main()
    return run_stage(model, data, _divide(settings), folder, log_folder, on_epoch_end=on_epoch_end)


def _conquer(name: str, settings: ConquerSettings) -> Stage:
    def terms(output: UniChestOutput, batch: Batch, labels: Tensor) -> dict[str, Tensor]:
        contrastive = contrastive_loss(output.pooled.float(), batch.text, output.logit_scale, batch.text_ids)
        return _classification(output, batch, labels, settings) | {
            "contrastive": settings.contrastive_weight * contrastive
        }

    return Stage(name, 1.0, 0.0, CONQUERED, terms, settings)


def _divide(settings: DivideSettings) -> Stage:
    def terms(output: UniChestOutput, batch: Batch, labels: Tensor) -> dict[str, Tensor]:
        weight, temperature = settings.source_contrastive_weight, settings.source_contrastive_temperature
        named = _classification(output, batch, labels, settings)
        for name, part, sources in (
            ("source_image", output.image, batch.sources),
            ("source_text", output.text, batch.sources[batch.text_ids >= 0]),
        ):
            if part is not None:
                loss = source_contrastive_loss(part.gate_embedding.float(), sources, temperature)
                named[name] = weight * loss
        return named

    trained = DIVIDED if settings.expert_ratio else DIVIDED[:2]
    return Stage("divide", settings.main_ratio, settings.expert_ratio, trained, terms, settings)


def _classification(
    output: UniChestOutput, batch: Batch, labels: Tensor, settings: TrainingSettings
) -> dict[str, Tensor]:
    options = settings.classification.model_dump()
    terms = {"image": asymmetric_loss(output.image.probabilities, labels, **options)}
    if output.text is not None:
        has_text = batch.text_ids >= 0
        terms["text"] = asymmetric_loss(output.text.probabilities, labels[has_text], **options)
    return terms
