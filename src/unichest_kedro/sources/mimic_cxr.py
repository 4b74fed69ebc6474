"""MIMIC-CXR-JPG 2.x with the reports of MIMIC-CXR (PhysioNet): tables as .csv.gz or .csv, under one root or two.

Johnson et al., "MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs", 2019.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import field_validator

from unichest_kedro.errors import SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources.base import IngestionSettings, SourceTables, no_boxes, projections, rejected_rows
from unichest_kedro.sources.labels import CHEXPERT_LABELS, CHEXPERT_VALUES
from unichest_kedro.sources.options import SourceOptions
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

_SPLIT, _METADATA = (f"mimic-cxr-2.0.0-{name}.csv" for name in ("split", "metadata"))


class MimicOptions(SourceOptions):
    """Where the reports are, and whose labels are read.

    `reports` is the folder that holds `files/p10/...` with the reports (or `mimic-cxr-reports/files/p10/...`, as their
    archive unpacks) where it is not the root of the images. `labels` is the labeler whose table is read: CheXpert's or
    NegBio's; both have the same 14 labels.
    """

    reports: Path | None = None
    labels: Literal["chexpert", "negbio"] = "chexpert"

    @field_validator("reports")
    @classmethod
    def _is_folder(cls, value: Path | None) -> Path | None:
        folder = value.expanduser() if value is not None else None
        if folder is not None and not folder.is_dir():
            raise ValueError("there is no such folder; give the one into which the reports were unpacked")
        return folder

    @property
    def labels_table(self) -> str:
        """Name of the labels' table."""
        return f"mimic-cxr-2.0.0-{self.labels}.csv"


def read(root: Path, settings: IngestionSettings, options: MimicOptions | None = None) -> SourceTables:
    """The listing of all images; one without a split, or whose study has no row of labels, is rejected.

    Age and sex are not part of the release. The labels are a labeler's, per study.

    Raises:
        SourceError: a table is missing, lacks a column, or contradicts another.
    """
    labels_table = (options or MimicOptions()).labels_table
    images = _read_images(root)
    unassigned = images["split"].isna()
    rejected = images[unassigned]
    labels = _read_labels(_table(root, labels_table))
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
            "projection": projections(images["ViewPosition"]),
            "sex": "",
            "age": np.nan,
            "path": _image_paths(images),
            "readers": 1,
        }
    )
    reasons = (
        (rejected, f"in {_METADATA}, but without a split in {_SPLIT}"),
        (unlabelled, f"its study is in no row of {labels_table}"),
    )
    set_aside = [rejected_rows(rows["dicom_id"], _image_paths(rows), reason) for rows, reason in reasons]
    return SourceTables(pd.concat([listing, labels], axis=1), no_boxes(), pd.concat(set_aside, ignore_index=True))


def read_reports(root: Path, studies: pd.DataFrame, options: MimicOptions | None = None) -> pd.Series:
    """The free-text report of each row's study (str, "" where there is none).

    Raises:
        SourceError: the folder named for the reports does not hold them, or a report cannot be read.
    """
    if options is not None and options.reports is not None:
        root = options.reports
        _check_reports_root(root)
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


def _read_labels(path: Path) -> pd.DataFrame:
    """The 14 native labels, one row per study, the index being the study id."""
    frame = read_table(path, ["study_id", *CHEXPERT_LABELS])
    require_filled(frame, ["study_id"], path)
    require_unique(frame, ["study_id"], path, "studies are")
    values = to_numbers(frame, CHEXPERT_LABELS, path, CHEXPERT_VALUES)
    return values.add_prefix(NATIVE_PREFIX).set_index(frame["study_id"])


def _check_reports_root(root: Path) -> None:
    """Check that a folder named for the reports has their layout."""
    if not any((root / folder / "files").is_dir() for folder in REPORT_FOLDERS):
        raise SourceError(
            f"mimic_cxr: {root}, which `reports` names, holds neither files/ nor mimic-cxr-reports/files/. Give the "
            "folder that contains `files` with p10 to p19 in it."
        )


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
