"""Which sources take part: the keys of `sources` in `globals.yml`, a user's own included; none listed = every phantom.

The pipelines have one set of nodes per active source, so they must know before Kedro hands out a catalog. A hook
tells them as soon as a session exists; without a session (`kedro registry list`) the configuration is read here.
"""

import os
from pathlib import Path
from typing import Any

from kedro.framework.project import settings
from kedro.utils import find_kedro_project

from unichest_kedro.sources import SOURCES, check_source_keys, check_train_on, with_own_sources
from unichest_kedro.vocabulary import read_yaml

_told: tuple[str, ...] | None = None


def sources_in(global_config: dict[str, Any]) -> tuple[str, ...]:
    """Return the active sources of a `globals.yml` content, in the project's order.

    Raises:
        SettingsError: if `sources` is no mapping or one of its entries is wrong, or `train_on` names no source.
    """
    active = tuple(check_source_keys(global_config.get("sources") or {})) or SOURCES
    check_train_on(global_config.get("train_on", ()), active)
    return active


def check_own_sources(global_config: dict[str, Any], project: Path) -> None:
    """Check that the user's own sources state findings of the vocabulary, before hours are spent on their films.

    Raises:
        VocabularyError: naming source, label and finding.
    """
    sources = global_config.get("sources") or {}
    file = project / global_config["vocabulary"]
    if set(sources) - set(SOURCES) and file.is_file():
        with_own_sources(read_yaml(file)[0], sources)


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
