"""The unified vocabulary: its findings, their words, and what each source's own labels mean in it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from unichest_kedro.errors import VocabularyError
from unichest_kedro.sources.base import SOURCES

Uncertain = Literal["ignore", "present", "absent"]
NotMentioned = Literal["absent", "unknown"]
Readers = Literal["any", "majority", "all"]


def _as_names(value: object) -> object:
    """One name written alone stands for a list of one."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_names)]
Word = Annotated[str, Field(min_length=1)]


class _Frozen(BaseModel):
    """Base of the vocabulary's parts: no unknown keys, no changes once made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Finding(_Frozen):
    """One finding: its name, the words the text encoder is given, and what reports call it (lower case)."""

    name: Word
    prompt: Word
    synonyms: tuple[Word, ...] = ()

    @property
    def phrases(self) -> tuple[str, ...]:
        """Lower-case phrases that mean this finding in a report: its name and its synonyms."""
        return (self.name.lower(), *self.synonyms)


class SourceRules(_Frozen):
    """What one source's labels mean.

    `labels` maps each native label to the finding or findings it states; an empty list drops the label on
    purpose. The policies are explained in the vocabulary file.
    """

    labels: dict[str, Names]
    uncertain: Uncertain
    uncertain_overrides: dict[str, Uncertain] = {}
    not_mentioned: NotMentioned
    readers: Readers
    no_finding_label: Names = ()
    no_finding_exhaustive: bool
    no_finding_silent_on: Names = ()

    @property
    def findings(self) -> frozenset[str]:
        """The findings that the source's labels state."""
        return frozenset(finding for findings in self.labels.values() for finding in findings)

    def uncertain_policy(self, finding: str) -> Uncertain:
        """What an uncertain label makes of a finding."""
        return self.uncertain_overrides.get(finding, self.uncertain)


class Vocabulary(_Frozen):
    """The unified findings in their order, and the rules of each source.

    Raises (when made):
        VocabularyError: a finding, prompt or synonym twice; a mapping to an unknown finding; an unknown
            source.
    """

    definitions: tuple[Finding, ...] = Field(alias="findings", min_length=1)
    sources: dict[str, SourceRules]

    @classmethod
    def from_yaml(cls, text_or_path: str | Path) -> Self:
        """The vocabulary of a YAML file (a `Path`, or a one-line text that names one) or of YAML text.

        Raises:
            VocabularyError: the file is missing, is not YAML, or contradicts itself.
        """
        where = Path(text_or_path) if "\n" not in str(text_or_path) else None
        try:
            content = yaml.safe_load(where.read_text(encoding="utf-8") if where else text_or_path)
        except (OSError, yaml.YAMLError) as error:
            raise VocabularyError(f"vocabulary {where or 'text'}: cannot be read as YAML ({error}).") from error
        return cls.from_mapping(content, str(where) if where else "vocabulary")

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any], where: str = "vocabulary") -> Self:
        """The vocabulary of a parsed file; `where` names it in messages.

        Raises:
            VocabularyError: naming what is wrong and what is allowed.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise VocabularyError(_explain(error, where)) from error

    def to_yaml(self) -> str:
        """The vocabulary as YAML text, which `from_yaml` reads back."""
        content = self.model_dump(by_alias=True, mode="json")
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)

    @cached_property
    def findings(self) -> tuple[str, ...]:
        """Names of the findings, in order."""
        return tuple(finding.name for finding in self.definitions)

    @cached_property
    def prompts(self) -> dict[str, str]:
        """The words the text encoder is given, by finding."""
        return {finding.name: finding.prompt for finding in self.definitions}

    @cached_property
    def synonyms(self) -> dict[str, tuple[str, ...]]:
        """What reports call each finding, by finding, without its name."""
        return {finding.name: finding.synonyms for finding in self.definitions}

    @cached_property
    def phrases(self) -> dict[str, str]:
        """The finding that each lower-case phrase (a name or a synonym) means."""
        return {phrase: finding.name for finding in self.definitions for phrase in finding.phrases}

    def rules(self, source: str) -> SourceRules:
        """The rules of one source.

        Raises:
            VocabularyError: the vocabulary says nothing about the source.
        """
        if source not in self.sources:
            known = ", ".join(self.sources) or "none"
            raise VocabularyError(
                f"vocabulary: no rules for source {source!r} (there are: {known}). Add it under `sources:`."
            )
        return self.sources[source]

    def annotated(self, source: str) -> tuple[str, ...]:
        """The findings that a source labels, in the vocabulary's order.

        Raises:
            VocabularyError: the vocabulary says nothing about the source.
        """
        stated = self.rules(source).findings
        return tuple(finding for finding in self.findings if finding in stated)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_once("finding", self.findings)
        _check_once("prompt", self.prompts.values())
        _check_phrases(self.definitions)
        for source, rules in self.sources.items():
            _check_rules(source, rules, self.findings)
        return self


def load_vocabulary(mapping: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a parsed vocabulary file.

    Raises:
        VocabularyError: naming what is wrong and what is allowed.
    """
    return Vocabulary.from_mapping(mapping)


