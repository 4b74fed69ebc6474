"""A user's own source: one table of films, CSV or Parquet, described by a few lines of YAML (`OwnOptions`)."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from unichest_kedro.schemas import NATIVE_PREFIX, SPLITS, VIEWS
from unichest_kedro.sources.ages import to_years
from unichest_kedro.sources.base import BOX_COLUMNS, IngestionSettings, SourceTables, no_boxes, rejected_rows
from unichest_kedro.sources.own_options import OwnBoxes, OwnLabelList, OwnOptions, own_rules
from unichest_kedro.sources.own_table import OwnTable, in_words, read_own_table
from unichest_kedro.sources.paths import normalise
from unichest_kedro.sources.splits import NOT_PUBLISHED

__all__ = ["OwnOptions", "own_rules", "read"]

logger = logging.getLogger(__name__)

OWN_SPLIT = "the table's own split"
BOX_READER = "own"

ANSWERS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "present"), 1.0),
    **dict.fromkeys(("0", "0.0", "false", "no", "absent"), 0.0),
    **dict.fromkeys(("-1", "-1.0"), -1.0),
}
"""What may stand in the column of a label, in any case; a blank cell means not mentioned."""

ANSWERS_IN_WORDS = "it must be 1, 0, -1 (uncertain), true, false, yes, no, present, absent, or blank (not mentioned)"
SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}


def read(source: str, root: Path, settings: IngestionSettings, options: OwnOptions) -> SourceTables:
    """The listing of all films of a user's table.

    Paths may be relative to the root or absolute below it, with either kind of slash. Without `patient` each film
    counts as a patient of its own, and without `split` the listing has none.

    Raises:
        SourceError: the table lacks a column, has two rows for one film, or holds a value that the description does
            not account for; the message names file, row, column and value.
    """
    columns = options.columns
    table = read_own_table(source, options.table_path(root), _columns_in_use(options))
    table.require_filled(columns.path, columns.patient, columns.image_id, columns.study)
    path = _below(root, table.cells[columns.path])
    table.require_unique(path, "path")
    image_id = path if columns.image_id is None else table.cells[columns.image_id]
    table.require_unique(image_id, "image_id")
    listing = pd.DataFrame(
        {
            "image_id": image_id,
            "patient_id": _patients(table, columns.patient, image_id),
            "study_id": image_id if columns.study is None else table.cells[columns.study],
            "split": _splits(table, options),
            "split_origin": OWN_SPLIT,
            "view": _views(table, options),
            "sex": _sexes(table, columns.sex),
            "age": np.nan if columns.age is None else to_years(table.cells[columns.age], source),
            "path": path,
            "readers": 1,
        }
    )
    if columns.report is not None:
        listing["report"] = table.cells[columns.report].fillna("")
    boxes = no_boxes() if options.boxes is None else _boxes(source, root, options.boxes, path, image_id)
    return SourceTables(pd.concat([listing, _labels(table, options)], axis=1), boxes, rejected_rows([], [], ""))


def _columns_in_use(options: OwnOptions) -> dict[str, str]:
    """Every column that the description names, with the key that names it."""
    named = {column: f"columns.{role}" for role, column in options.columns.model_dump().items() if column is not None}
    named |= dict.fromkeys(options.labels, "labels")
    return named if options.label_list is None else {**named, options.label_list.column: "label_list.column"}


def _below(root: Path, cells: pd.Series) -> pd.Series:
    """Paths relative to the root, where they are below it, with forward slashes."""
    paths = cells.str.replace("\\", "/", regex=False)
    for folder in (root, root.absolute(), root.resolve()):
        paths = paths.str.removeprefix(f"{folder.as_posix().rstrip('/')}/")
    return normalise(paths)


def _patients(table: OwnTable, column: str | None, image_id: pd.Series) -> pd.Series:
    """The patient of each film; the film itself where the table does not say."""
    if column is not None:
        return table.cells[column]
    logger.warning(
        "%s: no column names the patient, so each of its %s films counts as a patient of its own: splits cannot be by "
        "patient, and a patient with several films may be trained on and scored.",
        table.source,
        f"{len(image_id):,}",
    )
    return image_id


def _splits(table: OwnTable, options: OwnOptions) -> pd.Series | str:
    """The split of each film; none where the table has no such column."""
    column = options.columns.split
    return NOT_PUBLISHED if column is None else _translated(table, column, options.splits, SPLITS, "splits", None)


def _views(table: OwnTable, options: OwnOptions) -> pd.Series | str:
    """The view of each film; what the description says of all of them where the table has no such column."""
    column = options.columns.view
    if column is not None:
        return _translated(table, column, options.views, VIEWS, "views", "unknown")
    if options.view is None:
        logger.warning(
            "%s: nothing says which view its films are, so it is unknown: write `view: frontal` if all of them are "
            "frontal, or add `unknown` to imaging.views, or they are not used.",
            table.source,
        )
    return options.view or "unknown"


def _translated(
    table: OwnTable, column: str, words: dict[str, str], own_words: tuple[str, ...], key: str, blank: str | None
) -> pd.Series:
    """A column's values in the project's words; `blank` is what a blank cell means (None: it is refused)."""
    meaning = {word: word for word in own_words} | ({} if blank is None else {"": blank}) | words
    values = table.cells[column].fillna("").map(meaning)
    known = in_words(dict.fromkeys([*words, *own_words]))
    where = f"`sources.{table.source}.{key}`"
    table.refuse(values.isna(), column, f"known are {known}: add the value to {where} or correct the table")
    return values.astype("str")


def _sexes(table: OwnTable, column: str | None) -> pd.Series | str:
    """F, M, or "" where it is blank or written in another way, which is counted."""
    if column is None:
        return ""
    sexes = table.cells[column].str.lower().map(SEXES)
    other = int((sexes.isna() & table.cells[column].notna()).sum())
    if other:
        logger.warning("%s: %s cells of %r are neither F nor M: read as not known.", table.source, f"{other:,}", column)
    return sexes.fillna("").astype("str")


def _labels(table: OwnTable, options: OwnOptions) -> pd.DataFrame:
    """The native labels: 1 present, 0 absent, -1 uncertain, NaN not mentioned (float64)."""
    columns = {column: _answers(table, column) for column in options.labels}
    if options.label_list is not None:
        columns |= _listed(table, options.label_list)
    return pd.DataFrame(columns, index=table.cells.index).add_prefix(NATIVE_PREFIX)


def _answers(table: OwnTable, column: str) -> pd.Series:
    """One label's column as numbers."""
    cells = table.cells[column]
    values = cells.str.lower().map(ANSWERS).astype("float64")
    table.refuse(values.isna() & cells.notna(), column, ANSWERS_IN_WORDS)
    return values


