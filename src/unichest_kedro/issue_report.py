"""What someone who mends a fault needs to know of the machine, as a short block to paste into an issue."""

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, version

PACKAGE = "unichest_kedro"
PACKAGES = (PACKAGE, "kedro", "torch", "transformers", "timm", "pandas")
NODE_NOTE = "Failed in node: "
"""Begins the note that a hook puts on an error of a node."""


def versions() -> dict[str, str]:
    """Return versions of packages, Python and system, and the device that work runs on, by name."""
    found = {name: _version(name) for name in PACKAGES}
    return {
        **found,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        "device": _device(),
    }


def as_lines(facts: dict[str, str]) -> str:
    """One line per fact, its values under each other."""
    width = max(map(len, facts), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())


def issue_block(error: BaseException, command: str) -> str:
    """Return what to paste into an issue, below the traceback.

    Args:
        error: what was raised, with the note of the node that raised it (`NODE_NOTE`), if one did.
        command: what was run, in words, such as `kedro run --pipeline=ingest`.
    """
    facts = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300], "command": command}
    node = next((note.removeprefix(NODE_NOTE) for note in _notes(error) if note.startswith(NODE_NOTE)), "")
    if node:
        facts["node"] = node
    return (
        "This looks like a fault of the program, not of yours. Please report it "
        f"{_where()} with the traceback above and these lines:\n\n{as_lines(facts | versions())}"
    )


def _notes(error: BaseException | None) -> Iterator[str]:
    """The notes on an error and on all that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield from getattr(error, "__notes__", [])
        error = error.__cause__ or error.__context__


def _where() -> str:
    """Where to report, as the package's own metadata say."""
    try:
        links = metadata(PACKAGE).get_all("Project-URL") or []
    except PackageNotFoundError:
        links = []
    pages = dict(link.split(", ", 1) for link in links if ", " in link)
    page = pages.get("Issues", "")
    return f"at {page}" if page else "to the issue tracker of the project"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed as a package"


def _device() -> str:
    """The graphics card, or else the processor; torch is asked only where it is there anyway."""
    processor = f"CPU, {os.cpu_count()} cores ({platform.machine()})"
    try:
        import torch
    except ImportError:
        return processor
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        return f"{count} x {torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}"
    return processor


def command_line() -> str:
    """Return what was typed, without the folder of the program."""
    return " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])  # noqa: PTH119 - a name, not a file
