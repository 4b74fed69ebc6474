"""Finds the vocabulary's findings in report sentences, and whether each is affirmed, denied or doubted.

Rules only: a blank English spaCy pipeline (tokeniser, sentencizer, entity ruler over the synonyms) and
negspacy (NegEx, Chapman et al. 2001) twice, once with the terms that deny and once with those that doubt.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import negspacy.negation  # noqa: F401  registers the "negex" factory
import spacy
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from spacy.language import Language
from spacy.tokens import Doc, Span
from tqdm import tqdm

from unichest_kedro.errors import VocabularyError

_LABEL = "FINDING"
_NEGATED, _UNCERTAIN = "unichest_negated", "unichest_uncertain"
_LONGEST_REPORT = 100_000_000
_LETTER = re.compile(r"[^\W\d_]")


class Entity(NamedTuple):
    """A mention of a finding: the vocabulary's name, the words of the report, and what is said of it.

    `negated` and `uncertain` are never both true: a denial outweighs a doubt.
    """

    finding: str
    text: str
    negated: bool
    uncertain: bool


class Sentence(NamedTuple):
    """A sentence of a report and the entities in it, in order of appearance."""

    text: str
    entities: tuple[Entity, ...]


class CueTerms(BaseModel):
    """The four lists of one negspacy component; see `negation_terms.yml` for what each does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preceding: tuple[str, ...]
    following: tuple[str, ...]
    pseudo: tuple[str, ...]
    termination: tuple[str, ...]

    def termset(self) -> dict[str, list[str]]:
        """The lists under the names that negspacy gives them."""
        return {
            "preceding_negations": list(self.preceding),
            "following_negations": list(self.following),
            "pseudo_negations": list(self.pseudo),
            "termination": list(self.termination),
        }


class NegationTerms(BaseModel):
    """The cues that deny and the cues that doubt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    negated: CueTerms
    uncertain: CueTerms


def load_negation_terms(path: Path | None = None) -> NegationTerms:
    """Read the cues from a YAML file; without a path, the ones shipped with the package.

    Raises:
        VocabularyError: if the file is missing, is not YAML or lacks a list, naming the file and the list.
    """
    source = path or files("unichest_kedro.reports") / "negation_terms.yml"
    try:
        return NegationTerms.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise VocabularyError(f"Cannot read the negation terms {source}: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise VocabularyError(
            f"Negation terms {source}: {where}: {first['msg']}. Allowed are `negated` and `uncertain`, "
            "each with the lists preceding, following, pseudo and termination."
        ) from error


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
    """Reads report texts sentence by sentence.

    Holds one spaCy pipeline; not safe to share between threads.
    """

    def __init__(self, synonyms: Mapping[str, Sequence[str]], terms: NegationTerms | None = None) -> None:
        """Build the pipeline.

        Args:
            synonyms: finding name to its synonyms; the name itself need not be among them.
            terms: the cues; the package's own when None.

        Raises:
            VocabularyError: if there is no finding at all.
        """
        self._terms = finding_terms(synonyms)
        if not self._terms:
            raise VocabularyError("The vocabulary names no finding, so there is nothing to look for in reports.")
        self._nlp = _build_pipeline(self._terms, terms or load_negation_terms())

    def extract(
        self, texts: Iterable[str], *, batch_size: int = 512, total: int | None = None, progress: bool = True
    ) -> Iterator[list[Sentence]]:
        """Yield the sentences of each text, in the order of the texts.

        Memory is bounded by the batch: spaCy's word store is emptied after each.

        Args:
            texts: cleaned report texts (`sections.select_text`), one paragraph per line.
            batch_size: texts read at once.
            total: number of texts for the progress bar, where `texts` has no length.
            progress: whether to show the bar.
        """
        total = len(texts) if total is None and isinstance(texts, Sequence) else total
        with tqdm(total=total, desc="Reading reports", unit="report", disable=not progress) as bar:
            for batch in _batches(texts, batch_size):
                with self._nlp.memory_zone():
                    found = [_sentences(doc) for doc in self._nlp.pipe(batch, batch_size=batch_size)]
                yield from found
                bar.update(len(batch))


def _build_pipeline(terms: Mapping[str, str], cues: NegationTerms) -> Language:
    nlp = spacy.blank("en")
    # The limit guards parsers that need memory per token squared; there is none here.
    nlp.max_length = _LONGEST_REPORT
    nlp.add_pipe("sentencizer", config={"punct_chars": [".", "!", "?", "\n"]})
    ruler = nlp.add_pipe("entity_ruler", config={"phrase_matcher_attr": "LOWER"})
    ruler.add_patterns([{"label": _LABEL, "pattern": term, "id": name} for term, name in terms.items()])
    for extension, group in ((_NEGATED, cues.negated), (_UNCERTAIN, cues.uncertain)):
        config = {"neg_termset": group.termset(), "extension_name": extension}
        nlp.add_pipe("negex", name=extension, config=config)
    return nlp


def _sentences(doc: Doc) -> list[Sentence]:
    """Turn a read document into plain values, which outlive spaCy's memory zone; drop wordless sentences."""
    sentences, entities = [], deque(doc.ents)
    for sent in doc.sents:
        found = []
        while entities and entities[0].start < sent.end:
            found.append(_entity(entities.popleft()))
        text = sent.text.strip()
        if found or _LETTER.search(text):
            sentences.append(Sentence(text, tuple(found)))
    return sentences


def _entity(span: Span) -> Entity:
    negated = bool(span._.get(_NEGATED))
    uncertain = bool(span._.get(_UNCERTAIN)) and not negated
    return Entity(span.ent_id_, " ".join(span.text.split()), negated, uncertain)


def _normalised(term: str) -> str:
    return " ".join(term.lower().split())


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(texts)
    while batch := list(islice(iterator, size)):
        yield batch
