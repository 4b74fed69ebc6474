"""The packaged project: what is in the wheel and the configuration archive, and that they run on their own."""

import os
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.end_to_end

DATA_FILES = (".j2", ".yml", ".yaml", ".json", ".css", ".js", ".html", ".svg", ".png", ".txt", ".csv")


def call(*arguments: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "KEDRO_ENV"} | more
    return subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )


@pytest.fixture(scope="module")
def packaged(project, clone, tmp_path_factory) -> Path:
    """The folder `dist` of a clone, made as `kedro package` makes it, but with the build tools that are installed.

    `kedro package` would fetch them from the package index, and a test needs no network.
    """
    root = clone(tmp_path_factory.mktemp("packaged") / "project")
    for name in ("README.md", "LICENSE"):
        (root / name).write_bytes((project / name).read_bytes())
    (root / "conf/local/globals.yml").write_text("sources: {chexpert: /secret}\n")
    (root / "data").mkdir()
    (root / "tests").mkdir()
    (root / "tests/test_x.py").write_text("")
    built = call(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--skip-dependency-check",
        "--outdir",
        "dist",
        cwd=root,
    )
    assert built.returncode == 0, built.stdout[-3000:]
    archive = ["tar", "--exclude=local/*.yml", "-czf", "dist/conf-unichest_kedro.tar.gz", f"--directory={root}", "conf"]
    assert call(*archive, cwd=root).returncode == 0
    return root / "dist"


@pytest.fixture(scope="module")
def wheel(packaged) -> Path:
    (found,) = packaged.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel's content alone, as pip lays it out."""
    target = tmp_path_factory.mktemp("site")
    done = call(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, wheel, cwd=target)
    assert done.returncode == 0, done.stdout[-2000:]
    return target


@pytest.fixture(scope="module")
def conf(packaged, tmp_path_factory) -> Path:
    """The configuration, unpacked, with small phantoms."""
    place = tmp_path_factory.mktemp("conf")
    with tarfile.open(packaged / "conf-unichest_kedro.tar.gz") as archive:
        archive.extractall(place, filter="data")
    small = {"phantoms": {"images_per_source": 24, "image_size": 48, "seed": 3, "n_jobs": 1}}
    (place / "conf/local/globals.yml").write_text(yaml.safe_dump(small))
    return place / "conf"


def test_the_wheel_holds_every_module_and_every_file_beside_them(wheel, project):
    source = project / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / "unichest_kedro").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {Path(name).suffix for name in expected} <= {".py", *DATA_FILES}, "a kind of file that nobody thought of"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert expected - names == set()
    assert "unichest_kedro/leakage/known_overlaps.yml" in names


def test_the_wheel_holds_nothing_else(wheel):
    others = [name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("unichest_kedro/")]
    assert others
    assert all(name.startswith("unichest_kedro-") and ".dist-info/" in name for name in others)
    assert any(name.endswith("licenses/LICENSE") for name in others)


def test_the_wheel_says_how_it_is_run(wheel):
    content = zipfile.ZipFile(wheel)
    (name,) = [name for name in content.namelist() if name.endswith("entry_points.txt")]
    entries = ConfigParser()
    entries.read_string(content.read(name).decode())
    assert entries["console_scripts"]["unichest-kedro"] == "unichest_kedro.__main__:main"
    assert entries["kedro.cli_hooks"]["unichest_kedro"] == "unichest_kedro.cli_hooks:configuration_check"


def test_the_configuration_archive_holds_no_local_settings(packaged):
    with tarfile.open(packaged / "conf-unichest_kedro.tar.gz") as archive:
        names = archive.getnames()
    assert "conf/base/vocabulary.yml" in names
    assert "conf/base/globals.yml" in names
    assert not [name for name in names if name.startswith("conf/local/") and name.endswith(".yml")]


def test_the_installed_wheel_runs_in_an_empty_folder(installed, conf, tmp_path):
    run = [sys.executable, "-m", "unichest_kedro"]
    done = call(
        *run,
        "--pipelines=ingest,reports,harmonise",
        f"--conf-source={conf}",
        cwd=tmp_path,
        PYTHONPATH=str(installed),
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert len(pd.read_parquet(tmp_path / "data/02_intermediate/chexpert/studies.parquet")) > 0
    assert (tmp_path / "data/08_reporting/coverage.png").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_the_installed_wheel_is_what_ran(installed, tmp_path):
    done = call(
        sys.executable,
        "-c",
        "import unichest_kedro; print(unichest_kedro.__file__)",
        cwd=tmp_path,
        PYTHONPATH=str(installed),
    )
    assert done.stdout.startswith(str(installed))


def test_help_needs_no_configuration(installed, tmp_path):
    done = call(sys.executable, "-m", "unichest_kedro", "--help", cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 0
    assert "--conf-source" in done.stdout
    assert "--versions" in done.stdout


@pytest.mark.parametrize("archive", [False, True])
def test_without_a_usable_configuration_it_says_what_to_do(installed, packaged, tmp_path, archive):
    given = [f"--conf-source={packaged / 'conf-unichest_kedro.tar.gz'}"] if archive else []
    done = call(sys.executable, "-m", "unichest_kedro", *given, cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    assert "--conf-source=/folder/conf" in done.stdout
    assert "unpack" in done.stdout
