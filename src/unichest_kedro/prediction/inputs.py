"""Which films a user means: a folder with all below it, a list of paths, a CSV, or a single film."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from unichest_kedro.errors import SettingsError

logger = logging.getLogger(__name__)

FILM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima", ".png", ".jpg", ".jpeg", ".jpe")
COLUMNS = ("film", "path")

_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_NAMED = 5
"""Suffixes, files or rows that a message names."""


def list_films(images: Path) -> pd.DataFrame:
    """List the films that a user means; none is opened further than its first bytes.

    Args:
        images: One of

            * a folder: every DICOM, PNG and JPEG file in it and below, in the order of their paths. A file counts as
              one by its name (`FILM_SUFFIXES`) or its first bytes; the others are counted in a log line, hidden ones
              and DICOMDIR left out. `film` is the path within the folder;
            * a `.csv` with a column `path` and, if wanted, `id`, which then is `film`;
            * any other text file: a path per line; empty lines and lines that start with # are left out;
            * a film.

            Paths in a list or CSV are relative to its folder. A file that is not there is listed all the same: it is
            reported as unreadable. One listed twice is listed once.

    Returns:
        Columns `film` (unique, what the film is called in every table) and `path` (absolute), both str.

    Raises:
        SettingsError: there is nothing at `images`, it holds no film, or it cannot be read as what it is; names row
            and value.
    """
    images = images.expanduser()
    if images.is_dir():
        films = _from_folder(images)
    elif not images.is_file():
        raise SettingsError(
            f"predict.images: there is nothing at {images}; give a folder, a text list, a CSV with a column `path`, "
            "or a film"
        )
    elif _is_film(images):
        films = [(images.name, images)]
    elif images.suffix.lower() == ".csv":
        films = _from_csv(images)
    else:
        films = _from_list(images)
    table = pd.DataFrame([(film, str(path.absolute())) for film, path in films], columns=list(COLUMNS), dtype="str")
    return _once(table, images)


def _from_folder(folder: Path) -> list[tuple[str, Path]]:
    films, others = [], Counter()
    for path in sorted(_files(folder)):
        if _is_film(path):
            films.append((path.relative_to(folder).as_posix(), path))
        else:
            others[path.suffix.lower() or path.name] += 1
    if not films:
        raise SettingsError(
            f"predict.images: {folder} holds no DICOM, PNG or JPEG file, nor does any folder in it "
            f"({sum(others.values())} other files)"
        )
    if others:
        kinds = ", ".join(f"{name} {count}" for name, count in others.most_common(_NAMED))
        logger.warning("%d files in %s are no DICOM, PNG or JPEG and are left out: %s.", others.total(), folder, kinds)
    return films


def _files(folder: Path) -> Iterator[Path]:
    """Files in a folder and below, links followed but no folder entered twice; hidden ones left out."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(place) / name for name in names if not name.startswith("."))


def _is_film(path: Path) -> bool:
    if path.name.upper() == "DICOMDIR":
        return False
    if path.suffix.lower() in FILM_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start.startswith(_STARTS) or start[128:] == b"DICM"


def _from_list(path: Path) -> list[tuple[str, Path]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"predict.images: {path} is neither a film nor a text list of paths ({error}); give a folder, a text list, "
            "a CSV with a column `path`, or a film"
        ) from error
    written = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not written:
        raise SettingsError(f"predict.images: {path} lists no film; write one path per line")
    return [(line, path.parent / Path(line).expanduser()) for line in written]


def _from_csv(path: Path) -> list[tuple[str, Path]]:
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise SettingsError(f"predict.images: {path} cannot be read as a CSV ({error})") from error
    if "path" not in table.columns:
        raise SettingsError(
            f"predict.images: {path} has no column `path`; it has {', '.join(map(str, table.columns)) or 'none'}"
        )
    if table.empty:
        raise SettingsError(f"predict.images: {path} has a header but no row")
    paths = table["path"].str.strip()
    ids = table["id"].str.strip() if "id" in table.columns else paths
    for name, column in (("path", paths), ("id", ids)):
        empty = [number + 2 for number in range(len(column)) if not column.iloc[number]]
        if empty:
            raise SettingsError(f"predict.images: {path}: column `{name}` is empty in line {empty[0]}")
    if "id" in table.columns:
        pairs = pd.DataFrame({"id": ids, "path": paths}).drop_duplicates()
        twice = pairs.loc[pairs["id"].duplicated(), "id"]
        if len(twice):
            raise SettingsError(
                f"predict.images: {path}: id {twice.iloc[0]!r} stands for two different paths; ids must be unique"
            )
    return [(film, path.parent / Path(written).expanduser()) for film, written in zip(ids, paths)]


def _once(table: pd.DataFrame, images: Path) -> pd.DataFrame:
    """The table with each film once."""
    twice = table["film"].duplicated()
    if twice.any():
        logger.warning("%d films of %s are listed more than once and are answered once.", int(twice.sum()), images)
    return table[~twice].reset_index(drop=True)
