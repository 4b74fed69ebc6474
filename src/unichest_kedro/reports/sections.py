"""Splits a free-text chest X-ray report, as in MIMIC-CXR, into its headed sections and cleans their text."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

FINDINGS = "findings"
IMPRESSION = "impression"
TEXT_SECTIONS = (FINDINGS, IMPRESSION)
"""The sections that describe the film; the others say why and how it was taken."""

HEADINGS = {
    "FINDINGS": FINDINGS,
    "FINDING": FINDINGS,
    "FINDINGS AND IMPRESSION": FINDINGS,
    "FINDINGS/IMPRESSION": FINDINGS,
    "IMPRESSION": IMPRESSION,
    "IMPRESSIONS": IMPRESSION,
    "IMPRESSION AND RECOMMENDATIONS": IMPRESSION,
    "CONCLUSION": IMPRESSION,
    "CONCLUSIONS": IMPRESSION,
    "OPINION": IMPRESSION,
    "EXAMINATION": "examination",
    "EXAM": "examination",
    "TYPE OF EXAMINATION": "examination",
    "STUDY": "examination",
    "INDICATION": "indication",
    "INDICATIONS": "indication",
    "CLINICAL INDICATION": "indication",
    "REASON FOR EXAM": "indication",
    "REASON FOR EXAMINATION": "indication",
    "REASON FOR STUDY": "indication",
    "HISTORY": "history",
    "CLINICAL HISTORY": "history",
    "CLINICAL INFORMATION": "history",
    "TECHNIQUE": "technique",
    "PROCEDURE": "technique",
    "VIEWS": "technique",
    "COMPARISON": "comparison",
    "COMPARISONS": "comparison",
    "COMPARISON STUDY": "comparison",
    "RECOMMENDATION": "recommendation",
    "RECOMMENDATIONS": "recommendation",
    "RECOMMENDATION(S)": "recommendation",
    "NOTIFICATION": "notification",
    "NOTE": "notification",
    "WET READ": "wet read",
    "ADDENDUM": "addendum",
}
"""Section headings, upper case, and the section each one opens; any other word before a colon opens none."""

_TITLE_WORDS = (
    "FINAL|REPORT|PORTABLE|SINGLE|TWO|ONE|AP|PA|FRONTAL|LATERAL|UPRIGHT|SUPINE|ERECT|SEMI-UPRIGHT|BEDSIDE|CHEST|"
    "RADIOGRAPHS?|RADIOGRAPHY|FILMS?|X-RAYS?|XRAYS?|VIEWS?|AND|OF|THE|ON|WITH"
)
_TITLE = rf"(?:(?:{_TITLE_WORDS})\b[ \t,/&]*)+"


def _any_of(aliases: Iterable[str]) -> str:
    """A pattern of headings, the longest first."""
    return "|".join(r"\s+".join(map(re.escape, alias.split())) for alias in sorted(aliases, key=len, reverse=True))


_ALIASES = _any_of(HEADINGS)
_OF_FILM = _any_of(alias for alias, section in HEADINGS.items() if section in TEXT_SECTIONS)
# Any case at the start of a line. Within one upper case alone ("the findings: ..." in a sentence is no heading), but
# for those that describe the film a capital is enough: a report on a single line is lost without them.
_HEADING = re.compile(
    rf"(?m:^[ \t]*(?i:(?P<line>{_ALIASES}))[ \t]*(?::|$))"
    rf"|(?<=\s)(?P<inline>{_ALIASES}|(?=[A-Z])(?i:{_OF_FILM}))[ \t]*:"
    rf"|(?m:^[ \t]*(?P<title>{_TITLE}):)"
    r"|(?m:^[ \t]*(?P<odd>[A-Z]{5,12}):)"
)
# Two letters too many, missing or wrong in a word of eight still leave a misspelt heading this much alike.
_ALIKE = 0.75
_OFTEN_MISSPELT = ("FINDINGS", "IMPRESSION", "INDICATION", "TECHNIQUE", "COMPARISON", "HISTORY", "RECOMMENDATION")
_TITLE_PARAGRAPH = re.compile(rf"\s*(?:(?:{_TITLE_WORDS})\b[\s,/&:.]*)+")
_BLANK_LINE = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_REMOVED = re.compile(r"_{2,}|\bX{4,}\b")
_LIST_NUMBER = re.compile(r"(?:^|(?<=[.:]\s)|(?<=\n))\s*\(?\d{1,2}[.)]\s+(?=\S)")
_UNHEADED = "unheaded"


def parse_sections(report: str) -> dict[str, str]:
    """Split a report into its sections.

    A report without a findings heading keeps its description of the film under no heading, or under a title
    such as "PA AND LATERAL CHEST:": those paragraphs become "findings". A report without any heading is
    "findings" as a whole.

    Args:
        report: the report as written, line breaks included.

    Returns:
        Section name (a value of `HEADINGS`) to cleaned text, in order of appearance; empty sections are left
        out.
    """
    parts: dict[str, list[str]] = {}
    for name, text in _headed_parts(report.replace("\r\n", "\n").replace("\r", "\n")):
        for section, paragraph in _assign_paragraphs(name, text):
            parts.setdefault(section, []).append(paragraph)
    cleaned = {name: clean_text("\n\n".join(texts)) for name, texts in parts.items()}
    unheaded = cleaned.pop(_UNHEADED, "")
    if unheaded and not cleaned.get(FINDINGS):
        cleaned.pop(FINDINGS, None)
        cleaned = {FINDINGS: unheaded, **cleaned}
    return {name: text for name, text in cleaned.items() if text}


def select_text(sections: dict[str, str], wanted: Iterable[str] = TEXT_SECTIONS) -> str:
    """Join the wanted sections in the order given, one per line; "" when the report has none of them."""
    return "\n".join(sections[name] for name in wanted if name in sections)


def clean_text(text: str) -> str:
    """Join wrapped lines and drop what is not language; one paragraph per line.

    Dropped are the marks of removed identifiers (`___` in MIMIC-CXR, `XXXX` in Open-I), list numbers at the
    start of a statement ("2. ") and repeated full stops.
    """
    paragraphs = _BLANK_LINE.split(_REMOVED.sub(" ", text))
    cleaned = (_clean_paragraph(paragraph) for paragraph in paragraphs)
    return "\n".join(paragraph for paragraph in cleaned if paragraph)


def _clean_paragraph(text: str) -> str:
    text = " ".join(_LIST_NUMBER.sub(" ", text).split())
    text = re.sub(r"\s+([.,;:])", r"\1", text)
    text = re.sub(r"\.{2,}", ".", text)
    text = re.sub(r"([,;:])[,;]+", r"\1", text)
    return text.strip(" ,;") if re.search(r"\w", text) else ""


def _headed_parts(report: str) -> Iterable[tuple[str, str]]:
    """Yield (section, raw text) in order; text before the first heading and under titles is "unheaded"."""
    name, start = _UNHEADED, 0
    for match in _HEADING.finditer(report):
        opened = _section_of(match)
        if opened is not None:
            yield name, report[start : match.start()]
            name, start = opened, match.end()
    yield name, report[start:]


def _section_of(heading: re.Match[str]) -> str | None:
    """The section that a heading opens; None for a capitalised word that is none, however misspelt."""
    alias = heading["line"] or heading["inline"]
    if heading["odd"]:
        alias = next(iter(get_close_matches(heading["odd"], _OFTEN_MISSPELT, n=1, cutoff=_ALIKE)), None)
        if alias is None:
            return None
    return HEADINGS[" ".join(alias.upper().split())] if alias else _UNHEADED


def _assign_paragraphs(name: str, text: str) -> Iterable[tuple[str, str]]:
    """Yield (section, paragraph): a section that does not describe the film owns its first one only."""
    paragraphs = [part for part in _BLANK_LINE.split(text.strip()) if part.strip()]
    for number, paragraph in enumerate(paragraphs):
        section = name if name in TEXT_SECTIONS or number == 0 else _UNHEADED
        if section != _UNHEADED or not _TITLE_PARAGRAPH.fullmatch(paragraph):
            yield section, paragraph
