"""Finds the vocabulary's findings in report sentences, and what the report says of each of them.

Rules only, in the manner of NegEx (Chapman et al. 2001) and NegBio (Peng et al. 2018): phrases for findings,
cues that deny, doubt or set aside, and words that end a cue's reach. All of them are data (`reading_rules.yml`
and the vocabulary's synonyms); this module says how they act on each other.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from unichest_kedro.errors import VocabularyError
from unichest_kedro.reports.phrases import TOKEN, Match, PhraseMatcher
from unichest_kedro.reports.rules import ReadingRules, load_rules
from unichest_kedro.reports.sentences import split_sentences

NORMAL = "normal"
_REMEMBERED_SENTENCES = 20_000
BESIDES = "besides"
"""`Entity.statement` of a finding that the words of another one state too (hydropneumothorax: pneumothorax)."""

_NOTHING = ("nothing", "")
_NEARBY = 1
_BESIDE = 4
_OR_WORDS = frozenset(("or", "nor", "versus", "/"))
_AND_WORDS = _OR_WORDS | {"and"}
_DENIALS = frozenset(("no", "without", "negative"))


class Entity(NamedTuple):
    """A mention of a finding: the vocabulary's name, the words of the report, and what is said of it.

    At most one of `negated`, `asked` and `historical` is true, and `uncertain` or `likely` only where none of
    them is. `likely` stands for the likely reading and for one of several named ones ("A versus B").
    `statement` names the rule of a statement of normality ("lungs are clear"), whose finding is "normal" (a
    part of the film), or what the rule states (all of it), or "" where the vocabulary has no such finding; for a
    finding that another one's words state too it is `BESIDES`, else "". `start` and `end` are characters of
    the sentence.
    """

    finding: str
    text: str
    negated: bool
    uncertain: bool
    likely: bool = False
    historical: bool = False
    asked: bool = False
    statement: str = ""
    start: int = 0
    end: int = 0


class Sentence(NamedTuple):
    """A sentence of a report and the entities in it, in order of appearance."""

    text: str
    entities: tuple[Entity, ...]


class _Cue(NamedTuple):
    """A cue at tokens `start` to `end`: its group (denied, doubted, ...) and place (before, after, ...)."""

    start: int
    end: int
    group: str
    place: str


def finding_terms(synonyms: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """List every wording of every finding, lower case, singular and plural.

    A wording that several findings claim belongs to the finding of that very name, else to the first one.

    Args:
        synonyms: finding name to its synonyms, in the vocabulary's order.

    Returns:
        Wording to finding name.
    """
    terms = {_normalised(name): name for name in reversed(synonyms)}
    for name, words in synonyms.items():
        for word in words:
            terms.setdefault(_normalised(word), name)
    for term, name in list(terms.items()):
        terms.setdefault(plural(term), name)
    terms.pop("", None)
    return terms


def plural(term: str) -> str:
    """Form the plural of a term's last word by the regular rules, and the Latin ones that reports use."""
    rules = (
        (r"thorax$", "thoraces"),
        (r"([aeoiu]s)is$", r"\1es"),
        (r"([st])is$", r"\1es"),
        (r"(ss|x|ch|sh)$", r"\1es"),
        (r"([^aeiou])y$", r"\1ies"),
        (r"s$", "s"),
    )
    for ending, replacement in rules:
        if re.search(ending, term):
            return re.sub(ending, replacement, term)
    return f"{term}s"


