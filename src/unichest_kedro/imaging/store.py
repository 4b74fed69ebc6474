"""The image store of one source: its films as 8-bit grey in memory-mapped Arrow parts, kept up to date.

Memory grows with the number of films, never with their pixels: worker processes decode, resize and write part
files themselves and hand back only the films they could not read.
"""

import json
import math
import operator
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, field_validator
from tqdm import tqdm

from unichest_kedro.errors import MissingArtefact, UnreadableImage
from unichest_kedro.imaging.decode import DECODER_VERSION, decode_image
from unichest_kedro.imaging.parts import (
    PART_PATTERN,
    OpenPart,
    StoredFilm,
    index_of_parts,
    remove_unfinished,
    write_part,
)
from unichest_kedro.imaging.resize import shorter_side
from unichest_kedro.ray_connection import ray_connection

_MANIFEST_COLUMNS = ["image_id", "part", "row", "height", "width", "original_height", "original_width"]
_MANIFEST_KEY = b"image_store"
_PARTS_PER_WORKER = 4
_SMALLEST_PART = 16


class ImagingSettings(BaseModel):
    """How films are decoded into a store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: int = Field(ge=32, le=4096, description="pixels of the shorter side of a stored film")
    views: tuple[Literal["frontal", "lateral", "unknown"], ...] = Field(
        default=("frontal",), min_length=1, description="views of the studies table that are stored"
    )
    n_jobs: int = Field(default=-1, description="worker processes; -1 is one per core (of the cluster, with ray)")
    backend: Literal["loky", "ray"] = Field(default="loky", description="where the workers run: here, or on Ray")
    address: str | None = Field(default=None, description="of the Ray cluster; None starts one here")
    part_size: int = Field(default=512, ge=1, description="films per part file, at most")

    @field_validator("n_jobs")
    @classmethod
    def _some_workers(cls, value: int) -> int:
        if value == 0:
            raise ValueError("n_jobs 0 means no worker: give a number of processes, or -1 for one per core")
        return value


class ImageStore:
    """Films of one source by row number: `store[i]` is uint8 (height, width), shorter side `image_size`.

    The pixels are a read-only view of a memory-mapped file; copy before changing them. Parts are opened on
    first use in each process, so a store can be pickled to data-loading workers.
    """

    def __init__(self, manifest: pd.DataFrame, folder: Path, image_size: int) -> None:
        """Describe a store; nothing is opened yet.

        Args:
            manifest: One row per film: image_id (unique), part (file name), row (within the part), height,
                width, original_height, original_width (pixels of the file, before resizing).
            folder: Where the parts are.
            image_size: Pixels of the shorter side.
        """
        self._manifest = manifest[_MANIFEST_COLUMNS].reset_index(drop=True)
        self.folder = Path(folder)
        self.image_size = image_size
        codes, names = pd.factorize(self._manifest["part"])
        self._part_of, self._part_names = codes, [str(name) for name in names]
        self._row_in_part = self._manifest["row"].to_numpy()
        self._shapes = self._manifest[["height", "width"]].to_numpy()
        self._ids = pd.Index(self._manifest["image_id"], dtype="str")
        self._open: dict[int, OpenPart] = {}

    def __len__(self) -> int:
        return len(self._manifest)

    def __getitem__(self, index: int) -> np.ndarray:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"film {index} of a store of {len(self)}")
        part = int(self._part_of[index])
        if part not in self._open:
            self._open[part] = OpenPart(self.folder / self._part_names[part])
        return self._open[part].pixels(int(self._row_in_part[index])).reshape(self._shapes[index])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def __repr__(self) -> str:
        return f"ImageStore({len(self)} films, shorter side {self.image_size}, in {self.folder})"

    @property
    def manifest(self) -> pd.DataFrame:
        """One row per film, as given to the constructor."""
        return self._manifest.copy(deep=False)

    @property
    def image_ids(self) -> pd.Index:
        """The films' ids, in row order."""
        return self._ids

    @property
    def original_size(self) -> np.ndarray:
        """Height and width of each film's file in pixels, int (films, 2): the frame that boxes refer to."""
        return self._manifest[["original_height", "original_width"]].to_numpy()

    def row_of(self, ids: Iterable[str]) -> np.ndarray:
        """Row numbers of films.

        Args:
            ids: Image ids of this store.

        Returns:
            int64 (ids,), for use as `store[row]`.

        Raises:
            KeyError: If an id is not in the store; the message names the first.
        """
        wanted = pd.Index(list(ids), dtype="str")
        rows = self._ids.get_indexer(wanted)
        if (rows < 0).any():
            absent = wanted[rows < 0]
            raise KeyError(f"{len(absent)} of {len(rows)} films are not in the store, e.g. {absent[0]}")
        return rows.astype(np.int64)

    def missing_parts(self) -> list[str]:
        """File names of parts that the manifest refers to and the folder lacks."""
        present = {path.name for path in self.folder.glob(PART_PATTERN)}
        return [name for name in self._part_names if name not in present]

    def remove_unused_parts(self) -> int:
        """Delete parts that hold no film of this store, once its manifest is written; returns how many."""
        used = set(self._part_names)
        unused = [path for path in self.folder.glob(PART_PATTERN) if path.name not in used]
        for path in unused:
            path.unlink(missing_ok=True)
        return len(unused)

    def write_manifest(self, path: Path) -> None:
        """Write what describes this store to a Parquet file, which is replaced as a whole."""
        about = {
            "image_size": self.image_size,
            # Relative, so that a data folder can be moved or mounted elsewhere.
            "folder": Path(os.path.relpath(self.folder.resolve(), path.parent.resolve())).as_posix(),
        }
        table = pa.Table.from_pandas(self._manifest, preserve_index=False)
        metadata = {**(table.schema.metadata or {}), _MANIFEST_KEY: json.dumps(about).encode()}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
        try:
            pq.write_table(table.replace_schema_metadata(metadata), temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def from_manifest(cls, path: Path, folder: Path | None = None) -> Self:
        """Read a store that `write_manifest` described.

        Args:
            path: The manifest.
            folder: Where the parts are; None is where the manifest says, relative to itself.

        Raises:
            MissingArtefact: If there is no readable manifest at `path`.
        """
        try:
            table = pq.read_table(path)
            about = json.loads(table.schema.metadata[_MANIFEST_KEY])
        except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
            raise MissingArtefact(
                f"No readable image store manifest at {path}: run `kedro run --pipeline=images`."
            ) from error
        return cls(table.to_pandas(), folder or path.parent / about["folder"], about["image_size"])


class _Film(NamedTuple):
    image_id: str
    path: str
    key: str


def update_image_store(
    studies: pd.DataFrame, root: Path, cache_folder: Path, settings: ImagingSettings, *, description: str
) -> tuple[ImageStore, pd.DataFrame]:
    """Decode the films that are new or changed, and describe the store as it is now.

    A film is decoded again when its path, size or modification time, the image size or the decoder changed; a
    run that was killed goes on from the parts it finished. Films that could not be read are tried again each
    time, since a decoder may have been installed. No part is deleted here: the manifest of an earlier run
    stays true until the new one is written (`ImageStore.remove_unused_parts`). One update of a folder at a
    time.

    Args:
        studies: Schema `Studies`; rows of other views than the settings' are left out.
        root: The folder that `path` of the studies is relative to.
        cache_folder: Where the parts are kept; made if it is not there.
        settings: Size, views, workers.
        description: What the progress bar is called.

    Returns:
        The store, in the order of the studies, and the films that could not be read (schema `Quarantine`).
    """
    cache_folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(cache_folder)
    wanted = studies.loc[studies["view"].isin(settings.views), ["source", "image_id", "path"]]
    wanted, reasons = _with_keys(wanted.reset_index(drop=True).astype("str"), root, settings.image_size)
    stored = index_of_parts(cache_folder)
    pending = wanted[~wanted["key"].isin(stored["key"]) & (wanted["key"] != "")].drop_duplicates("key")
    films = [_Film(*row) for row in pending[["image_id", "path", "key"]].itertuples(index=False)]
    reasons |= _decode_all(films, root, cache_folder, settings, description)
    if films:
        stored = index_of_parts(cache_folder)
    found = wanted.merge(stored, on="key", how="left", validate="many_to_one")
    unread = found["part"].isna()
    manifest = found.loc[~unread, _MANIFEST_COLUMNS].astype(dict.fromkeys(_MANIFEST_COLUMNS[2:], "int32"))
    return ImageStore(manifest, cache_folder, settings.image_size), _quarantine(found[unread], reasons)


def _with_keys(wanted: pd.DataFrame, root: Path, image_size: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """Add the column key ("" for a file that is not there), and give the reasons of those, by image id."""
    keys, reasons = [], {}
    for image_id, path in zip(wanted["image_id"], wanted["path"]):
        try:
            keys.append(_key(root / path, path, image_size))
        except OSError as error:
            keys.append("")
            reasons[image_id] = f"file cannot be read: {error.strerror or error}"
    return wanted.assign(key=pd.Series(keys, dtype="str")), reasons


def _key(file: Path, path: str, image_size: int) -> str:
    """What identifies a decoded film: the file as it is now, the size it is stored at, and the decoder."""
    about = file.stat()
    text = f"{path}|{about.st_size}|{about.st_mtime_ns}|{image_size}|{DECODER_VERSION}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _decode_all(
    films: list[_Film], root: Path, folder: Path, settings: ImagingSettings, description: str
) -> dict[str, str]:
    """Decode films into parts, in worker processes; returns the reasons of the unreadable ones, by key."""
    reasons: dict[str, str] = {}
    if not films:
        return reasons
    with _workers(settings) as workers, tqdm(total=len(films), desc=f"decode {description}", unit="film") as bar:
        chunks = _chunks(films, workers, settings.part_size)
        # Workers of a cluster have a working folder of their own.
        places = (root.resolve(), folder.resolve(), settings.image_size)
        jobs = [joblib.delayed(_decode_chunk)(chunk, *places) for chunk in chunks]
        for decoded, failed in _run(jobs, workers, settings.backend):
            reasons |= failed
            bar.update(decoded)
    return reasons


@contextmanager
def _workers(settings: ImagingSettings) -> Iterator[int]:
    """Choose where joblib runs; gives the number of workers there."""
    if settings.backend == "loky":
        # No backend is named, so that `joblib.parallel_config` of a caller holds.
        yield joblib.effective_n_jobs(settings.n_jobs)
        return
    with ray_connection("imaging", settings.address, max(settings.n_jobs, 1)):
        from ray.util.joblib import register_ray

        register_ray()
        with joblib.parallel_config("ray"):
            yield joblib.effective_n_jobs(settings.n_jobs)


def _run(jobs: list[Any], workers: int, backend: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Run jobs and give their results as they come; Ray's backend gives them only block by block."""
    if backend == "loky":
        yield from joblib.Parallel(n_jobs=max(1, min(workers, len(jobs))), return_as="generator_unordered")(jobs)
        return
    block = workers * _PARTS_PER_WORKER
    for start in range(0, len(jobs), block):
        yield from joblib.Parallel(n_jobs=workers)(jobs[start : start + block])


def _chunks(films: list[_Film], workers: int, part_size: int) -> list[list[_Film]]:
    """Cut the work so that all workers stay busy to the end, in parts of `part_size` at most."""
    size = min(part_size, max(_SMALLEST_PART, math.ceil(len(films) / (_PARTS_PER_WORKER * workers))))
    return [films[start : start + size] for start in range(0, len(films), size)]


def _decode_chunk(films: list[_Film], root: Path, folder: Path, image_size: int) -> tuple[int, dict[str, str]]:
    """Decode films into one part; returns how many were tried and why some failed, by key."""
    reasons: dict[str, str] = {}

    def readable() -> Iterator[StoredFilm]:
        for film in films:
            try:
                image = decode_image(root / film.path)
            except UnreadableImage as error:
                reasons[film.key] = str(error)
                continue
            yield StoredFilm(film.image_id, film.key, shorter_side(image, image_size), *image.shape)

    # Named after its films, so that a part is never overwritten by other films.
    name = blake2b("".join(film.key for film in films).encode(), digest_size=16).hexdigest()
    write_part(folder / f"part-{name}.arrow", readable())
    return len(films), reasons


def _quarantine(unread: pd.DataFrame, reasons: dict[str, str]) -> pd.DataFrame:
    """Schema `Quarantine`; reasons are kept by key, or by image id where there was no file to have one."""
    why = [reasons.get(key) or reasons[image_id] for key, image_id in zip(unread["key"], unread["image_id"])]
    return pd.DataFrame(
        {
            "source": unread["source"],
            "image_id": unread["image_id"],
            "path": unread["path"],
            "stage": pd.Series("imaging", index=unread.index, dtype="str"),
            "reason": pd.Series(why, index=unread.index, dtype="str"),
        }
    ).reset_index(drop=True)
