"""VinDr-CXR 1.0.0 (PhysioNet), or the Kaggle VinBigData copy of its training set (one `train.csv`).

Nguyen et al., "VinDr-CXR: an open dataset of chest X-rays with radiologist's annotations", Sci Data 2022.
The release names no patients: each image counts as a patient of its own.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from unichest_kedro.errors import SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources.base import IngestionSettings, SourceTables, no_boxes, rejected_rows
from unichest_kedro.sources.labels import VINBIGDATA_LABELS, VINDR_LABELS, VINDR_SPELLINGS
from unichest_kedro.sources.splits import OFFICIAL
from unichest_kedro.sources.tables import (
    find_table,
    read_header,
    read_table,
    require_filled,
    require_unique,
    to_numbers,
)

logger = logging.getLogger(__name__)

CONSENSUS = "consensus"
NO_FINDING = "No finding"
_CORNERS = ["x_min", "y_min", "x_max", "y_max"]
_READER = "rad_ID"
_SPELLINGS = {**VINDR_SPELLINGS, _READER: ("rad_id",)}


def read(root: Path, settings: IngestionSettings) -> SourceTables:
    """The listing of all images; a native label holds the number of readers who call it present.

    Raises:
        SourceError: a table is missing, lacks a column, or holds a value it must not.
    """
    official = {split: find_table(root / "annotations", f"image_labels_{split}.csv") for split in ("train", "test")}
    if any(official.values()):
        return _read_official(root, official)
    path = find_table(root, "train.csv")
    if path is None:
        raise SourceError(f"{root}: neither annotations/image_labels_train.csv nor Kaggle's train.csv is there.")
    return _read_kaggle(path)


def _read_official(root: Path, tables: dict[str, Path | None]) -> SourceTables:
    """The listing of the PhysioNet release, or of the half of it that is there."""
    for split in (split for split, path in tables.items() if path is None):
        logger.warning("vindr_cxr: annotations/image_labels_%s.csv is not there: no %s split.", split, split)
    listings = [_listing(_count_votes(path), split) for split, path in tables.items() if path is not None]
    boxes = [_read_boxes(root, split) for split, path in tables.items() if path is not None]
    return SourceTables(
        pd.concat(listings, ignore_index=True), pd.concat(boxes, ignore_index=True), rejected_rows([], [], "")
    )


def _read_kaggle(path: Path) -> SourceTables:
    """The listing of the Kaggle copy: a row per reader and box, and no labels for its test images."""
    logger.warning("vindr_cxr: %s is Kaggle's copy: 14 of 27 findings, and no test split.", path)
    frame = read_table(path, ["image_id", "class_name", _READER, *_CORNERS], spellings=_SPELLINGS)
    require_filled(frame, ["image_id", "class_name", _READER], path)
    calls = frame[["image_id", _READER, "class_name"]].drop_duplicates()
    votes = pd.crosstab(calls["image_id"], calls["class_name"]).reindex(frame["image_id"].unique())
    others = votes.columns.difference(VINBIGDATA_LABELS).tolist()
    votes = votes.reindex(columns=[*VINBIGDATA_LABELS, *others], fill_value=0)
    readers = frame.groupby("image_id")[_READER].nunique().reindex(votes.index)
    listing = _listing(votes.assign(readers=readers), "train")
    return SourceTables(listing, _boxes(frame, path, frame[_READER]), rejected_rows([], [], ""))


def _count_votes(path: Path) -> pd.DataFrame:
    """Per image (the index), how many readers call each label present, and the number of `readers`."""
    header = read_header(path)
    keys = ["image_id", _READER] if {_READER, "rad_id"} & set(header) else ["image_id"]
    if path.name.startswith("image_labels_train"):
        keys = ["image_id", _READER]
    frame = read_table(path, [*keys, *VINDR_LABELS], spellings=_SPELLINGS)
    require_filled(frame, frame.columns, path)
    require_unique(frame, keys, path, "images are" if len(keys) == 1 else "images of a reader are")
    votes = to_numbers(frame, VINDR_LABELS, path, (0.0, 1.0))
    grouped = votes.assign(readers=1).groupby(frame["image_id"], sort=False)
    return grouped.sum()


def _listing(votes: pd.DataFrame, split: str) -> pd.DataFrame:
    """The listing of one split, from the votes per image. Every film of the release is postero-anterior."""
    image_id = pd.Series(votes.index, dtype="str")
    frame = pd.DataFrame(
        {
            "image_id": image_id,
            "patient_id": image_id,
            "study_id": image_id,
            "split": split,
            "split_origin": OFFICIAL,
            "view": "frontal",
            "sex": "",
            "age": np.nan,
            "path": f"{split}/" + image_id + ".dicom",
            "readers": votes["readers"].to_numpy("int64"),
        }
    )
    labels = votes.drop(columns="readers").astype("float64").add_prefix(NATIVE_PREFIX)
    return pd.concat([frame, labels.reset_index(drop=True)], axis=1)


def _read_boxes(root: Path, split: str) -> pd.DataFrame:
    """The boxes of one split; none where their table was not downloaded."""
    path = find_table(root / "annotations", f"annotations_{split}.csv")
    if path is None:
        logger.warning("vindr_cxr: annotations/annotations_%s.csv is not there: no boxes for %s.", split, split)
        return no_boxes()
    columns: Sequence[str] = ["image_id", "class_name", *_CORNERS]
    frame = read_table(path, columns, optional=[_READER], spellings=_SPELLINGS)
    require_filled(frame, ["image_id", "class_name"], path)
    reader = frame[_READER].fillna(CONSENSUS) if _READER in frame else pd.Series(CONSENSUS, index=frame.index)
    return _boxes(frame, path, reader)


def _boxes(frame: pd.DataFrame, path: Path, reader: pd.Series) -> pd.DataFrame:
    """The rows that have a box: a reader who sees nothing leaves the corners blank."""
    corners = to_numbers(frame, _CORNERS, path)
    boxes = pd.DataFrame({"image_id": frame["image_id"], "label": frame["class_name"], "reader": reader, **corners})
    return boxes[(boxes["label"] != NO_FINDING) & corners.notna().all(axis=1)].reset_index(drop=True)