def _check_once(what: str, values: Iterable[str]) -> None:
    """Check that no value occurs twice."""
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise VocabularyError(f"vocabulary: {what} {repeated[0]!r} is there twice. Keep one of them.")


def _check_phrases(definitions: Iterable[Finding]) -> None:
    """Check that each phrase is plain lower case and means one finding only."""
    meaning: dict[str, str] = {}
    for finding in definitions:
        for phrase in finding.phrases:
            if phrase != " ".join(phrase.lower().split()):
                raise VocabularyError(
                    f"vocabulary: finding {finding.name!r}: synonym {phrase!r} must be lower case, with "
                    "single spaces: reports are compared in lower case."
                )
            if phrase in meaning:
                raise VocabularyError(
                    f"vocabulary: synonym {phrase!r} of finding {finding.name!r} is already a phrase of "
                    f"{meaning[phrase]!r}. A phrase means one finding: remove it from one of them."
                )
            meaning[phrase] = finding.name


def _check_rules(source: str, rules: SourceRules, findings: tuple[str, ...]) -> None:
    """Check that a source is known and that its rules name only labels and findings that exist."""
    if source not in SOURCES:
        raise VocabularyError(f"vocabulary: unknown source {source!r}. Known sources: {', '.join(SOURCES)}.")
    named = [(f"native label {label!r}", name) for label, names in rules.labels.items() for name in names]
    named += [("uncertain_overrides", name) for name in rules.uncertain_overrides]
    for where, name in named:
        if name not in findings:
            raise VocabularyError(
                f"vocabulary: source {source!r}: {where} names the unknown finding {name!r}. "
                "Use a name from `findings:`, spelled as there, or add the finding."
            )
    for key in ("no_finding_label", "no_finding_silent_on"):
        for label in getattr(rules, key):
            if label not in rules.labels:
                raise VocabularyError(
                    f"vocabulary: source {source!r}: {key} names {label!r}, which is not among its `labels:`."
                )
    if rules.no_finding_exhaustive and not rules.no_finding_label:
        raise VocabularyError(
            f"vocabulary: source {source!r}: no_finding_exhaustive is true, but no_finding_label is empty. "
            "Name the native label that says nothing was found."
        )


def _explain(error: ValidationError, where: str) -> str:
    """The first thing pydantic objects to, in words that name field, value and what is allowed."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] == "extra_forbidden":
        return f"{where}: {field}: unknown key. Remove it, or check its spelling."
    if first["type"] == "missing":
        return f"{where}: {field}: missing. Add it (conf/base/vocabulary.yml explains each key)."
    if "labels" in first["loc"] and first["input"] is None:
        return (
            f"{where}: {field}: the native label has no mapping. Give the finding it states, a list of "
            "findings, or [] to drop the label on purpose."
        )
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{where}: {field}: {first['input']!r} is not allowed: {message}."
