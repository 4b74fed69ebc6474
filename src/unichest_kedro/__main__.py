"""Runs the packaged project: `python -m unichest_kedro --pipeline=evaluate --conf-source=/folder/conf`."""

import sys
from pathlib import Path
from typing import Any

from kedro.framework.project import configure_project

from unichest_kedro.cli import run


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the project as `kedro run` does; what it makes goes to `data/` in the working folder.

    The configuration is `conf/` in the working folder, or what `--conf-source` names.
    """
    configure_project(Path(__file__).parent.name)
    interactive = hasattr(sys, "ps1")
    kwargs["standalone_mode"] = not interactive
    return run(*args, **kwargs)


if __name__ == "__main__":
    main()
