"""What a text encoder says of texts, kept on disk, so that an encoder reads a text once.

Kept is the output *before* the projection: a row depends on the encoder's weights, its tokenizer, the number of
tokens a text is cut at (together the name of a folder, the shelf) and the text (the row's digest). The projection is
applied when embeddings are asked for: it costs next to nothing, and may be fitted anew without reading a text again.

Rows lie in part files, written a few batches at a time under a temporary name and renamed when whole: a stopped run
keeps all but its last part. The cache is bounded: the parts used longest ago go first.
"""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from unichest_kedro.errors import SettingsError

logger = logging.getLogger(__name__)

BATCHES_PER_PART = 16
"""Batches between two writes: what a stopped run loses at most."""

PART_PATTERN = "part-*.arrow"
_TEMPORARY_PATTERN = ".part-*.writing"
_INDEX_TYPES = {"digest": "str", "part": "str", "row": "int64"}
_LARGEST_IN_MEMORY = 64 << 20
_GIB = 1 << 30


class PooledBatch(NamedTuple):
    """Places of some texts in the list they came from, and their pooled outputs: float32 (B, D)."""

    places: list[int]
    pooled: np.ndarray


class TextReader(Protocol):
    """What the cache needs of a text encoder."""

    @property
    def width(self) -> int:
        """D, the length of a pooled output."""
        ...

    def pooling_fingerprint(self, max_tokens: int) -> str:
        """Digest of all that a pooled output depends on beside the text."""
        ...

    def pool_in_batches(
        self, texts: Sequence[str], *, batch_size: int, max_tokens: int, progress: bool
    ) -> Iterator[PooledBatch]:
        """Read the texts, longest first."""
        ...


class TextCache:
    """One folder of pooled outputs, of any number of encoders; one run at a time works in it."""

    def __init__(self, folder: Path, limit_gib: float) -> None:
        """Describe a cache; nothing is read yet.

        Args:
            folder: where the parts are; made when it is not there.
            limit_gib: size of the folder, in GiB, above which the parts used longest ago are removed. Parts that
                the last call used always stay.
        """
        self.folder = Path(folder)
        self.limit = int(limit_gib * _GIB)

    def collect(
        self,
        reader: TextReader,
        texts: Sequence[str],
        *,
        batch_size: int,
        max_tokens: int,
        transform: Callable[[np.ndarray], np.ndarray] = lambda pooled: pooled,
        progress: bool = True,
    ) -> np.ndarray:
        """Return what the encoder says of each text; only texts that the cache lacks are read.

        Args:
            reader: the encoder.
            texts: N texts, in any order, repeats allowed.
            batch_size: texts the encoder reads at once.
            max_tokens: a longer text is cut.
            transform: maps pooled outputs (n, D) to float32 (n, D): the projection. Called on one part at a time.
            progress: whether to show a bar while texts are read.

        Returns:
            float32 (N, D). A large array is mapped from a file without a name, which vanishes with the array.

        Raises:
            SettingsError: if the encoder gives a number that is not finite.
        """
        shelf = self.folder / blake2b(reader.pooling_fingerprint(max_tokens).encode(), digest_size=16).hexdigest()
        shelf.mkdir(parents=True, exist_ok=True)
        _remove_unfinished(shelf)
        wanted = pd.Index([digest_of_text(text) for text in texts], dtype="str")
        stored = _index(shelf)
        missing = (_places(wanted, stored) < 0) & ~wanted.duplicated()
        if missing.any():
            lacking = [texts[place] for place in np.flatnonzero(missing)]
            _read(reader, lacking, shelf, batch_size=batch_size, max_tokens=max_tokens, progress=progress)
            stored = _index(shelf)
        logger.info("%d of %d texts were read anew.", int(missing.sum()), len(texts))
        found = stored.iloc[_places(wanted, stored)].reset_index(drop=True)
        collected = _gather(shelf, found, (len(texts), reader.width), transform, self.folder)
        self._trim({shelf / part for part in found["part"].unique()})
        return collected

    def _trim(self, used: set[Path]) -> None:
        """Remove the parts used longest ago until the folder is within its limit."""
        for part in used:
            # Now is when it was used last.
            os.utime(part)
        parts = {part: part.stat() for part in self.folder.glob(f"*/{PART_PATTERN}")}
        total = sum(about.st_size for about in parts.values())
        for part in sorted(parts.keys() - used, key=lambda part: parts[part].st_mtime_ns):
            if total <= self.limit:
                break
            part.unlink()
            total -= parts[part].st_size
        for shelf in {part.parent for part in parts}:
            if not any(shelf.iterdir()):
                shelf.rmdir()


