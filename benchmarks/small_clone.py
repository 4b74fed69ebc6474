"""A copy of the project in a temporary folder, so that a benchmark never touches the user's own data."""

import shutil
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def clone(target: Path) -> Path:
    """Copy configuration and code (what a fresh clone holds) into `target` and return it."""
    for name in ("conf", "src", "pyproject.toml", ".telemetry"):
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "local"))
        else:
            shutil.copy(source, target / name)
    (target / "conf" / "local").mkdir(exist_ok=True)
    return target
