"""The leakage audit: what stands on both sides of a split, within a source and across sources, and what is done."""

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
import pandas as pd

from unichest_kedro.leakage.duplicates import SAME_PIXELS, Duplicates, HashedSource, find_duplicates, table_of_films
from unichest_kedro.leakage.overlaps import known_overlaps
from unichest_kedro.leakage.settings import LeakageSettings
from unichest_kedro.schemas import SPLITS
from unichest_kedro.sources.base import SOURCES

TRAIN, VAL, TEST = range(len(SPLITS))
SAME_PATIENT = "its patient has films in the training split"


class Audit(NamedTuple):
    """Tables of the schemas `LeakagePairs`, `LeakedFilms` and `LeakageSummary`."""

    pairs: pd.DataFrame
    leaked: pd.DataFrame
    summary: pd.DataFrame


def audit(sources: Mapping[str, HashedSource], settings: LeakageSettings) -> Audit:
    """Find every film that is there twice, and the test films that training has seen.

    Two films of one patient in one split of one source are no leak, and are not compared.

    Args:
        sources: The active sources, in the order in which they are to be shown.
        settings: When two films count as one.

    Returns:
        `pairs`: the pairs of films that are one, the earlier split first. `leaked`: films of validation and test
        splits that repeat a training film of some source, or whose patient is in training; whether they are leaked for
        a model depends on the sources that it was trained on. `summary`: one row per pair of sources and per source
        with itself.

    Raises:
        MissingArtefact: Tables of one source are not of the same films.
        SettingsError: A known overlap names a source that does not exist.
    """
    known = known_overlaps(list(sources), settings.known_overlaps)
    films = table_of_films(sources)
    found = find_duplicates(films, [part.thumbnails for part in sources.values()], settings)
    in_two_splits = _in_two_splits(films)
    leaked = _leaked(found, in_two_splits, films)
    return Audit(_pair_table(found, films), leaked, _summary(found, films, in_two_splits, known, list(sources)))


def _in_two_splits(films: pd.DataFrame) -> np.ndarray:
    """Whether each film's patient is in several splits of its source (which ingestion refuses)."""
    splits = films.groupby("patient")["split_number"]
    return (splits.transform("min") != splits.transform("max")).to_numpy()


def _pair_table(found: Duplicates, films: pd.DataFrame) -> pd.DataFrame:
    names = films[["source", "image_id", "split"]]
    sides = [
        names.iloc[rows].reset_index(drop=True).set_axis([f"source_{side}", f"image_{side}", f"split_{side}"], axis=1)
        for side, rows in (("a", found.first), ("b", found.second))
    ]
    return pd.concat(sides, axis=1).assign(
        kind=pd.Series(found.kind, dtype="str"),
        distance=found.distance,
        correlation=np.round(found.correlation.astype(np.float64), 4),
    )


def _leaked(found: Duplicates, in_two_splits: np.ndarray, films: pd.DataFrame) -> pd.DataFrame:
    """Films outside the training splits that training has seen, one row per film and source it was seen in."""
    source, image_id = films["source"].to_numpy(), films["image_id"].to_numpy()
    reasons: dict[tuple[int, str], str] = {}
    leaks = np.flatnonzero(_leaks(found, films))
    # The strongest match of a film is the one that is told.
    for k in leaks[np.lexsort((-found.correlation[leaks], found.distance[leaks]))]:
        original = found.first[k]
        said = f"{found.kind[k]} of the training film {source[original]}/{image_id[original]}"
        reasons.setdefault((int(found.second[k]), source[original]), said)
    outside = (films["split_number"] != TRAIN).to_numpy()
    patients = films.loc[in_two_splits & ~outside, "patient"]
    for row in np.flatnonzero(outside & films["patient"].isin(patients).to_numpy()):
        reasons.setdefault((int(row), source[row]), SAME_PATIENT)
    order = {name: place for place, name in enumerate(dict.fromkeys(source))}
    keys = sorted(reasons, key=lambda key: (key[0], order[key[1]]))
    table = films.loc[[row for row, _ in keys], ["source", "image_id", "split"]].reset_index(drop=True)
    table["seen_in"] = [seen_in for _, seen_in in keys]
    table["reason"] = [reasons[key] for key in keys]
    return table.astype("str")


def _leaks(found: Duplicates, films: pd.DataFrame) -> np.ndarray:
    """Whether a pair is of a training film and one of another split."""
    split = films["split_number"].to_numpy()
    return (split[found.first] == TRAIN) & (split[found.second] != TRAIN)


def _summary(
    found: Duplicates,
    films: pd.DataFrame,
    in_two_splits: np.ndarray,
    known: Mapping[tuple[str, str], str],
    sources: list[str],
) -> pd.DataFrame:
    number, split = films["source_number"].to_numpy(), films["split_number"].to_numpy()
    low, high = np.sort(np.stack([number[found.first], number[found.second]]), axis=0)
    across, leaks = split[found.first] != split[found.second], _leaks(found, films)
    names = _file_names(films, sources)
    rows = []
    for a, b in combinations_with_replacement(range(len(sources)), 2):
        mine = (low == a) & (high == b)
        exact = int((found.kind[mine] == SAME_PIXELS).sum())
        leaked = split[np.unique(found.second[mine & leaks])]
        own = a != b and not {sources[a], sources[b]} <= set(SOURCES)
        shared = sorted(names[sources[a]] & names[sources[b]]) if own else []
        rows.append(
            {
                "source_a": sources[a],
                "source_b": sources[b],
                "same_pixels": exact,
                "near_copies": int(mine.sum()) - exact,
                "across_splits": int(across[mine].sum()),
                "leaked_val": int((leaked == VAL).sum()),
                "leaked_test": int((leaked == TEST).sum()),
                "shared_names": len(shared),
                "shared_example": shared[0] if shared else "",
                "known": known.get((sources[a], sources[b]), ""),
                **_of_itself(films, (number == a) & (a == b), in_two_splits),
            }
        )
    return pd.DataFrame(rows)


def _of_itself(films: pd.DataFrame, mine: np.ndarray, in_two_splits: np.ndarray) -> dict[str, int]:
    """What is said of a source with itself; zeros for a pair of different sources."""
    return {
        "films": int(mine.sum()),
        "not_comparable": int((films["hash"].to_numpy()[mine] == "").sum()),
        "patients_in_two_splits": len(np.unique(films["patient"].to_numpy()[mine & in_two_splits])),
    }


def _file_names(films: pd.DataFrame, sources: list[str]) -> dict[str, set[str]]:
    """File names without folder and suffix that name one film of their source; only where a source is a user's own.

    The publishers' own sets have names of their own; a user's may have kept those of where the films came from.
    """
    if all(source in SOURCES for source in sources):
        return {}
    stems = films["path"].str.replace(r"^.*/", "", regex=True).str.replace(r"\.[^.]*$", "", regex=True)
    once = ~pd.DataFrame({"source": films["source"], "stem": stems}).duplicated(keep=False)
    return {source: set(stems[once & (films["source"] == source)]) for source in sources}
