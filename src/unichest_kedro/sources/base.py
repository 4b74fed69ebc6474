"""The interface every source shares: its key, its settings and the tables it gives."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from unichest_kedro.errors import SettingsError

SOURCES = ("mimic_cxr", "chestxray14", "chexpert", "vindr_cxr", "shenzhen", "open_i", "siim_acr", "padchest")
"""Keys of the known sources, in the order in which they are shown everywhere; a user's own come after them."""

TRAINED_ON = ("mimic_cxr", "chestxray14", "chexpert", "vindr_cxr")
"""The sources that the paper trains on; the others are only scored."""

LISTING_COLUMNS = (
    "image_id",
    "patient_id",
    "study_id",
    "split",
    "split_origin",
    "view",
    "projection",
    "sex",
    "age",
    "path",
    "readers",
)
"""Columns of a listing, next to its native labels: those of `schemas.Studies` less `source` and `report`."""

REJECTED_COLUMNS = ("image_id", "path", "reason")
BOX_COLUMNS = ("image_id", "label", "reader", "x_min", "y_min", "x_max", "y_max")


class IngestionSettings(BaseModel):
    """Which sources are trained on, and how the splits that their publishers do not ship are cut.

    `val_fraction` is the share of the training patients who validate (0 to 0.5, both excluded), `test_fraction` the
    share of all patients who test where the publisher ships no split at all (0 to 0.9, both excluded); `seed` picks
    which ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    train_on: tuple[str, ...] = TRAINED_ON
    val_fraction: float = Field(default=0.1, gt=0, lt=0.5)
    test_fraction: float = Field(default=0.2, gt=0, lt=0.9)
    seed: int = Field(default=42, ge=0)


class SourceTables(NamedTuple):
    """What a source's own tables say, before anything is looked up on disk.

    `listing` has one row per listed image (`LISTING_COLUMNS` and the native labels, see `schemas.Studies`; `split`
    is "" where the publisher gives none; a column `report` where the tables hold the reports), `boxes` the columns
    of `schemas.Boxes` less `source`, `rejected` the rows that the tables themselves rule out, with the reason in words.
    """

    listing: pd.DataFrame
    boxes: pd.DataFrame
    rejected: pd.DataFrame


class Ingested(NamedTuple):
    """One source, ready for the next stages: tables of the schemas `Studies`, `Boxes` and `Quarantine`."""

    studies: pd.DataFrame
    boxes: pd.DataFrame
    quarantine: pd.DataFrame


def projections(stated: pd.Series) -> pd.Series:
    """PA or AP where a table's word for the projection says so ("AP", "AP_horizontal", ...), else ""."""
    return stated.astype("str").str.upper().str.extract(r"^(PA|AP)(?![A-Z])")[0].fillna("").astype("str")


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


def in_order(keys: Iterable[str]) -> tuple[str, ...]:
    """The keys in the order in which sources are shown: the known ones, then a user's own as they come."""
    given = list(dict.fromkeys(keys))
    return tuple([key for key in SOURCES if key in given] + [key for key in given if key not in SOURCES])


def trained_sources(train_on: Iterable[str], active: Iterable[str]) -> tuple[str, ...]:
    """The active sources that are trained on, in the project's order.

    Args:
        train_on: keys that the user wants to train on; known sources that are not active are passed over.
        active: keys of the active sources, a user's own included.

    Raises:
        SettingsError: `train_on` names a source that does not exist, or none that is active.
    """
    active = in_order(active)
    wanted = check_train_on(train_on, active)
    chosen = tuple(key for key in active if key in wanted)
    if not chosen:
        raise SettingsError(
            f"train_on: there is nothing to train on: it names {', '.join(wanted) or 'no source'}, but the sources at "
            f"hand are {', '.join(active) or 'none'}. Add one of these to train_on, or the folder of one of those to "
            "sources, in globals.yml."
        )
    return chosen


def listed_keys(train_on: object) -> tuple[str, ...]:
    """The keys of `train_on` as they are listed.

    Raises:
        SettingsError: not a list of keys.
    """
    if isinstance(train_on, str | Mapping) or not isinstance(train_on, Iterable):
        raise SettingsError(f"train_on: {train_on!r} is not a list. Write one, such as [chestxray14, open_i].")
    return tuple(train_on)


def check_train_on(train_on: object, active: Iterable[str]) -> tuple[str, ...]:
    """The keys of `train_on`, each of a known source or of an active one of the user's own.

    Raises:
        SettingsError: not a list of keys, or a key of no source.
    """
    wanted = listed_keys(train_on)
    own = [key for key in active if key not in SOURCES]
    for key in wanted:
        if key not in (*SOURCES, *own):
            raise SettingsError(
                f"train_on: unknown source {key!r}. Known sources: {', '.join(SOURCES)}"
                f"{'; your own: ' + ', '.join(own) if own else ''}."
            )
    return wanted
