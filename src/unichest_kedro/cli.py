"""The project's own `kedro run`: Kedro's command, with errors that a user can mend shown as one message.

Kedro prints a page of traceback for every error. Errors of `UniChestError`, broken parameters and broken tables
are for the user, not for the developer, so the message stands alone; `--verbose-errors` brings the traceback back.
"""

import copy
import difflib
import re
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.project import pipelines
from kedro.validation import DataValidationError, ParameterValidationError

from unichest_kedro.errors import UniChestError
from unichest_kedro.issue_report import as_lines, command_line, issue_block, versions

EXPECTED = (UniChestError, ParameterValidationError, DataValidationError)

MISNAMED = ("Failed to find the pipeline named", "Pipeline does not contain", "Pipeline contains no nodes")
"""How Kedro's messages begin (each a `ValueError`) when the command names what there is not."""


def user_error(error: BaseException) -> BaseException | None:
    """Return the first error a user can mend in a chain of causes, or None."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, EXPECTED) or (isinstance(seen, ValueError) and str(seen).startswith(MISNAMED)):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _in_words(error: BaseException) -> str:
    """The message of an error; where the command names what there is not, with what was probably meant."""
    words = str(error)
    if not words.startswith(MISNAMED):
        return words
    there, listed = _names(words)
    asked = re.findall(r"'([^']+)'", words)
    close = [name for word in asked for name in difflib.get_close_matches(word, there, n=1, cutoff=0.6)]
    meant = f" Did you mean {' or '.join(dict.fromkeys(close))}?" if close else ""
    return f"{words.split('. ')[0].removesuffix('.')}.{meant} {listed}"


def _names(words: str) -> tuple[list[str], str]:
    """What a command could have named instead, and a sentence that lists it or says where it stands."""
    nodes = [node for pipeline in dict(pipelines).values() for node in pipeline.nodes]
    if words.startswith(MISNAMED[0]):
        return list(pipelines), f"Pipelines: {', '.join(pipelines)}."
    if "namespaces" in words:
        sources = list(dict.fromkeys(node.namespace for node in nodes if node.namespace))
        return sources, f"Namespaces are the active sources: {', '.join(sources)}."
    if "datasets" in words:
        names = sorted({name for node in nodes for name in (*node.inputs, *node.outputs)})
        return names, "`kedro catalog describe-datasets` lists them by pipeline."
    if "nodes named" in words:
        return sorted({node.name for node in nodes}), "`kedro registry describe` lists the nodes of a pipeline."
    tags = sorted({tag for node in nodes for tag in node.tags})
    return [], f"Tags: {', '.join(tags)}; `kedro registry describe` lists the nodes of a pipeline."


def _with_plain_errors(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a click callback so that a user's error ends the command with its message and exit code 1.

    An error that no user can mend keeps its traceback, and below it come the lines that belong into an issue.
    """

    def wrapped(*args: Any, verbose_errors: bool, **kwargs: Any) -> Any:
        # `--pipeline` is this project's documented way; Kedro would announce its retirement at every run.
        warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")
        try:
            return callback(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise  # of the command line itself
        except Exception as error:
            known = user_error(error)
            if known is not None and not verbose_errors:
                raise click.ClickException(_in_words(known)) from error
            traceback.print_exception(error)
            click.echo(f"\n{issue_block(error, command_line())}", err=True)
            raise click.exceptions.Exit(1) from error

    return wrapped


def _show_versions(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(as_lines(versions()))
        context.exit()


def _run_command() -> click.Command:
    command = copy.copy(kedro_run)
    command.callback = _with_plain_errors(kedro_run.callback)
    flags = [
        click.Option(["--verbose-errors"], is_flag=True, help="Show the whole traceback of an error."),
        click.Option(
            ["--versions"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_versions,
            help="Show versions and device, for an issue, and exit.",
        ),
    ]
    command.params = [*kedro_run.params, *flags]
    return command


run = _run_command()


@click.group(name="unichest_kedro")
def cli() -> None:
    """Commands of this project."""


cli.add_command(run, name="run")
