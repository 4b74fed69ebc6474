"""Which listed paths stay inside the root, and which of them are on disk, without a look at every file."""

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from unichest_kedro.errors import SourceError
from unichest_kedro.sources.threads import read_each

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".dicom", ".dcm")

_NEEDS_A_LOOK = r"\\|//|:|^/|^\.|/\.\.?/|/\.\.?$"


class Presence(NamedTuple):
    """What was found on disk.

    `on_disk` is True (bool, one per path) where the file is there; `unlisted` counts the other image files in
    the folders that were read.
    """

    on_disk: pd.Series
    unlisted: int


def inside_root(paths: pd.Series) -> pd.Series:
    """True (bool, one per path) where a relative path stays inside the root, going by its text alone."""
    suspicious = paths.str.contains(_NEEDS_A_LOOK, regex=True).to_numpy(bool)
    inside = ~suspicious
    inside[suspicious] = [_is_inside(path) for path in paths[suspicious]]
    return pd.Series(inside, index=paths.index)


def normalise(paths: pd.Series) -> pd.Series:
    """Paths that stay inside the root, without `.`, `..` and doubled slashes."""
    suspicious = paths.str.contains(_NEEDS_A_LOOK, regex=True).to_numpy(bool)
    plain = paths.to_numpy(object, copy=True)
    plain[suspicious] = [posixpath.normpath(path) for path in paths[suspicious]]
    return pd.Series(plain, index=paths.index, dtype="str")


def look_for(root: Path, paths: pd.Series) -> Presence:
    """Which of the relative paths are on disk, reading each needed folder once.

    Folders are read level by level from the root, and only those that the level above has, so that a partial
    download costs no more than what is there.

    Raises:
        SourceError: a folder that exists cannot be read.
    """
    wanted = _names_by_folder(paths)
    children = _subfolders(wanted)
    present: set[str] = set()
    unlisted = 0
    level = [""]
    while level:
        deeper = []
        scans = read_each(lambda folder: names_in(f"{root}/{folder}"), level, "folders")
        for folder, names in zip(level, scans, strict=True):
            prefix = f"{folder}/" if folder else ""
            listed = wanted.get(folder)
            if listed:
                found = names & listed
                present.update(prefix + name for name in found)
                unlisted += sum(name.lower().endswith(IMAGE_SUFFIXES) for name in names - found)
            deeper += [prefix + name for name in children.get(folder, set()) & names]
        level = sorted(deeper)
    return Presence(paths.isin(list(present)), unlisted)


def _is_inside(path: str) -> bool:
    """Whether one path, read with either kind of slash, stays inside the root."""
    text = posixpath.normpath(path.replace("\\", "/"))
    has_drive = len(text) > 1 and text[1] == ":"
    return not (text.startswith("/") or text == ".." or text.startswith("../") or has_drive)


def _names_by_folder(paths: Iterable[str]) -> dict[str, set[str]]:
    """The listed file names of each folder ("" is the root)."""
    names: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        folder, _, name = path.rpartition("/")
        names[folder].add(name)
    return names


def _subfolders(folders: Iterable[str]) -> dict[str, set[str]]:
    """The names of the needed folders inside each folder, for the folders given and all above them."""
    children: dict[str, set[str]] = defaultdict(set)
    for folder in folders:
        while folder:
            parent, _, name = folder.rpartition("/")
            if name in children[parent]:
                break
            children[parent].add(name)
            folder = parent
    return children


def names_in(folder: str | Path) -> set[str]:
    """Names in a folder; none where it does not exist or is a file.

    Raises:
        SourceError: the folder exists and cannot be read.
    """
    try:
        return set(os.listdir(folder))  # noqa: PTH208 - Path.iterdir makes an object per name
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise SourceError(f"{folder}: the folder cannot be read ({error.strerror}). Check its permissions.") from error
