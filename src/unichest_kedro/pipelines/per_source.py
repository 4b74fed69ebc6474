"""Wiring help for nodes that take one table of every active source (`chexpert_labels`, `vindr_cxr_labels`, ...)."""

from collections.abc import Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def of_every(sources: Iterable[str], *kinds: str) -> dict[str, str]:
    """Return the node inputs `{source}_{kind}` of every source and kind, argument name = dataset name."""
    return {f"{source}_{kind}": f"{source}_{kind}" for kind in kinds for source in sources}


def by_source(tables: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return `{source: table}` of one kind from a node's keyword arguments, in their order."""
    suffix = f"_{kind}"
    return {name.removesuffix(suffix): table for name, table in tables.items() if name.endswith(suffix)}
