"""A stage that is killed anywhere ends as if it had not been; averaged weights, frozen and added parts."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.training import loop
from unichest_kedro.training.data import Store, TrainingData
from unichest_kedro.training.loop import TrainingResult
from unichest_kedro.training.settings import ConquerSettings
from unichest_kedro.training.stages import train_conquer, train_divide

Make = Callable[..., Any]
SAVE_EVERY = 2


class KillingStore:
    """A store whose process is killed outright when it has given so many images."""

    def __init__(self, store: Store, reads: int) -> None:
        self.store, self.left = store, reads

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, row: int) -> np.ndarray:
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.store[row]


def train(train_stage: Make, model: UniChest, data: TrainingData, settings: ConquerSettings, folder: Path) -> None:
    torch.set_num_threads(1)
    train_stage(model, data, settings, folder)


def train_and_be_killed(reads: int, train_stage: Make, *arguments: Any) -> None:
    model, data, settings, folder = arguments
    killing = replace(data, stores={name: KillingStore(store, reads) for name, store in data.stores.items()})
    process = multiprocessing.get_context("spawn").Process(
        target=train, args=(train_stage, model, killing, settings, folder)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def last_state(folder: Path) -> bytes:
    return sorted(folder.glob("step-*"))[-1].joinpath("model.safetensors").read_bytes()


def same(one: TrainingResult, other: TrainingResult) -> None:
    columns = [name for name in one.history if name not in ("images_per_second", "seconds")]
    pd.testing.assert_frame_equal(one.history[columns], other.history[columns], rtol=1e-12)
    assert one.model.fingerprint() == other.model.fingerprint()


@pytest.mark.parametrize(
    ("train_stage", "reads", "changes"),
    [
        # 24 training and 12 validation images of each source: killed in the first epoch, in validation, in the second.
        (train_conquer, 18, {}),
        (train_conquer, 30, {"ema_decay": 0.9}),
        (train_conquer, 48, {"accumulation": 2, "augmentation": {}}),
        (train_divide, 55, {"accumulation": 3}),
    ],
)
def test_killed_and_run_again_the_weights_are_those_of_an_uninterrupted_run(
    model: UniChest,
    data: TrainingData,
    conquer_settings: Make,
    divide_settings: Make,
    tmp_path: Path,
    train_stage: Make,
    reads: int,
    changes: dict[str, Any],
) -> None:
    make = conquer_settings if train_stage is train_conquer else divide_settings
    settings = make(batch_size=4, save_every=SAVE_EVERY, **changes)
    train_and_be_killed(reads, train_stage, model, data, settings, tmp_path / "killed")
    kept = sorted((tmp_path / "killed").glob("step-????????"))
    assert 1 <= len(kept) <= 2
    whole = train_stage(model, data, settings, tmp_path / "whole")
    resumed = train_stage(model, data, settings, tmp_path / "killed")
    same(resumed, whole)
    assert last_state(tmp_path / "killed") == last_state(tmp_path / "whole")


def test_at_most_save_every_steps_are_repeated(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = conquer_settings(batch_size=4, save_every=SAVE_EVERY, epochs=1)
    step, made = loop._Run._step, []

    def counted(run: Any, batch: Any) -> Any:
        if len(made) == 7:
            raise KeyboardInterrupt
        made.append(batch.rows.tolist())
        return step(run, batch)

    monkeypatch.setattr(loop._Run, "_step", counted)
    with pytest.raises(KeyboardInterrupt):
        train_conquer(model, data, settings, tmp_path / "state")
    first, made[:] = list(made), []
    monkeypatch.setattr(loop._Run, "_step", lambda run, batch: (made.append(batch.rows.tolist()), step(run, batch))[1])
    train_conquer(model, data, settings, tmp_path / "state")
    assert made[0] == first[6], "six of seven steps were saved"
    assert len(first[:6]) + len(made) == 48 // 4
    seen = [row for rows in [*first[:6], *made] for row in rows]
    assert sorted(seen) == data.rows("train").tolist(), "each image of the epoch once"


def test_the_average_of_the_weights_is_what_is_validated_and_kept(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path
) -> None:
    plain = conquer_settings(epochs=1, ema_decay=None)
    last = train_conquer(model, data, plain, tmp_path / "plain").model.state_dict()
    weights = []
    step = loop._Run._update

    def noting(run: Any, *arguments: Any) -> Any:
        result = step(run, *arguments)
        weights.append(run.bare.mixture.main.head.weight.detach().clone())
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Run, "_update", noting)
        kept = train_conquer(model, data, conquer_settings(epochs=1, ema_decay=0.6), tmp_path / "average").model
    expected = weights[0]
    for value in weights[1:]:
        expected = 0.6 * expected + 0.4 * value
    torch.testing.assert_close(kept.mixture.main.head.weight.detach(), expected)
    torch.testing.assert_close(weights[-1], last["mixture.main.head.weight"], msg="the training itself is the same")
    name = next(name for name in last if name.endswith("running_mean"))
    torch.testing.assert_close(kept.state_dict()[name], last[name], msg="batch-norm statistics are not averaged")


def moved(before: UniChest, after: UniChest) -> set[str]:
    old, new = before.state_dict(), after.state_dict()
    return {name for name in old if not torch.equal(old[name], new[name])}


def test_any_part_can_be_frozen(model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path) -> None:
    frozen = ("image_encoder.backbone", "logit_scale")
    changed = moved(model, train_conquer(model, data, conquer_settings(freeze=frozen), tmp_path).model)
    assert not [name for name in changed if name.startswith(frozen)], "batch-norm statistics rest too"
    assert [name for name in changed if name.startswith("image_encoder.")]


def test_divide_can_train_the_encoders_last_stage_too(
    model: UniChest, data: TrainingData, divide_settings: Make, tmp_path: Path
) -> None:
    part = "image_encoder.backbone.layer4"
    settings = divide_settings(also_train=(part,))
    encoder = {n for n in moved(model, train_divide(model, data, settings, tmp_path).model) if "image_encoder" in n}
    assert encoder
    assert all(name.startswith(part) for name in encoder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": ("image_encoder.layer9",)}, r"freeze: the model has no part 'image_encoder\.layer9'; there are"),
        ({"also_train": ("gates",)}, "also_train: the model has no part 'gates'; there are image_encoder, mixture"),
        ({"freeze": ("image_encoder", "mixture", "logit_scale")}, "leaves nothing for conquer to train"),
    ],
)
def test_parts_that_are_not_there(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        train_conquer(model, data, conquer_settings(**changes), tmp_path)
