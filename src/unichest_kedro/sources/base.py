"""The interface every source shares: its key, its settings and the tables it gives."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from unichest_kedro.errors import SettingsError

SOURCES = ("mimic_cxr", "chestxray14", "chexpert", "vindr_cxr")
"""Keys of the known sources, in the order in which they are shown everywhere."""

LISTING_COLUMNS = (
    "image_id",
    "patient_id",
    "study_id",
    "split",
    "split_origin",
    "view",
    "sex",
    "age",
    "path",
    "readers",
)
"""Columns of a listing, next to its native labels: those of `schemas.Studies` less `source` and `report`."""

REJECTED_COLUMNS = ("image_id", "path", "reason")
BOX_COLUMNS = ("image_id", "label", "reader", "x_min", "y_min", "x_max", "y_max")


class IngestionSettings(BaseModel):
    """How a missing validation split is cut from the training split.

    `val_fraction` is the share of the training patients (0 to 0.5, both excluded); `seed` picks which ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    val_fraction: float = Field(default=0.1, gt=0, lt=0.5)
    seed: int = Field(default=42, ge=0)


class SourceTables(NamedTuple):
    """What a source's own tables say, before anything is looked up on disk.

    `listing` has one row per listed image (`LISTING_COLUMNS` and the native labels, see `schemas.Studies`),
    `boxes` the columns of `schemas.Boxes` less `source`, `rejected` the rows that the tables themselves rule
    out, with the reason in words.
    """

    listing: pd.DataFrame
    boxes: pd.DataFrame
    rejected: pd.DataFrame


class Ingested(NamedTuple):
    """One source, ready for the next stages: tables of the schemas `Studies`, `Boxes` and `Quarantine`."""

    studies: pd.DataFrame
    boxes: pd.DataFrame
    quarantine: pd.DataFrame


def no_boxes() -> pd.DataFrame:
    """An empty box table with the columns of `schemas.Boxes`, less `source`."""
    types = {column: "float64" if column[:2] in ("x_", "y_") else "str" for column in BOX_COLUMNS}
    return pd.DataFrame({column: pd.Series(dtype=dtype) for column, dtype in types.items()})


def rejected_rows(image_id: pd.Series | list[str], path: pd.Series | list[str] | str, reason: str) -> pd.DataFrame:
    """A table of rejected images, one row per id, all for one reason; a single path serves all of them."""
    ids = pd.Series(image_id, dtype="str").reset_index(drop=True)
    paths = path if isinstance(path, str) else pd.Series(path, dtype="str").reset_index(drop=True)
    frame = pd.DataFrame({"image_id": ids, "path": paths, "reason": reason}, columns=list(REJECTED_COLUMNS))
    return frame.astype("str")


def check_source_keys(mapping: Mapping[str, object] | None) -> dict[str, Path]:
    """Check the configured `sources: {key: folder}` mapping (None: nothing configured); the folders as paths.

    Raises:
        SettingsError: an unknown key, a value that is not a path in words, or a folder that does not exist.
    """
    if mapping is None:
        return {}
    if not isinstance(mapping, Mapping):
        raise SettingsError(
            f"sources: {mapping!r} is not a mapping. Write one line per source, such as "
            "`chexpert: /path/to/CheXpert-v1.0-small`, or leave it empty for the embedded phantoms."
        )
    return {key: _checked_root(key, value) for key, value in mapping.items()}


def _checked_root(key: str, value: object) -> Path:
    """The folder of one entry of the `sources` mapping."""
    if key not in SOURCES:
        raise SettingsError(f"sources: unknown source {key!r}. Known sources: {', '.join(SOURCES)}.")
    if not isinstance(value, str | Path) or not str(value).strip():
        raise SettingsError(
            f"sources.{key}: {value!r} is not a path. Give the folder of the dataset as text, "
            "or remove the line to leave the source out."
        )
    root = Path(value).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise SettingsError(
            f"sources.{key}: {root} {what}. Give the folder into which the dataset was unpacked, "
            "or remove the line to leave the source out."
        )
    return root