class EntityExtractor:
    """Reads cleaned report texts sentence by sentence.

    Sentences read lately are remembered (at most 20,000), since reports repeat each other.
    """

    def __init__(self, synonyms: Mapping[str, Sequence[str]], rules: ReadingRules | None = None) -> None:
        """Build the matchers.

        Args:
            synonyms: finding name to its synonyms; the name itself need not be among them.
            rules: how to read; the package's own when None.

        Raises:
            VocabularyError: if there is no finding at all, or a phrase of the rules cannot be read.
        """
        terms = finding_terms(synonyms)
        if not terms:
            raise VocabularyError("The vocabulary names no finding, so there is nothing to look for in reports.")
        self.rules = rules or load_rules()
        self._known = frozenset(synonyms)
        self._findings = PhraseMatcher(self._finding_phrases(terms), self.rules.finding_gap_stops)
        self._normality = PhraseMatcher(
            [(phrase, name) for name, one in self.rules.normality.items() for phrase in one.says],
            self.rules.normality_gap_stops,
        )
        self._cues = PhraseMatcher(self._cue_phrases())
        self._spelling = self.rules.spelling
        self._strong = frozenset(self.rules.strong_starts)
        self._weak = frozenset(self.rules.weak_starts)
        self._passing = frozenset(self.rules.passing)
        self._entities = lru_cache(maxsize=_REMEMBERED_SENTENCES)(self._read_sentence)

    def read(self, text: str) -> list[Sentence]:
        """Read one cleaned report text (`sections.select_text`), one paragraph per line."""
        return [Sentence(sentence, self._entities(sentence)) for sentence in split_sentences(text)]

    def extract(self, texts: Iterable[str]) -> Iterator[list[Sentence]]:
        """Yield the sentences of each text, in the order of the texts."""
        return map(self.read, texts)

    def _finding_phrases(self, terms: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Phrases and their findings; "" for those that only look like one. The rules' own come first."""
        yield from ((phrase, "") for phrase in self.rules.not_findings)
        for finding, phrases in self.rules.findings.items():
            if finding in self._known:
                yield from ((phrase, finding) for phrase in phrases)
        yield from terms.items()

    def _cue_phrases(self) -> Iterator[tuple[str, tuple[str, str]]]:
        groups = self.rules.cues
        yield from ((phrase, ("nothing", "")) for phrase in groups.nothing)
        for group in ("denied", "doubted", "likely", "past", "asked"):
            for place, phrases in getattr(groups, group):
                yield from ((phrase, (group, place)) for phrase in phrases)
        yield from ((phrase, ("stop", "")) for phrase in self.rules.stops)

    def _read_sentence(self, sentence: str) -> tuple[Entity, ...]:
        marks = list(TOKEN.finditer(sentence.lower()))
        tokens = [self._spelling.get(mark[0], mark[0]) for mark in marks]
        statements = self._normality.find(tokens)
        matches = self._findings.find(tokens, _tokens_of(statements, len(tokens)))
        if not matches and not statements:
            return ()
        reach = _Reach(tokens, self._find_cues(tokens, statements), self._strong, self._weak)
        placed = [(match, entity) for match in matches if match.values[0] for entity in self._mention(match, reach)]
        placed += [(match, entity) for match in statements for entity in self._statements(match)]
        placed.sort(key=lambda pair: pair[0].start)
        return tuple(_with_words(entity, match, reach, sentence, marks) for match, entity in placed)

    def _find_cues(self, tokens: Sequence[str], statements: Sequence[Match]) -> list[_Cue]:
        """All cues; a statement that begins with a denial ("no acute disease ...") denies what follows it, too."""
        cues = [
            _Cue(match.start, match.end, group, place)
            for match in self._cues.find(tokens)
            if _NOTHING not in match.values
            for group, place in match.values
        ]
        for match in statements:
            if tokens[match.start] in _DENIALS:
                cues.append(_Cue(match.start, match.end, "denied", "before"))
        return cues

    def _mention(self, match: Match, reach: "_Reach") -> Iterator[Entity]:
        """What is said of a finding, and of those that its words state besides."""
        finding = match.values[0]
        entity = self._judge(finding, match, reach)
        yield entity
        words = " ".join(reach.tokens[match.start : match.end])
        for word, names in self.rules.also_by_words.items():
            if word in words:
                yield from (entity._replace(finding=name, statement=BESIDES) for name in names if name in self._known)

    def _judge(self, finding: str, match: Match, reach: "_Reach") -> Entity:
        said = reach.groups(match)
        negated = "denied" in said
        historical = not negated and ("past" in said or ("near" in said and finding in self._passing))
        asked = not negated and not historical and "asked" in said
        open_ = not (negated or historical or asked)
        uncertain = open_ and "doubted" in said
        likely = open_ and not uncertain and "likely" in said
        return Entity(finding, "", negated, uncertain, likely, historical, asked)

    def _statements(self, match: Match) -> Iterator[Entity]:
        """The statements of normality that the words make ("heart and mediastinum are normal" makes two).

        Only the first is called a finding, so that the words are not counted twice.
        """
        for number, name in enumerate(match.values):
            finding = (self.rules.normality[name].states or NORMAL) if number == 0 else ""
            yield Entity(finding if finding in self._known else "", "", False, False, statement=name)


class _Reach:
    """Which cues of a sentence reach which findings."""

    def __init__(
        self, tokens: Sequence[str], cues: Sequence[_Cue], strong: frozenset[str], weak: frozenset[str]
    ) -> None:
        self.tokens = tokens
        self.cues = [cue for cue in cues if cue.group != "stop"]
        stops = [cue.start for cue in cues if cue.group == "stop"]
        self._stops = sorted(stops + [place for place, token in enumerate(tokens) if token == ";"])
        self._strong, self._weak = strong, weak
        self._denial_ends = self._stops + self._list_ends(breaks_at_commas=False)
        self._doubt_ends = self._stops + self._list_ends(breaks_at_commas=True)

    def groups(self, match: Match) -> set[str]:
        """The groups of the cues that reach a finding; "near" for a past cue right before it."""
        return {cue.place if cue.place == "near" else cue.group for cue in self.cues if self._reaches(cue, match)}

    def inside(self, match: Match) -> list[_Cue]:
        """The cues in a finding's gaps ("heart is not enlarged")."""
        return [cue for cue in self.cues if cue.start in match.gaps]

    def _reaches(self, cue: _Cue, match: Match) -> bool:
        if cue.start in match.gaps:
            return cue.place != "between"
        if cue.end <= match.start:
            return self._reaches_forward(cue, match)
        if match.end <= cue.start:
            return self._reaches_back(cue, match)
        return False

    def _reaches_forward(self, cue: _Cue, match: Match) -> bool:
        start, end = cue.end, match.start
        if cue.place == "near":
            return end - start <= _NEARBY
        if cue.place == "between":
            return self._beside(start, end)
        if cue.place == "before_list":
            return not _any_in(self._stops, start, end)
        if cue.place != "before":
            return False
        if cue.group == "asked":
            return ";" not in self.tokens[start:end]
        return not _any_in(self._denial_ends if cue.group == "denied" else self._doubt_ends, start, end)

    def _reaches_back(self, cue: _Cue, match: Match) -> bool:
        start, end = match.end, cue.start
        if cue.place == "between":
            return self._beside(start, end)
        if cue.place != "after" or _any_in(self._stops, start, end):
            return False
        between = self.tokens[start:end]
        return "," not in between or not _AND_WORDS.isdisjoint(between)

    def _beside(self, start: int, end: int) -> bool:
        """Whether few words and no other cue part a finding from the "or" that joins it to another one."""
        ends = [*self._doubt_ends, *(cue.start for cue in self.cues)]
        return end - start <= _BESIDE and not _any_in(ends, start, end)

    def _list_ends(self, *, breaks_at_commas: bool) -> list[int]:
        """Commas and "and"s after which a new statement begins; with `breaks_at_commas` every comma of no "or" list."""
        ends = []
        for place, token in enumerate(self.tokens[:-1]):
            if token not in (",", "and"):
                continue
            following = self.tokens[place + 1]
            goes_on = self._or_follows(place)
            new = following in self._strong or (following in self._weak and not goes_on)
            if new or (breaks_at_commas and token == "," and not goes_on):
                ends.append(place)
        return ends

    def _or_follows(self, place: int) -> bool:
        """Whether the list that goes on at a comma comes to an "or" before the next stop."""
        end = next((stop for stop in self._stops if stop > place), len(self.tokens))
        return not _OR_WORDS.isdisjoint(self.tokens[place + 1 : end])


def _any_in(places: Iterable[int], start: int, end: int) -> bool:
    return any(start <= place < end for place in places)


def _tokens_of(matches: Iterable[Match], count: int) -> list[bool]:
    taken = [False] * count
    for match in matches:
        taken[match.start : match.end] = [True] * (match.end - match.start)
    return taken


def _with_words(entity: Entity, match: Match, reach: _Reach, sentence: str, marks: Sequence[re.Match[str]]) -> Entity:
    """Fill in where a mention stands and its words, without the cues among them."""
    start, end = marks[match.start].start(), marks[match.end - 1].end()
    pieces, place = [], start
    for cue in reach.inside(match):
        pieces.append(sentence[place : marks[cue.start].start()])
        place = marks[min(cue.end, match.end) - 1].end()
    words = " ".join(" ".join([*pieces, sentence[place:end]]).split())
    return entity._replace(text=words, start=start, end=end)


def _normalised(term: str) -> str:
    return " ".join(term.lower().split())
