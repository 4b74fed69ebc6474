"""Resumable state of a stage in a folder: whole or not there, whenever the process is killed.

Layout: `identity.json` (what the state belongs to), `best-0003.safetensors` (best weights, of epoch 3), folders
`step-00001200/` (weights, optimiser and random state, progress after 1,200 steps; the last two are kept), and
`finished` once the stage is. Each is written under a temporary name, forced to the disk and renamed when complete;
what is no longer needed is deleted afterwards. Should the last state be unreadable all the same (a failing disk), the
one before is taken.
"""

import json
import logging
import os
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unichest_kedro.errors import TrainingError

logger = logging.getLogger(__name__)

KEPT = 2
"""States that are kept."""

_WEIGHTS = "model.safetensors"
_REST = "rest.pt"
_PROGRESS = "progress.json"
_FINISHED = "finished"
_PARTIAL = ".partial"
_UNREADABLE = (OSError, ValueError, TypeError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError)


@dataclass
class Progress:
    """How far a stage has come.

    Attributes:
        epoch: Epochs finished.
        batch: Batches done of the epoch under way; 0 between epochs.
        step: Optimiser steps made in all.
        best_epoch: The best epoch so far (0: none).
        best_auroc: Its mean validation AUROC.
        seconds: Spent on the epoch under way.
        sums: Running sum and count of each scalar of the epoch under way.
        history: One row per finished epoch.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_auroc: float = float("nan")
    seconds: float = 0.0
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class State:
    """What a stage resumes from: weights, progress, and `rest` (optimiser, scaler, averaged weights, random state)."""

    weights: dict[str, Tensor]
    rest: dict[str, Any]
    progress: Progress


class Checkpoints:
    """The state folder of one stage.

    Args:
        folder: Where the state lies; made when first needed.
        identity: What the state must agree with, flat (settings, data, weights at the start).
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.identity = dict(identity)

    def finish(self) -> None:
        """Notes that the stage is finished: its result stays here until a run of other settings or data."""
        (self.folder / _FINISHED).touch()

    def clear(self) -> None:
        """Removes the state: the stage is to start anew."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def resume(self) -> State | None:
        """The last readable state, or None where there is none.

        A finished run of other settings, data or starting weights makes room; an unfinished one is not thrown away.

        Raises:
            TrainingError: an unfinished state belongs to other settings, data or starting weights, or no state can
                be read.
        """
        states = self._states()
        if not states:
            return None
        details = self._differences()
        if details and (self.folder / _FINISHED).exists():
            self.clear()
            return None
        if details:
            raise TrainingError(
                f"{self.folder}: the saved state of an unfinished run belongs to another run ({details}). "
                "Put the old settings and data back to resume it, or delete this folder, or set "
                "`restart: true` to train anew"
            )
        return self._last_readable(states)

    def save(self, weights: Mapping[str, Tensor], rest: Mapping[str, Any], progress: Progress) -> None:
        """Saves the state after a step.

        Args:
            weights: The model's state dict.
            rest: State of the optimiser and of all else that the next step depends on.
            progress: How far the stage has come.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _FINISHED).unlink(missing_ok=True)
        self._write_identity()
        target = self.folder / f"step-{progress.step:08d}"
        partial = target.with_name(target.name + _PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        save_file(_plain(weights), partial / _WEIGHTS)
        torch.save(dict(rest), partial / _REST)
        (partial / _PROGRESS).write_text(json.dumps(vars(progress)))
        for path in partial.iterdir():
            _to_disk(path)
        _to_disk(partial)
        shutil.rmtree(target, ignore_errors=True)  # never there, but for a state that could not be read
        partial.rename(target)
        _to_disk(self.folder)
        self._remove_older()

    def save_best(self, weights: Mapping[str, Tensor], epoch: int) -> None:
        """Saves the weights of the best epoch so far; to be called before `save` with that epoch's progress."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self._best_file(epoch)
        partial = target.with_name(target.name + _PARTIAL)
        save_file(_plain(weights), partial)
        _to_disk(partial)
        partial.replace(target)
        _to_disk(self.folder)

    def best_weights(self, progress: Progress) -> dict[str, Tensor]:
        """Weights of the best epoch."""
        return load_file(self._best_file(progress.best_epoch))

    def is_complete(self) -> bool:
        """Whether the folder holds the finished state of this very run."""
        return (self.folder / _FINISHED).exists() and bool(self._states()) and not self._differences()

    @staticmethod
    def latest_files(folder: Path) -> list[Path]:
        """The files of a state folder that the last state needs: itself, its best weights, the identity."""
        last = sorted(folder.glob("step-????????"))[-1]
        best = folder / f"best-{_best_epoch_of(last):04d}.safetensors"
        marks = [folder / "identity.json", *([best] if best.exists() else [])]
        return [*marks, *sorted(last.iterdir())]

    def describe(self) -> str:
        """The last good checkpoint, in words, for an error message."""
        states = self._states()
        return str(states[-1]) if states else "none (nothing was saved yet)"

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("step-????????"))

    def _last_readable(self, states: list[Path]) -> State:
        problems = []
        for folder in reversed(states):
            try:
                return _read(folder)
            except _UNREADABLE as error:
                logger.warning("the saved state %s cannot be read (%s); trying the one before", folder, error)
                problems.append(folder.name)
        raise TrainingError(
            f"{self.folder}: none of the saved states ({', '.join(problems)}) can be read. Delete this folder, or set "
            "`restart: true`, to train anew"
        )

    def _best_file(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch:04d}.safetensors"

    def _remove_older(self) -> None:
        kept = self._states()[-KEPT:]
        best = {self._best_file(_best_epoch_of(folder)) for folder in kept}
        for path in [*self.folder.glob("step-*"), *self.folder.glob("best-*")]:
            if path not in best and path not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _write_identity(self) -> None:
        path = self.folder / "identity.json"
        partial = path.with_name(path.name + _PARTIAL)
        partial.write_text(json.dumps(self.identity, indent=2, sort_keys=True))
        _to_disk(partial)
        partial.replace(path)

    def _differences(self) -> str:
        """In what the saved identity differs from this run's, in words; "" where it does not."""
        saved = json.loads((self.folder / "identity.json").read_text())
        current = json.loads(json.dumps(self.identity))
        names = sorted(saved.keys() | current.keys())
        pairs = [(name, saved.get(name), current.get(name)) for name in names]
        return "; ".join(_difference(*pair) for pair in pairs if pair[1] != pair[2])


def _read(folder: Path) -> State:
    progress = Progress(**json.loads((folder / _PROGRESS).read_text()))
    rest = torch.load(folder / _REST, map_location="cpu", weights_only=True)
    return State(load_file(folder / _WEIGHTS), rest, progress)


def _best_epoch_of(folder: Path) -> int:
    try:
        return int(json.loads((folder / _PROGRESS).read_text())["best_epoch"])
    except _UNREADABLE:
        return 0


def _plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in weights.items()}


def _to_disk(path: Path) -> None:
    """Forces a file's or a folder's content out of the system's memory, so that it survives a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _difference(name: str, saved: Any, current: Any) -> str:
    if name.startswith(("data.", "weights")):
        return f"{name} differ"
    return f"{name} was {saved}, is {current}"
