"""Training texts from RadGraph's annotations (Jain et al. 2021), for users who have them; read from JSON.

RadGraph marks observations and anatomy in a report, says whether an observation is present, absent or uncertain, and
links words that modify others. Each observation becomes one entity of the training text: its own words, those that
modify it, and the anatomy it is located at with what modifies that, in the order of the report.
"""

import json
import logging
import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from pydantic import RootModel

from unichest_kedro.errors import SettingsError
from unichest_kedro.reports.markup import entities_text, entity_phrase

logger = logging.getLogger(__name__)

PRESENT, ABSENT, UNCERTAIN = "present", "absent", "uncertain"
LABELS = {
    "OBS-DP": (True, PRESENT),
    "OBS-DA": (True, ABSENT),
    "OBS-U": (True, UNCERTAIN),
    "ANAT-DP": (False, PRESENT),
    "ANAT-DA": (False, ABSENT),
    "ANAT-U": (False, UNCERTAIN),
    "Observation::definitely present": (True, PRESENT),
    "Observation::definitely absent": (True, ABSENT),
    "Observation::uncertain": (True, UNCERTAIN),
    "Anatomy::definitely present": (False, PRESENT),
    "Anatomy::definitely absent": (False, ABSENT),
    "Anatomy::uncertain": (False, UNCERTAIN),
}
"""Labels of RadGraph and of its successor RadGraph-XL: whether it is an observation, and what is said of it."""

_MODIFY, _LOCATED_AT = "modify", "located_at"
_SENTENCE_ENDS = (".", "!", "?")
_MIMIC_STUDY = re.compile(r"(?:^|/)s(\d+)$")


class RadGraphFiles(RootModel[dict[str, Path]]):
    """RadGraph's file of each source that has one."""

    def of(self, source: str) -> Path | None:
        """The file of a source, or None."""
        path = self.root.get(source)
        return path.expanduser() if path is not None else None

    def check_sources(self, known: Collection[str]) -> None:
        """Check that no file is given for a source that there is not.

        Raises:
            SettingsError: naming the first.
        """
        for source in self.root:
            if source not in known:
                raise SettingsError(f"radgraph: unknown source {source!r}. There are {', '.join(sorted(known))}.")


class GraphEntity(NamedTuple):
    """A marked span: its words, the number of its first word in the report, and its links `(kind, other's id)`."""

    tokens: str
    start: int
    is_observation: bool
    status: str
    relations: tuple[tuple[str, str], ...]


class Written(NamedTuple):
    """A report's training text."""

    text: str


class Unusable(NamedTuple):
    """A report whose annotation cannot be read, and why."""

    reason: str


