"""The rules by which a report is read, as data: loaded from `reading_rules.yml` and checked."""

from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from unichest_kedro.errors import VocabularyError

Phrases = tuple[str, ...]


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Statement(_Rules):
    """A way to call a part of the film, or all of it, normal.

    `denies` are the findings that are thereby absent; `states` is the finding that the statement makes
    present, for statements about the whole film.
    """

    says: Phrases
    denies: Phrases
    states: str | None = None


class Cues(_Rules):
    """Phrases that change what a report says of a finding, by where they stand to it.

    `before` reaches to the findings after the cue, `before_list` to those after it over commas, `near` to one
    right after it, `after` to those before it, `between` to the two around it.
    """

    before: Phrases = ()
    before_list: Phrases = ()
    near: Phrases = ()
    after: Phrases = ()
    between: Phrases = ()


class CueGroups(_Rules):
    """The cues by what they mean; `nothing` are look-alikes that mean nothing."""

    denied: Cues
    doubted: Cues
    likely: Cues
    past: Cues
    asked: Cues
    nothing: Phrases


class ReadingRules(_Rules):
    """Everything that reading needs beside the vocabulary's synonyms; `reading_rules.yml` explains each part."""

    spelling: dict[str, str]
    finding_gap_stops: Phrases
    findings: dict[str, Phrases]
    not_findings: Phrases
    normality: dict[str, Statement]
    normality_gap_stops: Phrases
    cues: CueGroups
    stops: Phrases
    strong_starts: Phrases
    weak_starts: Phrases
    passing: Phrases
    also_by_words: dict[str, Phrases]
    words_for_parts: Phrases


def load_rules(path: Path | None = None) -> ReadingRules:
    """Read the rules from a YAML file; without a path, the ones shipped with the package.

    Raises:
        VocabularyError: if the file is missing, is not YAML, or lacks a part, naming the file and the part.
    """
    return _shipped_rules() if path is None else _read(path)


@cache
def _shipped_rules() -> ReadingRules:
    return _read(files("unichest_kedro.reports") / "reading_rules.yml")


def _read(path: Path) -> ReadingRules:
    try:
        return ReadingRules.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise VocabularyError(f"Cannot read the reading rules {path}: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise VocabularyError(
            f"Reading rules {path}: {where}: {first['msg']}. The file shipped with the package "
            "(unichest_kedro/reports/reading_rules.yml) shows and explains every part."
        ) from error
