"""The one training loop of both stages, on accelerate: device, precision, accumulation, trackers.

The state is saved every so many steps. All that a step depends on is in it (weights, optimiser, scaler, averaged
weights, the position in the epoch, random states), so that a run that was cut off ends as if it had not been.
"""

import copy
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
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from unichest_kedro.errors import TrainingError
from unichest_kedro.imaging.augment import BatchAugmentation
from unichest_kedro.models.unichest import UniChest, UniChestOutput
from unichest_kedro.training.checkpoints import Checkpoints, Progress, State
from unichest_kedro.training.data import Batch, TrainingData
from unichest_kedro.training.processes import Processes, with_global_batch_norm
from unichest_kedro.training.schedule import has_plateaued, learning_rate
from unichest_kedro.training.setup import (
    LOSS_TERMS,
    Stage,
    check_divides,
    check_fits,
    choose_parameters,
    compile_parts,
    identity_of,
    make_accelerator,
    make_epoch_batches,
    make_loaders,
    make_optimiser,
    stage_seed,
    start_trackers,
)
from unichest_kedro.training.validation import mean_over_sources, oracle_gate, validation_aurocs

logger = logging.getLogger(__name__)

EpochCallback = Callable[[dict[str, Any]], None]
SavedCallback = Callable[[Path, dict[str, Any]], None]


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
    on_saved: SavedCallback | None = None,
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
        on_saved: Called in every process after each saving, with `folder` and the latest row of the history.

    Raises:
        TrainingError: the loss is not finite, or the saved state belongs to another run.
        SettingsError: the settings cannot work on this machine or with this model.
    """
    check_fits(model, data, stage)
    with _private_randomness():
        return _Run(model, data, stage, folder, log_folder, stop_after, on_saved).to_end(on_epoch_end)


def stage_checkpoints(
    model: UniChest, data: TrainingData, stage: Stage, folder: Path, stop_after: int | None
) -> Checkpoints:
    """The state folder of a stage, with all that its state must agree with; arguments as `run_stage`."""
    identity = identity_of(model, data, stage) | {"last epoch": last_epoch(stage, stop_after)}
    return Checkpoints(folder, identity)


def last_epoch(stage: Stage, stop_after: int | None) -> int:
    """The epoch after which a stage ends, if no plateau ends it."""
    return min(stage.settings.epochs, stop_after or stage.settings.epochs)


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
        on_saved: SavedCallback | None,
    ) -> None:
        self.data, self.stage, self.settings, self.on_saved = data, stage, stage.settings, on_saved
        self.last_epoch = last_epoch(stage, stop_after)
        self.checkpoints = stage_checkpoints(model, data, stage, folder, stop_after)
        self.accelerator = make_accelerator(self.settings, log_folder)
        self.processes = Processes(self.accelerator.num_processes)
        check_divides(self.settings.batch_size, self.processes.count)
        self.seed = stage_seed(self.settings.seed, stage.name)
        self.parameters = choose_parameters(model, stage)
        optimiser = make_optimiser(self.parameters, self.settings.optimiser)
        self.batches = make_epoch_batches(data, self.settings, self.seed)
        self.generator = torch.Generator()
        self.progress = Progress()
        self.resumed = self._resume(model, optimiser)
        if self.processes.count > 1:
            model = with_global_batch_norm(model, self.accelerator.device.type == "cuda")
        train, validation = make_loaders(data, self.batches, model.settings.image_size, self.settings, self.seed)
        self.model, self.optimiser, self.train_loader, self.validation_loader = self.accelerator.prepare(
            model, optimiser, train, validation
        )
        self.bare: UniChest = self.accelerator.unwrap_model(self.model)
        self.average = self._make_average()
        if self.settings.compile:
            compile_parts(self.bare)
        self.queries = self.bare.queries_for(data.asked)
        self.source_queries = data.queries_by_source(data.asked, self.accelerator.device)
        self.columns = torch.as_tensor(data.columns(data.asked), device=self.accelerator.device)
        self.augment = BatchAugmentation(self.settings.augmentation)
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
        self._start_epoch(epoch)
        row = {"stage": self.stage.name, "epoch": epoch} | self._train(epoch, bar)
        started = time.perf_counter()
        row |= self._validate()
        row["seconds"] = self.progress.seconds + time.perf_counter() - started
        bar.set_postfix(loss=f"{row['loss']:.3g}", val_auroc=f"{row['val_auroc']:.4f}")
        self.accelerator.log(
            {name: value for name, value in row.items() if name not in ("stage", "epoch")}, step=row["step"]
        )
        self.progress.history.append(row)
        self.progress.epoch, self.progress.batch, self.progress.seconds = epoch, 0, 0.0
        self.progress.sums = {}
        self._note_best(row)
        self._save()
        return row

    def _start_epoch(self, epoch: int) -> None:
        """Seeds the epoch, or takes up the random states within it where the saved state left them."""
        seed = stage_seed(self.seed, f"{epoch} {self.accelerator.process_index}")
        state, self.resumed = self.resumed, None
        if state is None or self.progress.batch == 0:
            torch.manual_seed(seed)  # dropout
            self.generator.manual_seed(seed)
        elif self.processes.count > 1:  # only the main process's random states are saved
            torch.manual_seed(seed + self.progress.batch)
            self.generator.manual_seed(seed + self.progress.batch)
        else:
            _set_random_states(state.rest["random"], self.generator)

    def _train(self, epoch: int, bar: tqdm) -> dict[str, float]:
        progress = self.progress
        self.batches.choose_epoch(epoch, progress.batch)
        self._training_mode()
        sums, already, started = _Sums(progress.sums), progress.seconds, time.perf_counter()
        for batch in self.train_loader:
            values = self._step(batch)
            sums.add(values)
            progress.batch += 1
            progress.seconds = already + time.perf_counter() - started
            bar.update(len(batch.rows) * self.processes.count)
            self._tell(values, bar)
            if self._is_time_to_save():
                progress.sums = sums.plain(self.accelerator)
                self._save()
        means = sums.means(self.accelerator)
        images = len(self.batches) * self.batches.batch_size
        return {
            "step": progress.step,
            "loss": means.pop("loss"),
            **{f"loss_{name}": means.get(f"loss_{name}", math.nan) for name in LOSS_TERMS},
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "gradient_norm": means.get("gradient_norm", math.nan),
            "gate_entropy": means.get("gate_entropy", math.nan),
            "images_per_second": images / progress.seconds,
        }

    def _is_time_to_save(self) -> bool:
        # Between two updates gradients are under way; at the epoch's end the state is saved after validation.
        is_last = self.progress.batch == len(self.batches)
        return self.accelerator.sync_gradients and not is_last and self.progress.step % self.settings.save_every == 0

    def _tell(self, values: Mapping[str, Tensor], bar: tqdm) -> None:
        """Tells the progress bar and, every so often, the trackers of a step; reading values waits for the device."""
        is_time_to_log = self.progress.batch % self.settings.log_every == 0
        if not is_time_to_log and self.accelerator.device.type != "cpu":
            return
        if is_time_to_log:  # each process knows the loss of its own part of the batch
            values = {name: self.accelerator.reduce(value, reduction="mean") for name, value in values.items()}
        plain = {name: float(value) for name, value in values.items()}
        shown = {name.removeprefix("loss_"): f"{value:.3g}" for name, value in plain.items() if "loss" in name}
        bar.set_postfix(shown, refresh=False)
        if is_time_to_log:
            rate = {"step/learning_rate": self.optimiser.param_groups[0]["lr"]}
            steps = {f"step/{name}": value for name, value in plain.items()}
            self.accelerator.log(steps | rate, step=self.progress.step)

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        with self.accelerator.accumulate(self.model):
            output = self._forward(batch)
            labels = batch.labels[:, self.columns]
            terms = self.stage.loss_terms(output, batch, labels, self.processes)
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
        if self.processes.count > 1:  # every process has to gather as many rows: those without a text too
            has_text = torch.ones_like(has_text)
        with torch.no_grad():
            images = self.augment(batch.images, self.generator)
        told = torch.cat([batch.sources, batch.sources[has_text]])  # the source of each image, then of each text
        return self.model(
            images,
            self.queries if self.source_queries is None else self.source_queries[told],
            main_ratio=self.stage.main_ratio,
            expert_ratio=self.stage.expert_ratio,
            texts=batch.text[has_text] if bool(has_text.any()) else None,
            gate_override=oracle_gate(told, self.bare.settings.experts) if self.stage.oracle_gate else None,
        )

    def _update(self, terms: Mapping[str, Tensor], batch: Batch) -> Tensor:
        limit = self.settings.gradient_clip or math.inf
        norm = self.accelerator.clip_grad_norm_(self.parameters, limit)
        if self.accelerator.scaler is None:  # with fp16 the scaler skips such a step and scales less
            self._check_finite("gradient norm", norm, terms, batch)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.bare.clamp_logit_scale()
        if self.average is not None:
            self.average.update_parameters(self.bare)
        self.progress.step += 1
        return norm

    def _set_learning_rate(self) -> None:
        rate = learning_rate(self.progress.step, self.steps, self.settings.optimiser)
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def _validate(self) -> dict[str, float]:
        model = self._shown()
        model.eval()
        ratios = (self.stage.main_ratio, self.stage.expert_ratio)
        with torch.compiler.set_stance("force_eager"):  # its many shapes would each be compiled
            aurocs = validation_aurocs(
                model, self.validation_loader, self.data, ratios, self.accelerator, self.stage.oracle_gate
            )
        by_source = {f"val_auroc_{source}": value for source, value in aurocs.items()}
        return {"val_auroc": mean_over_sources(aurocs)} | by_source

    def _note_best(self, row: Mapping[str, Any]) -> None:
        value, best = row["val_auroc"], self.progress.best_auroc
        # Where no AUROC exists at all, the last epoch is the best one there is.
        if value > best or math.isnan(best):
            self.progress.best_epoch, self.progress.best_auroc = row["epoch"], value

    def _plateaued(self) -> bool:
        return has_plateaued([row["val_auroc"] for row in self.progress.history], self.settings.plateau)

    def _shown(self) -> UniChest:
        """The model that is validated and kept: the one trained, or its average over the steps."""
        return self.bare if self.average is None else self.average.module

    def _save(self) -> None:
        progress = self.progress
        if self.accelerator.is_main_process:
            if progress.batch == 0 and progress.best_epoch == progress.epoch:
                self.checkpoints.save_best(self._shown().state_dict(), progress.epoch)
            self.checkpoints.save(self.bare.state_dict(), self._rest(), progress)
        self.accelerator.wait_for_everyone()
        if self.on_saved is not None:
            self.on_saved(self.checkpoints.folder, progress.history[-1] if progress.history else {})

    def _rest(self) -> dict[str, Any]:
        """All but weights and progress that the next step depends on."""
        scaler = self.accelerator.scaler
        return {
            "optimiser": self.optimiser.state_dict(),
            "scaler": scaler.state_dict() if scaler else {},
            "average": self.average.state_dict() if self.average is not None else {},
            "random": _random_states(self.generator),
        }

    def _make_average(self) -> AveragedModel | None:
        """The exponential moving average of the weights, where one is asked for; batch-norm statistics as they are."""
        if self.settings.ema_decay is None:
            return None
        average = AveragedModel(self.bare, multi_avg_fn=get_ema_multi_avg_fn(self.settings.ema_decay))
        if self.resumed is not None:
            average.load_state_dict(self.resumed.rest["average"])
        return average

    def _resume(self, model: UniChest, optimiser: torch.optim.Optimizer) -> State | None:
        """Takes up a saved state, where there is one, and returns it."""
        if self.settings.restart and self.accelerator.is_main_process:
            self.checkpoints.clear()
        self.accelerator.wait_for_everyone()
        state = self.checkpoints.resume()
        if state is None:
            return None
        logger.info(
            "%s: resuming after %d steps (epoch %d) from %s",
            self.stage.name,
            state.progress.step,
            state.progress.epoch + (state.progress.batch > 0),
            self.checkpoints.folder,
        )
        model.load_state_dict(state.weights)
        optimiser.load_state_dict(state.rest["optimiser"])
        if self.accelerator.scaler and state.rest["scaler"]:
            self.accelerator.scaler.load_state_dict(state.rest["scaler"])
        self.progress = state.progress
        return state

    def _finish(self) -> TrainingResult:
        progress = self.progress
        stopped = "plateau" if self._plateaued() else "epochs"
        self.accelerator.wait_for_everyone()
        weights = self._best_weights()
        model = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False).cpu()
        if self.settings.compile:
            model = copy.deepcopy(model)  # a copy is not compiled: whoever uses the model next has other shapes
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

    def _best_weights(self) -> dict[str, Tensor]:
        """Weights of the best epoch, in every process; only the main one need have them in its folder."""
        if self.processes.count == 1:
            return self.checkpoints.best_weights(self.progress)
        weights = self._shown().state_dict()
        if self.accelerator.is_main_process:
            best = self.checkpoints.best_weights(self.progress)
            weights = {name: best[name] for name in weights}  # every process has to send in the same order
        return broadcast({name: value.to(self.accelerator.device) for name, value in weights.items()})

    def _training_mode(self) -> None:
        self.model.train()
        set_frozen_parts_to_eval(self.bare)

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
            initial=self.progress.epoch * images + self.progress.batch * self.batches.batch_size,
            desc=self.stage.name,
            unit=" images",
            disable=not self.accelerator.is_main_process,
        ) as bar:
            yield bar


class _Sums:
    """Running sums of named scalars, kept on their device so that adding does not wait for it.

    Args:
        start: Sum and count of each, of the part of the epoch that an earlier run did.
    """

    def __init__(self, start: Mapping[str, tuple[float, int]]) -> None:
        self.totals: dict[str, Tensor | float] = {name: total for name, (total, _) in start.items()}
        self.counts: dict[str, int] = {name: count for name, (_, count) in start.items()}

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + value.double()
            self.counts[name] = self.counts.get(name, 0) + 1

    def plain(self, accelerator: Accelerator) -> dict[str, tuple[float, int]]:
        """Sums, each the mean over the processes, and counts."""
        totals = {name: accelerator.reduce(torch.as_tensor(total), "mean") for name, total in self.totals.items()}
        return {name: (float(total), self.counts[name]) for name, total in totals.items()}

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        return {name: total / count for name, (total, count) in self.plain(accelerator).items()}


def set_frozen_parts_to_eval(model: nn.Module) -> None:
    """Puts each part without trained parameters into evaluation mode: batch-norm statistics and dropout rest too."""
    for part in model.modules():
        parameters = list(part.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            part.eval()


def _random_states(generator: torch.Generator) -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda, "augmentation": generator.get_state()}


def _set_random_states(states: Mapping[str, Any], generator: torch.Generator) -> None:
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
    generator.set_state(states["augmentation"])


def gate_entropy(gate: Tensor) -> Tensor:
    """Mean entropy, in bits, of gates (B,K): 0 for a sharp gate, log2(K) for a uniform one."""
    return -torch.xlogy(gate, gate).sum(dim=-1).mean() / math.log(2)


@contextmanager
def _private_randomness() -> Iterator[None]:
    """Leaves torch's global generators as they were; inside, each epoch seeds them anew."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield
