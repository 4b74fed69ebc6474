"""Benchmarks: which films and findings of a source a model is judged on, and in which words it is asked about them.

They are data (`benchmarks` in parameters_evaluation.yml). Whether a benchmark is in-domain or zero-shot is not among
them: that follows from what a model was trained on.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, model_validator

from unichest_kedro.errors import SettingsError
from unichest_kedro.evaluation.metrics import MEANS
from unichest_kedro.schemas import UNKNOWN
from unichest_kedro.sources import SOURCES
from unichest_kedro.vocabulary import Vocabulary

ALL = "all"
"""In `findings`: every finding that the source annotates."""

Word = Annotated[str, Field(min_length=1)]
View = Literal["frontal", "lateral", "unknown"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Question(_Frozen):
    """A finding by the vocabulary's name, and the benchmark's own words for it where they differ."""

    finding: Word
    query: Word | None = None

    @property
    def words(self) -> str:
        """What the model is asked: the benchmark's words, or else the finding's name."""
        return self.query or self.finding


def _as_question(value: object) -> object:
    """A finding written alone stands for one without words of its own."""
    return {"finding": value} if isinstance(value, str) else value


class BenchmarkSettings(_Frozen):
    """One benchmark.

    `source` and `split` say which films it has, `views` keeps those of some views only (null: all that were decoded).
    `findings` are what is asked, or `all` that the source annotates. `unknown` is the label policy: a label that the
    unified table does not know is left out, or taken for absent. A finding with fewer than `fewest_positives`
    positive films (of this split, after all filters) is no part of it. Without `in_mean` it is shown and never averaged
    with others, as it must be where its films are in another benchmark already.
    """

    title: Word
    source: Word
    split: Literal["test", "val"] = "test"
    findings: (
        Literal["all"] | Annotated[tuple[Annotated[Question, BeforeValidator(_as_question)], ...], Field(min_length=1)]
    ) = ALL
    views: Annotated[tuple[View, ...], Field(min_length=1)] | None = None
    unknown: Literal["leave_out", "absent"] = "leave_out"
    fewest_positives: int = Field(default=1, ge=1)
    in_mean: bool = True

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if self.findings != ALL:
            twice = [name for name, count in Counter(q.finding for q in self.findings).items() if count > 1]
            if twice:
                raise ValueError(f"finding {twice[0]!r} stands twice; keep one of them")
        return self

    def questions(self, vocabulary: Vocabulary) -> tuple[Question, ...]:
        """What is asked, in order; of `all`, every finding that the source annotates, by the vocabulary's names."""
        if self.findings == ALL:
            return tuple(Question(finding=finding) for finding in vocabulary.annotated(self.source))
        return self.findings


