"""From an official folder to the studies table: what all sources have in common."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd

from unichest_kedro.errors import SettingsError, SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources import (
    chestxray14,
    chexpert,
    mimic_cxr,
    open_i,
    own,
    padchest,
    shenzhen,
    siim_acr,
    vindr_cxr,
)
from unichest_kedro.sources.base import (
    BOX_COLUMNS,
    LISTING_COLUMNS,
    SOURCES,
    Ingested,
    IngestionSettings,
    SourceTables,
    rejected_rows,
)
from unichest_kedro.sources.configured import options_of
from unichest_kedro.sources.markers import check_root
from unichest_kedro.sources.options import SourceOptions
from unichest_kedro.sources.paths import inside_root, look_for, normalise
from unichest_kedro.sources.splits import assign_splits, check_patients
from unichest_kedro.sources.tables import require_unique

logger = logging.getLogger(__name__)

NOT_ON_DISK = "listed but not on disk"
LEAVES_ROOT = "path leaves the root"
STAGE = "ingestion"


class Adapter(NamedTuple):
    """How one source is read: its tables, and its reports where they are files of their own.

    `read(root, settings)` gives the tables, `read_reports(root, studies)` a report (str, "" for none) for each row. A
    source that has options (`configured.OPTIONS`, and a user's own) takes them as a last argument of both.
    """

    read: Callable[..., SourceTables]
    read_reports: Callable[..., pd.Series] | None = None


ADAPTERS: dict[str, Adapter] = {
    "mimic_cxr": Adapter(mimic_cxr.read, mimic_cxr.read_reports),
    "chestxray14": Adapter(chestxray14.read),
    "chexpert": Adapter(chexpert.read),
    "vindr_cxr": Adapter(vindr_cxr.read),
    "shenzhen": Adapter(shenzhen.read),
    "open_i": Adapter(open_i.read),
    "siim_acr": Adapter(siim_acr.read),
    "padchest": Adapter(padchest.read),
}


def list_images(
    source: str, root: Path, settings: IngestionSettings, options: SourceOptions | Mapping[str, Any] | None = None
) -> SourceTables:
    """Everything a source lists, checked, each image in a split; no image is looked for.

    Args:
        source: key of the source; any other key than the known ones is a user's own source, which needs options.
        root: its folder, as downloaded.
        settings: which sources are trained on, and how missing splits are cut.
        options: what else the user says of the source, as it stands under `sources` of globals.yml or validated.

    Raises:
        SettingsError: an unknown source key, or an option that is wrong.
        SourceError: the folder or one of its tables is not what the publisher ships; the same image twice; a
            patient in two splits.
    """
    return _list(_Source.of(source, root, options), settings)


def ingest(
    source: str, root: Path, settings: IngestionSettings, options: SourceOptions | Mapping[str, Any] | None = None
) -> Ingested:
    """One source's images on disk, with split, view, native labels and report; the rest goes to quarantine.

    The splits are those of the full listing, so that an image's split does not depend on what was downloaded.
    The arguments are those of `list_images`.

    Raises:
        SettingsError: an unknown source key, or an option that is wrong.
        SourceError: as `list_images`, and when not one listed image is on disk.
    """
    given = _Source.of(source, root, options)
    tables = _list(given, settings)
    listing = tables.listing
    _require_any(source, tables)
    presence = look_for(given.root, listing["path"], tables.rejected["path"])
    _report_presence(source, given.root, listing, presence.on_disk, presence.unlisted)
    absent = listing[~presence.on_disk]
    rejected = pd.concat(
        [tables.rejected, rejected_rows(absent["image_id"], absent["path"], NOT_ON_DISK)], ignore_index=True
    )
    studies = _as_studies(given, listing[presence.on_disk].reset_index(drop=True))
    return Ingested(studies, _boxes_of(source, tables.boxes, studies), _as_quarantine(source, rejected))


class _Source(NamedTuple):
    """One source as it is read: key, folder, adapter, and the last arguments of the adapter's functions."""

    key: str
    root: Path
    adapter: Adapter
    options: tuple[SourceOptions, ...]

    @classmethod
    def of(cls, key: str, root: Path, options: SourceOptions | Mapping[str, Any] | None) -> Self:
        if key not in ADAPTERS and options is None:
            raise SettingsError(
                f"unknown source {key!r}. Known sources: {', '.join(SOURCES)}; a source of your own needs its options."
            )
        validated = options if isinstance(options, SourceOptions) else options_of(key, options or {})
        adapter = ADAPTERS.get(key) or Adapter(partial(own.read, key))
        return cls(key, Path(root), adapter, () if validated is None else (validated,))


def _list(source: _Source, settings: IngestionSettings) -> SourceTables:
    """The tables of a source, checked, with all splits and plain paths."""
    check_root(source.key, source.root)
    tables = source.adapter.read(source.root, settings, *source.options)
    require_unique(tables.listing, ["image_id"], source.root, "images are")
    check_patients(tables.listing, source.key)
    listing = assign_splits(_with_projection(tables.listing), settings, source.key)
    return _reject_unsafe(tables._replace(listing=listing))


def _with_projection(listing: pd.DataFrame) -> pd.DataFrame:
    """The listing with the projection of each film, which not every source states."""
    return listing if "projection" in listing else listing.assign(projection="")


def _reject_unsafe(tables: SourceTables) -> SourceTables:
    """Move rows whose path leaves the root to the rejected ones, and write the other paths plainly."""
    listing, rejected = tables.listing, tables.rejected
    inside = inside_root(listing["path"])
    unsafe = listing[~inside]
    kept = listing[inside].reset_index(drop=True)
    rejected = rejected.assign(reason=rejected["reason"].where(inside_root(rejected["path"]), LEAVES_ROOT))
    return SourceTables(
        kept.assign(path=normalise(kept["path"])),
        tables.boxes,
        pd.concat([rejected, rejected_rows(unsafe["image_id"], unsafe["path"], LEAVES_ROOT)], ignore_index=True),
    )


def _require_any(source: str, tables: SourceTables) -> None:
    """Stop where the tables themselves, or their paths, rule out every image."""
    if len(tables.listing) or tables.rejected.empty:
        return
    first = tables.rejected.iloc[0]
    raise SourceError(
        f"{source}: not one of {len(tables.rejected):,} listed images can be used, for example {first['path']}: "
        f"{first['reason']}. Correct the table, or give the folder that its paths are in."
    )


def _report_presence(source: str, root: Path, listing: pd.DataFrame, on_disk: pd.Series, unlisted: int) -> None:
    """Say how many listed images are missing and how many files no table lists; stop if nothing is left."""
    present, listed = int(on_disk.sum()), len(on_disk)
    if present == 0:
        example = f", for example {listing['path'].iloc[0]}" if listed else ""
        raise SourceError(
            f"{source}: none of the {listed:,} listed images is on disk under {root}{example}. "
            "Download the images, or give the folder that holds them together with the tables."
        )
    if present < listed:
        logger.warning(
            "%s: %s of %s listed images are not on disk; going on with the %s that are.",
            source,
            f"{listed - present:,}",
            f"{listed:,}",
            f"{present:,}",
        )
    else:
        logger.info("%s: all %s listed images are on disk.", source, f"{listed:,}")
    if unlisted:
        logger.warning(
            "%s: %s image files under %s belong to no listed image: left alone.",
            source,
            f"{unlisted:,}",
            root,
        )


def _as_studies(source: _Source, listing: pd.DataFrame) -> pd.DataFrame:
    """The studies table of the images on disk, columns in the schema's order."""
    studies = listing[list(LISTING_COLUMNS)].copy()
    studies.insert(0, "source", source.key)
    report: pd.Series | str = ""
    if source.adapter.read_reports is not None:
        report = source.adapter.read_reports(source.root, listing, *source.options)
    elif "report" in listing:
        report = listing["report"]
    studies.insert(studies.columns.get_loc("readers"), "report", report)
    texts = studies.columns.difference(["age", "readers"])
    natives = listing[[column for column in listing if column.startswith(NATIVE_PREFIX)]]
    if not isinstance(report, str):
        _report_texts(source.key, studies)
    return pd.concat([studies.astype(dict.fromkeys(texts, "str")), natives.astype("float64")], axis=1)


def _report_texts(source: str, studies: pd.DataFrame) -> None:
    """Say how many studies have no report."""
    by_study = studies.drop_duplicates("study_id")["report"]
    without = int((by_study == "").sum())
    if without:
        logger.warning("%s: %s of %s studies have no report.", source, f"{without:,}", f"{len(by_study):,}")


def _boxes_of(source: str, boxes: pd.DataFrame, studies: pd.DataFrame) -> pd.DataFrame:
    """The boxes of the images in the studies table."""
    kept = boxes[boxes["image_id"].isin(studies["image_id"])].reset_index(drop=True)
    if len(boxes):
        logger.info("%s: %s of %s boxes belong to images on disk.", source, f"{len(kept):,}", f"{len(boxes):,}")
    kept = kept[list(BOX_COLUMNS)]
    kept.insert(0, "source", source)
    return kept.astype(dict.fromkeys(("source", "image_id", "label", "reader"), "str"))


def _as_quarantine(source: str, rejected: pd.DataFrame) -> pd.DataFrame:
    """The quarantine table of this stage."""
    for reason, count in rejected["reason"].value_counts().items():
        if reason != NOT_ON_DISK:
            logger.warning("%s: %s rows set aside: %s.", source, f"{count:,}", reason)
    frame = rejected[["image_id", "path"]].assign(stage=STAGE, reason=rejected["reason"])
    frame.insert(0, "source", source)
    return frame.astype("str")
