"""The documentation built once, and what its pages are held against."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

DOCS = Path(__file__).resolve().parents[2] / "docs"
sys.path.insert(0, str(DOCS))  # the modules that write the reference, as MkDocs finds them


class Site(NamedTuple):
    """A built site: its folder, and all that the build printed."""

    folder: Path
    output: str

    def page(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def site(project, tmp_path_factory) -> Site:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    result = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout[-4000:]
    return Site(folder, result.stdout)


@pytest.fixture(scope="session")
def pages(project) -> dict[str, str]:
    """The Markdown that people read, by path relative to the project."""
    files = [*project.glob("*.md"), project / "conf/README.md", *(project / "docs").rglob("*.md")]
    return {path.relative_to(project).as_posix(): path.read_text(encoding="utf-8") for path in files}


@pytest.fixture(scope="session")
def configured(project):
    """All keys of the files of one kind in `conf/base`, with their values."""

    def read(kind: str) -> dict:
        files = sorted((project / "conf/base").glob(f"{kind}*.yml"))
        return {key: value for file in files for key, value in yaml.safe_load(file.read_text()).items()}

    return read


@pytest.fixture(scope="session")
def registered() -> dict:
    """Every registered pipeline, with all sources active."""
    from unichest_kedro import active_sources
    from unichest_kedro.pipeline_registry import register_pipelines
    from unichest_kedro.sources import SOURCES

    told = active_sources._told
    active_sources.tell(SOURCES)
    try:
        return register_pipelines()
    finally:
        active_sources._told = told
