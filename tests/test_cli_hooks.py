"""Kedro's own commands with a broken configuration: one message, no traceback."""

from types import SimpleNamespace

import pytest
import yaml

from unichest_kedro.cli_hooks import ConfigurationCheck, _environment

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def root(clone, tmp_path_factory):
    return clone(tmp_path_factory.mktemp("broken") / "project")


@pytest.mark.parametrize(
    ("command", "file", "content", "words"),
    [
        (["registry", "list"], "globals.yml", {"sources": {"chexpertt": "/x"}}, ["unknown source 'chexpertt'"]),
        (["viz", "run", "--no-browser"], "globals.yml", {"sources": {"chexpert": "/no/folder"}}, ["/no/folder"]),
        (["ipython", "-c", "1"], "globals.yml", {"data": None}, ["data is empty (conf/local/globals.yml): it must be"]),
        (["jupyter", "lab"], "globals.yml", {"phantoms": {"seed": "x"}}, ["phantoms.seed is 'x' (conf/local/globals"]),
        (["catalog", "list-patterns"], "parameters.yml", {"conquer": {"epoch": 1}}, ["mean conquer.epochs?"]),
    ],
)
def test_a_broken_configuration_is_one_message(root, kedro, command, file, content, words):
    place = root / "conf/local" / file
    place.write_text(yaml.safe_dump(content))
    try:
        done = kedro(root, *command, timeout=300)
    finally:
        place.unlink()
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    assert done.stdout.startswith("Error: ")
    assert all(word in done.stdout for word in words)


def test_the_environment_is_read_from_the_command_line(monkeypatch):
    monkeypatch.setenv("KEDRO_ENV", "paper")
    assert _environment(["list"]) == "paper"
    assert _environment(["list", "--env=open"]) == "open"
    assert _environment(["list", "-e", "open"]) == "open"
    assert _environment(["list", "-e"]) is None


@pytest.mark.parametrize(
    ("package", "arguments"),
    [("another_project", ["viz"]), ("unichest_kedro", ["run"]), ("unichest_kedro", ["viz", "--help"])],
)
def test_other_projects_and_commands_are_left_alone(package, arguments):
    project = SimpleNamespace(package_name=package, project_path="/no/such/project")
    ConfigurationCheck().before_command_run(project, arguments)


def test_outside_a_project_nothing_is_read():
    ConfigurationCheck().before_command_run(None, ["viz"])
