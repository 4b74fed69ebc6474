"""What a stage is, and the parts its run is made of: optimiser, batches, accelerator, trackers, identity."""

import hashlib
import importlib.util
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration
from torch import Tensor, nn
from torch.utils.data import DataLoader

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.device import has_bf16_units, pick_device
from unichest_kedro.models.unichest import UniChest, UniChestOutput
from unichest_kedro.training.data import (
    Batch,
    EpochBatches,
    EvaluationExamples,
    TrainingData,
    TrainingExamples,
    collate,
    sampling_exponent,
)
from unichest_kedro.training.processes import Processes
from unichest_kedro.training.settings import OptimiserSettings, TrainingSettings

logger = logging.getLogger(__name__)

LOSS_TERMS = ("image", "text", "contrastive", "source_image", "source_text")
"""Parts of the loss; the history has a column `loss_<name>` for each, NaN where a stage lacks it."""


@dataclass(frozen=True)
class Stage:
    """What distinguishes one stage from the other.

    Attributes:
        name: For progress bars, trackers and error messages.
        main_ratio: Weight of the main network's probabilities.
        expert_ratio: Weight of the experts'; with 0 they are neither run nor trained.
        trained: Names of the model's parts that are trained; all else is frozen and in evaluation mode.
        loss_terms: Weighted parts of the loss by name (of `LOSS_TERMS`), from the outputs, the batch and the
            labels (B,Q) of the findings asked, over the batch of all processes.
        settings: Of the training.
        oracle_gate: Whether an image (and its text) has the expert of its own source alone.
    """

    name: str
    main_ratio: float
    expert_ratio: float
    trained: tuple[str, ...]
    loss_terms: Callable[[UniChestOutput, Batch, Tensor, Processes], dict[str, Tensor]]
    settings: TrainingSettings
    oracle_gate: bool = False


