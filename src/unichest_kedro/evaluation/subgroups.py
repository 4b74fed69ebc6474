"""Groups of films by sex, age band and view, for which measures are given apart.

A group belongs to films, not to patients: a patient's films may lie in two age bands or views. Films of which the sex,
age or view is not known are a group as well.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

EVERYONE = "all"
"""Kind and name of the group of all films."""

KINDS = (EVERYONE, "sex", "age", "view")

NOT_TOLD = "not told"
"""Name of the group of films of which the source does not tell sex, age or view."""


class Group(NamedTuple):
    """Some films of a benchmark: `kind` of group, its `name`, and which `films` are in it, bool (n,)."""

    kind: str
    name: str
    films: np.ndarray


def groups_of(images: Sequence[str], studies: pd.DataFrame, age_bands: Sequence[int]) -> list[Group]:
    """All films, then the groups by sex, age band and view that have any film; one that has all would say nothing new.

    The groups of a kind add up to all films; those of which nothing is told are the last.

    Args:
        images: Names of n films.
        studies: `Studies` of their source.
        age_bands: Years at which a band begins, rising; the first band holds all who are younger.
    """
    films = studies.set_index("image_id").loc[list(images)]
    sex = films["sex"].to_numpy(dtype=object)
    age = films["age"].to_numpy(dtype=np.float64)
    view = views_of(films).to_numpy(dtype=object)
    named = {
        "sex": [(name, sex == name) for name in ("F", "M")],
        "age": _bands(age, age_bands),
        "view": [(name, view == name) for name in sorted(set(view) - {""})],
    }
    groups = [Group(EVERYONE, EVERYONE, np.ones(len(films), dtype=bool))]
    for kind, parts in named.items():
        rest = ~np.any([part for _, part in parts], axis=0) if parts else groups[0].films
        groups += [Group(kind, name, part) for name, part in [*parts, (NOT_TOLD, rest)]]
    return [group for group in groups if group.films.any() and (group.kind == EVERYONE or not group.films.all())]


def groups_in_order(names: Iterable[str]) -> list[str]:
    """Names of groups of one kind as they are shown: ages rising, then by name, `NOT_TOLD` last."""

    def place(name: str) -> tuple[bool, int, str]:
        first = name.split()[0]
        return name == NOT_TOLD, int(first) if first.isdecimal() else 0, name

    return sorted(set(names), key=place)


def views_of(films: pd.DataFrame) -> pd.Series:
    """The view of each film of `Studies`: PA or AP where its projection is known, else frontal or lateral, else ""."""
    view = films["view"].where(films["view"] != "unknown", "")
    if "projection" not in films.columns:
        return view
    return view.where(films["projection"] == "", films["projection"])


def _bands(age: np.ndarray, starts: Sequence[int]) -> list[tuple[str, np.ndarray]]:
    """Names and films of the age bands: "0 to 17", "18 to 39", ..., "80 and over" (completed years)."""
    if not starts:
        return []
    bands = [(f"0 to {starts[0] - 1}", age < starts[0])]
    for start, end in pairwise(starts):
        bands.append((f"{start} to {end - 1}", (age >= start) & (age < end)))
    return [*bands, (f"{starts[-1]} and over", age >= starts[-1])]
