"""What a result was made from: digests of tables, and versions of what was run."""

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version

import pandas as pd

SHOWN_VERSIONS = (
    *("unichest_kedro", "kedro", "torch", "timm", "transformers", "datasets", "pandas", "numpy", "scipy"),
    *("scikit-learn", "pillow", "matplotlib"),
)
"""Packages that can change a number or a picture."""


def table_digest(table: pd.DataFrame) -> str:
    """SHA-256 over a table's columns, in their order, and its cells, in theirs; the index does not count.

    Two tables with the same columns and cells have the same digest on any machine, whatever file they came from.
    """
    digest = hashlib.sha256("\n".join(table.columns).encode())
    digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().astype("<u8").tobytes())
    return digest.hexdigest()


def fingerprints(tables: Mapping[str, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """Row count and digest of each source's tables.

    Args:
        tables: Name of the table ("studies") -> source -> table.

    Returns:
        `source, table, rows, digest`, source by source.
    """
    sources = dict.fromkeys(source for of_each in tables.values() for source in of_each)
    rows = [
        (source, name, len(of_each[source]), table_digest(of_each[source]))
        for source in sources
        for name, of_each in tables.items()
        if source in of_each
    ]
    return pd.DataFrame(rows, columns=["source", "table", "rows", "digest"])


def versions() -> dict[str, str]:
    """Python, platform and `SHOWN_VERSIONS`, by name."""
    machine = {"Python": platform.python_version(), "Platform": platform.platform()}
    return machine | {name: version(name) for name in SHOWN_VERSIONS}
