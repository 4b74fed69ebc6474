"""A small language of phrases, and a matcher that finds thousands of them in a tokenised sentence at once.

A phrase is words with single spaces between them, compared in lower case without hyphens. A word may be

* `a|b`   one of several words,
* `word?` a word that may be missing (`a|b?`: any of them, or none),
* `<n>`   up to n words of any kind (a gap), none of them a punctuation mark or a word that closes gaps.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Generic, NamedTuple, TypeVar

from unichest_kedro.errors import VocabularyError

T = TypeVar("T")
Path = tuple[str | int, ...]

TOKEN = re.compile(r"[a-z]+|\d+(?:[.,/]\d+)*|[.,;:?!()/+]")
_GAP = re.compile(r"<(\d)>")
_PUNCTUATION = frozenset(".,;:?!()/+")
_Found = tuple[int, tuple, tuple[int, ...]]
_MOST_WORDINGS = 2000
_VALUE = ""


def tokens_of(text: str) -> list[str]:
    """Split a text into lower-case words, numbers and punctuation marks; hyphens and apostrophes separate words."""
    return TOKEN.findall(text.lower())


def wordings(phrase: str) -> list[Path]:
    """List every wording of a phrase as tokens; a gap is its largest number of words.

    Raises:
        VocabularyError: if the phrase has no wording, one without a word, or too many.
    """
    choices: list[list[Path]] = []
    for part in phrase.split():
        gap = _GAP.fullmatch(part)
        if gap:
            choices.append([(int(gap[1]),)])
            continue
        may_be_missing = part.endswith("?") and len(part) > 1
        words = part[:-1] if may_be_missing else part
        options: list[Path] = [tuple(tokens_of(word)) for word in words.split("|")]
        choices.append([*options, ()] if may_be_missing else options)
    count = 1
    for options in choices:
        count *= len(options)
    if not choices or count > _MOST_WORDINGS:
        raise VocabularyError(
            f"Phrase {phrase!r} has {count if choices else 0} wordings; allowed are 1 to {_MOST_WORDINGS}. "
            "Write it as several phrases."
        )
    found = list(dict.fromkeys(_tidy_gaps(sum(chosen, ())) for chosen in product(*choices)))
    if () in found:
        raise VocabularyError(f"Phrase {phrase!r} has a wording without any word; every wording needs one.")
    return found


def _tidy_gaps(path: Path) -> Path:
    """Drop gaps that stand first or last and join neighbours, as happens where a word beside them may be missing."""
    tidy: list[str | int] = []
    for part in path:
        if isinstance(part, int) and tidy and isinstance(tidy[-1], int):
            tidy[-1] += part
        elif isinstance(part, str) or tidy:
            tidy.append(part)
    return tuple(tidy[:-1] if tidy and isinstance(tidy[-1], int) else tidy)


class Match(NamedTuple):
    """A phrase found in a sentence: tokens `start` to `end` (exclusive), all it stands for, its gaps' tokens."""

    start: int
    end: int
    values: tuple
    gaps: tuple[int, ...]


class PhraseMatcher(Generic[T]):
    """Finds phrases in token lists. Of phrases that begin at the same word the longest wins.

    Args:
        phrases: phrases with the value each stands for; a wording of several phrases has all their values.
        gap_stops: words that no gap may hold.
    """

    def __init__(self, phrases: Iterable[tuple[str, T]], gap_stops: Iterable[str] = ()) -> None:
        self._root: dict = {}
        self._gap_stops = _PUNCTUATION | frozenset(gap_stops)
        for phrase, value in phrases:
            for path in wordings(phrase):
                self._add(path, value)

    def _add(self, path: Path, value: T) -> None:
        node = self._root
        for token in path:
            node = node.setdefault(token, {})
        if value not in node.get(_VALUE, ()):
            node[_VALUE] = (*node.get(_VALUE, ()), value)

    def at(self, tokens: Sequence[str], start: int) -> Match | None:
        """The longest phrase that begins with the token at `start`, or None."""
        node = self._root.get(tokens[start])
        if node is None:
            return None
        best = self._longest(tokens, start + 1, node, ())
        return None if best is None else Match(start, best[0], best[1], best[2])

    def find(self, tokens: Sequence[str], taken: Sequence[bool] | None = None) -> list[Match]:
        """All phrases from left to right that do not overlap; tokens that are `taken` cannot be used."""
        root, found, position, count = self._root, [], 0, len(tokens)
        while position < count:
            if tokens[position] in root and not (taken and taken[position]):
                match = self.at(tokens, position)
                if match and not (taken and any(taken[match.start : match.end])):
                    found.append(match)
                    position = match.end
                    continue
            position += 1
        return found

    def _longest(self, tokens: Sequence[str], position: int, node: dict, gaps: tuple[int, ...]) -> _Found | None:
        best: _Found | None = None
        while True:
            for key in node:
                if isinstance(key, int):
                    best = _better(best, self._over_gap(tokens, position, key, node[key], gaps))
            if _VALUE in node:
                best = _better(best, (position, node[_VALUE], gaps))
            following = node.get(tokens[position]) if position < len(tokens) else None
            if following is None:
                return best
            node, position = following, position + 1

    def _over_gap(
        self, tokens: Sequence[str], position: int, width: int, node: dict, gaps: tuple[int, ...]
    ) -> _Found | None:
        """The match with the shortest gap that leads to one."""
        for place in range(position, min(position + width + 1, len(tokens))):
            if place > position and tokens[place - 1] in self._gap_stops:
                return None
            if tokens[place] in node:
                inside = (*gaps, *range(position, place))
                found = self._longest(tokens, place + 1, node[tokens[place]], inside)
                if found:
                    return found
        return None


def _better(best: _Found | None, other: _Found | None) -> _Found | None:
    """The longer of two; of two equally long ones the first, with the values of both."""
    if best is None or other is None:
        return other if best is None else best
    if other[0] == best[0]:
        return (best[0], tuple(dict.fromkeys(best[1] + other[1])), best[2])
    return other if other[0] > best[0] else best
