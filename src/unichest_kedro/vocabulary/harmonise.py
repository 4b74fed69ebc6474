"""From a source's own labels to the unified findings: 1 present, 0 absent, `UNKNOWN`.

What a source says of each finding, by the rules of its entry in the vocabulary file:

1. A native label is *present* where enough readers say so (`readers`), *absent* where too few do, *uncertain*
   where it is -1, *not mentioned* where it is blank.
2. Uncertain becomes present, absent or unknown (`uncertain`, `uncertain_overrides`); not mentioned becomes absent or
   unknown (`not_mentioned`, `not_mentioned_overrides`).
3. Several native labels that state one finding are joined by "or": present where one is; otherwise unknown where one
   is; absent where all are. "Uncertain or no" is not "no".
4. A native label that is present may leave findings open (`leaves_open`): where nothing states them, they are unknown
   and not absent. A granuloma may or may not be counted as a nodule; "unchanged" hides whatever was there before.
5. Where the source's reports are read for labels (`report_labels`), they answer for the findings of which no native
   label says anything ("fill"), or for all ("only"). What the report does not mention is read as in rule 2, but the
   findings that say "normal" are then unknown; without a report, nothing is known from it. A label that a radiologist
   or labeller gave, an uncertain one too, is never replaced by a reading of the report.
6. A finding that the source does not annotate, or for which this copy of its tables has no column, is unknown.

What is then stated is made to agree, by the relations of the vocabulary (`resolve` says in which order): what a present
finding implies is present, what it excludes is absent, unions follow their parts. "No Finding" is no case of its own:
findings exclude it as they exclude anything, those that a source labels beside its "nothing found" always
(`no_finding_label`), those on which that is silent never (`no_finding_silent_on`). Where it is present and exhaustive
(`no_finding_exhaustive`), the same relation is read backwards: what excludes it, and is otherwise unknown, is absent.
"""

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd

from unichest_kedro.errors import VocabularyError
from unichest_kedro.schemas import NATIVE_PREFIX, UNKNOWN
from unichest_kedro.vocabulary.resolve import ABSENT, PRESENT, Stated, resolve, tabulate
from unichest_kedro.vocabulary.vocabulary import SourceRules, Vocabulary

logger = logging.getLogger(__name__)

REPORT_PREFIX = "report:"
"""Prefix of the columns of report labels (`report:edema`): 1 affirmed, 0 denied, -1 uncertain, NaN not mentioned."""

UNCERTAIN_VALUE = -1.0
"""How `schemas.Studies` writes a native label that the reader is not sure of."""

_UNCERTAIN = {"ignore": UNKNOWN, "present": PRESENT, "absent": ABSENT}
_NOT_MENTIONED = {"absent": ABSENT, "unknown": UNKNOWN}

# "Or" is a maximum once the states stand in this order.
_RANK = {ABSENT: 0, UNKNOWN: 1, PRESENT: 2}
_STATE = np.array([ABSENT, UNKNOWN, PRESENT], dtype="int8")


class Harmonised(NamedTuple):
    """One source's labels (schema `Labels`) and what contradicted itself in them (schema `Contradictions`)."""

    labels: pd.DataFrame
    contradictions: pd.DataFrame


class _Answers(NamedTuple):
    """What is said of one finding, per image: a rank of `_RANK`; whether nothing mentioned it; whether it is hedged."""

    rank: np.ndarray
    silent: np.ndarray
    hedged: np.ndarray


def harmonise(
    studies: pd.DataFrame,
    vocabulary: Vocabulary,
    source: str | None = None,
    report_labels: pd.DataFrame | None = None,
) -> Harmonised:
    """The labels of one source's studies, row for row, and the contradictions that were resolved on the way.

    Args:
        studies: table of schema `Studies`, of one source; not changed.
        vocabulary: the findings, their relations and the source's rules.
        source: key of the source; that of the studies where it is not given.
        report_labels: columns `report:<finding>` (see `REPORT_PREFIX`), row for row as the studies, and `image_id` if
            that is to be checked. Used only where the source's rules ask for them.

    Raises:
        VocabularyError: no rules for the source; no mapping for one of its native labels; report labels that are of
            other images or name an unknown finding, or that are missing where they are all that counts.
    """
    source = _source_of(studies) if source is None else source
    rules = vocabulary.rules(source)
    answers: dict[str, _Answers] = {}
    if rules.report_labels != "only":
        answers = _native_answers(studies, rules, source)
    if rules.report_labels != "none":
        answers = _with_reports(answers, studies, report_labels, vocabulary, source)
    stated = _stated(answers, vocabulary.findings, len(studies))
    nothing = rules.says_nothing_found if rules.report_labels != "only" else frozenset()
    states, clashes = resolve(stated, vocabulary.relations(source), nothing, rules.no_finding_exhaustive)
    contradictions = tabulate(source, clashes, stated.silent, studies["image_id"].to_numpy())
    _warn(contradictions, source)
    keys = studies[["source", "image_id"]].reset_index(drop=True)
    return Harmonised(pd.concat([keys, pd.DataFrame(states)], axis=1), contradictions)


