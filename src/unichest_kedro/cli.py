"""The project's own `kedro run`: Kedro's command, with errors that a user can mend shown as one message.

Kedro prints a page of traceback for every error. Errors of `UniChestError`, broken parameters and broken tables
are for the user, not for the developer, so the message stands alone; `--verbose-errors` brings the traceback back.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.validation import DataValidationError, ParameterValidationError

from unichest_kedro.errors import UniChestError

EXPECTED = (UniChestError, ParameterValidationError, DataValidationError)


def user_error(error: BaseException) -> BaseException | None:
    """Return the first error a user can mend in a chain of causes, or None."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, EXPECTED):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _with_plain_errors(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a click callback so that a user's error ends the command with its message and exit code 1."""

    def wrapped(*args: Any, verbose_errors: bool, **kwargs: Any) -> Any:
        # `--pipeline` is this project's documented way; Kedro would announce its retirement at every run.
        warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")
        try:
            return callback(*args, **kwargs)
        except Exception as error:
            known = user_error(error)
            if known is None or verbose_errors:
                raise
            raise click.ClickException(str(known)) from error

    return wrapped


def _run_command() -> click.Command:
    command = copy.copy(kedro_run)
    command.callback = _with_plain_errors(kedro_run.callback)
    flag = click.Option(["--verbose-errors"], is_flag=True, help="Show the whole traceback of an error.")
    command.params = [*kedro_run.params, flag]
    return command


run = _run_command()


@click.group(name="unichest_kedro")
def cli() -> None:
    """Commands of this project."""


cli.add_command(run, name="run")
