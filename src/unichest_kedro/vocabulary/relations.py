"""How findings bind each other: what a present finding makes present, and what it makes absent.

Three relations are written in the vocabulary file. They are closed here, so that using them takes no second step:

* `implies`: where A is present, B is present. A part of a union implies the union. Closed along chains.
* `excludes`: where A is present, B is absent, and A is the one that counts where both are stated present. What A
  implies excludes for A as well, and what excludes B excludes whatever implies B: a film with an effusion is not
  "No Finding", so it is not "normal" either, as normal implies No Finding.
* `union_of`: U is present where a part is, and absent where every part is known to be absent.

None is turned around: that a fracture is absent says nothing about the rib that nobody asked for.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from unichest_kedro.errors import VocabularyError

Edges = Mapping[str, Iterable[str]]
"""Finding -> findings."""


class Relations(NamedTuple):
    """The closed relations over a vocabulary's findings, every value in the vocabulary's order.

    `implies` and `excludes` have an entry for each finding; the keys of `excludes` stand in an order in which no
    finding comes after one that it excludes. `unions` has an entry for each union.
    """

    implies: dict[str, tuple[str, ...]]
    excludes: dict[str, tuple[str, ...]]
    unions: dict[str, tuple[str, ...]]


def close(implies: Edges, excludes: Edges, unions: Edges, where: str = "vocabulary") -> Relations:
    """Close the relations; the keys of `implies` and `excludes` are all findings, in order.

    Args:
        implies: what each finding implies by itself, unions left out.
        excludes: what each finding excludes by itself.
        unions: the parts of each union.
        where: what to call the place in messages.

    Raises:
        VocabularyError: a cycle of implications, a finding that implies what it excludes, findings that exclude each
            other.
    """
    edges = {finding: set(targets) for finding, targets in implies.items()}
    for union, parts in unions.items():
        for part in parts:
            edges[part].add(union)
    _refuse_cycle(
        edges,
        f"{where}: a cycle of implications: {{}}. Each of these findings would imply all the others (a part implies "
        "its union): remove one of them from the `implies` or `union_of` of another.",
    )
    implied = {finding: reach(finding, edges) for finding in edges}
    excluded = {finding: _excluded_by(finding, implied, excludes) for finding in edges}
    _refuse_self_contradiction(implied, excludes, where)
    _refuse_cycle(
        excluded,
        f"{where}: findings exclude each other: {{}}. Where they are stated together it must be clear which one "
        "counts: leave it to the more specific one to exclude the other.",
    )
    order = list(edges)
    return Relations(
        implies={finding: _sorted(implied[finding], order) for finding in order},
        excludes={finding: _sorted(excluded[finding], order) for finding in _winners_first(excluded)},
        unions={union: tuple(parts) for union, parts in unions.items()},
    )


def reach(start: str, edges: Edges) -> set[str]:
    """Everything that can be reached from a finding along the edges, the finding itself left out."""
    found: set[str] = set()
    ahead = list(edges.get(start, ()))
    while ahead:
        finding = ahead.pop()
        if finding not in found:
            found.add(finding)
            ahead.extend(edges.get(finding, ()))
    return found


def _excluded_by(finding: str, implied: Mapping[str, set[str]], excludes: Edges) -> set[str]:
    """What a present finding makes absent, by itself or through what it implies."""
    direct = {target for one in (finding, *implied[finding]) for target in excludes.get(one, ())}
    return direct | {other for other, targets in implied.items() if targets & direct}


def _refuse_self_contradiction(implied: Mapping[str, set[str]], excludes: Edges, where: str) -> None:
    """Check that no finding implies, or is, something that it or what it implies excludes."""
    for finding, targets in implied.items():
        together = {finding, *targets}
        for one in (finding, *targets):
            for other in excludes.get(one, ()):
                if other in together:
                    raise VocabularyError(
                        f"{where}: finding {finding!r} contradicts itself: "
                        + _both(finding, one, other)
                        + " It could never be present: remove one of the two."
                    )


def _both(finding: str, one: str, other: str) -> str:
    """How a finding comes to imply what it excludes, in words."""
    if one == finding:
        return f"it implies and excludes {other!r}."
    if other == finding:
        return f"it implies {one!r}, which excludes it."
    return f"it implies {one!r} and {other!r}, and the first excludes the second."


def _refuse_cycle(edges: Mapping[str, set[str]], message: str) -> None:
    """Check that no finding leads back to itself; `{}` in the message becomes the findings of the cycle."""
    for finding in edges:
        path = _path_back(finding, edges)
        if path:
            raise VocabularyError(message.format(" -> ".join(map(repr, path))))


def _path_back(start: str, edges: Mapping[str, set[str]]) -> list[str]:
    """A shortest way from a finding back to itself, both ends included; empty where there is none."""
    before: dict[str, str] = {}
    ahead = [start]
    for finding in ahead:  # grows while it is walked: breadth first
        for target in sorted(edges.get(finding, ())):
            if target == start:
                path = [start, finding]
                while path[-1] != start:
                    path.append(before[path[-1]])
                return path[::-1]
            if target not in before:
                before[target] = finding
                ahead.append(target)
    return []


def _winners_first(excluded: Mapping[str, set[str]]) -> list[str]:
    """The findings, each after all that exclude it and otherwise in order (there is no cycle)."""
    winners = dict.fromkeys(excluded, 0)
    for targets in excluded.values():
        for target in targets:
            winners[target] += 1
    ready = [finding for finding, count in winners.items() if count == 0]
    for finding in ready:  # grows while it is walked
        for target in _sorted(excluded[finding], list(excluded)):
            winners[target] -= 1
            if winners[target] == 0:
                ready.append(target)
    return ready


def _sorted(findings: Iterable[str], order: list[str]) -> tuple[str, ...]:
    return tuple(sorted(findings, key=order.index))