def _listed(table: OwnTable, listed: OwnLabelList) -> dict[str, np.ndarray]:
    """The labels that one column lists, each as numbers."""
    codes, distinct = pd.factorize(table.cells[listed.column])
    entries = [{name.strip() for name in text.split(listed.separator)} - {""} for text in distinct]
    strange = [sorted(names - set(listed.labels)) for names in entries]
    if any(strange):
        wrong = pd.Series(codes).isin([code for code, names in enumerate(strange) if names])
        first = strange[codes[wrong.to_numpy().argmax()]][0]
        where = f"`sources.{table.source}.label_list.labels`"
        table.refuse(
            wrong,
            listed.column,
            f"its entry {first!r} has no line in {where}: give the finding it states, or [] to drop it",
        )
    unlisted = 0.0 if listed.unlisted == "absent" else np.nan
    # The code of a blank cell is -1, which takes the last value: nobody has looked.
    values = {label: [1.0 if label in names else unlisted for names in entries] for label in listed.labels}
    return {label: np.array([*of_lists, np.nan])[codes] for label, of_lists in values.items()}


def _boxes(source: str, root: Path, boxes: OwnBoxes, path: pd.Series, image_id: pd.Series) -> pd.DataFrame:
    """The boxes of the films in the table; others are counted."""
    columns = boxes.columns
    named = {column: f"boxes.columns.{role}" for role, column in columns.model_dump().items() if column is not None}
    table = read_own_table(source, root / Path(boxes.table).expanduser(), named)
    table.require_filled(*named)
    if columns.path is not None:
        images = _below(root, table.cells[columns.path]).map(dict(zip(path, image_id)))
    else:
        images = table.cells[columns.image_id].where(table.cells[columns.image_id].isin(image_id))
    strange = images.isna()
    if strange.any():
        name = table.cells[columns.path or columns.image_id][strange].iloc[0]
        logger.warning("%s: %s boxes are of no listed film, for example %s.", source, f"{strange.sum():,}", name)
    corners = {corner: _numbers(table, getattr(columns, corner)) for corner in BOX_COLUMNS[3:]}
    for low, high in (("x_min", "x_max"), ("y_min", "y_max")):
        table.refuse(
            corners[high] <= corners[low],
            getattr(columns, high),
            f"it must be above {low}: corners are read, not sizes",
        )
    frame = pd.DataFrame({"image_id": images, "label": table.cells[columns.label], "reader": BOX_READER, **corners})
    return frame[~strange].reset_index(drop=True)


def _numbers(table: OwnTable, column: str) -> pd.Series:
    """A column as float64."""
    numbers = pd.to_numeric(table.cells[column], errors="coerce").astype("float64")
    table.refuse(numbers.isna(), column, "it must be a number")
    return numbers