def make_optimiser(parameters: list[nn.Parameter], settings: OptimiserSettings) -> torch.optim.AdamW:
    """AdamW without weight decay on biases and other parameters of fewer than two dimensions."""
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    spared = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def stage_seed(seed: int, name: str) -> int:
    """A 32-bit seed for a named part of a run, so that parts do not repeat each other's draws."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:4], "big")


def choose_parameters(model: UniChest, stage: Stage) -> list[nn.Parameter]:
    """Lets only the parts of the model that a stage trains have gradients, and returns their parameters.

    Raises:
        SettingsError: `freeze` or `also_train` names no part of the model, or nothing is left to train.
    """
    model.requires_grad_(False)
    for name in stage.trained:
        _part(model, name, "trained").requires_grad_(True)
    for name in stage.settings.also_train:
        _part(model, name, "also_train").requires_grad_(True)
    for name in stage.settings.freeze:
        _part(model, name, "freeze").requires_grad_(False)
    chosen = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not chosen:
        raise SettingsError(f"freeze: {', '.join(stage.settings.freeze)} leaves nothing for {stage.name} to train")
    return chosen


def _part(model: UniChest, name: str, field: str) -> nn.Module | nn.Parameter:
    """A part of the model, or one parameter, by its dotted name."""
    try:
        return model.get_submodule(name)
    except AttributeError:
        parent = name.rpartition(".")[0]
    named = dict(model.named_parameters())
    if name in named:
        return named[name]
    try:
        inside = [child for child, _ in model.get_submodule(parent).named_children()]
    except AttributeError:
        inside = [child for child, _ in model.named_children()]
    raise SettingsError(f"{field}: the model has no part '{name}'; there are {', '.join(inside)}")


def check_divides(batch_size: int, processes: int) -> None:
    """Checks that a batch can be shared evenly.

    Raises:
        SettingsError: it cannot.
    """
    if batch_size % processes:
        raise SettingsError(
            f"batch_size: {batch_size} images cannot be shared evenly by {processes} workers; "
            f"make it a multiple of {processes}"
        )


def make_epoch_batches(data: TrainingData, settings: TrainingSettings, seed: int) -> EpochBatches:
    """The training images as batches per epoch, drawn as the settings say."""
    rows = data.rows("train")
    exponent = sampling_exponent(settings.sampling, settings.temperature)
    return EpochBatches(rows, data.source_of[rows], settings.batch_size, exponent, seed)


def make_loaders(
    data: TrainingData, batches: EpochBatches, image_size: int, settings: TrainingSettings, seed: int
) -> tuple[DataLoader, DataLoader]:
    """Loaders of the augmented training batches and of the validation images."""
    common: dict[str, Any] = {
        "generator": torch.Generator(),  # or each loader would draw from the generator that dropout uses
        "num_workers": settings.num_workers,
        "persistent_workers": settings.num_workers > 0,
        "pin_memory": settings.device == "auto" and torch.cuda.is_available(),
        "collate_fn": collate,
    }
    train = TrainingExamples(data, image_size, settings.augmentation, seed)
    validation = EvaluationExamples(data, data.rows("val"), image_size)
    return (
        DataLoader(train, batch_sampler=batches, **common),
        DataLoader(validation, batch_size=2 * settings.batch_size, **common),
    )


def make_accelerator(settings: TrainingSettings, log_folder: Path | None) -> Accelerator:
    """Device, precision, accumulation and trackers (none without a folder for them)."""
    # accelerate keeps one state per process and refuses a second precision; the stages may differ in theirs.
    AcceleratorState._reset_state()
    return Accelerator(
        # A batch is shared by the processes, so that their number changes nothing in what is computed.
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        mixed_precision=_precision(settings),
        gradient_accumulation_steps=settings.accumulation,
        cpu=settings.device == "cpu",
        log_with=list(settings.trackers) if log_folder is not None else None,
        project_dir=log_folder,
    )


def _precision(settings: TrainingSettings) -> str:
    if settings.precision != "auto":
        return settings.precision
    return "bf16" if has_bf16_units(pick_device(settings.device)) else "no"


def check_compiler(device: torch.device) -> None:
    """Checks that torch finds what it compiles with.

    Raises:
        SettingsError: there is no C++ compiler (processor) or no Triton (GPU).
    """
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise SettingsError("compile: true needs Triton, which is not installed; install it, or use compile: false")
        return
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise SettingsError(
            f"compile: true needs a C++ compiler, and there is no '{compiler}' here; install one (or name another in "
            "the environment variable CXX), or use compile: false"
        )


def compile_parts(model: UniChest) -> None:
    """Has torch compile image encoder and query networks when they are first run; names and weights stay."""
    model.image_encoder.compile()
    model.mixture.compile()


def start_trackers(accelerator: Accelerator, stage: Stage, identity: Mapping[str, Any]) -> None:
    """Starts the trackers, if there are any, and gives them the settings."""
    if accelerator.log_with:
        plain = {
            name: value if isinstance(value, int | float | str) else str(value) for name, value in identity.items()
        }
        accelerator.init_trackers(stage.name, config=plain)


def identity_of(model: UniChest, data: TrainingData, stage: Stage) -> dict[str, Any]:
    """All that the stage's weights depend on, flat: settings, data and starting weights."""
    own = {"stage": stage.name, "weights at the start": model.fingerprint()}
    return own | stage.settings.identity() | data.fingerprints()


def check_fits(model: UniChest, data: TrainingData, stage: Stage) -> None:
    """Checks what can be checked before any work.

    Raises:
        SettingsError: model and texts differ in width, the precision needs another device, there is no compiler, or
            the model does not know a finding that is asked.
    """
    width = data.text_embeddings.shape[1]
    if width != model.settings.width:
        raise SettingsError(
            f"width: the model's is {model.settings.width}, the text embeddings have {width}; make them equal"
        )
    for source, store in data.stores.items():
        stored = getattr(store, "image_size", model.settings.image_size)
        if stored < model.settings.image_size:
            raise SettingsError(
                f"image_size: the model's is {model.settings.image_size}, but the films of {source} are stored at "
                f"{stored} pixels and would only be enlarged; set imaging.image_size to at least the model's"
            )
    device = pick_device(stage.settings.device)
    if stage.settings.precision == "fp16" and device.type == "cpu":
        raise SettingsError("precision: 'fp16' needs a CUDA device; on CPU 'no' and 'bf16' work")
    if stage.settings.precision == "bf16" and not has_bf16_units(device):
        logger.warning("precision: this device has no units for bf16, which is slower here than 'no' (float32)")
    if stage.settings.compile:
        check_compiler(device)
    if stage.oracle_gate and model.settings.experts < len(data.sources):
        raise SettingsError(
            f"gate: the oracle gate needs an expert for each of the {len(data.sources)} sources, but the model has "
            f"{model.settings.experts}; set model.experts to {len(data.sources)} or more, or use `gate: learned`"
        )
    model.queries_for(data.asked)
