"""Writing a folder or a file as a whole: it is there complete, or the old one is."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Give a new empty folder to write into; it takes the place of `target` when the block ends without an error.

    The new folder is a sibling of `target` (same disk, so that a rename suffices). After an error it is removed
    and `target` is untouched.
    """
    fresh = target.with_name(f".{target.name}.writing")
    old = target.with_name(f".{target.name}.replaced")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def replacing_file(target: Path) -> Iterator[Path]:
    """Give a path to write a new file to; it takes the place of `target` when the block ends without an error.

    The new file is a sibling of `target`, whose folder is made where it is missing. After an error it is removed and
    `target` is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}.writing")
    try:
        yield fresh
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
