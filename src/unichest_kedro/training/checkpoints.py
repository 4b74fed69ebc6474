"""Resumable state of a stage in a folder: whole or not there, whenever the process is killed.

Layout: `identity.json` (what the state belongs to), `best-0003.safetensors` (best weights, of epoch 3), one folder
`epoch-0007/` (weights, optimiser, progress of the last epoch), and `finished` once the stage is. Each is written under
a temporary name and renamed when complete; what is no longer needed is deleted afterwards.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from unichest_kedro.errors import TrainingError

_WEIGHTS = "model.safetensors"
_OPTIMISER = "optimiser.pt"
_PROGRESS = "progress.json"
_FINISHED = "finished"
_PARTIAL = ".partial"


@dataclass
class Progress:
    """How far a stage has come: epochs and steps done, the best epoch so far (0: none), the history."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_auroc: float = float("nan")
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class State:
    """What a stage resumes from."""

    weights: dict[str, Tensor]
    optimiser: dict[str, Any]
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
        """The last complete state, or None where there is none.

        A finished run of other settings, data or starting weights makes room; an unfinished one is not thrown away.

        Raises:
            TrainingError: an unfinished state belongs to other settings, data or starting weights.
        """
        epochs = sorted(self.folder.glob("epoch-????"))
        if not epochs:
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
        last = epochs[-1]
        return State(
            weights=load_file(last / _WEIGHTS),
            optimiser=torch.load(last / _OPTIMISER, map_location="cpu", weights_only=True),
            progress=Progress(**json.loads((last / _PROGRESS).read_text())),
        )

    def save(self, weights: Mapping[str, Tensor], optimiser: Mapping[str, Any], progress: Progress) -> None:
        """Saves the state at the end of an epoch; the best epoch's weights stay until there is a better one.

        Args:
            weights: The model's state dict.
            optimiser: State dicts of the optimiser (and the loss scaler).
            progress: How far the stage has come.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _FINISHED).unlink(missing_ok=True)
        self._write_identity()
        weights = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        if progress.best_epoch == progress.epoch:
            self._write_best(weights, progress.epoch)
        target = self.folder / f"epoch-{progress.epoch:04d}"
        partial = target.with_name(target.name + _PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        save_file(weights, partial / _WEIGHTS)
        torch.save(dict(optimiser), partial / _OPTIMISER)
        (partial / _PROGRESS).write_text(json.dumps(vars(progress)))
        partial.replace(target)
        self._remove_older(progress)

    def best_weights(self, progress: Progress) -> dict[str, Tensor]:
        """Weights of the best epoch."""
        return load_file(self._best_file(progress.best_epoch))

    def describe(self) -> str:
        """The last good checkpoint, in words, for an error message."""
        epochs = sorted(self.folder.glob("epoch-????"))
        return str(epochs[-1]) if epochs else "none (no epoch was finished)"

    def _best_file(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch:04d}.safetensors"

    def _write_best(self, weights: dict[str, Tensor], epoch: int) -> None:
        target = self._best_file(epoch)
        partial = target.with_name(target.name + _PARTIAL)
        save_file(weights, partial)
        partial.replace(target)

    def _remove_older(self, progress: Progress) -> None:
        keep = {f"epoch-{progress.epoch:04d}", self._best_file(progress.best_epoch).name}
        for path in [*self.folder.glob("epoch-*"), *self.folder.glob("best-*")]:
            if path.name not in keep:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _write_identity(self) -> None:
        path = self.folder / "identity.json"
        partial = path.with_name(path.name + _PARTIAL)
        partial.write_text(json.dumps(self.identity, indent=2, sort_keys=True))
        partial.replace(path)

    def _differences(self) -> str:
        """In what the saved identity differs from this run's, in words; "" where it does not."""
        saved = json.loads((self.folder / "identity.json").read_text())
        current = json.loads(json.dumps(self.identity))
        names = sorted(saved.keys() | current.keys())
        pairs = [(name, saved.get(name), current.get(name)) for name in names]
        return "; ".join(_difference(*pair) for pair in pairs if pair[1] != pair[2])


def _difference(name: str, saved: Any, current: Any) -> str:
    if name.startswith(("data.", "weights")):
        return f"{name} differ"
    return f"{name} was {saved}, is {current}"