def no_contradictions() -> pd.DataFrame:
    """An empty table of schema `Contradictions`."""
    return tabulate("", [], {}, np.empty(0, dtype=object))


def _source_of(studies: pd.DataFrame) -> str:
    """The one source of a studies table."""
    sources = studies["source"].unique().tolist()
    if len(sources) != 1:
        raise VocabularyError(
            f"harmonise: the studies are of {len(sources)} sources ({', '.join(sources)}). "
            "Give the table of one source."
        )
    return sources[0]


def _native_columns(studies: pd.DataFrame, rules: SourceRules, source: str) -> dict[str, str]:
    """Column of each native label that the studies have."""
    columns = {
        str(column).removeprefix(NATIVE_PREFIX): column
        for column in studies.columns
        if str(column).startswith(NATIVE_PREFIX)
    }
    unmapped = [label for label in columns if label not in rules.labels]
    if unmapped:
        raise VocabularyError(
            f"vocabulary: source {source!r} has the native label(s) {', '.join(map(repr, unmapped))} (column "
            f"{columns[unmapped[0]]!r}), for which `sources.{source}.labels` has no mapping. "
            "Add a line for each: the finding it states, or [] to drop it."
        )
    return columns


def _native_answers(studies: pd.DataFrame, rules: SourceRules, source: str) -> dict[str, _Answers]:
    """What the native labels say of each finding that a column of this copy states (rules 1 to 4)."""
    answers: dict[str, _Answers] = {}
    readers = studies["readers"].to_numpy()
    open_: dict[str, np.ndarray] = {}
    for label, column in _native_columns(studies, rules, source).items():
        votes = studies[column].to_numpy("float64")
        blank, uncertain = np.isnan(votes), votes == UNCERTAIN_VALUE
        present = _enough(votes, readers, rules)
        for finding in rules.labels[label]:
            answer = _Answers(_rank(present, uncertain, blank, rules, finding), blank, uncertain)
            answers[finding] = _either(answers.get(finding), answer)
        for finding in rules.left_open(label):
            open_[finding] = open_.get(finding, False) | present
    for finding, answer in answers.items():
        if finding in open_:
            answers[finding] = _opened(answer, open_[finding])
    return answers


def _enough(votes: np.ndarray, readers: np.ndarray, rules: SourceRules) -> np.ndarray:
    """Whether enough readers call a label present, bool (images)."""
    if rules.readers == "any":
        return votes >= 1
    return 2 * votes > readers if rules.readers == "majority" else votes >= readers


def _rank(
    present: np.ndarray, uncertain: np.ndarray, blank: np.ndarray, rules: SourceRules, finding: str
) -> np.ndarray:
    """What one label says of a finding, int8 (images), as a rank."""
    rank = np.where(present, np.int8(_RANK[PRESENT]), np.int8(_RANK[ABSENT]))
    rank[uncertain] = _RANK[_UNCERTAIN[rules.uncertain_policy(finding)]]
    rank[blank] = _RANK[_NOT_MENTIONED[rules.not_mentioned_policy(finding)]]
    return rank


def _either(one: _Answers | None, other: _Answers) -> _Answers:
    """What two labels of one finding say together (rule 3)."""
    if one is None:
        return other
    return _Answers(np.maximum(one.rank, other.rank), one.silent & other.silent, one.hedged | other.hedged)


def _opened(answer: _Answers, open_: np.ndarray) -> _Answers:
    """An answer in the images where some label leaves the finding open (rule 4)."""
    return _Answers(
        np.where(open_, np.maximum(answer.rank, np.int8(_RANK[UNKNOWN])), answer.rank),
        answer.silent,
        answer.hedged | open_,
    )


