"""Starts the page: `python -m unichest_kedro.app --model FOLDER --port PORT`, or `make app`."""

import argparse
import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from unichest_kedro.app.settings import OWN_MODEL, AppSettings
from unichest_kedro.errors import SettingsError, UniChestError

HOST = "127.0.0.1"


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the model, then serve until Ctrl+C; what a user can mend ends with its message and exit code 1."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        settings = read_settings(arguments)
        check_library()
        check_port(settings.port)
        start(settings)
    except UniChestError as error:
        sys.exit(f"Error: {error}")


def read_settings(arguments: Sequence[str] | None = None) -> AppSettings:
    """Read the command line.

    Raises:
        SettingsError: a value is not allowed.
    """
    parser = argparse.ArgumentParser(prog="python -m unichest_kedro.app", description="A local page to look at films.")
    parser.add_argument("--model", type=Path, help=f"model folder (default: {OWN_MODEL})")
    parser.add_argument("--port", help=f"port of {HOST} (default: {AppSettings().port})")
    parser.add_argument("--device", help='"auto" for a GPU if there is one (default), or "cpu"')
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    try:
        return AppSettings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SettingsError(f"--{first['loc'][0]} {first['input']}: {first['msg']}") from error


def check_library() -> None:
    """Raise `SettingsError` where the page's library is not installed."""
    try:
        import nicegui  # noqa: F401
    except ModuleNotFoundError as error:
        raise SettingsError(
            f'the page needs a library that is not installed ({error.name}): pip install "unichest_kedro[app]"'
        ) from error


def check_port(port: int) -> None:
    """Raise `SettingsError` where nobody can listen at a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise SettingsError(
                f"--port {port}: cannot be listened at ({error.strerror}); end what runs there, or name another: "
                "`PORT=8061 make app`, or --port 8061."
            ) from error


def start(settings: AppSettings) -> None:
    """Load the model and serve the page."""
    from unichest_kedro.app.page import serve  # only now: a missing library has its own message
    from unichest_kedro.app.viewer import load_viewer

    serve(load_viewer(settings), HOST, settings.port)


if __name__ == "__main__":
    main()
