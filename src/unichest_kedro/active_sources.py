"""Which sources take part: the keys of `sources` in `globals.yml`, or every phantom where none is listed.

The pipelines have one set of nodes per active source, so they must know before Kedro hands out a catalog. A hook
tells them as soon as a session exists; without a session (`kedro registry list`) the configuration is read here.
"""

import os
from pathlib import Path
from typing import Any

from kedro.framework.project import settings
from kedro.utils import find_kedro_project

from unichest_kedro.sources import SOURCES, check_source_keys

_told: tuple[str, ...] | None = None


def sources_in(global_config: dict[str, Any]) -> tuple[str, ...]:
    """Return the active sources of a `globals.yml` content, in the project's order.

    Raises:
        SettingsError: if `sources` is no mapping or names an unknown source.
    """
    listed = global_config.get("sources") or {}
    check_source_keys(listed)
    return tuple(source for source in SOURCES if not listed or source in listed)


def tell(sources: tuple[str, ...]) -> bool:
    """Note the active sources of the running session; returns whether they differ from those noted before."""
    global _told
    changed = _told != sources
    _told = sources
    return changed


def active_sources() -> tuple[str, ...]:
    """Return the active sources, reading the configuration where no session has told them."""
    if _told is not None:
        return _told
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    loader = settings.CONFIG_LOADER_CLASS(
        conf_source=str(project / settings.CONF_SOURCE),
        env=os.environ.get("KEDRO_ENV"),
        **settings.CONFIG_LOADER_ARGS,
    )
    return sources_in(loader["globals"])
