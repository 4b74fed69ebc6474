"""Films that are there twice: exactly, or as near copies told by hash and edges."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from unichest_kedro.errors import MissingArtefact
from unichest_kedro.leakage.confirm import edge_correlation
from unichest_kedro.leakage.hashing import from_text
from unichest_kedro.leakage.neighbours import near_pairs
from unichest_kedro.leakage.settings import LeakageSettings
from unichest_kedro.schemas import SPLITS

SAME_PIXELS, NEAR_COPY, NEGATIVE = "same pixels", "near copy", "negative"
KINDS = (SAME_PIXELS, NEAR_COPY, NEGATIVE)
"""Kinds of a pair: not one pixel differs; told by hash and edges; the same, with black and white exchanged."""

_CONFIRMED_AT_ONCE = 1 << 14


class HashedSource(NamedTuple):
    """One source: its table of schema `Studies`, `FilmHashes`, and thumbnails uint8 (films, 32, 32), row by row."""

    studies: pd.DataFrame
    hashes: pd.DataFrame
    thumbnails: np.ndarray


class Duplicates(NamedTuple):
    """K pairs of films by row number: distance of their hashes (0 for the same pixels), correlation, kind."""

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    correlation: np.ndarray
    kind: np.ndarray


def table_of_films(sources: Mapping[str, HashedSource]) -> pd.DataFrame:
    """All films of all sources, one row each: as text, and as numbers for what is compared.

    Returns:
        `source, image_id, patient_id, split, path, digest, hash`; `source_number` and `split_number` (place in the
        sources and in `SPLITS`), `patient` (one number per patient of a source) and `pixels` (one per digest).

    Raises:
        MissingArtefact: Tables of one source are not of the same films.
    """
    films = pd.concat([_films_of(source, part) for source, part in sources.items()], ignore_index=True)
    order = {source: number for number, source in enumerate(sources)}
    return films.assign(
        source_number=films["source"].map(order).astype("int16"),
        split_number=films["split"].map({split: number for number, split in enumerate(SPLITS)}).astype("int8"),
        patient=films.groupby(["source", "patient_id"], sort=False).ngroup().astype("int32"),
        pixels=pd.factorize(films["digest"])[0].astype("int32"),
    )


def find_duplicates(films: pd.DataFrame, thumbnails: Sequence[np.ndarray], settings: LeakageSettings) -> Duplicates:
    """Every pair of films that are one, but for those of one patient in one split of a source.

    Where a film is there many times, each copy is paired with one or two of every source and split, so that k copies
    give some k pairs and not k squared.

    Args:
        films: `table_of_films`.
        thumbnails: Those of each source in turn, uint8 (films, 32, 32).
        settings: When two films count as one.

    Returns:
        Pairs from the earlier to the later split (and row), in the order of the rows.
    """
    found = _joined([_same_pixels(films), *_near_copies(films, thumbnails, settings)])
    return _directed(found, films["split_number"].to_numpy())


def _films_of(source: str, part: HashedSource) -> pd.DataFrame:
    if len(part.hashes) != len(part.thumbnails):
        raise MissingArtefact(
            f"{source}: {len(part.hashes):,} hashes and {len(part.thumbnails):,} thumbnails are not of the same films: "
            "run `kedro run --pipeline=leakage` first, without --only-missing-outputs."
        )
    rows = pd.Index(part.studies["image_id"]).get_indexer(part.hashes["image_id"])
    if (rows < 0).any():
        orphan = part.hashes["image_id"].iloc[int(np.argmax(rows < 0))]
        raise MissingArtefact(
            f"{source}: the hashed film {orphan} is not in the studies table, so they come from different runs: "
            "run `kedro run --pipelines=ingest,images,leakage` first."
        )
    studies = part.studies.iloc[rows][["patient_id", "split", "path"]].reset_index(drop=True)
    films = part.hashes[["image_id", "digest", "hash"]].reset_index(drop=True)
    films.insert(0, "source", pd.Series(source, index=films.index, dtype="str"))
    return pd.concat([films, studies], axis=1)


def _same_pixels(films: pd.DataFrame) -> Duplicates:
    first, second = _spread([(rows, rows) for rows in _with_same_pixels(films)], films)
    zeros = np.zeros(len(first), dtype=np.int64)
    return Duplicates(first, second, zeros, zeros + np.float32(1), np.full(len(first), SAME_PIXELS, dtype=object))


def _with_same_pixels(films: pd.DataFrame) -> list[np.ndarray]:
    """Row numbers of the films of each digest that several have."""
    repeated = films.index[films["pixels"].duplicated(keep=False)].to_numpy()
    groups = pd.Series(repeated).groupby(films["pixels"].to_numpy()[repeated], sort=False).indices
    return [repeated[places] for places in groups.values()]


def _spread(groups: Sequence[tuple[np.ndarray, np.ndarray]], films: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows from pairs of groups: each film with those that stand for the other group."""
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for left, right in groups:
        pairs += [_crossed(left, _stand_for(right, films)), _crossed(_stand_for(left, films), right)]
    ordered = np.sort(np.concatenate(pairs), axis=1)
    distinct = np.unique(ordered[ordered[:, 0] < ordered[:, 1]], axis=0)
    first, second = distinct.T
    keep = ~_of_one_patient(first, second, films)
    return first[keep], second[keep]


