"""The state folder: whole or not there, best weights kept, nothing executed on loading."""

import math
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
    progress = Progress(
        epoch=epoch, step=10 * epoch, best_epoch=best, best_auroc=0.5, sums={"loss": (0.5, 2)}, history=[row] * epoch
    )
    if best == epoch:
        checkpoints.save_best(weights(epoch), epoch)
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
    assert state.rest["optimiser"]["step"] == 3
    assert (state.progress.epoch, state.progress.step, len(state.progress.history)) == (3, 30, 3)
    assert torch.equal(checkpoints.best_weights(state.progress)["w"], weights(2)["w"])
    names = {path.name for path in (tmp_path / "state").iterdir()}
    assert names == {"identity.json", "step-00000020", "step-00000030", "best-0002.safetensors"}, "two are kept"
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
    torch.save({"optimiser": Exploit(tmp_path / "owned")}, tmp_path / "state" / "step-00000010" / "rest.pt")
    with pytest.raises(
        TrainingError, match=r"none of the saved states \(step-00000010\) can be read\. Delete this folder"
    ):
        checkpoints.resume()
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "rest.pt", "progress.json"])
def test_an_unreadable_last_state_gives_way_to_the_one_before(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path / "state", {})
    for epoch in (1, 2):
        save(checkpoints, epoch, epoch)
    (tmp_path / "state" / "step-00000020" / name).write_bytes(b"")
    state = checkpoints.resume()
    assert state is not None
    assert state.progress.step == 10
    assert torch.equal(checkpoints.best_weights(state.progress)["w"], weights(1)["w"]), "its best weights are kept too"
    assert "step-00000020 cannot be read" in caplog.text