class Benchmarks(RootModel[dict[str, BenchmarkSettings]]):
    """All benchmarks by key; those of a source that is not active are passed over."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _keys(self) -> Self:
        taken = sorted(set(self.root) & set(MEANS.values()))
        if taken:
            raise ValueError(f"the key {taken[0]!r} is the name of a mean in the tables; choose another")
        titles = Counter(settings.title for settings in self.root.values())
        twice = [title for title, count in titles.items() if count > 1]
        if twice:
            raise ValueError(f"the title {twice[0]!r} stands twice; tables could not tell the two apart")
        return self

    def of_sources(self, sources: Iterable[str]) -> dict[str, BenchmarkSettings]:
        """The benchmarks of these sources, in order; a source without any gets one of its own name, with all findings.

        Args:
            sources: Keys of the active sources.
        """
        sources = list(sources)
        chosen = {key: settings for key, settings in self.root.items() if settings.source in sources}
        covered = {settings.source for settings in chosen.values()}
        for source in sources:
            if source not in covered:
                key = source if source not in self.root else f"{source}_all"
                chosen[key] = BenchmarkSettings(title=source, source=source)
        return chosen


def check_benchmarks(benchmarks: Benchmarks, vocabulary: Vocabulary, active: Iterable[str]) -> None:
    """Check benchmarks against what the vocabulary knows, before any film is read.

    Args:
        benchmarks: All of them, of inactive sources too.
        vocabulary: With the rules of the user's own active sources.
        active: Keys of the active sources.

    Raises:
        SettingsError: an unknown source, a finding that the vocabulary does not know or the source does not annotate,
            or one finding of a source asked in different words.
    """
    known = list(dict.fromkeys([*SOURCES, *active]))
    for key, settings in benchmarks.root.items():
        where = f"benchmarks: {key}"
        if settings.source not in known:
            raise SettingsError(f"{where}: unknown source {settings.source!r}. Known sources: {', '.join(known)}.")
        if settings.findings == ALL:
            continue
        annotated = vocabulary.annotated(settings.source)
        for question in settings.findings:
            _check_finding(where, question.finding, settings.source, vocabulary.findings, annotated)
    for source in known:
        _words_of(benchmarks, source, vocabulary)


def queries_of(benchmarks: Benchmarks, source: str, vocabulary: Vocabulary, labels: pd.DataFrame) -> dict[str, str]:
    """The findings that a source is asked, with the words for each: those of all its benchmarks, each once.

    Without a benchmark these are all findings that the source annotates. A finding that came in by `all` is left out
    where no film has a known label; one that is named stays, and is shown as unknown.

    Args:
        benchmarks: All of them.
        source: Key of the source.
        vocabulary: The unified vocabulary.
        labels: `Labels` of the source.

    Returns:
        Words by finding, in the benchmarks' order; empty where no film has a known label of any of them.

    Raises:
        SettingsError: one finding is asked in different words, or the labels lack a finding.
    """
    words = _words_of(benchmarks, source, vocabulary)
    missing = [finding for finding in words if finding not in labels.columns]
    if missing:
        raise SettingsError(
            f"benchmarks: the labels of {source} have no {', '.join(missing)}; run `kedro run --pipeline=harmonise` "
            "again, or correct the finding's name"
        )
    named = {question.finding for settings in _of_source(benchmarks, source) for question in _named(settings)}
    known = {finding for finding in words if (labels[finding] != UNKNOWN).any()}
    return {finding: query for finding, query in words.items() if known and (finding in named or finding in known)}


def benchmark_scores(
    scores: pd.DataFrame,
    benchmarks: Mapping[str, BenchmarkSettings],
    studies: Mapping[str, pd.DataFrame],
    vocabulary: Vocabulary,
    split: str | None = None,
) -> pd.DataFrame:
    """The scores of each benchmark: its films, views and findings, by its label policy.

    `fewest_positives` is not looked at here, since it goes by test films: see `too_rare`.

    Args:
        scores: `Scores` of one or more models; leave out leaked films beforehand.
        benchmarks: By key, of active sources (`Benchmarks.of_sources`).
        studies: `Studies` of each source, for the views.
        vocabulary: The unified vocabulary.
        split: Instead of the benchmarks' own, for example `val` to choose thresholds.

    Returns:
        `scores` with a first column `benchmark`; a row stands once for each benchmark that it belongs to.
    """
    parts = [
        _of_benchmark(scores, key, settings, studies, vocabulary, split or settings.split)
        for key, settings in benchmarks.items()
    ]
    return pd.concat(parts, ignore_index=True) if parts else scores.iloc[:0].assign(benchmark="")


def too_rare(scores: pd.DataFrame, benchmarks: Mapping[str, BenchmarkSettings]) -> dict[str, tuple[str, ...]]:
    """The findings of each benchmark that have fewer positive films than it asks for.

    Args:
        scores: With a column `benchmark`, of the benchmark's own split.
        benchmarks: By key.

    Returns:
        Names of findings by benchmark, for every benchmark that leaves one out. A benchmark that asks for one positive
        leaves out none: a finding without any is shown as such.
    """
    first = scores.drop_duplicates(["benchmark", "image_id", "finding"])
    positive = (first["label"] == 1).groupby([first["benchmark"], first["finding"]], sort=False).sum()
    rare = {}
    for key, settings in benchmarks.items():
        if settings.fewest_positives > 1 and key in positive.index.get_level_values(0):
            counts = positive.loc[key]
            names = tuple(counts.index[counts < settings.fewest_positives])
            rare |= {key: names} if names else {}
    return rare


def without(scores: pd.DataFrame, rare: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """The scores less the findings that benchmarks leave out."""
    pairs = [(key, finding) for key, findings in rare.items() for finding in findings]
    if not pairs:
        return scores
    dropped = pd.MultiIndex.from_frame(scores[["benchmark", "finding"]]).isin(pairs)
    return scores[~dropped].reset_index(drop=True)


def _of_benchmark(
    scores: pd.DataFrame,
    key: str,
    settings: BenchmarkSettings,
    studies: Mapping[str, pd.DataFrame],
    vocabulary: Vocabulary,
    split: str,
) -> pd.DataFrame:
    findings = [question.finding for question in settings.questions(vocabulary)]
    chosen = (scores["source"] == settings.source) & (scores["split"] == split) & scores["finding"].isin(findings)
    part = scores[chosen]
    if settings.views is not None and len(part):
        table = studies[settings.source]
        part = part[part["image_id"].isin(table.loc[table["view"].isin(settings.views), "image_id"])]
    if settings.unknown == "absent":
        part = part.assign(label=part["label"].mask(part["label"] == UNKNOWN, 0))
    part = part.reset_index(drop=True)
    part.insert(0, "benchmark", np.full(len(part), key, dtype=object))
    return part.astype({"benchmark": "str"})


def _of_source(benchmarks: Benchmarks, source: str) -> list[BenchmarkSettings]:
    return list(benchmarks.of_sources([source]).values())


def _named(settings: BenchmarkSettings) -> tuple[Question, ...]:
    return () if settings.findings == ALL else settings.findings


def _words_of(benchmarks: Benchmarks, source: str, vocabulary: Vocabulary) -> dict[str, str]:
    """Words by finding, of all benchmarks of a source; those with words of their own come before those without."""
    words: dict[str, str] = {}
    own: dict[str, str] = {}
    for settings in _of_source(benchmarks, source):
        for question in settings.questions(vocabulary):
            words.setdefault(question.finding, question.words)
            if question.query is None:
                continue
            if own.setdefault(question.finding, question.query) != question.query:
                raise SettingsError(
                    f"benchmarks: {source} is asked for {question.finding!r} in two ways, as "
                    f"{own[question.finding]!r} and as {question.query!r}; a film is scored once, so use one query"
                )
    return words | own


def _check_finding(where: str, finding: str, source: str, known: Iterable[str], annotated: Iterable[str]) -> None:
    if finding not in known:
        raise SettingsError(
            f"{where}: the vocabulary does not know the finding {finding!r}. {source} annotates: "
            f"{', '.join(annotated)}."
        )
    if finding not in annotated:
        raise SettingsError(
            f"{where}: {source} does not annotate {finding!r}, so nothing could be judged. It annotates: "
            f"{', '.join(annotated)}."
        )
