"""The state folder: whole or not there, best weights kept, nothing executed on loading."""

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from unichest_kedro.errors import TrainingError
from unichest_kedro.training.checkpoints import Checkpoints, Progress


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.full((2, 3), value)}


def save(checkpoints: Checkpoints, epoch: int, best: int) -> None:
    row: dict[str, Any] = {"epoch": epoch, "val_auroc": math.nan}
    progress = Progress(epoch, 10 * epoch, best, 0.5, [row] * epoch)
    checkpoints.save(weights(epoch), {"optimiser": {"step": torch.tensor(epoch)}}, progress)


def test_round_trip(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "state", {"seed": 1, "crop": (0.2, 1.0)})
    assert checkpoints.resume() is None
    assert "none" in checkpoints.describe()
    for epoch, best in ((1, 1), (2, 2), (3, 2)):
        save(checkpoints, epoch, best)
    state = Checkpoints(tmp_path / "state", {"seed": 1, "crop": [0.2, 1.0]}).resume()
    assert state is not None
    assert torch.equal(state.weights["w"], weights(3)["w"])
    assert state.optimiser["optimiser"]["step"] == 3
    assert (state.progress.epoch, state.progress.step, len(state.progress.history)) == (3, 30, 3)
    assert torch.equal(checkpoints.best_weights(state.progress)["w"], weights(2)["w"])
    names = {path.name for path in (tmp_path / "state").iterdir()}
    assert names == {"identity.json", "epoch-0003", "best-0002.safetensors"}
    checkpoints.clear()
    assert not (tmp_path / "state").exists()


def test_every_difference_is_named(tmp_path: Path) -> None:
    save(Checkpoints(tmp_path, {"seed": 1, "data.labels": "x", "old": 1}), 1, 1)
    with pytest.raises(TrainingError) as error:
        Checkpoints(tmp_path, {"seed": 2, "data.labels": "y", "new": 1}).resume()
    for part in ("seed was 1, is 2", "data.labels differ", "old was 1, is None", "new was None, is 1"):
        assert part in str(error.value)


class Exploit:
    """Would create a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_loading_executes_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "state", {})
    save(checkpoints, 1, 1)
    torch.save({"optimiser": Exploit(tmp_path / "owned")}, tmp_path / "state" / "epoch-0001" / "optimiser.pt")
    with pytest.raises(pickle.UnpicklingError):
        checkpoints.resume()
    assert not (tmp_path / "owned").exists()
