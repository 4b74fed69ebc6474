"""A small copy of the project in a temporary folder, so that runs never touch the developer's own data."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

SMALL = {
    "imaging": {"image_size": 48, "n_jobs": 2},
    "text_encoder": {"steps": 20},
    "model": {"image_size": 48, "layers": 1},
    "conquer": {"epochs": 2, "batch_size": 32},
    "divide": {"epochs": 1, "batch_size": 32},
    "evaluation": {"resamples": 50},
}
PHANTOMS = {"images_per_source": 80, "image_size": 64, "seed": 3}


def copy_project(project: Path, target: Path) -> Path:
    """Copy what a clone holds, without data and local settings."""
    for name in ("src", "conf/base", "conf/open", "conf/paper", "pyproject.toml", "conf/logging.yml", ".telemetry"):
        source = project / name
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, target / name)
    (target / "conf" / "local").mkdir()
    return target


@pytest.fixture(scope="session")
def clone(project) -> Callable[[Path], Path]:
    """Copy the project into a new folder and return that."""
    return lambda target: copy_project(project, target)


@pytest.fixture(scope="session")
def small_project(clone, tmp_path_factory) -> Path:
    """The project with tiny phantoms and a tiny model, nothing run yet."""
    root = clone(tmp_path_factory.mktemp("small") / "project")
    (root / "conf/local/parameters.yml").write_text(yaml.safe_dump(SMALL))
    (root / "conf/local/globals.yml").write_text(yaml.safe_dump({"phantoms": PHANTOMS}))
    return root


@pytest.fixture(scope="session")
def kedro() -> Callable[..., subprocess.CompletedProcess]:
    """Run the kedro command in a folder; returns its exit code and all it printed."""

    def run(root: Path, *arguments: str, timeout: int = 600) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "kedro", *arguments],
            cwd=root,
            text=True,
            timeout=timeout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    return run
