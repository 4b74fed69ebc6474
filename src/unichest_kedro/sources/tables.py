"""Reading a publisher's tables: columns by name, and one clear message when something is wrong."""

import csv
import difflib
import gzip
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from unichest_kedro.errors import SourceError

FIRST_DATA_LINE = 2
"""Line of a table's first row in the file: line 1 is the header."""

_UNREADABLE = (
    UnicodeDecodeError,
    gzip.BadGzipFile,
    EOFError,
    zlib.error,
    pd.errors.ParserError,
    csv.Error,
    OSError,
)


def find_table(root: Path, *names: str) -> Path | None:
    """The first of the named tables that is in `root`, as it is or gzipped; None when none is there."""
    candidates = [root / f"{name}{suffix}" for name in names for suffix in ("", ".gz")]
    return next((path for path in candidates if path.is_file()), None)


def read_header(path: Path) -> list[str]:
    """Column names of a csv or csv.gz table, without surrounding blanks.

    Raises:
        SourceError: the file cannot be read as text, or is empty.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream), [])
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    if not header:
        raise SourceError(f"{path}: the table is empty. Download it again from its publisher.")
    return [name.strip() for name in header]


def read_table(
    path: Path,
    required: Sequence[str],
    *,
    optional: Collection[str] = (),
    spellings: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """The named columns of a csv or csv.gz table, all as text (blank cells are missing values).

    Args:
        path: the table.
        required: columns that must be there.
        optional: columns that are read where they exist.
        spellings: other names under which a column is found, by its proper name.

    Raises:
        SourceError: the file is not a readable table, lacks a column, or has no rows.
    """
    header = read_header(path)
    found = _locate(path, header, [*required, *optional], spellings or {})
    missing = [name for name in required if name not in found]
    if missing:
        raise SourceError(_missing_columns(path, missing, header))
    try:
        frame = pd.read_csv(
            path,
            header=0,
            usecols=sorted(found.values()),
            dtype="str",
            encoding="utf-8-sig",
            keep_default_na=False,
            na_values=[""],
            skipinitialspace=True,
            index_col=False,
        )
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    if frame.empty:
        raise SourceError(f"{path}: the table has a header but no rows. Download it again from its publisher.")
    # By position: pandas renames repeated and nameless columns (the header of BBox_List_2017.csv has three).
    return frame.set_axis(sorted(found, key=found.__getitem__), axis=1)[list(found)]


def require_filled(frame: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    """Check that no cell of the columns is blank.

    Raises:
        SourceError: naming the file, the column and the first line with a blank cell.
    """
    for column in columns:
        blank = frame[column].isna()
        if blank.any():
            line = int(blank.to_numpy().argmax()) + FIRST_DATA_LINE
            raise SourceError(
                f"{path}: line {line}: column {column!r} is blank ({blank.sum():,} such lines). "
                "Every row needs it: restore the publisher's table."
            )


def require_unique(frame: pd.DataFrame, columns: list[str], path: Path, what: str) -> None:
    """Check that no two rows agree in all of the columns.

    Raises:
        SourceError: naming the file and the first few values that occur more than once.
    """
    repeated = frame.duplicated(columns)
    if repeated.any():
        examples = frame.loc[repeated, columns].drop_duplicates()
        names = [" / ".join(row) for row in examples.head(5).itertuples(index=False)]
        raise SourceError(
            f"{path}: {len(examples):,} {what} listed more than once, for example {', '.join(names)}. "
            "Keep one row of each."
        )


def to_numbers(
    frame: pd.DataFrame, columns: Iterable[str], path: Path, allowed: Collection[float] | None = None
) -> pd.DataFrame:
    """The columns as float64, NaN where blank.

    Raises:
        SourceError: naming file, line, column and value of the first cell that is no number, or not allowed.
    """
    return pd.DataFrame({column: _numbers(frame[column], column, path, allowed) for column in columns})


def _numbers(cells: pd.Series, column: str, path: Path, allowed: Collection[float] | None) -> pd.Series:
    """One column of text as numbers."""
    numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
    bad = numbers.isna() & cells.notna()
    if allowed is not None:
        bad |= numbers.notna() & ~numbers.isin(list(allowed))
    if bad.any():
        row = int(bad.to_numpy().argmax())
        wanted = "a number" if allowed is None else f"one of {', '.join(f'{value:g}' for value in allowed)}"
        raise SourceError(
            f"{path}: line {row + FIRST_DATA_LINE}: column {column!r} holds {cells.iloc[row]!r}; "
            f"it must be {wanted} or blank ({bad.sum():,} such lines). Restore the publisher's table."
        )
    return numbers


def _locate(
    path: Path, header: list[str], names: Iterable[str], spellings: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """Position of each named column that the header has, under its own or another known spelling."""
    found = {}
    for name in names:
        known = [name, *spellings.get(name, ())]
        positions = [position for position, column in enumerate(header) if column in known]
        if len(positions) > 1:
            raise SourceError(f"{path}: column {name!r} is there {len(positions)} times. Keep one of them.")
        if positions:
            found[name] = positions[0]
    return found


def _missing_columns(path: Path, missing: list[str], header: list[str]) -> str:
    """The message for a table that lacks columns, with the nearest existing name where there is one."""
    hints = []
    for name in missing:
        by_case = {column.casefold(): column for column in header}
        close = difflib.get_close_matches(name.casefold(), list(by_case), n=1, cutoff=0.7)
        hints.append(f"{name!r} (is it {by_case[close[0]]!r}?)" if close else repr(name))
    word = "column" if len(missing) == 1 else "columns"
    return (
        f"{path}: {word} {', '.join(hints)} missing. Columns found: {', '.join(map(repr, header))}. "
        "Restore the publisher's header, or check that this is the right table."
    )


def _unreadable(path: Path, error: Exception) -> SourceError:
    """The message for a file that is no table at all, or a broken one."""
    return SourceError(f"{path}: cannot be read as a csv table ({error}). Download it again from its publisher.")
