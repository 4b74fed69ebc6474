"""The one training loop of both stages, on accelerate: device, precision, accumulation, trackers."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from unichest_kedro.errors import TrainingError
from unichest_kedro.imaging.augment import BatchAugmentation
from unichest_kedro.models.unichest import UniChest, UniChestOutput
from unichest_kedro.training.checkpoints import Checkpoints, Progress
from unichest_kedro.training.data import Batch, TrainingData
from unichest_kedro.training.schedule import has_plateaued, learning_rate
from unichest_kedro.training.setup import (
    LOSS_TERMS,
    Stage,
    check_fits,
    choose_parameters,
    identity_of,
    make_accelerator,
    make_epoch_batches,
    make_loaders,
    make_optimiser,
    stage_seed,
    start_trackers,
)
from unichest_kedro.training.validation import mean_over_sources, validation_aurocs

logger = logging.getLogger(__name__)

EpochCallback = Callable[[dict[str, Any]], None]


class TrainingResult(NamedTuple):
    """What a stage ends with.

    Attributes:
        model: With the weights of the best epoch, on the CPU, in evaluation mode.
        history: One row per epoch: losses, learning rate, gradient norm, gate entropy in bits, AUROCs,
            images/s.
        stopped: `plateau` or `epochs`.
        best_epoch: From 1.
        best_auroc: Its mean validation AUROC over the sources.
        epochs: Epochs run.
        steps: Optimiser steps made.
    """

    model: UniChest
    history: pd.DataFrame
    stopped: str
    best_epoch: int
    best_auroc: float
    epochs: int
    steps: int


def run_stage(
    model: UniChest,
    data: TrainingData,
    stage: Stage,
    folder: Path,
    log_folder: Path | None = None,
    stop_after: int | None = None,
    on_epoch_end: EpochCallback | None = None,
) -> TrainingResult:
    """Trains a model in place; resumes from `folder` if an earlier run of the same stage was cut off.

    Args:
        model: Starting weights.
        data: What to train and validate on.
        stage: What to do.
        folder: Where the resumable state lies. A finished stage leaves its result there, so that the same stage
            with the same settings and data is not trained again.
        log_folder: Where trackers write; None for no trackers.
        stop_after: Stop after so many epochs of the schedule (not counted as a plateau).
        on_epoch_end: Called with the history's row after each epoch is saved.

    Raises:
        TrainingError: the loss is not finite, or the saved state belongs to another run.
        SettingsError: the settings cannot work on this machine or with this model.
    """
    check_fits(model, data, stage)
    with _private_randomness():
        return _Run(model, data, stage, folder, log_folder, stop_after).to_end(on_epoch_end)


class _Run:
    """One stage under way: the prepared parts and the progress."""

    def __init__(
        self,
        model: UniChest,
        data: TrainingData,
        stage: Stage,
        folder: Path,
        log_folder: Path | None,
        stop_after: int | None,
    ) -> None:
        self.data, self.stage, self.settings = data, stage, stage.settings
        self.last_epoch = min(self.settings.epochs, stop_after or self.settings.epochs)
        identity = identity_of(model, data, stage) | {"last epoch": self.last_epoch}
        self.checkpoints = Checkpoints(folder, identity)
        self.accelerator = make_accelerator(self.settings, log_folder)
        self.seed = stage_seed(self.settings.seed, stage.name)
        self.parameters = choose_parameters(model, stage.trained)
        optimiser = make_optimiser(self.parameters, self.settings.optimiser)
        self.batches = make_epoch_batches(data, self.settings, self.seed)
        self.progress = Progress()
        self._resume(model, optimiser)
        train, validation = make_loaders(data, self.batches, model.settings.image_size, self.settings, self.seed)
        self.model, self.optimiser, self.train_loader, self.validation_loader = self.accelerator.prepare(
            model, optimiser, train, validation
        )
        self.bare: UniChest = self.accelerator.unwrap_model(self.model)
        self.queries = self.bare.queries_for(data.asked)
        self.columns = torch.as_tensor(data.columns(data.asked), device=self.accelerator.device)
        self.augment = BatchAugmentation(self.settings.augmentation)
        self.generator = torch.Generator()
        self.steps = self.settings.epochs * math.ceil(len(self.train_loader) / self.settings.accumulation)
        start_trackers(self.accelerator, stage, self.checkpoints.identity)

    def to_end(self, on_epoch_end: EpochCallback | None) -> TrainingResult:
        with self._bar(self.last_epoch) as bar:
            while self.progress.epoch < self.last_epoch and not self._plateaued():
                row = self._epoch(self.progress.epoch + 1, bar)
                if on_epoch_end:
                    on_epoch_end(row)
        return self._finish()

    def _epoch(self, epoch: int, bar: tqdm) -> dict[str, Any]:
        seed = stage_seed(self.seed, f"{epoch} {self.accelerator.process_index}")
        torch.manual_seed(seed)  # dropout
        self.generator.manual_seed(seed)
        started = time.perf_counter()
        row = {"stage": self.stage.name, "epoch": epoch} | self._train(epoch, bar) | self._validate()
        row["seconds"] = time.perf_counter() - started
        bar.set_postfix(loss=f"{row['loss']:.3g}", val_auroc=f"{row['val_auroc']:.4f}")
        self.accelerator.log(
            {name: value for name, value in row.items() if name not in ("stage", "epoch")}, step=row["step"]
        )
        self.progress.history.append(row)
        self.progress.epoch = epoch
        self._note_best(row)
        self._save()
        return row

    def _train(self, epoch: int, bar: tqdm) -> dict[str, float]:
        self.batches.choose_epoch(epoch)
        self._training_mode()
        sums, started = _Sums(), time.perf_counter()
        for batch in self.train_loader:
            values = self._step(batch)
            sums.add(values)
            bar.update(len(batch.rows) * self.accelerator.num_processes)
            bar.set_postfix(loss=f"{float(values['loss']):.3g}", refresh=False)
        seconds = time.perf_counter() - started
        means = sums.means(self.accelerator)
        images = len(self.batches) * self.batches.batch_size
        return {
            "step": self.progress.step,
            "loss": means.pop("loss"),
            **{f"loss_{name}": means.get(f"loss_{name}", math.nan) for name in LOSS_TERMS},
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "gradient_norm": means.get("gradient_norm", math.nan),
            "gate_entropy": means.get("gate_entropy", math.nan),
            "images_per_second": images / seconds,
        }

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        with self.accelerator.accumulate(self.model):
            output = self._forward(batch)
            labels = batch.labels[:, self.columns]
            terms = self.stage.loss_terms(output, batch, labels)
            loss = torch.stack(list(terms.values())).sum()
            self._check_finite("loss", loss, terms, batch)
            self._set_learning_rate()
            self.accelerator.backward(loss)
            values = {"loss": loss} | {f"loss_{name}": value for name, value in terms.items()}
            if self.stage.expert_ratio:
                values["gate_entropy"] = gate_entropy(output.image.gate)
            if self.accelerator.sync_gradients:
                values["gradient_norm"] = self._update(terms, batch)
            return {name: value.detach() for name, value in values.items()}

    def _forward(self, batch: Batch) -> UniChestOutput:
        has_text = batch.text_ids >= 0
        with torch.no_grad():
            images = self.augment(batch.images, self.generator)
        return self.model(
            images,
            self.queries,
            main_ratio=self.stage.main_ratio,
            expert_ratio=self.stage.expert_ratio,
            texts=batch.text[has_text] if bool(has_text.any()) else None,
        )

    def _update(self, terms: Mapping[str, Tensor], batch: Batch) -> Tensor:
        limit = self.settings.gradient_clip or math.inf
        norm = self.accelerator.clip_grad_norm_(self.parameters, limit)
        if self.accelerator.scaler is None:  # with fp16 the scaler skips such a step and scales less
            self._check_finite("gradient norm", norm, terms, batch)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.bare.clamp_logit_scale()
        self.progress.step += 1
        return norm

    def _set_learning_rate(self) -> None:
        rate = learning_rate(self.progress.step, self.steps, self.settings.optimiser)
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def _validate(self) -> dict[str, float]:
        self.bare.eval()
        ratios = (self.stage.main_ratio, self.stage.expert_ratio)
        aurocs = validation_aurocs(self.bare, self.validation_loader, self.data, ratios, self.accelerator)
        by_source = {f"val_auroc_{source}": value for source, value in aurocs.items()}
        return {"val_auroc": mean_over_sources(aurocs)} | by_source

    def _note_best(self, row: Mapping[str, Any]) -> None:
        value, best = row["val_auroc"], self.progress.best_auroc
        # Where no AUROC exists at all, the last epoch is the best one there is.
        if value > best or math.isnan(best):
            self.progress.best_epoch, self.progress.best_auroc = row["epoch"], value

    def _plateaued(self) -> bool:
        return has_plateaued([row["val_auroc"] for row in self.progress.history], self.settings.plateau)

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            optimiser = {
                "optimiser": self.optimiser.state_dict(),
                "scaler": scaler.state_dict() if scaler else {},
            }
            self.checkpoints.save(self.bare.state_dict(), optimiser, self.progress)
        self.accelerator.wait_for_everyone()

    def _resume(self, model: UniChest, optimiser: torch.optim.Optimizer) -> None:
        if self.settings.restart and self.accelerator.is_main_process:
            self.checkpoints.clear()
        self.accelerator.wait_for_everyone()
        state = self.checkpoints.resume()
        if state is None:
            return
        logger.info(
            "%s: resuming after epoch %d from %s",
            self.stage.name,
            state.progress.epoch,
            self.checkpoints.folder,
        )
        model.load_state_dict(state.weights)
        optimiser.load_state_dict(state.optimiser["optimiser"])
        if self.accelerator.scaler and state.optimiser["scaler"]:
            self.accelerator.scaler.load_state_dict(state.optimiser["scaler"])
        self.progress = state.progress

    def _finish(self) -> TrainingResult:
        progress = self.progress
        stopped = "plateau" if self._plateaued() else "epochs"
        self.accelerator.wait_for_everyone()
        weights = self.checkpoints.best_weights(progress)
        model = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False).cpu()
        model.load_state_dict(weights)
        model.set_ratios(self.stage.main_ratio, self.stage.expert_ratio)
        model.requires_grad_(True).eval()
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self.checkpoints.finish()
        self.accelerator.end_training()
        if math.isnan(progress.best_auroc):
            logger.warning(
                "%s: no validation image set has a finding with both classes, so the last epoch was kept",
                self.stage.name,
            )
        history = pd.DataFrame(progress.history)
        return TrainingResult(
            model, history, stopped, progress.best_epoch, progress.best_auroc, progress.epoch, progress.step
        )

    def _training_mode(self) -> None:
        self.model.train()
        if "image_encoder" not in self.stage.trained:
            self.bare.image_encoder.eval()  # frozen: batch-norm statistics stay too

    def _check_finite(self, what: str, value: Tensor, terms: Mapping[str, Tensor], batch: Batch) -> None:
        if bool(torch.isfinite(value)):
            return
        parts = ", ".join(f"{name} {float(term.detach()):g}" for name, term in terms.items())
        raise TrainingError(
            f"{self.stage.name}: the {what} is {float(value.detach())} at step {self.progress.step + 1} "
            f"(parts of the loss: {parts}); "
            f"images of the batch: {', '.join(self.data.image_ids(batch.rows.tolist()))}; "
            f"last good checkpoint: {self.checkpoints.describe()}. "
            "Lower optimiser.learning_rate, set gradient_clip, or use precision bf16"
        )

    @contextmanager
    def _bar(self, last: int) -> Iterator[tqdm]:
        images = len(self.batches) * self.batches.batch_size
        with tqdm(
            total=last * images,
            initial=self.progress.epoch * images,
            desc=self.stage.name,
            unit=" images",
            disable=not self.accelerator.is_main_process,
        ) as bar:
            yield bar


class _Sums:
    """Running sums of named scalars, kept on their device so that adding does not wait for it."""

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0) + value.float()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        return {
            name: float(accelerator.reduce(total / self.counts[name], reduction="mean"))
            for name, total in self.totals.items()
        }


def gate_entropy(gate: Tensor) -> Tensor:
    """Mean entropy, in bits, of gates (B,K): 0 for a sharp gate, log2(K) for a uniform one."""
    return -torch.xlogy(gate, gate).sum(dim=-1).mean() / math.log(2)


@contextmanager
def _private_randomness() -> Iterator[None]:
    """Leaves torch's global generators as they were; inside, each epoch seeds them anew."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield
