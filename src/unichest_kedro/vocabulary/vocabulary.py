"""The unified vocabulary: its findings, their words, how they bind each other, and what each source's labels mean."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from unichest_kedro.errors import VocabularyError
from unichest_kedro.sources.base import SOURCES
from unichest_kedro.vocabulary.relations import Relations, close

Uncertain = Literal["ignore", "present", "absent"]
NotMentioned = Literal["absent", "unknown"]
Readers = Literal["any", "majority", "all"]
ReportLabels = Literal["none", "fill", "only"]

EVERYTHING = "all"
"""In `leaves_open`: every finding that the source labels."""


def _as_names(value: object) -> object:
    """One name written alone stands for a list of one."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_names)]
Word = Annotated[str, Field(min_length=1)]


class _Frozen(BaseModel):
    """Base of the vocabulary's parts: no unknown keys, no changes once made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Finding(_Frozen):
    """One finding: its name, the words the text encoder is given, what reports call it, and what it says of others.

    `implies`: findings that are present where this one is. `excludes`: findings that are absent where this one is
    present; where it is not written (None) the vocabulary's `normal_findings`. `union_of`: this finding is present
    where one of these is, and absent where all of them are absent.
    """

    name: Word
    prompt: Word
    synonyms: tuple[Word, ...] = ()
    implies: Names = ()
    excludes: Names | None = None
    union_of: Names = ()

    @property
    def phrases(self) -> tuple[str, ...]:
        """Lower-case phrases that mean this finding in a report: its name and its synonyms."""
        return (self.name.lower(), *self.synonyms)


class SourceRules(_Frozen):
    """What one source's labels mean.

    `labels` maps each native label to the finding or findings it states; an empty list drops the label on
    purpose. The policies are explained in the vocabulary file and in docs/vocabulary.md. `own` marks a source of the
    user's own, whose key is none of the known ones.
    """

    own: bool = False
    labels: dict[str, Names]
    uncertain: Uncertain
    uncertain_overrides: dict[str, Uncertain] = {}
    not_mentioned: NotMentioned
    not_mentioned_overrides: dict[str, NotMentioned] = {}
    leaves_open: dict[str, Names] = {}
    readers: Readers
    no_finding_label: Names = ()
    no_finding_exhaustive: bool
    no_finding_silent_on: Names = ()
    report_labels: ReportLabels = "none"

    @property
    def findings(self) -> frozenset[str]:
        """The findings that the source's labels state."""
        return frozenset(finding for findings in self.labels.values() for finding in findings)

    @property
    def says_nothing_found(self) -> frozenset[str]:
        """The findings that the labels for "nothing found" state."""
        return frozenset(finding for label in self.no_finding_label for finding in self.labels[label])

    @property
    def silent_on(self) -> frozenset[str]:
        """The findings about which those labels say nothing."""
        return frozenset(finding for label in self.no_finding_silent_on for finding in self.labels[label])

    def uncertain_policy(self, finding: str) -> Uncertain:
        """What an uncertain label makes of a finding."""
        return self.uncertain_overrides.get(finding, self.uncertain)

    def not_mentioned_policy(self, finding: str) -> NotMentioned:
        """What a label that is not mentioned makes of a finding."""
        return self.not_mentioned_overrides.get(finding, self.not_mentioned)

    def left_open(self, label: str) -> frozenset[str]:
        """The findings that a native label, where it is present, leaves open."""
        named = frozenset(self.leaves_open.get(label, ()))
        return self.findings if EVERYTHING in named else named


