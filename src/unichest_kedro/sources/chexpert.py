"""CheXpert-v1.0 and CheXpert-v1.0-small: `train.csv`, `valid.csv`, and `test.csv` or `test_labels.csv`.

The full release comes in batches, which may have been merged into the one folder that the tables name, or lie beside
each other as `CheXpert-v1.0 batch 2 (train 1)/patient00001/...` and `CheXpert-v1.0 batch 1 (validate & csv)/valid/...`.

Irvin et al., "CheXpert: a large chest radiograph dataset with uncertainty labels and expert comparison",
AAAI 2019.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from unichest_kedro.errors import SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources.ages import OLDEST_AGE
from unichest_kedro.sources.base import IngestionSettings, SourceTables, no_boxes, projections, rejected_rows
from unichest_kedro.sources.labels import CHEXPERT_LABELS, CHEXPERT_VALUES
from unichest_kedro.sources.markers import RELEASE_FOLDERS
from unichest_kedro.sources.paths import names_in
from unichest_kedro.sources.splits import OFFICIAL
from unichest_kedro.sources.tables import find_table, read_table, require_filled, to_numbers

logger = logging.getLogger(__name__)

VALID_AS_TEST = "official valid.csv, used as test"
BATCH_FOLDERS = "CheXpert* batch *"
"""The folders into which the archives of the full release unpack."""

_RELEASE = r"^(?:\./)?(CheXpert[^/]*)/"
_PARTS = r"^(?:[^/]+/)*(?P<patient>patient\d+)/(?P<study>study\d+)/(?P<file>[^/]+)$"
_PATTERN = "<split>/patient<number>/study<number>/<file>"
_DEMOGRAPHICS = ("Sex", "Age", "Frontal/Lateral")
_PROJECTION = "AP/PA"


def read(root: Path, settings: IngestionSettings) -> SourceTables:
    """The listing of all images of the tables that are there.

    `valid.csv` is the validation split where there is a test table, and the test split where there is none.
    A row whose path names no patient is rejected.

    Raises:
        SourceError: a table is missing, lacks a column, or holds a value it must not.
    """
    parts = [_read_split(path, split, origin).assign(table=path.parent) for path, split, origin in _tables(root)]
    images = pd.concat(parts, ignore_index=True)
    plain = _prefix(root, images.pop("release"), images.pop("table")) + images["image_id"]
    images["path"] = _in_batches(root, images["image_id"], plain)
    named = images["patient_id"].notna()
    rejected = images[~named]
    listing = images[named].reset_index(drop=True)
    return SourceTables(
        listing, no_boxes(), rejected_rows(rejected["image_id"], rejected["path"], f"path is not {_PATTERN}")
    )


def _tables(root: Path) -> list[tuple[Path, str, str]]:
    """The tables that are there: path, split, and where the split comes from."""
    train = _find(root, "train.csv")
    if train is None:
        raise SourceError(f"{root}: train.csv is not there. Give the folder that contains CheXpert's train.csv.")
    valid, test = _find(root, "valid.csv"), _find(root, "test.csv", "test_labels.csv")
    tables = [(train, "train", OFFICIAL)]
    if valid is not None:
        tables.append((valid, "test", VALID_AS_TEST) if test is None else (valid, "val", OFFICIAL))
    if test is not None:
        tables.append((test, "test", OFFICIAL))
    if len(tables) == 1:
        logger.warning("chexpert: %s has neither valid.csv nor a test table: there is no test split.", root)
    return tables


def _find(root: Path, *names: str) -> Path | None:
    """A table in the root, or in the release's own folder inside it."""
    folders = [root, *sorted(root.glob(f"{RELEASE_FOLDERS}/"))]
    found = (find_table(folder, *names) for folder in folders)
    return next((path for path in found if path is not None), None)


def _read_split(path: Path, split: str, origin: str) -> pd.DataFrame:
    """One table as a listing without `path`, and with the `release` folder that its paths start with."""
    is_test = path.name.startswith("test")  # The published test labels come without demographics.
    required = ["Path", *CHEXPERT_LABELS] if is_test else ["Path", *_DEMOGRAPHICS, *CHEXPERT_LABELS]
    optional = [_PROJECTION, *_DEMOGRAPHICS] if is_test else [_PROJECTION]
    rows = read_table(path, required, optional=optional)
    rows = rows.reindex(columns=["Path", *_DEMOGRAPHICS, _PROJECTION, *CHEXPERT_LABELS]).astype("str")
    require_filled(rows, ["Path"], path)
    image_id = rows["Path"].str.replace(_RELEASE, "", regex=True)
    parts = image_id.str.extract(_PARTS)
    frame = pd.DataFrame(
        {
            "image_id": image_id,
            "patient_id": parts["patient"],
            "study_id": parts["patient"] + "/" + parts["study"],
            "split": split,
            "split_origin": origin,
            "view": _views(rows["Frontal/Lateral"], parts["file"]),
            "projection": projections(rows[_PROJECTION]),
            "sex": rows["Sex"].str[:1].where(rows["Sex"].isin(["Female", "Male", "F", "M"]), ""),
            "age": _ages(rows, path),
            "readers": 1,
            "release": rows["Path"].str.extract(_RELEASE)[0].fillna(""),
        }
    )
    labels = to_numbers(rows, CHEXPERT_LABELS, path, CHEXPERT_VALUES)
    return pd.concat([frame, labels.add_prefix(NATIVE_PREFIX)], axis=1)


def _views(stated: pd.Series, file: pd.Series) -> pd.Series:
    """View of each image: as the table says, or as the file name says where the table is silent."""
    said = stated.str.lower()
    named = file.str.extract(r"_(frontal|lateral)\.")[0]
    views = said.where(said.isin(["frontal", "lateral"]), named)
    return views.fillna("unknown").astype("str")


def _ages(rows: pd.DataFrame, path: Path) -> pd.Series:
    """Ages in years (float64), NaN where not known."""
    ages = to_numbers(rows, ["Age"], path)["Age"]
    return ages.where(ages.between(0, OLDEST_AGE), np.nan)


def _prefix(root: Path, release: pd.Series, table: pd.Series) -> pd.Series:
    """What goes before each image's path: its release folder, where that folder is inside the root.

    Paths that name no release (those of the published test labels) are relative to their table's folder.
    """
    own = {folder: "" if folder == root else f"{folder.relative_to(root).as_posix()}/" for folder in table.unique()}
    inside = {name: f"{name}/" if (root / name).is_dir() else "" for name in release.unique() if name}
    return release.map(inside).where(release != "", table.map(own)).astype("str")


def _in_batches(root: Path, image_id: pd.Series, plain: pd.Series) -> pd.Series:
    """The path of each image: in a batch's folder where its patient is in one, else as it is in `plain`.

    A batch holds whole patients; those of train lie right in it, those of valid in a folder of that name.
    """
    where: dict[str, str] = {}
    for batch in sorted(root.glob(f"{BATCH_FOLDERS}/")):
        for split, inside in (("train", "train/"), ("valid", "valid/"), ("test", "test/"), ("train", "")):
            folder = f"{batch.relative_to(root).as_posix()}/{inside}"
            where |= {f"{split}/{name}": folder for name in names_in(root / folder) if name.startswith("patient")}
    if not where:
        return plain
    parts = image_id.str.extract(r"^(?P<patient>[^/]+/[^/]+)(?P<rest>/.+)$")
    inside_batch = parts["patient"].map(where) + parts["patient"].str.partition("/")[2] + parts["rest"]
    return inside_batch.fillna(plain).astype("str")
