"""The same loop under Ray Train: this process is the driver, workers run it together and restart when one dies.

The workers save through Ray's storage: after every saving the main worker reports its state, and workers that start
again, on whatever machine, take up the last reported one. When the stage is done its state is brought into the stage's
own folder, as a local run would have left it.
"""

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from unichest_kedro.errors import TrainingError
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.ray_connection import ray_connection
from unichest_kedro.training.checkpoints import Checkpoints
from unichest_kedro.training.data import TrainingData
from unichest_kedro.training.loop import run_stage, stage_checkpoints
from unichest_kedro.training.settings import TrainerSettings
from unichest_kedro.training.setup import Stage, check_divides

logger = logging.getLogger(__name__)

KEPT = 2
"""Reported states that Ray keeps."""


@dataclass(frozen=True)
class _Job:
    """What every worker is given."""

    model: UniChest
    data: TrainingData
    stage: Stage
    log_folder: Path | None
    stop_after: int | None


def run_workers(
    model: UniChest,
    data: TrainingData,
    stage: Stage,
    folder: Path,
    log_folder: Path | None,
    stop_after: int | None,
    trainer: TrainerSettings,
) -> None:
    """Trains a stage with Ray workers until its finished state lies in `folder`; nothing to do if it does already.

    Args:
        model: Starting weights; left as they are.
        data: What to train and validate on; every worker must reach the image stores' files.
        stage: What to do.
        folder: The stage's state folder, as `run_stage` takes it.
        log_folder: Where trackers write; None for no trackers.
        stop_after: As `run_stage`.
        trainer: Where and with how many workers.

    Raises:
        SettingsError: Ray is not installed or not there, or the batch cannot be shared by the workers.
        TrainingError: the workers failed more often than allowed.
    """
    check_divides(stage.settings.batch_size, trainer.num_workers)
    checkpoints = stage_checkpoints(model, data, stage, folder, stop_after)
    name = _run_name(checkpoints)
    storage = trainer.storage or str((folder.parent / "ray").resolve())
    if stage.settings.restart:
        checkpoints.clear()
        shutil.rmtree(Path(storage) / name, ignore_errors=True)
    elif checkpoints.is_complete():
        return
    job = _Job(model, data, _without_restart(stage), log_folder and log_folder.resolve(), stop_after)
    # One CPU more than the workers take, for Ray's own controller.
    with ray_connection("trainer", trainer.address, int(trainer.num_workers * trainer.cpus_per_worker) + 1):
        _fit(job, name, storage, trainer, folder)


def _fit(job: _Job, name: str, storage: str, trainer: TrainerSettings, folder: Path) -> None:
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    scaling = ScalingConfig(
        num_workers=trainer.num_workers, use_gpu=_use_gpu(trainer), resources_per_worker=_resources(trainer)
    )
    run = RunConfig(
        name=name,
        storage_path=storage,
        failure_config=FailureConfig(max_failures=trainer.max_failures),
        checkpoint_config=CheckpointConfig(num_to_keep=KEPT),
    )
    config = {"job": ray.put(job)}
    try:
        result = TorchTrainer(_work, train_loop_config=config, scaling_config=scaling, run_config=run).fit()
    except Exception as error:
        raise TrainingError(
            f"{job.stage.name}: the Ray workers failed more than {trainer.max_failures} times, the last time with: "
            f"{_first_cause(error)}. What was saved lies in {storage}/{name}; run the same command to go on from there"
        ) from error
    logger.info("%s: the workers' last state is brought from %s to %s", job.stage.name, storage, folder)
    shutil.rmtree(folder, ignore_errors=True)
    result.checkpoint.to_directory(folder)
    if "://" not in storage:
        shutil.rmtree(Path(storage) / name, ignore_errors=True)


def _work(config: dict[str, Any]) -> None:
    """What one worker does: take up the last reported state, if there is one, and run the stage to its end."""
    import ray
    import ray.train

    job: _Job = ray.get(config["job"])
    with tempfile.TemporaryDirectory(prefix="unichest-") as scratch:
        folder = Path(scratch) / "state"
        reported = ray.train.get_checkpoint()
        if reported is not None:
            reported.to_directory(folder)
        run_stage(job.model, job.data, job.stage, folder, job.log_folder, job.stop_after, on_saved=_report)


def _report(folder: Path, row: dict[str, Any]) -> None:
    """Gives the last state to Ray's storage; every worker has to take part."""
    import ray.train

    metrics = {name: value for name, value in row.items() if isinstance(value, int | float)}
    if ray.train.get_context().get_world_rank() != 0:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory(prefix="unichest-", dir=folder.parent) as scratch:
        _link(Checkpoints.latest_files(folder), folder, Path(scratch))
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(scratch))


def _link(files: list[Path], folder: Path, target: Path) -> None:
    """A second tree of the same files, without copying them."""
    for file in files:
        place = target / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, place)


def _run_name(checkpoints: Checkpoints) -> str:
    """A name that the same stage of the same settings, data and weights gets again, so that Ray takes it up."""
    identity = repr(sorted(checkpoints.identity.items()))
    return f"{checkpoints.identity['stage']}-{sha256(identity.encode()).hexdigest()[:12]}"


def _without_restart(stage: Stage) -> Stage:
    """The stage for the workers: what was to be thrown away is gone, and a worker that starts again must not again."""
    return replace(stage, settings=stage.settings.model_copy(update={"restart": False}))


def _use_gpu(trainer: TrainerSettings) -> bool:
    return torch.cuda.is_available() if trainer.gpu == "auto" else trainer.gpu


def _resources(trainer: TrainerSettings) -> dict[str, float]:
    return {"CPU": trainer.cpus_per_worker} | ({"GPU": 1} if _use_gpu(trainer) else {})


def _first_cause(error: BaseException) -> str:
    """The message of the error that started a chain of them, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