class Vocabulary(_Frozen):
    """The unified findings in their order, how they bind each other, and the rules of each source.

    Raises (when made):
        VocabularyError: a finding, prompt or synonym twice; a name that is no finding; findings that imply each
            other, or exclude what they imply; rules that name no label or finding.
    """

    definitions: tuple[Finding, ...] = Field(alias="findings", min_length=1)
    normal_findings: Names = ()
    sources: dict[str, SourceRules]

    @classmethod
    def from_yaml(cls, text_or_path: str | Path) -> Self:
        """The vocabulary of a YAML file (a `Path`, or a one-line text that names one) or of YAML text.

        Raises:
            VocabularyError: the file is missing, is not YAML, says something twice, or contradicts itself.
        """
        return cls.from_mapping(*read_yaml(text_or_path))

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
        content = self.model_dump(by_alias=True, mode="json", exclude_defaults=True)
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)

    def with_sources(self, rules: Mapping[str, SourceRules]) -> Self:
        """This vocabulary with the rules of further sources; those of the same key are replaced.

        Raises:
            VocabularyError: the rules name a finding or label that does not exist.
        """
        return type(self)(
            findings=self.definitions, normal_findings=self.normal_findings, sources={**self.sources, **rules}
        )

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

        What follows from other findings, and what `report_labels: fill` adds, is left out: a source is scored on
        what it labels itself. With `report_labels: only` it labels every finding.

        Raises:
            VocabularyError: the vocabulary says nothing about the source.
        """
        rules = self.rules(source)
        if rules.report_labels == "only":
            return self.findings
        return tuple(finding for finding in self.findings if finding in rules.findings)

    def relations(self, source: str | None = None) -> Relations:
        """How the findings bind each other, in general or among the labels of one source.

        A source that has a label for "nothing found" adds to it: whatever else it labels excludes that, but for what
        the label is silent on, which does not exclude it there even where it does in general.

        Raises:
            VocabularyError: no rules for the source, or they contradict the relations of the vocabulary.
        """
        implies = {finding.name: finding.implies for finding in self.definitions}
        excludes = {finding.name: self._excluded_by(finding) for finding in self.definitions}
        unions = {finding.name: finding.union_of for finding in self.definitions if finding.union_of}
        if source is None:
            return close(implies, excludes, unions)
        rules = self.rules(source)
        implied = close(implies, dict.fromkeys(self.findings, ()), unions).implies
        for finding in self.findings:
            excludes[finding] = self._excluded_in(rules, finding, excludes[finding], implied)
        return close(implies, excludes, unions, f"vocabulary: source {source!r}")

    def _excluded_by(self, finding: Finding) -> tuple[str, ...]:
        """What a finding excludes by itself: as written, or the findings that say "normal"."""
        if finding.excludes is not None:
            return finding.excludes
        return () if finding.name in self.normal_findings else self.normal_findings

    def _excluded_in(
        self, rules: SourceRules, finding: str, excludes: Iterable[str], implied: Mapping[str, Iterable[str]]
    ) -> tuple[str, ...]:
        """What a finding excludes by itself among the labels of a source."""
        nothing = rules.says_nothing_found
        if finding in rules.silent_on:
            return tuple(other for other in excludes if other not in nothing)
        # A film without any finding: the same statement in other words, which cannot contradict it.
        alike = {*self.normal_findings, *nothing, *(other for name in nothing for other in implied[name])}
        if finding not in rules.findings or finding in alike or nothing & set(implied[finding]):
            return tuple(excludes)
        return tuple({*excludes, *nothing})

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_once("finding", self.findings)
        _check_once("prompt", [" ".join(prompt.lower().split()) for prompt in self.prompts.values()])
        _check_phrases(self.definitions)
        _check_names("normal_findings", self.normal_findings, self.findings)
        for finding in self.definitions:
            _check_relations(finding, self.definitions, self.findings)
        self.relations()
        for source, rules in self.sources.items():
            _check_rules(source, rules, self.findings)
            self.relations(source)
        return self


def load_vocabulary(mapping: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a parsed vocabulary file.

    Raises:
        VocabularyError: naming what is wrong and what is allowed.
    """
    return Vocabulary.from_mapping(mapping)


def read_yaml(text_or_path: str | Path) -> tuple[dict[str, Any], str]:
    """The content of a vocabulary file (a `Path`, or a one-line text that names one) or text, and what to call it.

    Raises:
        VocabularyError: the file is missing, is not YAML, says something twice, or holds no mapping.
    """
    where = Path(text_or_path) if "\n" not in str(text_or_path) else None
    try:
        text = where.read_text(encoding="utf-8") if where else str(text_or_path)
        content = yaml.load(text, Loader=_NothingTwice)
    except (OSError, yaml.YAMLError) as error:
        raise VocabularyError(f"vocabulary {where or 'text'}: cannot be read as YAML ({error}).") from error
    if not isinstance(content, dict):
        raise VocabularyError(f"vocabulary {where or 'text'}: holds no mapping. It needs `findings:` and `sources:`.")
    return content, str(where) if where else "vocabulary"


