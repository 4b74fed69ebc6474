"""Groups of films by sex, age band and view, for which measures are given apart.

A group belongs to films, not to patients: a patient's films may lie in two age bands or views. Films of which the sex,
age or view is not known are in none of the groups, and are counted in what is told of all films only.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

EVERYONE = "all"
"""Kind and name of the group of all films."""

KINDS = (EVERYONE, "sex", "age", "view")


class Group(NamedTuple):
    """Some films of a benchmark: `kind` of group, its `name`, and which `films` are in it, bool (n,)."""

    kind: str
    name: str
    films: np.ndarray


def groups_of(images: Sequence[str], studies: pd.DataFrame, age_bands: Sequence[int]) -> list[Group]:
    """All films, then the groups by sex, age band and view that have any film; one that has all would say nothing new.

    Args:
        images: Names of n films.
        studies: `Studies` of their source.
        age_bands: Years at which a band begins, rising; the first band holds all who are younger.
    """
    films = studies.set_index("image_id").loc[list(images)]
    sex = films["sex"].to_numpy(dtype=object)
    age = films["age"].to_numpy(dtype=np.float64)
    view = views_of(films).to_numpy(dtype=object)
    groups = [Group(EVERYONE, EVERYONE, np.ones(len(films), dtype=bool))]
    groups += [Group("sex", name, sex == name) for name in ("F", "M")]
    groups += [Group("age", name, band) for name, band in _bands(age, age_bands)]
    groups += [Group("view", name, view == name) for name in sorted(set(view) - {""})]
    return [group for group in groups if group.films.any() and (group.kind == EVERYONE or not group.films.all())]


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