@dataclass(frozen=True)
class RadGraph:
    """What a RadGraph file says.

    Attributes:
        texts: training text of each report by study key (`study_key`); "" for one without observations.
        unusable: why a report's annotation could not be read, by study key.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)

    def texts_of(self, study_ids: pd.Series) -> pd.Series:
        """Return the training text of each study, "" where the file has none; the index is kept.

        How many studies have one, and why the others have none, is logged.
        """
        keys = {study: study_key(study) for study in study_ids.unique()}
        found = {study: self.texts.get(key, "") for study, key in keys.items()}
        self._tell(keys)
        return study_ids.map(found).astype("str")

    def _tell(self, keys: Mapping[str, str]) -> None:
        """Log how many of these studies have a text; at none, the file is most likely of another release."""
        unread = {study: self.unusable[key] for study, key in keys.items() if key in self.unusable}
        lacking = sum(key not in self.texts and key not in self.unusable for key in keys.values())
        empty = sum(self.texts.get(key) == "" for key in keys.values())
        written = len(keys) - len(unread) - lacking - empty
        level = logging.INFO if written else logging.WARNING
        logger.log(
            level,
            "RadGraph: %d of %d studies are written from its annotations; %d are not in its file, %d have no "
            "observation there, %d cannot be read%s.",
            written,
            len(keys),
            lacking,
            empty,
            len(unread),
            f" (e.g. {next(iter(unread))}: {next(iter(unread.values()))})" if unread else "",
        )


def study_key(study: str) -> str:
    """Return what a study is looked up by: `p10/p10000032/s50414267.txt`, `s50414267` and `50414267` are the same."""
    plain = study.strip().replace("\\", "/").removesuffix(".txt")
    found = _MIMIC_STUDY.search(plain)
    return found[1] if found else plain


def read_radgraph(path: Path) -> RadGraph:
    """Read RadGraph's JSON into training texts.

    Understood are the released form, `{report: {"text": ..., "entities": {id: {"tokens", "label", "start_ix",
    "relations"}}}}` (of two labelers the first), and the lists of documents that DyGIE++ writes (`doc_key`,
    `sentences`, `predicted_ner` or `ner`, `predicted_relations` or `relations`), as JSON or as JSON lines. A report is
    written as soon as it is parsed, so memory peaks at about twice the size of the file.

    Args:
        path: the file.

    Raises:
        SettingsError: if the file is missing, is not JSON, has another form, or names a study twice.
    """
    documents = _documents(path)
    texts: dict[str, str] = {}
    unusable: dict[str, str] = {}
    for name, document in documents:
        key = study_key(name)
        if key in texts or key in unusable:
            raise SettingsError(f"{path}: the study {key!r} is there twice. Keep one of its annotations.")
        if isinstance(document, Written):
            texts[key] = document.text
        else:
            unusable[key] = document.reason if isinstance(document, Unusable) else "it has no text or no entities"
    return RadGraph(texts, unusable)


def graph_text(text: str, entities: Mapping[str, GraphEntity]) -> str:
    """Write a report's training text: for each sentence its observations, `[ENT] no acute fracture [SEP]`.

    Args:
        text: the report's words, parted by spaces; a sentence ends with a word that is a full stop.
        entities: what is marked in it, by id.

    Returns:
        The text, lower case; "" without observations.
    """
    ends = [number for number, word in enumerate(text.split()) if word in _SENTENCE_ENDS]
    sentences: dict[int, list[str]] = {}
    for members, status in _phrases(entities):
        words = " ".join(entity.tokens for entity in members).lower()
        phrase = entity_phrase(words, negated=status == ABSENT, uncertain=status == UNCERTAIN)
        sentences.setdefault(bisect_left(ends, members[0].start), []).append(phrase)
    return " ".join(entities_text(phrases) for _, phrases in sorted(sentences.items()))


def _phrases(entities: Mapping[str, GraphEntity]) -> list[tuple[list[GraphEntity], str]]:
    """Return each observation's entities in the order of the report, and its status; in the order of the report.

    Observations that modify another are part of its phrase and stand for none. Where they modify each other in a
    circle, the first of them stands for all.
    """
    links = _links(entities)
    observations = [name for name, entity in entities.items() if entity.is_observation]
    inner = {other for name in observations for other in links[name]}
    phrases, written = [], set()
    for root in [*(name for name in observations if name not in inner), *observations]:
        if root not in written:
            names = _reached(root, links)
            written |= names
            members = sorted((entities[name] for name in names), key=lambda entity: entity.start)
            phrases.append((members, entities[root].status))
    return sorted(phrases, key=lambda phrase: phrase[0][0].start)


def _links(entities: Mapping[str, GraphEntity]) -> dict[str, list[str]]:
    """Return what belongs to each entity's phrase: what modifies it, and the anatomy that an observation is about.

    A modifier that is denied or doubted where what it modifies is not would turn the meaning round; it stays out, and
    stands for itself.
    """
    links: dict[str, list[str]] = {name: [] for name in entities}
    for name, entity in entities.items():
        for kind, other in entity.relations:
            target = entities.get(other)
            if target is None:
                continue
            if entity.is_observation and not target.is_observation and kind in (_LOCATED_AT, _MODIFY):
                links[name].append(other)
            elif kind == _MODIFY and (entity.is_observation, entity.status) == (target.is_observation, target.status):
                links[other].append(name)
    return links


def _reached(root: str, links: Mapping[str, list[str]]) -> set[str]:
    """Return the root and all that belongs to it, near and far."""
    reached, waiting = {root}, [root]
    while waiting:
        new = [name for name in links[waiting.pop()] if name not in reached]
        reached.update(new)
        waiting.extend(new)
    return reached


def _documents(path: Path) -> Iterable[tuple[str, Any]]:
    """Yield each report's key and its training text, or what is there instead."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"RadGraph file {path} cannot be read ({error}). Check `radgraph` in the parameters."
        ) from error
    content = _parsed(text, path)
    if isinstance(content, dict) and "doc_key" not in content:
        return content.items()
    documents = content if isinstance(content, list) else [content]
    for document in documents:
        if not isinstance(document, dict) or not isinstance(document.get("doc_key"), str):
            raise SettingsError(
                f"RadGraph file {path} is a list with an entry that has no `doc_key`. Give RadGraph's own JSON, "
                '{report: {"text": ..., "entities": ...}}, or documents as DyGIE++ writes them.'
            )
    return ((document["doc_key"], _from_dygie(document)) for document in documents)


