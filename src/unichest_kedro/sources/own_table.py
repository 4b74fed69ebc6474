"""Reading a user's own table, CSV or Parquet, as text, with messages that name the line of YAML and the row."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from unichest_kedro.errors import SourceError
from unichest_kedro.sources.tables import read_header, read_table

PARQUET = (".parquet", ".pq")


class OwnTable(NamedTuple):
    """A user's table: its file, the source it belongs to, and the columns in use as text (blank cells are missing)."""

    source: str
    path: Path
    cells: pd.DataFrame

    def refuse(self, wrong: pd.Series, column: str, allowed: str) -> None:
        """Stop at the first row whose cell of a column is wrong (`wrong`: bool, one per row), if there is one.

        Raises:
            SourceError: naming file, row, column and value, what is allowed, and the number of such rows.
        """
        if not wrong.any():
            return
        row = int(wrong.to_numpy(bool).argmax())
        cell = self.cells[column].iloc[row]
        held = "is blank" if pd.isna(cell) else f"holds {cell!r}"
        count = int(wrong.sum())
        more = f" ({count:,} such rows)" if count > 1 else ""
        self.stop(f"row {row + 1}: column {column!r} {held}{more}; {allowed}.")

    def require_filled(self, *columns: str | None) -> None:
        """Check that no cell of the columns is blank (None: a column that is not used).

        Raises:
            SourceError: naming file, row and column.
        """
        for column in columns:
            if column is not None:
                self.refuse(self.cells[column].isna(), column, "every row needs it")

    def require_unique(self, values: pd.Series, what: str) -> None:
        """Check that no value occurs in two rows.

        Raises:
            SourceError: naming file, value and both rows.
        """
        repeated = values.duplicated(keep=False)
        if repeated.any():
            value = values[repeated].iloc[0]
            first, second = [int(row) + 1 for row in (values == value).to_numpy(bool).nonzero()[0][:2]]
            count = int(values[repeated].nunique())
            more = f" ({count:,} images have several rows)" if count > 1 else ""
            self.stop(f"rows {first} and {second} are both of the {what} {value!r}{more}; keep one row per image.")

    def stop(self, message: str) -> NoReturn:
        """Raise an error about this table.

        Raises:
            SourceError: always.
        """
        raise SourceError(f"{self.source}: {self.path}: {message}")


def read_own_table(source: str, path: Path, columns: Mapping[str, str]) -> OwnTable:
    """The columns that a description names, as text; rows are counted from 1, without the header.

    Args:
        source: key of the source.
        path: a CSV (gzipped or not) or Parquet file.
        columns: the key of the description that names each column, by column.

    Raises:
        SourceError: the file is no such table, has no rows, or lacks a column.
    """
    is_parquet = path.suffix.lower() in PARQUET
    try:
        header = pq.read_schema(path).names if is_parquet else read_header(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{source}: {path}: cannot be read as Parquet ({error}). Write the table again.") from error
    _require_columns(source, path, header, columns)
    names = list(dict.fromkeys(columns))
    if not is_parquet:
        return OwnTable(source, path, read_table(path, names).apply(_stripped))
    cells = pd.read_parquet(path, columns=names).reset_index(drop=True)
    if cells.empty:
        raise SourceError(f"{source}: {path}: the table has columns but no rows.")
    return OwnTable(source, path, cells[names].apply(_as_text))


def _require_columns(source: str, path: Path, header: list[str], columns: Mapping[str, str]) -> None:
    """Check that the table has every column that the description names."""
    for column, key in columns.items():
        if column not in header:
            by_case = {name.casefold(): name for name in header}
            close = difflib.get_close_matches(column.casefold(), list(by_case), n=1, cutoff=0.7)
            hint = f" Is it {by_case[close[0]]!r}?" if close else ""
            raise SourceError(
                f"{source}: {path} has no column {column!r}, which `sources.{source}.{key}` names.{hint} "
                f"Its columns: {', '.join(map(repr, header))}."
            )


def _stripped(cells: pd.Series) -> pd.Series:
    """Text without surrounding blanks; missing where nothing is left."""
    cells = cells.str.strip()
    return cells.mask(cells == "")


def _as_text(cells: pd.Series) -> pd.Series:
    """A column of any type as text, as a CSV would hold it: whole numbers without a point, true and false in words."""
    if pd.api.types.is_bool_dtype(cells.dtype):
        text = cells.map({True: "true", False: "false"})
    elif pd.api.types.is_float_dtype(cells.dtype) and (cells.dropna() % 1 == 0).all():
        text = cells.astype("Int64").astype("str")  # ids and answers that became floats because some are missing
    elif pd.api.types.is_numeric_dtype(cells.dtype):
        text = cells.astype("str")
    else:
        text = cells.map(_cell, na_action="ignore")
    return _stripped(text.where(cells.notna()).astype("str"))


def _cell(value: object) -> str:
    """One cell of a column of mixed values."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def in_words(values: Iterable[str]) -> str:
    """Values in quotes, joined by commas."""
    return ", ".join(map(repr, values))
