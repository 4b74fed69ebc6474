"""Splits cleaned report text into sentences."""

import re
from collections.abc import Iterator

_STARTS = "The|There|This|No|Heart|Lungs|Lung|Cardiac|Mediastinal|Cardiomediastinal|Stable|Mild|Small|Bilateral|Normal"
# A line's end; marks with a space or a capital after them ("seen.No effusion"); a space before a capitalised first
# word, which is a full stop left out ("stable The lungs") where a lower-case letter stands before it.
_CANDIDATE = re.compile(rf"\n+|[.!?]+(?=\s|$|[A-Z][a-z])|[ ](?=(?:{_STARTS})\s[a-z])")
_ABBREVIATIONS = ("dr", "mr", "ms", "mrs", "vs")
_LAST_WORD = re.compile(r"[A-Za-z]+$")
_LETTER = re.compile(r"[^\W\d_]")
_LONGEST_ABBREVIATION = 4
LONGEST = 2000
"""Characters of a sentence; a longer one, which no radiologist wrote, is cut so that reading time stays in bounds."""


def split_sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text in order, marks included; those without a letter are left out.

    A full stop ends a sentence before a space or a capital, not within a number nor after "Dr" or "vs"; a
    question mark that stands before its word ("? pneumonia") ends none.
    """
    start = 0
    for candidate in _CANDIDATE.finditer(text):
        if _ends(text, candidate):
            yield from _worded(text[start : candidate.end()])
            start = candidate.end()
    yield from _worded(text[start:])


def _ends(text: str, candidate: re.Match[str]) -> bool:
    """Whether a sentence ends here, by the mark and what stands before it."""
    mark, place = candidate[0][0], candidate.start()
    if mark == "\n":
        return True
    before = text[place - 1 : place]
    if mark == " ":
        return before.islower()
    if mark == "?":
        return not (before.isspace() or not before)
    if candidate.end() < len(text) and text[candidate.end()].isupper() and not before.islower():
        return False
    word = _LAST_WORD.search(text, max(place - _LONGEST_ABBREVIATION, 0), place)
    return word is None or word[0].lower() not in _ABBREVIATIONS


def _worded(sentence: str) -> Iterator[str]:
    while len(sentence) > LONGEST:
        end = sentence.rfind(" ", 0, LONGEST) + 1 or LONGEST
        yield from _worded(sentence[:end])
        sentence = sentence[end:]
    if _LETTER.search(sentence):
        yield sentence.strip()
