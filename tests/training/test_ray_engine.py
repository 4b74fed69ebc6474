"""Two Ray workers against one process, and a worker that is killed in the middle of an epoch."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from unichest_kedro.errors import SettingsError, TrainingError
from unichest_kedro.models.unichest import UniChest, build_unichest
from unichest_kedro.training import ray_engine
from unichest_kedro.training.data import Store, TrainingData
from unichest_kedro.training.settings import TrainerSettings
from unichest_kedro.training.stages import train_conquer, train_divide

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")

Make = Callable[..., Any]
TWO = TrainerSettings(engine="ray", num_workers=2, cpus_per_worker=1, gpu=False, max_failures=0)
STILL = {
    "crop_scale": None,
    "flip_probability": 0.0,
    "randaugment_operations": 0,
    "fourier_probability": 0.0,
    "jitter": 0.0,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One small Ray for the module's tests, as starting it takes seconds."""
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.parametrize(("train", "own"), [(train_conquer, "contrastive"), (train_divide, "source_image")])
def test_two_workers_compute_what_one_process_computes(
    cluster: None,
    model: UniChest,
    make_toy: Callable[..., TrainingData],
    conquer_settings: Make,
    divide_settings: Make,
    tmp_path: Path,
    train: Make,
    own: str,
) -> None:
    # Dropout and augmentation are drawn by each process for its own images; without them all is determined.
    still = model.settings.model_copy(update={"dropout": 0.0})
    model = build_unichest(still, model.findings, model.finding_embeddings.numpy(), seed=3)
    make = conquer_settings if train is train_conquer else divide_settings
    data = make_toy(images=160)  # 20 batches of 16
    rate = {"learning_rate": 5e-5}  # the paper's
    settings = make(batch_size=16, epochs=1, augmentation=STILL, trackers=("tensorboard",), log_every=1, optimiser=rate)
    alone = train(model, data, settings, tmp_path / "alone", tmp_path / "alone_logs")
    together = train(model, data, settings, tmp_path / "together", tmp_path / "together_logs", trainer=TWO)
    assert together.steps == 20
    for name in ("loss", "loss_image", "loss_text", f"loss_{own}", "gradient_norm"):
        expected, got = (logged(tmp_path / folder, f"step/{name}") for folder in ("alone_logs", "together_logs"))
        assert len(expected) == 20
        tolerance = 1e-2 if name == "gradient_norm" else 1e-4
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance, err_msg=name)
    columns = ["val_auroc", "val_auroc_a", "val_auroc_b"]
    pd.testing.assert_frame_equal(together.history[columns], alone.history[columns], rtol=0, atol=1e-3)
    assert type(together.model) is type(alone.model)


def logged(folder: Path, name: str) -> list[float]:
    """What TensorBoard shows of one scalar, step by step."""
    for file in folder.rglob("events.out.tfevents*"):
        events = EventAccumulator(str(file))
        events.Reload()
        if name in events.Tags()["scalars"]:
            return [event.value for event in events.Scalars(name)]
    return []


class WatchedStore:
    """Notes in a file which images are read, and kills its process once, before a given read."""

    def __init__(self, name: str, store: Store, notes: Path, kill_at: int) -> None:
        self.name, self.store, self.notes, self.kill_at = name, store, notes, kill_at

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, row: int) -> np.ndarray:
        notes = self.notes / f"{self.name}.txt"
        with notes.open("a") as file:
            file.write(f"{row}\n")
        killed = self.notes / "killed"
        if not killed.exists() and len(notes.read_text().split()) >= self.kill_at:
            killed.touch()
            time.sleep(4)  # Ray's controller asks its workers every so often what they have reported
            os.kill(os.getpid(), signal.SIGKILL)
        return self.store[row]


def test_a_run_whose_worker_is_killed_sees_every_example(
    cluster: None, model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path
) -> None:
    settings = conquer_settings(batch_size=8, epochs=1, save_every=2)
    stores = {name: WatchedStore(name, store, tmp_path, kill_at=22) for name, store in data.stores.items()}
    forgiving = TWO.model_copy(update={"max_failures": 1})
    result = train_conquer(model, replace(data, stores=stores), settings, tmp_path / "state", trainer=forgiving)
    assert (tmp_path / "killed").exists()
    assert result.epochs == 1
    assert result.steps == 6
    times = []
    for source, rows in data.examples[data.examples["split"] == "train"].groupby("source")["image_row"]:
        read = Counter(int(row) for row in (tmp_path / f"{source}.txt").read_text().split())
        times += [read[row] for row in rows]
    assert min(times) >= 1, "every example was seen"
    assert times.count(1) >= 24, "what was saved is not repeated"


def test_a_finished_stage_asks_no_worker(
    cluster: None, model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path, monkeypatch: Any
) -> None:
    first = train_conquer(model, data, conquer_settings(epochs=1), tmp_path / "state", trainer=TWO)
    assert not list(tmp_path.glob("ray/*/checkpoint*")), "Ray's copies are gone"
    monkeypatch.setattr(ray_engine, "_fit", None)
    again = train_conquer(model, data, conquer_settings(epochs=1), tmp_path / "state", trainer=TWO)
    assert again.model.fingerprint() == first.model.fingerprint()


def test_a_run_that_failed_for_good_says_why_and_goes_on_later(
    cluster: None, model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path
) -> None:
    settings = conquer_settings(batch_size=8, epochs=1, save_every=2)
    stores = {name: WatchedStore(name, store, tmp_path, kill_at=17) for name, store in data.stores.items()}
    watched = replace(data, stores=stores)
    with pytest.raises(TrainingError, match=r"conquer: the Ray workers failed more than 0 times.*run the same command"):
        train_conquer(model, watched, settings, tmp_path / "state", trainer=TWO)
    before = len((tmp_path / "a.txt").read_text().split()) + len((tmp_path / "b.txt").read_text().split())
    result = train_conquer(model, watched, settings, tmp_path / "state", trainer=TWO)
    after = len((tmp_path / "a.txt").read_text().split()) + len((tmp_path / "b.txt").read_text().split())
    assert result.steps == 6
    assert after - before < 48 + 24, "the driver's second run went on from what was saved"


def test_settings_that_cannot_work(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = TWO.model_copy(update={"num_workers": 3})
    with pytest.raises(SettingsError, match="batch_size: 8 images cannot be shared evenly by 3 workers"):
        train_conquer(model, data, conquer_settings(), tmp_path, trainer=three)
    with pytest.raises(ValidationError, match="engine"):
        TrainerSettings(engine="spark")  # type: ignore[arg-type]
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SettingsError, match=r"trainer: this needs Ray, which is not installed.*\[ray\]"):
        train_conquer(model, data, conquer_settings(), tmp_path, trainer=TWO)
