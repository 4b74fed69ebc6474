"""Labels that agree with each other: what follows from the present findings is filled in, contradictions are resolved.

The order is fixed (each step says what it may change):

1. **excludes**: where A is present, everything it excludes is absent. If B was stated present beside it, A counts: it
   is the more specific statement, which is why it is the one that names the other. What loses takes no further part.
2. **implies**: where A is present, everything it implies is present. If B was stated absent, A counts.
3. **nothing found**: where the source says "nothing found" and means it for all it labels, the findings that contradict
   that, and of which nothing else is known, are absent. Neither what a label called uncertain nor what the source
   labels nothing about is touched.
4. **unions**: where all parts are absent, a union of which nothing is known is absent. Where the union was stated
   present all the same, it counts, and the parts become unknown: one of them must be there. (A part that something
   present excludes stays absent; where that holds of all parts, the union is unknown.)

Steps 1 and 2 start from findings that were stated only; the relations are closed, so nothing is left for a second
round.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from unichest_kedro.schemas import UNKNOWN
from unichest_kedro.vocabulary.relations import Relations

PRESENT, ABSENT = 1, 0
EXAMPLES = 5
"""How many images of each contradiction are named."""

RESOLUTIONS = {
    "excludes": "{contradicted} is absent",
    "implies": "{contradicted} is present",
    "union": "{contradicted} is unknown",
}
COLUMNS = ("source", "present", "contradicted", "kind", "count", "silent", "resolution", "examples")

States = dict[str, np.ndarray]
"""Finding -> int8 (images): 1 present, 0 absent, `UNKNOWN`."""


class Stated(NamedTuple):
    """What the labels of a source say, finding by finding, before they are made to agree.

    `states` has every finding. `silent` and `hedged` (bool, images) have those that the source labels: nothing
    mentioned the finding; a label called it uncertain, or leaves it open.
    """

    states: States
    silent: dict[str, np.ndarray]
    hedged: dict[str, np.ndarray]


class Clash(NamedTuple):
    """One pair of findings stated against each other, and the images (bool) where they are."""

    present: str
    contradicted: str
    kind: str
    images: np.ndarray


def resolve(
    stated: Stated, relations: Relations, nothing: frozenset[str], exhaustive: bool
) -> tuple[States, list[Clash]]:
    """The states after the four steps, and every contradiction that was met.

    Args:
        stated: what the labels say; not changed.
        relations: closed, among the labels of the source.
        nothing: the findings that say "nothing found".
        exhaustive: whether they make absent what the source says nothing else about (step 3).
    """
    states = {finding: state.copy() for finding, state in stated.states.items()}
    clashes = [
        *_exclude(states, stated.states, relations),
        *_imply(states, stated.states, relations),
    ]
    if exhaustive:
        _nothing_found(states, stated, relations, nothing)
    clashes += _unite(states, relations)
    return states, clashes


def tabulate(source: str, clashes: list[Clash], silent: Mapping[str, np.ndarray], image_id: np.ndarray) -> pd.DataFrame:
    """One row per contradiction, the commonest first (schema `Contradictions`)."""
    rows = []
    for clash in clashes:
        images = np.flatnonzero(clash.images)
        unmentioned = silent.get(clash.contradicted)
        rows.append(
            {
                "source": source,
                "present": clash.present,
                "contradicted": clash.contradicted,
                "kind": clash.kind,
                "count": len(images),
                "silent": 0 if unmentioned is None else int(unmentioned[images].sum()),
                "resolution": RESOLUTIONS[clash.kind].format(contradicted=clash.contradicted),
                "examples": ", ".join(map(str, image_id[images[:EXAMPLES]])),
            }
        )
    rows.sort(key=lambda row: -row["count"])
    words = ("source", "present", "contradicted", "kind", "resolution", "examples")
    types = {name: "str" if name in words else "int64" for name in COLUMNS}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


def _exclude(states: States, stated: States, relations: Relations) -> Iterator[Clash]:
    # The winner stands before the loser in `excludes`, so that whoever has lost excludes nothing any more.
    for finding, losers in relations.excludes.items():
        present = states[finding] == PRESENT
        if not losers or not present.any():
            continue
        for loser in losers:
            yield from _clash(finding, loser, "excludes", present & (stated[loser] == PRESENT))
            states[loser][present] = ABSENT


def _imply(states: States, stated: States, relations: Relations) -> Iterator[Clash]:
    starts = {finding: states[finding] == PRESENT for finding, targets in relations.implies.items() if targets}
    for finding, present in starts.items():
        if not present.any():
            continue
        for target in relations.implies[finding]:
            yield from _clash(finding, target, "implies", present & (stated[target] == ABSENT))
            states[target][present] = PRESENT


def _nothing_found(states: States, stated: Stated, relations: Relations, nothing: frozenset[str]) -> None:
    for name in nothing:
        present = states[name] == PRESENT
        for finding, hedged in stated.hedged.items():
            if name in relations.excludes[finding]:
                states[finding][present & (states[finding] == UNKNOWN) & ~hedged] = ABSENT


def _unite(states: States, relations: Relations) -> Iterator[Clash]:
    for union, parts in relations.unions.items():
        none = np.logical_and.reduce([states[part] == ABSENT for part in parts])
        states[union][none & (states[union] == UNKNOWN)] = ABSENT
        against = np.flatnonzero(none & (states[union] == PRESENT))
        if not len(against):
            continue
        images = np.zeros(len(none), dtype=bool)
        images[against] = True
        possible = np.zeros(len(against), dtype=bool)
        for part in parts:
            yield Clash(union, part, "union", images)
            open_ = ~_excluded(part, states, relations, against)
            states[part][against[open_]] = UNKNOWN
            possible |= open_
        states[union][against[~possible]] = UNKNOWN


def _excluded(finding: str, states: States, relations: Relations, rows: np.ndarray) -> np.ndarray:
    """Whether something present excludes a finding, bool (rows)."""
    by = [states[other][rows] == PRESENT for other, losers in relations.excludes.items() if finding in losers]
    return np.logical_or.reduce(by) if by else np.zeros(len(rows), dtype=bool)


def _clash(present: str, contradicted: str, kind: str, images: np.ndarray) -> Iterator[Clash]:
    if images.any():
        yield Clash(present, contradicted, kind, images)