def _with_reports(
    answers: dict[str, _Answers],
    studies: pd.DataFrame,
    report_labels: pd.DataFrame | None,
    vocabulary: Vocabulary,
    source: str,
) -> dict[str, _Answers]:
    """The answers, completed by what the reports say (rule 5)."""
    rules = vocabulary.rules(source)
    columns = {} if report_labels is None else _report_columns(studies, report_labels, vocabulary, source)
    if report_labels is None or not columns:
        _without_reports(source, rules.report_labels)
        return answers
    read = _has_report(studies, report_labels)
    joined = dict(answers)
    for finding, column in columns.items():
        said = report_labels[column].to_numpy("float64")
        blank, uncertain = np.isnan(said), said == UNCERTAIN_VALUE
        rank = _rank(said == 1, uncertain, blank, rules, finding)
        unread = blank if finding in vocabulary.normal_findings else ~read
        rank[unread] = _RANK[UNKNOWN]
        answer = _Answers(rank, blank, uncertain)
        native = answers.get(finding)
        # "Nothing found" says nothing about what only the reports tell of: nothing is filled in there (hedged).
        joined[finding] = answer._replace(hedged=np.ones_like(blank)) if native is None else _filled(native, answer)
    return joined


def _filled(native: _Answers, report: _Answers) -> _Answers:
    """A native answer, or that of the report where no native label mentions the finding and the report does."""
    by_report = native.silent & ~report.silent
    return _Answers(
        np.where(by_report, report.rank, native.rank),
        native.silent & ~by_report,
        np.where(by_report, report.hedged, native.hedged),
    )


def _report_columns(
    studies: pd.DataFrame, report_labels: pd.DataFrame, vocabulary: Vocabulary, source: str
) -> dict[str, str]:
    """Column of the report labels of each finding."""
    same = len(report_labels) == len(studies)
    if same and "image_id" in report_labels.columns:
        same = report_labels["image_id"].tolist() == studies["image_id"].tolist()
    if not same:
        raise VocabularyError(
            f"harmonise: the studies of {source} ({len(studies):,} rows) and its report labels ({len(report_labels):,} "
            "rows) are not of the same images in the same order. Run `reports` again on these studies."
        )
    columns = {
        str(column).removeprefix(REPORT_PREFIX): column
        for column in report_labels.columns
        if str(column).startswith(REPORT_PREFIX)
    }
    unknown = [finding for finding in columns if finding not in vocabulary.findings]
    if unknown:
        raise VocabularyError(
            f"harmonise: {source} has the report label {columns[unknown[0]]!r}, but the vocabulary has no finding "
            f"{unknown[0]!r}. Run `reports` again with this vocabulary."
        )
    return columns


def _without_reports(source: str, policy: str) -> None:
    """Say that the reports of a source were not read; an error where its labels come from nowhere else."""
    what = f"{source}: its rules say `report_labels: {policy}`, but none of its reports was read"
    if policy == "only":
        raise VocabularyError(
            f"{what}, so that nothing is known of its films. Run `reports`; the source must have reports in English."
        )
    logger.warning("%s. Its own labels are used alone.", what)


def _has_report(studies: pd.DataFrame, report_labels: pd.DataFrame) -> np.ndarray:
    """Whether there is a report to have read, bool (images)."""
    if "report" in studies.columns:
        return (studies["report"].str.strip() != "").to_numpy(bool)
    return report_labels.notna().any(axis=1).to_numpy(bool)


def _stated(answers: dict[str, _Answers], findings: tuple[str, ...], count: int) -> Stated:
    """The answers as states; findings of which nothing is said are unknown (rule 6)."""
    states = {
        finding: _STATE[answers[finding].rank] if finding in answers else np.full(count, UNKNOWN, dtype="int8")
        for finding in findings
    }
    return Stated(
        states,
        {finding: answer.silent for finding, answer in answers.items()},
        {finding: answer.hedged for finding, answer in answers.items()},
    )


def _warn(contradictions: pd.DataFrame, source: str) -> None:
    """Say that, how often and mostly in what a source contradicts itself."""
    if contradictions.empty:
        return
    first = contradictions.iloc[0]
    logger.warning(
        "%s: %s pairs of labels contradict each other, %s of them by stating %r present and %r %s. Resolved as the "
        "table of contradictions says.",
        source,
        f"{contradictions['count'].sum():,}",
        f"{first['count']:,}",
        first["present"],
        first["contradicted"],
        "present too" if first["kind"] == "excludes" else "absent",
    )
