"""NIH ChestX-ray14: the table of 2017 or of 2020, images in `images_001/images` ... or in one flat `images`.

Wang et al., "ChestX-ray8: Hospital-scale chest X-ray database and benchmarks", CVPR 2017.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from unichest_kedro.errors import SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources.ages import to_years
from unichest_kedro.sources.base import IngestionSettings, SourceTables, no_boxes, projections, rejected_rows
from unichest_kedro.sources.labels import CHESTXRAY14_LABELS
from unichest_kedro.sources.paths import names_in
from unichest_kedro.sources.splits import OFFICIAL
from unichest_kedro.sources.tables import find_table, read_table, require_filled, require_unique, to_numbers

logger = logging.getLogger(__name__)

TRAIN_VAL_LIST, TEST_LIST = "train_val_list.txt", "test_list.txt"
BOX_SPELLINGS = {"Infiltrate": "Infiltration"}
BOX_READER = "radiologist"
_BOX_CORNER = ["Bbox [x", "y", "w", "h]"]


def read(root: Path, settings: IngestionSettings) -> SourceTables:
    """The listing of all images; images that only one of table and split lists names are rejected.

    A label that is not listed is absent (0): the source's labeler gives all 14 to every film.

    Raises:
        SourceError: a table or list is missing, lacks a column, or contradicts another.
    """
    path = find_table(root, "Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
    if path is None:
        raise SourceError(f"{root}: neither Data_Entry_2017_v2020.csv nor Data_Entry_2017.csv is there.")
    entries = _read_entries(path)
    split = _read_splits(root)
    entries["split"] = entries["Image Index"].map(split)
    entries["path"] = _image_paths(root, entries["Image Index"])
    return SourceTables(
        _listing(entries[entries["split"].notna()].reset_index(drop=True)),
        _read_boxes(root),
        _rejected(entries, split, path.name),
    )


def _listing(entries: pd.DataFrame) -> pd.DataFrame:
    """The listing of the images that have a split."""
    frame = pd.DataFrame(
        {
            "image_id": entries["Image Index"],
            "patient_id": entries["Patient ID"],
            "study_id": entries["Image Index"].str.rsplit(".", n=1).str[0],
            "split": entries["split"],
            "split_origin": OFFICIAL,
            "view": entries["View Position"].map({"PA": "frontal", "AP": "frontal"}).fillna("unknown"),
            "projection": projections(entries["View Position"]),
            "sex": entries["Patient Gender"].map({"F": "F", "M": "M"}).fillna(""),
            "age": to_years(entries["Patient Age"], "chestxray14"),
            "path": entries["path"],
            "readers": 1,
        }
    )
    return pd.concat([frame, _native_labels(entries["Finding Labels"])], axis=1)


def _read_entries(path: Path) -> pd.DataFrame:
    """The table of images, as text."""
    keys = ["Image Index", "Finding Labels", "Patient ID"]
    entries = read_table(path, [*keys, "Patient Age", "Patient Gender", "View Position"])
    require_filled(entries, keys, path)
    require_unique(entries, ["Image Index"], path, "images are")
    return entries


def _read_splits(root: Path) -> pd.Series:
    """The split ("train" or "test") of each image named in the two official lists."""
    train, test = (_read_list(root / name) for name in (TRAIN_VAL_LIST, TEST_LIST))
    both = sorted(set(train) & set(test))
    if both:
        raise SourceError(
            f"{root}: {len(both):,} images are in both {TRAIN_VAL_LIST} and {TEST_LIST}, for example "
            f"{', '.join(both[:5])}. Restore the publisher's lists."
        )
    return pd.Series({**dict.fromkeys(train, "train"), **dict.fromkeys(test, "test")}, dtype="str")


def _read_list(path: Path) -> list[str]:
    """The image names of a list, one per line."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise SourceError(f"{path}: the official split list is missing. Download it from the NIH folder.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read as a list of image names ({error}). Download it again.") from error


def _rejected(entries: pd.DataFrame, split: pd.Series, table: str) -> pd.DataFrame:
    """Images that the table names and the lists do not, or the other way round."""
    unlisted = entries[entries["split"].isna()]
    unknown = split.index[~split.index.isin(entries["Image Index"])].to_series()
    return pd.concat(
        [
            rejected_rows(unlisted["Image Index"], unlisted["path"], f"in neither {TRAIN_VAL_LIST} nor {TEST_LIST}"),
            rejected_rows(unknown, "images/" + unknown, f"in the split lists, but not in {table}"),
        ],
        ignore_index=True,
    )


def _image_paths(root: Path, names: pd.Series) -> pd.Series:
    """Path of each image, relative to the root: where it is on disk, `images/<name>` where it is nowhere."""
    where: dict[str, str] = {}
    for folder in sorted(root.glob("images*/")):
        for inner in (folder / "images", folder):
            prefix = inner.relative_to(root).as_posix()
            for name in names_in(inner):
                where.setdefault(name, prefix)
    return names.map(where).fillna("images") + "/" + names


def _native_labels(listed: pd.Series) -> pd.DataFrame:
    """One column (1 or 0) per label, from labels joined by `|`; unknown names get a column too."""
    codes, combinations = pd.factorize(listed)
    split = [{name.strip() for name in text.split("|")} for text in combinations]
    others = sorted({name for names in split for name in names} - set(CHESTXRAY14_LABELS))
    return pd.DataFrame(
        {
            NATIVE_PREFIX + label: np.array([label in names for names in split], dtype="float64")[codes]
            for label in (*CHESTXRAY14_LABELS, *others)
        }
    )


def _read_boxes(root: Path) -> pd.DataFrame:
    """The radiologist's boxes, corners in pixels; none where the table was not downloaded."""
    path = find_table(root, "BBox_List_2017.csv")
    if path is None:
        logger.info("chestxray14: no BBox_List_2017.csv in %s: no boxes.", root)
        return no_boxes()
    frame = read_table(path, ["Image Index", "Finding Label", *_BOX_CORNER])
    require_filled(frame, frame.columns, path)
    x, y, width, height = (column for _, column in to_numbers(frame, _BOX_CORNER, path).items())
    return pd.DataFrame(
        {
            "image_id": frame["Image Index"],
            "label": frame["Finding Label"].replace(BOX_SPELLINGS),
            "reader": BOX_READER,
            "x_min": x,
            "y_min": y,
            "x_max": x + width,
            "y_max": y + height,
        }
    )
