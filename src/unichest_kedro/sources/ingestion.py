"""From an official folder to the studies table: what all sources have in common."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from unichest_kedro.errors import SettingsError, SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources import chestxray14, chexpert, mimic_cxr, vindr_cxr
from unichest_kedro.sources.base import (
    BOX_COLUMNS,
    LISTING_COLUMNS,
    SOURCES,
    Ingested,
    IngestionSettings,
    SourceTables,
    rejected_rows,
)
from unichest_kedro.sources.markers import check_root
from unichest_kedro.sources.paths import inside_root, look_for, normalise
from unichest_kedro.sources.splits import check_patients, cut_validation
from unichest_kedro.sources.tables import require_unique

logger = logging.getLogger(__name__)

NOT_ON_DISK = "listed but not on disk"
LEAVES_ROOT = "path leaves the root"
STAGE = "ingestion"


class Adapter(NamedTuple):
    """How one source is read: its tables, and its reports where it has any."""

    read: Callable[[Path, IngestionSettings], SourceTables]
    read_reports: Callable[[Path, pd.DataFrame], pd.Series] | None = None


ADAPTERS: dict[str, Adapter] = {
    "mimic_cxr": Adapter(mimic_cxr.read, mimic_cxr.read_reports),
    "chestxray14": Adapter(chestxray14.read),
    "chexpert": Adapter(chexpert.read),
    "vindr_cxr": Adapter(vindr_cxr.read),
}


def list_images(source: str, root: Path, settings: IngestionSettings) -> SourceTables:
    """Everything a source lists, checked and with all three splits; no image is looked for.

    Args:
        source: key of the source.
        root: its folder, as downloaded.
        settings: how a missing validation split is cut.

    Raises:
        SettingsError: an unknown source key.
        SourceError: the folder or one of its tables is not what the publisher ships; the same image twice; a
            patient in two splits.
    """
    if source not in ADAPTERS:
        raise SettingsError(f"unknown source {source!r}. Known sources: {', '.join(SOURCES)}.")
    root = Path(root)
    check_root(source, root)
    tables = ADAPTERS[source].read(root, settings)
    require_unique(tables.listing, ["image_id"], root, "images are")
    check_patients(tables.listing, source)
    listing = cut_validation(tables.listing, settings, source)
    return _reject_unsafe(tables._replace(listing=listing))


def ingest(source: str, root: Path, settings: IngestionSettings) -> Ingested:
    """One source's images on disk, with split, view, native labels and report; the rest goes to quarantine.

    The splits are those of the full listing, so that an image's split does not depend on what was downloaded.
    The arguments are those of `list_images`.

    Raises:
        SettingsError: an unknown source key.
        SourceError: as `list_images`, and when not one listed image is on disk.
    """
    root = Path(root)
    tables = list_images(source, root, settings)
    listing = tables.listing
    presence = look_for(root, listing["path"])
    _report_presence(source, root, listing, presence.on_disk, presence.unlisted)
    absent = listing[~presence.on_disk]
    rejected = pd.concat(
        [tables.rejected, rejected_rows(absent["image_id"], absent["path"], NOT_ON_DISK)], ignore_index=True
    )
    studies = _as_studies(source, root, listing[presence.on_disk].reset_index(drop=True))
    return Ingested(studies, _boxes_of(source, tables.boxes, studies), _as_quarantine(source, rejected))


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


def _as_studies(source: str, root: Path, listing: pd.DataFrame) -> pd.DataFrame:
    """The studies table of the images on disk, columns in the schema's order."""
    read_reports = ADAPTERS[source].read_reports
    studies = listing[list(LISTING_COLUMNS)].copy()
    studies.insert(0, "source", source)
    report: pd.Series | str = "" if read_reports is None else read_reports(root, listing)
    studies.insert(studies.columns.get_loc("readers"), "report", report)
    texts = studies.columns.difference(["age", "readers"])
    natives = listing[[column for column in listing if column.startswith(NATIVE_PREFIX)]]
    if read_reports is not None:
        _report_texts(source, studies)
    return pd.concat([studies.astype(dict.fromkeys(texts, "str")), natives.astype("float64")], axis=1)


def _report_texts(source: str, studies: pd.DataFrame) -> None:
    """Say how many studies have no report."""
    by_study = studies.drop_duplicates("study_id")["report"]
    without = int((by_study == "").sum())
    if without:
        logger.warning("%s: %s of %s studies have no report on disk.", source, f"{without:,}", f"{len(by_study):,}")


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
