"""SIIM-ACR Pneumothorax Segmentation: DICOM films and one table of masks, `train-rle.csv` or `stage_2_train.csv`.

The films are of ChestX-ray14, in new files with new names: whoever trains on that source has seen many of them.
"""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydicom import dcmread

from unichest_kedro.errors import SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources.ages import to_years
from unichest_kedro.sources.base import (
    BOX_COLUMNS,
    IngestionSettings,
    SourceTables,
    no_boxes,
    projections,
    rejected_rows,
)
from unichest_kedro.sources.labels import SIIM_ACR_LABELS
from unichest_kedro.sources.masks import decode_runs, runs_to_box
from unichest_kedro.sources.paths import find_images, without_image_suffix
from unichest_kedro.sources.tables import FIRST_DATA_LINE, find_table, read_table, require_filled
from unichest_kedro.sources.threads import read_each

logger = logging.getLogger(__name__)

TABLES = ("stage_2_train.csv", "train-rle.csv")
"""The second stage's table lists all films of the first stage's, and more."""

IMAGES = "dicom-images-train"
DEPTH = 3
"""Folders between the root and a film: `dicom-images-train/<study>/<series>/<uid>.dcm`."""

NO_MASK = "-1"
SIDE = 1024
"""Rows and columns of every film of the release."""

MASK_READER = "radiologist"
_DICOM = (".dcm", ".dicom")
_CORNERS = ["x_min", "y_min", "x_max", "y_max"]
_LATERAL = ("LL", "RL", "LATERAL")
_TAGS = ["PatientID", "PatientSex", "PatientAge", "ViewPosition"]


class Header(NamedTuple):
    """What a film's header says of the patient, as text; "" where it is silent or cannot be read."""

    patient: str = ""
    sex: str = ""
    age: str = ""
    view: str = ""


def read(root: Path, settings: IngestionSettings) -> SourceTables:
    """The listing of all images of the table; one whose mask cannot be decoded is rejected.

    Sex, age and view come from the headers of the films on disk. An image is a patient of its own, unless headers
    give several images one patient; then all of them go by the first one's name. A patient goes by an image's name,
    and not by the header's, because that name is known of films that are not on disk, too: the same films are cut
    off for testing whatever was downloaded.

    Raises:
        SourceError: the table is missing or lacks a column, or a folder cannot be read.
    """
    path = find_table(root, *TABLES)
    if path is None:
        raise SourceError(f"{root}: neither {' nor '.join(TABLES)} is there.")
    rows = read_table(path, ["ImageId", "EncodedPixels"])
    require_filled(rows, ["ImageId"], path)
    boxes, faults = _read_masks(rows, path.name)
    image_id = pd.Series(rows["ImageId"].unique(), dtype="str")
    films = _find_films(root, set(image_id), path.name)
    images = pd.DataFrame(
        {"image_id": image_id, "path": image_id.map(films).fillna(f"{IMAGES}/" + image_id + ".dcm").astype("str")}
    )
    faulty = image_id.isin(list(faults))
    listing = _listing(root, images[~faulty].reset_index(drop=True), set(films))
    listing[NATIVE_PREFIX + SIIM_ACR_LABELS[0]] = listing["image_id"].isin(boxes["image_id"]).astype("float64")
    rejected = rejected_rows(image_id[faulty], images.loc[faulty, "path"], "")
    return SourceTables(
        listing,
        boxes[~boxes["image_id"].isin(list(faults))].reset_index(drop=True),
        rejected.assign(reason=rejected["image_id"].map(faults).astype("str")),
    )


def _read_masks(rows: pd.DataFrame, table: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """One box per mask, and the reason for each image whose rows cannot be used."""
    boxes: list[tuple[str, int, int, int, int]] = []
    faults: dict[str, str] = {}
    without: set[str] = set()
    for line, (image, text) in enumerate(zip(rows["ImageId"], rows["EncodedPixels"].fillna("")), FIRST_DATA_LINE):
        if text.strip() == NO_MASK:
            without.add(image)
            continue
        try:
            boxes.append((image, *runs_to_box(decode_runs(text, SIDE, SIDE), SIDE)))
        except SourceError as error:
            faults.setdefault(image, f"{table}: line {line}: column 'EncodedPixels' {error}")
    for image in {image for image, *_ in boxes} & without:
        faults.setdefault(image, f"{table}: listed both with a mask and without one")
    return _as_boxes(boxes), faults


def _as_boxes(boxes: list[tuple[str, int, int, int, int]]) -> pd.DataFrame:
    """The boxes as a table."""
    if not boxes:
        return no_boxes()
    frame = pd.DataFrame(boxes, columns=["image_id", *_CORNERS]).astype(dict.fromkeys(_CORNERS, "float64"))
    return frame.assign(label=SIIM_ACR_LABELS[0], reader=MASK_READER)[list(BOX_COLUMNS)]


def _find_films(root: Path, listed: set[str], table: str) -> dict[str, str]:
    """The path of each listed film that is on disk, in whatever folder; says how many films no row lists."""
    found = find_images(root, depth=DEPTH)
    found.sort(key=lambda path: not path.endswith(_DICOM))  # The film as released, before a copy of it.
    names = [without_image_suffix(path.rpartition("/")[2]) for path in found]
    films: dict[str, str] = {}
    for name, path in zip(names, found, strict=True):
        if name in listed:
            films.setdefault(name, path)
    unlisted = len(set(names) - listed)
    if unlisted:
        logger.warning(
            "siim_acr: %s images under %s are in no row of %s (such as the competition's test films): left alone.",
            f"{unlisted:,}",
            root,
            table,
        )
    return films


def _listing(root: Path, images: pd.DataFrame, on_disk: set[str]) -> pd.DataFrame:
    """The listing, without labels, of images with an id and a path."""
    image_id = images["image_id"]
    readable = image_id.isin(on_disk) & images["path"].str.endswith(_DICOM)
    headers = _read_headers(root, images["path"].where(readable, ""))
    patient = headers["patient"].where(headers["patient"] != "", image_id)
    first = image_id.groupby(patient).transform("first")
    return pd.DataFrame(
        {
            "image_id": image_id,
            "patient_id": first,
            "study_id": image_id,
            "split": "",
            "split_origin": "",
            "view": np.where(headers["view"].isin(_LATERAL), "lateral", "frontal"),
            "projection": projections(headers["view"]),
            "sex": headers["sex"].where(headers["sex"].isin(["F", "M"]), ""),
            "age": to_years(headers["age"], "siim_acr"),
            "path": images["path"],
            "readers": 1,
        }
    )


def _read_headers(root: Path, paths: pd.Series) -> pd.DataFrame:
    """The header of each film, one row per path (columns as in `Header`); silent where the path is ""."""
    headers = list(read_each(lambda path: _read_header(root / path) if path else Header(), paths.tolist(), "headers"))
    broken = sum(header is None for header in headers)
    if broken:
        logger.warning("siim_acr: the headers of %s films cannot be read: sex and age not known.", f"{broken:,}")
    return pd.DataFrame([header or Header() for header in headers], columns=Header._fields, dtype="str")


def _read_header(path: Path) -> Header | None:
    """What a film's header says; None where it is no readable DICOM file, which a later stage reports by name."""
    try:
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        return Header(*(str(dataset.get(tag) or "").strip() for tag in _TAGS))
    except Exception:  # A damaged header raises errors of every kind.
        return None
