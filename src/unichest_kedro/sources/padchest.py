"""PadChest: `<ImageDir>/<ImageID>` and one table of all images, of which a physician labelled a quarter by hand.

Bustos et al., "PadChest: a large chest x-ray image dataset with multi-label annotated reports", Medical Image
Analysis 2020. The reports are Spanish and kept as they are; the labels are the table's own.
"""

import ast
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from unichest_kedro.errors import SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources.ages import plausible
from unichest_kedro.sources.base import IngestionSettings, SourceTables, no_boxes, projections, rejected_rows
from unichest_kedro.sources.paths import find_images
from unichest_kedro.sources.tables import FIRST_DATA_LINE, read_table

logger = logging.getLogger(__name__)

TABLE = "PADCHEST_chest_x_ray_images_labels_160K*.csv"
"""A pattern: the name ends in the release's date."""

VIEW_NAMES = {"PA": "frontal", "AP": "frontal", "AP_horizontal": "frontal", "L": "lateral"}
"""Costal, oblique, excluded and blank projections are "unknown"."""

PHYSICIAN, MODEL = "Physician", "RNN_model"
BY_MODEL = "labelled by a model, not by a physician"
DEPTH = 2
"""Folders between the root and an image: none, `<ImageDir>`, or a folder that holds those."""

_KEYS = ["ImageID", "ImageDir", "StudyID", "PatientID", "Projection", "MethodLabel", "Labels"]
_NEEDED = ["ImageID", "ImageDir", "StudyID", "PatientID"]
_DETAILS = ["StudyDate_DICOM", "PatientBirth", "PatientSex_DICOM", "Report"]
_LONGEST_VALUE = 60


def read(root: Path, settings: IngestionSettings) -> SourceTables:
    """The listing of the images that a physician labelled; all other rows are rejected, each with its reason.

    There is a native label for each entry that occurs, in lower case: 1 where the row has it, 0 where it has not,
    and NaN throughout a row whose list of labels is empty, which states nothing.

    Raises:
        SourceError: the table is missing or lacks a column, or a folder cannot be read.
    """
    path = _find_table(root)
    rows = read_table(path, _KEYS, optional=_DETAILS)
    rows = rows.reindex(columns=[*_KEYS, *_DETAILS])
    rows["ImageDir"] = rows["ImageDir"].str.removesuffix(".0")  # A spreadsheet's spelling of a whole number.
    rows["path"] = _paths(root, rows)
    reason = _reasons(rows)
    codes, texts = pd.factorize(rows["Labels"].where(reason == ""))
    parsed = [parse_labels(text) for text in texts]
    malformed = np.array([labels is None for labels in parsed], dtype=bool)
    wrong = (codes >= 0) & np.append(malformed, False)[codes]
    reason = reason.mask(wrong, "Labels hold " + rows["Labels"].str[:_LONGEST_VALUE] + ", not a list of words")
    kept = (reason == "").to_numpy()
    natives = _native_labels([labels or [] for labels in parsed], codes[kept])
    listing = pd.concat([_listing(rows[kept].reset_index(drop=True)), natives], axis=1)
    return SourceTables(listing, no_boxes(), _rejected(rows[~kept], reason[~kept]))


def parse_labels(text: str) -> list[str] | None:
    """The labels of a cell such as `['normal', ' COPD signs']`: trimmed, lower case, empty ones dropped.

    None where the text is not a list of words. Nothing in it is ever run.
    """
    try:
        labels = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return None
    cleaned = (" ".join(label.lower().split()) for label in labels)
    return [label for label in cleaned if label]


def _find_table(root: Path) -> Path:
    """The release's table, as it is or gzipped; the latest one where there are several."""
    found = [path for suffix in (".gz", "") for path in root.glob(TABLE + suffix) if path.is_file()]
    if not found:
        raise SourceError(f"{root}: no {TABLE} (or gzipped) is there. Download it into this folder.")
    return max(found, key=lambda path: path.name.removesuffix(".gz"))


def _paths(root: Path, rows: pd.DataFrame) -> pd.Series:
    """The path of each image: where it is on disk, and where the release has it if it is nowhere."""
    where: dict[str, str] = {}
    for path in find_images(root, depth=DEPTH):
        where.setdefault(path.rpartition("/")[2], path)
    official = rows["ImageDir"].fillna("") + "/" + rows["ImageID"].fillna("")
    return rows["ImageID"].map(where).fillna(official).astype("str")


def _reasons(rows: pd.DataFrame) -> pd.Series:
    """Why each row cannot be used, going by its cells; "" where it can."""
    reason = pd.Series("", index=rows.index, dtype="str")
    method = rows["MethodLabel"].fillna("")
    checks = [
        (method == MODEL, BY_MODEL),
        (method != PHYSICIAN, f"MethodLabel is neither {PHYSICIAN} nor {MODEL}"),
        *((rows[column].isna(), f"{column} is blank") for column in _NEEDED),
        (rows["Labels"].isna() | (rows["Labels"] == "nan"), "Labels are blank"),
    ]
    for fails, words in checks:
        reason = reason.mask((reason == "") & fails, words)
    return reason


def _listing(rows: pd.DataFrame) -> pd.DataFrame:
    """The listing, without labels, of usable rows."""
    age = _year(rows["StudyDate_DICOM"]) - _year(rows["PatientBirth"])
    return pd.DataFrame(
        {
            "image_id": rows["ImageID"],
            "patient_id": rows["PatientID"],
            "study_id": rows["StudyID"],
            "split": "",
            "split_origin": "",
            "view": rows["Projection"].map(VIEW_NAMES).fillna("unknown").astype("str"),
            "projection": projections(rows["Projection"]),
            "sex": rows["PatientSex_DICOM"].where(rows["PatientSex_DICOM"].isin(["F", "M"]), ""),
            "age": plausible(age, "padchest"),
            "path": rows["path"],
            "report": rows["Report"].fillna("").astype("str"),
            "readers": 1,
        }
    )


def _year(cells: pd.Series) -> pd.Series:
    """The year (float64) that begins each cell, such as `20140915` or `1938.0`; NaN for anything else."""
    years = cells.astype("str").str.extract(r"^\s*((?:1[89]|20)\d\d)(?:\D|\d{4}|$)")[0]
    return pd.to_numeric(years).astype("float64")


def _native_labels(parsed: list[list[str]], codes: np.ndarray) -> pd.DataFrame:
    """One column per label: 1 or 0, and NaN in rows without any; `codes` says which list each row has."""
    used = np.unique(codes)
    names = sorted({label for code in used for label in parsed[code]})
    column = {name: number for number, name in enumerate(names)}
    present = np.zeros((len(parsed), len(names)), dtype="float32")
    for code in used:
        present[code, [column[label] for label in parsed[code]]] = 1
        if not parsed[code]:
            present[code] = np.nan
    empty = sum(not parsed[code] for code in codes)
    if empty:
        logger.warning("padchest: %s rows have an empty list of labels: nothing is known of them.", f"{empty:,}")
    # By column, so that no table of rows x labels is there twice.
    return pd.DataFrame({NATIVE_PREFIX + name: present[codes, column[name]].astype("float64") for name in names})


def _rejected(rows: pd.DataFrame, reason: pd.Series) -> pd.DataFrame:
    """The rows that cannot be used, by image id, or by line where even that is blank."""
    line = "line " + (rows.index.to_series() + FIRST_DATA_LINE).astype("str")
    names = rows["ImageID"].fillna(line)
    return rejected_rows(names, rows["path"], "").assign(reason=reason.to_numpy())
