"""Which listed paths stay inside the root, and which of them are on disk, without a look at every file."""

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from unichest_kedro.errors import SourceError
from unichest_kedro.sources.threads import read_each

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".dicom", ".dcm")

_NEEDS_A_LOOK = r"\\|//|:|^/|^\.|/\.\.?/|/\.\.?$"


class Presence(NamedTuple):
    """What was found on disk.

    `on_disk` is True (bool, one per path) where the file is there; `unlisted` counts the image files in the folders
    that were read which are neither listed nor set aside.
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


def look_for(root: Path, paths: pd.Series, set_aside: Iterable[str] = ()) -> Presence:
    """Which of the relative paths are on disk, reading each needed folder once.

    Folders are read level by level from the root, and only those that the level above has, so that a partial
    download costs no more than what is there.

    Args:
        root: the source's folder.
        paths: the listed images, relative to it.
        set_aside: images that the tables name too, but that are not used; they do not count as unlisted.

    Raises:
        SourceError: a folder that exists cannot be read.
    """
    wanted, unused = _names_by_folder(paths), _names_by_folder(set_aside)
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
                others = names - found - unused.get(folder, set())
                unlisted += sum(name.lower().endswith(IMAGE_SUFFIXES) for name in others)
            deeper += [prefix + name for name in children.get(folder, set()) & names]
        level = sorted(deeper)
    return Presence(paths.isin(list(present)), unlisted)


def find_images(root: Path, folders: Sequence[str] = ("",), depth: int = 0) -> list[str]:
    """The image files in some folders of the root and up to `depth` levels below them.

    For sources whose tables do not say where an image is. Hidden files and folders are skipped, and a folder that
    does not exist holds nothing. Reading is level by level, many folders at once.

    Args:
        root: the source's folder.
        folders: where to look, relative to the root; "" is the root itself.
        depth: how many levels of folders below each of them to read too.

    Returns:
        Paths relative to the root, a folder above before those inside it, names in order.

    Raises:
        SourceError: a folder that exists cannot be read.
    """
    found: list[str] = []
    level = list(dict.fromkeys(folders))
    for remaining in range(depth, -1, -1):
        scans = read_each(lambda folder: _scan(root, folder), level, "folders")
        deeper = []
        for images, inner in scans:
            found += images
            deeper += inner
        if not remaining:
            break
        level = deeper
    return list(dict.fromkeys(found))


def without_image_suffix(name: str) -> str:
    """A file name without the ending that says it is an image."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def _scan(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """The image files and the folders in one folder, in order of their names, relative to the root."""
    images, inner = [], []
    prefix = f"{folder}/" if folder else ""
    try:
        with os.scandir(f"{root}/{folder}") as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.name.lower().endswith(IMAGE_SUFFIXES):
                    images.append(prefix + entry.name)
                elif entry.is_dir():
                    inner.append(prefix + entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        raise _closed_folder(f"{root}/{folder}", error) from error
    return sorted(images), sorted(inner)


def _closed_folder(folder: str | Path, error: OSError) -> SourceError:
    """The message for a folder that is there and cannot be read."""
    return SourceError(f"{folder}: the folder cannot be read ({error.strerror}). Check its permissions.")


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
        raise _closed_folder(folder, error) from error
