"""Fixtures that every test module may use, among them one small copy of the project that is run once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# One thread: the tests' tensors are tiny, and threads that wait for each other cost many times their work.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402
import yaml  # noqa: E402

PROJECT = Path(__file__).resolve().parents[1]

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
def project() -> Path:
    """The project's root folder."""
    return PROJECT


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real metadata and films, or a skip where this machine has none."""
    folder = Path(os.environ.get("UNICHEST_REAL_DATA", PROJECT.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set UNICHEST_REAL_DATA to its folder)")
    return folder


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


@pytest.fixture(scope="session")
def before(small_project, kedro) -> subprocess.CompletedProcess:
    """What `evaluate` says before anything was trained."""
    return kedro(small_project, "run", "--pipeline=evaluate")


@pytest.fixture(scope="session")
def pretrained(before, small_project, kedro) -> Path:
    """The small project after `pretrain`."""
    result = kedro(small_project, "run", "--pipeline=pretrain")
    assert result.returncode == 0, result.stdout[-4000:]
    return small_project


@pytest.fixture(scope="session")
def evaluated(pretrained, kedro) -> tuple[Path, str]:
    """The small project after `pretrain` and `evaluate`, and what the latter printed; leave it as you found it."""
    result = kedro(pretrained, "run", "--pipeline=evaluate")
    assert result.returncode == 0, result.stdout[-4000:]
    return pretrained, result.stdout
