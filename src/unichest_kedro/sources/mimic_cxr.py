"""MIMIC-CXR-JPG 2.x with the reports of MIMIC-CXR (PhysioNet): tables as .csv.gz or .csv, all under one root.

Johnson et al., "MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs", 2019.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from unichest_kedro.errors import SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources.base import IngestionSettings, SourceTables, no_boxes, rejected_rows
from unichest_kedro.sources.labels import CHEXPERT_LABELS, CHEXPERT_VALUES
from unichest_kedro.sources.splits import OFFICIAL
from unichest_kedro.sources.tables import find_table, read_table, require_filled, require_unique, to_numbers
from unichest_kedro.sources.threads import read_each

SPLIT_NAMES = {"train": "train", "validate": "val", "test": "test"}
VIEW_NAMES = {
    "PA": "frontal",
    "AP": "frontal",
    "LATERAL": "lateral",
    "LL": "lateral",
    "RL": "lateral",
    "XTABLE LATERAL": "lateral",
}
"""Positions that are plainly one or the other; oblique, decubitus, axial and blank ones are "unknown"."""

REPORT_FOLDERS = ("", "mimic-cxr-reports/")
"""Where `files/p10/...` with the reports may be, relative to the root."""

_SPLIT, _METADATA, _LABELS = (f"mimic-cxr-2.0.0-{name}.csv" for name in ("split", "metadata", "chexpert"))


def read(root: Path, settings: IngestionSettings) -> SourceTables:
    """The listing of all images; one without a split, or whose study has no row of labels, is rejected.

    Age and sex are not part of the release. The labels are the CheXpert labeler's, per study.

    Raises:
        SourceError: a table is missing, lacks a column, or contradicts another.
    """
    images = _read_images(root)
    unassigned = images["split"].isna()
    rejected = images[unassigned]
    labels = _read_labels(root)
    # Without a row in the labels table nothing is known of a study; a blank field would say "not mentioned".
    unlabelled = images[~unassigned & ~images["study_id"].isin(labels.index)]
    images = images[~unassigned & images["study_id"].isin(labels.index)].reset_index(drop=True)
    labels = labels.reindex(images["study_id"]).reset_index(drop=True)
    listing = pd.DataFrame(
        {
            "image_id": images["dicom_id"],
            "patient_id": images["subject_id"],
            "study_id": images["study_id"],
            "split": images["split"],
            "split_origin": OFFICIAL,
            "view": images["ViewPosition"].map(VIEW_NAMES).fillna("unknown"),
            "sex": "",
            "age": np.nan,
            "path": _image_paths(images),
            "readers": 1,
        }
    )
    reasons = (
        (rejected, f"in {_METADATA}, but without a split in {_SPLIT}"),
        (unlabelled, f"its study is in no row of {_LABELS}"),
    )
    set_aside = [rejected_rows(rows["dicom_id"], _image_paths(rows), reason) for rows, reason in reasons]
    return SourceTables(pd.concat([listing, labels], axis=1), no_boxes(), pd.concat(set_aside, ignore_index=True))


def read_reports(root: Path, studies: pd.DataFrame) -> pd.Series:
    """The free-text report of each row's study (str, "" where there is none)."""
    distinct = studies.drop_duplicates("study_id")
    folders = _study_folders(distinct["patient_id"], distinct["study_id"])
    texts = read_each(lambda folder: _read_report(root, folder), folders.tolist(), "reports")
    by_study = dict(zip(distinct["study_id"], texts, strict=True))
    return studies["study_id"].map(by_study).astype("str")


def _read_images(root: Path) -> pd.DataFrame:
    """Every image of the split and metadata tables: dicom_id, subject_id, study_id, split, ViewPosition."""
    keys = ["dicom_id", "subject_id", "study_id"]
    split_path, metadata_path = _table(root, _SPLIT), _table(root, _METADATA)
    split = read_table(split_path, [*keys, "split"])
    metadata = read_table(metadata_path, [*keys, "ViewPosition"])
    for frame, path in ((split, split_path), (metadata, metadata_path)):
        require_filled(frame, keys, path)
        require_unique(frame, ["dicom_id"], path, "images are")
    _check_split_names(split["split"], split_path)
    split["split"] = split["split"].map(SPLIT_NAMES)
    images = split.merge(metadata, on=keys, how="outer")
    require_unique(images, ["dicom_id"], metadata_path, f"images of another patient or study than in {_SPLIT} are")
    return images


def _check_split_names(names: pd.Series, path: Path) -> None:
    """Check that every row is in one of the three official splits."""
    other = names[~names.isin(list(SPLIT_NAMES))]
    if len(other):
        raise SourceError(
            f"{path}: column 'split' holds {other.iloc[0]!r}; it must be one of {', '.join(SPLIT_NAMES)} "
            f"({len(other):,} such lines). Restore the publisher's table."
        )


def _read_labels(root: Path) -> pd.DataFrame:
    """The 14 native labels, one row per study, the index being the study id."""
    path = _table(root, _LABELS)
    frame = read_table(path, ["study_id", *CHEXPERT_LABELS])
    require_filled(frame, ["study_id"], path)
    require_unique(frame, ["study_id"], path, "studies are")
    values = to_numbers(frame, CHEXPERT_LABELS, path, CHEXPERT_VALUES)
    return values.add_prefix(NATIVE_PREFIX).set_index(frame["study_id"])


def _table(root: Path, name: str) -> Path:
    """Path of one of the release's tables."""
    path = find_table(root, name)
    if path is None:
        raise SourceError(
            f"{root}: neither {name}.gz nor {name} is there. Download it from PhysioNet into this folder."
        )
    return path


def _study_folders(patient: pd.Series, study: pd.Series) -> pd.Series:
    """Folder of each study below `files`, e.g. `files/p10/p10000032/s50414267`."""
    return "files/p" + patient.str[:2] + "/p" + patient + "/s" + study


def _image_paths(images: pd.DataFrame) -> pd.Series:
    """Path of each image, relative to the root."""
    return _study_folders(images["subject_id"], images["study_id"]) + "/" + images["dicom_id"] + ".jpg"


def _read_report(root: Path, study_folder: str) -> str:
    """The report beside a study's folder; "" where no such file exists."""
    for folder in REPORT_FOLDERS:
        path = f"{root}/{folder}{study_folder}.txt"
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123 - a Path each is slow
                return stream.read()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SourceError(f"{path}: the report cannot be read ({error.strerror}). Check the file.") from error
    return ""