class _NothingTwice(yaml.SafeLoader):
    """YAML's safe loader, which refuses a key that stands twice: the first would be dropped without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node.

        Raises:
            yaml.YAMLError: a key stands twice, naming it and its line.
        """
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.YAMLError(f"key {key.value!r} stands twice, again in line {key.start_mark.line + 1}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _check_once(what: str, values: Iterable[str]) -> None:
    """Check that no value occurs twice."""
    repeated = [value for value, count in Counter(list(values)).items() if count > 1]
    if repeated:
        raise VocabularyError(f"vocabulary: {what} {repeated[0]!r} is there twice. Keep one of them.")


def _check_names(where: str, names: Iterable[str], findings: tuple[str, ...]) -> None:
    """Check that names are findings, each there once."""
    for name in names:
        if name not in findings:
            raise VocabularyError(
                f"vocabulary: {where} names the unknown finding {name!r}. "
                "Use a name from `findings:`, spelled as there, or add the finding."
            )
    _check_once(f"{where}:", names)


def _check_relations(finding: Finding, definitions: tuple[Finding, ...], findings: tuple[str, ...]) -> None:
    """Check what one finding says of others."""
    unions = {other.name for other in definitions if other.union_of}
    for key in ("implies", "excludes", "union_of"):
        names = getattr(finding, key) or ()
        _check_names(f"finding {finding.name!r}: {key}", names, findings)
        if finding.name in names:
            raise VocabularyError(f"vocabulary: finding {finding.name!r}: {key} names the finding itself. Remove it.")
    if len(finding.union_of) == 1:
        raise VocabularyError(
            f"vocabulary: finding {finding.name!r}: union_of has the single part {finding.union_of[0]!r}. "
            "A union has two parts or more: name the others, or let that part imply it."
        )
    nested = [part for part in finding.union_of if part in unions]
    if nested:
        raise VocabularyError(
            f"vocabulary: finding {finding.name!r}: its part {nested[0]!r} is a union itself. "
            "Name the parts of that one instead."
        )


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
            words = " ".join(phrase.replace("-", " ").split())
            if words in meaning:
                raise VocabularyError(
                    f"vocabulary: synonym {phrase!r} of finding {finding.name!r} is already a phrase of "
                    f"{meaning[words]!r}. A phrase means one finding and stands once (a hyphen counts as a space): "
                    "remove one of the two."
                )
            meaning[words] = finding.name


def _check_rules(source: str, rules: SourceRules, findings: tuple[str, ...]) -> None:
    """Check that a source is known, and that its rules name only labels and findings that exist."""
    if source not in SOURCES and not rules.own:
        raise VocabularyError(
            f"vocabulary: unknown source {source!r}. Known sources: {', '.join(SOURCES)}. "
            "The rules of a source of your own say `own: true`."
        )
    here = f"source {source!r}:"
    for label, names in rules.labels.items():
        _check_names(f"{here} native label {label!r}", names, findings)
    for key in ("uncertain_overrides", "not_mentioned_overrides"):
        _check_names(f"{here} {key}", getattr(rules, key), findings)
    for label, names in rules.leaves_open.items():
        _check_names(f"{here} leaves_open: {label!r}", [n for n in names if n != EVERYTHING], findings)
    for key in ("no_finding_label", "no_finding_silent_on", "leaves_open"):
        for label in getattr(rules, key):
            if label not in rules.labels:
                raise VocabularyError(
                    f"vocabulary: {here} {key} names {label!r}, which is not among its `labels:`. "
                    "Use a label from there, spelled as there, or add it."
                )
    if rules.no_finding_exhaustive and not rules.no_finding_label:
        raise VocabularyError(
            f"vocabulary: {here} no_finding_exhaustive is true, but no_finding_label is empty. "
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
