"""Part files of an image store: Arrow streams as Hugging Face `datasets` writes them, one film per row.

A part is written under a temporary name and renamed when complete, so a file called `part-*.arrow` is whole.
Its `pixels` are raw uint8, row-major, `height * width` bytes.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Features, Value
from datasets.arrow_writer import ArrowWriter

from unichest_kedro.errors import MissingArtefact

PART_PATTERN = "part-*.arrow"
_TEMPORARY_PATTERN = ".part-*.writing"
_FILMS_PER_BATCH = 16
_FEATURES = Features(
    {
        "image_id": Value("string"),
        "key": Value("string"),
        "height": Value("int32"),
        "width": Value("int32"),
        "original_height": Value("int32"),
        "original_width": Value("int32"),
        "pixels": Value("large_binary"),
    }
)
_SIZE_COLUMNS = ("height", "width", "original_height", "original_width")
_INDEX_TYPES = {"part": "str", "row": "int32", "key": "str", **dict.fromkeys(_SIZE_COLUMNS, "int32")}


class StoredFilm(NamedTuple):
    """One row of a part: `pixels` uint8 (height, width), and the file's size before resizing."""

    image_id: str
    key: str
    pixels: np.ndarray
    original_height: int
    original_width: int

    def as_row(self) -> dict[str, Any]:
        """The film as a row of the part's table."""
        height, width = self.pixels.shape
        return {
            "image_id": self.image_id,
            "key": self.key,
            "height": height,
            "width": width,
            "original_height": self.original_height,
            "original_width": self.original_width,
            "pixels": self.pixels.tobytes(),
        }


class OpenPart:
    """A memory-mapped part: pixels are paged in when they are looked at, and no file stays open.

    Hundreds of parts would otherwise use up a process's file descriptors; a mapping outlives its descriptor.
    """

    def __init__(self, path: Path) -> None:
        """Map the file.

        Args:
            path: A part file.

        Raises:
            MissingArtefact: The file is not there, or is not a whole Arrow stream.
        """
        try:
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_stream(source).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise MissingArtefact(
                f"Image part {path} is missing or damaged ({error}): run `kedro run --pipeline=images`."
            ) from error
        chunks = table.column("pixels").chunks
        self._starts = np.cumsum([0] + [len(chunk) for chunk in chunks])
        # The buffers themselves: asking Arrow for one value would copy it.
        buffers = [chunk.buffers() for chunk in chunks]
        self._ends = [np.frombuffer(offsets, dtype=np.int64) for _, offsets, _ in buffers]
        self._bytes = [np.frombuffer(data, dtype=np.uint8) for _, _, data in buffers]
        self._table = table.drop_columns("pixels")

    def pixels(self, row: int) -> np.ndarray:
        """Raw pixels of one film, uint8 (height * width,), a read-only view of the file."""
        chunk = int(np.searchsorted(self._starts, row, side="right")) - 1
        place = row - int(self._starts[chunk])
        return self._bytes[chunk][self._ends[chunk][place] : self._ends[chunk][place + 1]]

    def rows(self) -> pd.DataFrame:
        """Columns key, row and the four sizes; pixels are not touched."""
        frame = self._table.select(["key", *_SIZE_COLUMNS]).to_pandas()
        return frame.assign(row=np.arange(len(frame), dtype=np.int32))


def write_part(path: Path, films: Iterable[StoredFilm]) -> int:
    """Write films to a part file, a few at a time, and let it appear under its name when it is whole.

    Args:
        path: Where the part goes; a part of that name is replaced.
        films: Consumed lazily, so memory holds no more than a few films.

    Returns:
        How many films were written; no file is made for none.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.writing")
    try:
        with temporary.open("wb") as file:
            count = _write_stream(file, films)
            file.flush()
            # Or a power cut could leave the new name on empty content.
            os.fsync(file.fileno())
        if count:
            temporary.replace(path)
        return count
    finally:
        temporary.unlink(missing_ok=True)


def _write_stream(file: BinaryIO, films: Iterable[StoredFilm]) -> int:
    count = 0
    with ArrowWriter(stream=file, features=_FEATURES, writer_batch_size=_FILMS_PER_BATCH) as writer:
        for film in films:
            writer.write(film.as_row())
            count += 1
        writer.finalize(close_stream=False)
    return count


def remove_unfinished(folder: Path) -> None:
    """Delete what a killed run was writing."""
    for path in folder.glob(_TEMPORARY_PATTERN):
        path.unlink(missing_ok=True)


def index_of_parts(folder: Path) -> pd.DataFrame:
    """Find every stored film.

    Args:
        folder: The cache folder; damaged parts in it are deleted, so that their films are decoded again.

    Returns:
        Columns part (file name), row, key, height, width, original_height, original_width; one row per key.
    """
    frames = [_rows_or_delete(path) for path in sorted(folder.glob(PART_PATTERN))]
    nothing = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _INDEX_TYPES.items()})
    index = pd.concat([nothing, *frames], ignore_index=True)[list(_INDEX_TYPES)].astype(_INDEX_TYPES)
    return index.drop_duplicates("key", ignore_index=True)


def _rows_or_delete(path: Path) -> pd.DataFrame:
    try:
        return OpenPart(path).rows().assign(part=path.name)
    except MissingArtefact:
        path.unlink(missing_ok=True)
        return pd.DataFrame()