def _parsed(text: str, path: Path) -> Any:
    """Parse JSON, or JSON lines, turning each report of the released form into its training text on the way."""
    try:
        return json.loads(text, object_hook=_compact)
    except json.JSONDecodeError as error:
        whole = error
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError:
        raise SettingsError(
            f"RadGraph file {path} is not JSON ({whole}). Check `radgraph` in the parameters."
        ) from whole


def _compact(fields: dict[str, Any]) -> Any:
    """Turn an entity into a `GraphEntity`, and a report with its entities into its training text."""
    if "start_ix" in fields:
        return _entity(fields)
    if "text" not in fields:
        return fields
    labeler = fields.get("labeler_1")
    entities = fields.get("entities", labeler.get("entities") if isinstance(labeler, dict) else None)
    if not isinstance(entities, dict) or not isinstance(fields["text"], str):
        return fields
    wrong = next((entity for entity in entities.values() if not isinstance(entity, GraphEntity)), None)
    if wrong is not None:
        return wrong if isinstance(wrong, Unusable) else Unusable(f"an entity is {str(wrong)[:80]}")
    return Written(graph_text(fields["text"], entities))


def _entity(fields: dict[str, Any]) -> GraphEntity | Unusable:
    label, start, tokens = fields.get("label"), fields["start_ix"], fields.get("tokens")
    relations = fields.get("relations") or []
    if label not in LABELS:
        return Unusable(f"label {label!r}; allowed are {', '.join(LABELS)}")
    if not isinstance(start, int) or not isinstance(tokens, str) or not isinstance(relations, list):
        return Unusable(f"an entity without words, place or relations: {str(fields)[:80]}")
    if not all(isinstance(link, list) and len(link) == 2 for link in relations):
        return Unusable(f"relations {str(relations)[:80]}; each is [kind, id]")
    return GraphEntity(tokens, start, *LABELS[label], tuple((str(kind), str(other)) for kind, other in relations))


def _from_dygie(document: dict[str, Any]) -> Written | Unusable:
    """Write the training text of a DyGIE++ document, whose spans are numbers of its first and last word."""
    try:
        words = [word for sentence in document["sentences"] for word in sentence]
        links: dict[tuple[int, int], list[tuple[str, str]]] = {}
        for start, end, other_start, other_end, kind, *_ in _flat(document, "relations"):
            links.setdefault((start, end), []).append((kind, f"{other_start} {other_end}"))
        entities = {
            f"{start} {end}": GraphEntity(
                " ".join(words[start : end + 1]), start, *LABELS[label], tuple(links.get((start, end), ()))
            )
            for start, end, label, *_ in _flat(document, "ner")
        }
    except (KeyError, TypeError, ValueError) as error:
        return Unusable(f"it is not a DyGIE++ document ({type(error).__name__}: {error})")
    return Written(graph_text(" ".join(words), entities))


def _flat(document: dict[str, Any], kind: str) -> list[list[Any]]:
    """Return the predicted spans or links of all sentences, or the annotated ones where nothing was predicted."""
    per_sentence = document.get(f"predicted_{kind}", document.get(kind, []))
    return [item for sentence in per_sentence for item in sentence]