def _stand_for(rows: np.ndarray, films: pd.DataFrame) -> np.ndarray:
    """Of a group of films, those of the first two patients of every source and split.

    Two, so that each film of the group meets one of another patient, if there is any.
    """
    if len(rows) == 1:
        return rows
    some = films.iloc[rows][["source_number", "split_number", "patient"]].drop_duplicates()
    return some.index[some.groupby(["source_number", "split_number"]).cumcount() < 2].to_numpy()


def _crossed(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.stack([np.repeat(left, len(right)), np.tile(right, len(left))], axis=1)


def _of_one_patient(first: np.ndarray, second: np.ndarray, films: pd.DataFrame) -> np.ndarray:
    """Whether the films of a pair are of one patient in one split."""
    patient, split = films["patient"].to_numpy(), films["split_number"].to_numpy()
    return (patient[first] == patient[second]) & (split[first] == split[second])


def _near_copies(
    films: pd.DataFrame, thumbnails: Sequence[np.ndarray], settings: LeakageSettings
) -> Iterator[Duplicates]:
    """Pairs of similar hash whose edges agree, batch by batch."""
    one_each = films.drop_duplicates("pixels")  # of films with the same pixels, one stands for all
    one_each = one_each[one_each["hash"] != ""]
    if len(one_each) < 2:
        return
    others = {int(rows[0]): rows for rows in _with_same_pixels(films)}
    of_many = np.zeros(len(films), dtype=bool)
    of_many[list(others)] = True
    pictures, workers, row = (
        _Thumbnails(thumbnails),
        joblib.effective_n_jobs(settings.n_jobs),
        one_each.index.to_numpy(),
    )
    batches = near_pairs(from_text(one_each["hash"]), settings.max_distance, workers)
    for near in tqdm(batches, desc="compare hashes", unit="key", total=4 * (settings.max_distance // 2 + 1)):
        first, second = row[near.first], row[near.second]
        stands = of_many[first] | of_many[second]
        wanted = stands | ~_of_one_patient(first, second, films)
        first, second = first[wanted], second[wanted]
        correlation = _correlations(pictures, first, second, workers)
        kind = np.where(near.inverted[wanted], NEGATIVE, NEAR_COPY).astype(object)
        pairs = Duplicates(first, second, near.distance[wanted], correlation, kind)
        copies, stands = correlation >= settings.min_correlation, stands[wanted]
        yield _chosen(pairs, copies & ~stands)
        yield from _of_all_others(_chosen(pairs, copies & stands), others, films)


def _of_all_others(pairs: Duplicates, others: Mapping[int, np.ndarray], films: pd.DataFrame) -> Iterator[Duplicates]:
    """The pairs of all the films that those of `pairs` stand for."""
    for k, (one, two) in enumerate(zip(pairs.first, pairs.second)):
        groups = (others.get(int(one), np.array([one])), others.get(int(two), np.array([two])))
        first, second = _spread([groups], films)
        yield Duplicates(first, second, *(np.full(len(first), column[k], column.dtype) for column in pairs[2:]))


class _Thumbnails:
    """The thumbnails of all sources by row number, wherever they lie; rows are read when they are asked for."""

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0] + [len(part) for part in parts])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        found = np.empty((len(rows), *self._parts[0].shape[1:]), dtype=np.uint8)
        for number, part in enumerate(self._parts):
            mine = owner == number
            found[mine] = part[rows[mine] - self._starts[number]]
        return found


def _correlations(pictures: _Thumbnails, first: np.ndarray, second: np.ndarray, workers: int) -> np.ndarray:
    """How well the edges of each pair agree, float32 (K,) in [0, 1]."""
    size = _CONFIRMED_AT_ONCE // workers
    chunks = [slice(start, start + size) for start in range(0, len(first), size)]
    run = joblib.Parallel(n_jobs=workers, prefer="threads", return_as="generator")
    found = run(joblib.delayed(_correlation)(pictures, first[part], second[part]) for part in chunks)
    return np.concatenate([np.empty(0, dtype=np.float32), *found])


def _correlation(pictures: _Thumbnails, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return edge_correlation(pictures[first], pictures[second])


def _chosen(pairs: Duplicates, which: np.ndarray) -> Duplicates:
    return Duplicates(*(column[which] for column in pairs))


def _joined(parts: Sequence[Duplicates]) -> Duplicates:
    return Duplicates(*(np.concatenate(columns) for columns in zip(*parts)))


def _directed(pairs: Duplicates, split: np.ndarray) -> Duplicates:
    """The pairs with the earlier split first, in the order of the rows."""
    swap = split[pairs.first] > split[pairs.second]
    first, second = np.where(swap, pairs.second, pairs.first), np.where(swap, pairs.first, pairs.second)
    return _chosen(pairs._replace(first=first, second=second), np.lexsort((second, first)))
