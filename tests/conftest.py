"""Fixtures that every test module may use."""

import os
from pathlib import Path

# One thread: the tests' tensors are tiny, and threads that wait for each other cost many times their work.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402

PROJECT = Path(__file__).resolve().parents[1]


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
