"""Runs the packaged project: `python -m unichest_kedro --pipeline=evaluate`."""

import sys
from pathlib import Path
from typing import Any

from kedro.framework.project import configure_project

from unichest_kedro.cli import run


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the project as `kedro run` does; the working folder must hold `conf/` and `data/`."""
    configure_project(Path(__file__).parent.name)
    interactive = hasattr(sys, "ps1")
    kwargs["standalone_mode"] = not interactive
    return run(*args, **kwargs)


if __name__ == "__main__":
    main()