def digest_of_text(text: str) -> str:
    """Return what identifies a text in the cache: 32 hex digits."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _places(wanted: pd.Index, stored: pd.DataFrame) -> np.ndarray:
    """Return the row of the index that holds each digest, -1 where none does."""
    return pd.Index(stored["digest"]).get_indexer(wanted)


def _read(
    reader: TextReader, texts: Sequence[str], shelf: Path, *, batch_size: int, max_tokens: int, progress: bool
) -> None:
    """Have texts read, and write what the encoder says of them, a few batches to a part."""
    batches = reader.pool_in_batches(texts, batch_size=batch_size, max_tokens=max_tokens, progress=progress)
    while group := list(islice(batches, BATCHES_PER_PART)):
        chosen = [texts[place] for batch in group for place in batch.places]
        pooled = np.concatenate([batch.pooled for batch in group]).astype(np.float32, copy=False)
        finite = np.isfinite(pooled).all(axis=1)
        if not finite.all():
            text = chosen[int(np.flatnonzero(~finite)[0])]
            raise SettingsError(
                f"text_encoder: the encoder gives numbers that are not finite for {int((~finite).sum())} texts, e.g. "
                f"{text[:80]!r}: its weights are damaged; choose another `text_encoder.name`."
            )
        _write_part(shelf, [digest_of_text(text) for text in chosen], pooled)


def _gather(
    shelf: Path,
    found: pd.DataFrame,
    shape: tuple[int, int],
    transform: Callable[[np.ndarray], np.ndarray],
    folder: Path,
) -> np.ndarray:
    """Bring rows into the order of `found` (columns part and row), one part in memory at a time."""
    collected = _new_array(shape, folder)
    for part, places in found.groupby("part", sort=False).indices.items():
        pooled = _pooled(shelf / part)[found["row"].to_numpy()[places]]
        collected[places] = transform(pooled)
    return collected


def _new_array(shape: tuple[int, int], folder: Path) -> np.ndarray:
    """Make a float32 array, in memory if it is small, else mapped from a file that has no name any more."""
    if shape[0] * shape[1] * 4 <= _LARGEST_IN_MEMORY:
        return np.empty(shape, dtype=np.float32)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def _write_part(shelf: Path, digests: list[str], pooled: np.ndarray) -> None:
    """Write a part, named after its texts, and let it appear under its name when it is whole."""
    values = pa.array(np.ascontiguousarray(pooled).ravel())
    batch = pa.record_batch(
        {"digest": pa.array(digests, pa.string()), "pooled": pa.FixedSizeListArray.from_arrays(values, pooled.shape[1])}
    )
    name = blake2b("".join(digests).encode(), digest_size=16).hexdigest()
    temporary = shelf / f".part-{name}.{os.getpid()}.writing"
    try:
        with temporary.open("wb") as file:
            with pa.ipc.new_file(file, batch.schema) as writer:
                writer.write_batch(batch)
            file.flush()
            # Or a power cut could leave the new name on empty content.
            os.fsync(file.fileno())
        temporary.replace(shelf / f"part-{name}.arrow")
    finally:
        temporary.unlink(missing_ok=True)


def _open_part(path: Path) -> pa.RecordBatch:
    """Map a part into memory; the mapping lasts as long as what is taken from it."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).get_batch(0)


def _pooled(path: Path) -> np.ndarray:
    """Return a part's rows, float32 (n, D), a read-only view of the file."""
    column = _open_part(path).column("pooled")
    return column.values.to_numpy(zero_copy_only=True).reshape(len(column), -1)


def _index(shelf: Path) -> pd.DataFrame:
    """Return digest, part and row of every stored text, each once; a damaged part is deleted, its texts read again."""
    frames = []
    for path in sorted(shelf.glob(PART_PATTERN)):
        try:
            digests = _open_part(path).column("digest").to_pandas()
        except (OSError, pa.ArrowInvalid):
            logger.warning("%s is damaged; its texts are read again.", path)
            path.unlink(missing_ok=True)
            continue
        frames.append(pd.DataFrame({"digest": digests, "part": path.name, "row": range(len(digests))}))
    nothing = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _INDEX_TYPES.items()})
    index = pd.concat([nothing, *frames], ignore_index=True).astype(_INDEX_TYPES)
    return index.drop_duplicates("digest", ignore_index=True)


def _remove_unfinished(shelf: Path) -> None:
    """Delete what a killed run was writing."""
    for path in shelf.glob(_TEMPORARY_PATTERN):
        path.unlink(missing_ok=True)
