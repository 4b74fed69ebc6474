"""What is pasted into an issue: versions, device, what failed, and nothing for a user's own mistake."""

import platform
import re
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner
from kedro.validation import ParameterValidationError

from unichest_kedro.cli import _with_plain_errors, run
from unichest_kedro.errors import SettingsError
from unichest_kedro.hooks import FailureHook
from unichest_kedro.issue_report import as_lines, issue_block, versions

NAMES = ("unichest_kedro", "kedro", "torch", "transformers", "timm", "pandas", "Python", "system", "device")


def failing(error: Exception, *arguments: str):
    def callback() -> None:
        raise error

    command = click.Command("run", callback=_with_plain_errors(callback))
    command.params = [click.Option(["--verbose-errors"], is_flag=True)]
    return CliRunner().invoke(command, list(arguments))


def a_fault() -> Exception:
    try:
        {}["missing"]
    except KeyError as error:

        class Node:
            name = "join_examples"

        FailureHook().on_node_error(error, Node())
        return error


def test_versions_are_those_of_this_environment():
    facts = versions()
    assert tuple(facts) == NAMES
    assert facts["pandas"] == version("pandas")
    assert platform.python_version() in facts["Python"]
    assert "CPU" in facts["device"] or "CUDA" in facts["device"]


def test_the_command_shows_them_and_runs_nothing():
    shown = CliRunner().invoke(run, ["--versions"])
    assert shown.exit_code == 0
    assert [line.split()[0] for line in shown.output.splitlines()] == list(NAMES)


def test_a_fault_ends_with_the_lines_for_an_issue():
    result = failing(a_fault())
    assert result.exit_code == 1
    before, block = result.output.split("This looks like a fault of the program")
    assert "Traceback" in before
    assert "KeyError: 'missing'" in block
    assert re.search(r"node +join_examples", block)
    assert all(name in block for name in NAMES)


def test_the_node_is_found_behind_another_error():
    outer = RuntimeError("the run has failed")
    outer.__cause__ = a_fault()
    assert "join_examples" in issue_block(outer, "kedro run")


@pytest.mark.parametrize("error", [SettingsError("epochs is -1"), ParameterValidationError("epochs is -1")])
def test_a_users_mistake_is_the_message_alone(error):
    result = failing(error)
    assert (result.exit_code, result.output) == (1, "Error: epochs is -1\n")


def test_verbose_errors_shows_everything_of_a_users_mistake():
    result = failing(SettingsError("epochs is -1"), "--verbose-errors")
    assert result.exit_code == 1
    assert "Traceback" in result.output
    assert version("kedro") in result.output


def test_lines_are_aligned():
    assert as_lines({"a": "1", "long": "2"}) == "a     1\nlong  2"
