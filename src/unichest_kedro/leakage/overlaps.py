"""What is known beforehand of data sets that hold one another's films."""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import combinations

import yaml

from unichest_kedro.errors import SettingsError
from unichest_kedro.leakage.settings import KnownOverlap
from unichest_kedro.sources.base import SOURCES

OWN = "own"
"""Stands for any source that is none of the project's."""


def published_overlaps() -> tuple[KnownOverlap, ...]:
    """The overlaps in `known_overlaps.yml`."""
    text = files("unichest_kedro.leakage").joinpath("known_overlaps.yml").read_text(encoding="utf-8")
    return tuple(KnownOverlap.model_validate(entry) for entry in yaml.safe_load(text))


def known_overlaps(sources: Sequence[str], more: Iterable[KnownOverlap] = ()) -> dict[tuple[str, str], str]:
    """What is known of each pair of active sources, whether films of it are found or not.

    Args:
        sources: The active sources.
        more: Overlaps that the user knows of.

    Returns:
        For each pair (in the order of `sources`) that is known to overlap, how that is known.

    Raises:
        SettingsError: An overlap of the user names a source that does not exist.
    """
    more = tuple(more)
    allowed = {*SOURCES, *sources, OWN}
    unknown = [name for overlap in more for name in overlap.sources if name not in allowed]
    if unknown:
        raise SettingsError(
            f"leakage.known_overlaps names the unknown source {unknown[0]!r}; known are {', '.join(sorted(allowed))}."
        )
    entries = (*published_overlaps(), *more)
    told = {}
    for pair in combinations(sources, 2):
        reasons = [entry.why for entry in entries if _is_about(entry.sources, pair)]
        if reasons:
            told[pair] = " ".join(reasons)
    return told


def _is_about(named: tuple[str, str], pair: tuple[str, str]) -> bool:
    return any(all(_means(n, source) for n, source in zip(named, order)) for order in (pair, pair[::-1]))


def _means(name: str, source: str) -> bool:
    return name == source or (name == OWN and source not in SOURCES)
