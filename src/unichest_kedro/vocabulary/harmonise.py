"""From a source's own labels to the unified findings: 1 present, 0 absent, `UNKNOWN`.

The rules, in the order in which they are applied to each image:

1. A native label is *present* where enough readers say so (`readers`), *absent* where too few do, *uncertain*
   where it is -1, *not mentioned* where it is blank.
2. Uncertain becomes present, absent or unknown (`uncertain`, `uncertain_overrides`); not mentioned becomes
   absent or unknown (`not_mentioned`).
3. Of several native labels that state one finding, present wins over absent, and absent over unknown.
4. Where "No Finding" and another finding are both present, the other finding wins: "No Finding" is absent.
   Wherever another finding is present, "No Finding" is absent, whatever the table says or leaves open.
   Findings that it says nothing about (`no_finding_silent_on`) do not count here.
5. Where "No Finding" is present and `no_finding_exhaustive` holds, findings that no native label mentioned
   are absent, but for those that it says nothing about. What was uncertain stays as rule 2 left it.
6. A finding that the source does not annotate, or for which this copy of its tables has no column, is
   unknown.
"""

import logging

import numpy as np
import pandas as pd

from unichest_kedro.errors import VocabularyError
from unichest_kedro.schemas import NATIVE_PREFIX, UNKNOWN
from unichest_kedro.vocabulary.vocabulary import SourceRules, Vocabulary

logger = logging.getLogger(__name__)

PRESENT, ABSENT = 1, 0
UNCERTAIN_VALUE = -1.0
"""How `schemas.Studies` writes a native label that the reader is not sure of."""

_UNCERTAIN = {"ignore": UNKNOWN, "present": PRESENT, "absent": ABSENT}
_NOT_MENTIONED = {"absent": ABSENT, "unknown": UNKNOWN}


def harmonise(studies: pd.DataFrame, vocabulary: Vocabulary, source: str | None = None) -> pd.DataFrame:
    """The labels table (schema `Labels`) of one source's studies, row for row.

    Args:
        studies: table of schema `Studies`, of one source.
        vocabulary: the findings and the source's rules.
        source: key of the source; that of the studies where it is not given.

    Raises:
        VocabularyError: no rules for the source, or no mapping for one of its native labels.
    """
    source = _source_of(studies) if source is None else source
    rules = vocabulary.rules(source)
    columns = _native_columns(studies, rules, source)
    states = {finding: np.full(len(studies), UNKNOWN, dtype="int8") for finding in vocabulary.findings}
    unmentioned: dict[str, np.ndarray] = {}
    readers = studies["readers"].to_numpy()
    for label, column in columns.items():
        votes = studies[column].to_numpy("float64")
        blank = np.isnan(votes)
        for finding in rules.labels[label]:
            # Rule 3 is a maximum, as 1 (present) > 0 (absent) > -1 (unknown).
            states[finding] = np.maximum(states[finding], _state(votes, readers, rules, finding))
            unmentioned[finding] = unmentioned.get(finding, True) & blank
    _apply_no_finding(states, unmentioned, rules, source)
    keys = studies[["source", "image_id"]].reset_index(drop=True)
    return pd.concat([keys, pd.DataFrame(states)], axis=1)


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


def _state(votes: np.ndarray, readers: np.ndarray, rules: SourceRules, finding: str) -> np.ndarray:
    """What one native label says of a finding: int8, one per image (rules 1 and 2)."""
    enough = {"any": votes >= 1, "majority": 2 * votes > readers, "all": votes >= readers}[rules.readers]
    state = np.where(enough, PRESENT, ABSENT).astype("int8")
    state[votes == UNCERTAIN_VALUE] = _UNCERTAIN[rules.uncertain_policy(finding)]
    state[np.isnan(votes)] = _NOT_MENTIONED[rules.not_mentioned]
    return state


def _apply_no_finding(
    states: dict[str, np.ndarray], unmentioned: dict[str, np.ndarray], rules: SourceRules, source: str
) -> None:
    """Make "No Finding" and the findings it is about agree (rules 4 and 5), in the states under way."""
    names = {finding for label in rules.no_finding_label for finding in rules.labels[label]}
    silent = {finding for label in rules.no_finding_silent_on for finding in rules.labels[label]}
    others = [finding for finding in unmentioned if finding not in names | silent]
    if not others or not names & set(unmentioned):
        return
    any_present = np.logical_or.reduce([states[finding] == PRESENT for finding in others])
    for name in names & set(unmentioned):
        contradictions = int((any_present & (states[name] == PRESENT)).sum())
        if contradictions:
            logger.warning(
                "%s: %s images are %r and have another finding present: the other finding counts.",
                source,
                f"{contradictions:,}",
                name,
            )
        states[name] = np.where(any_present, ABSENT, states[name]).astype("int8")
        if rules.no_finding_exhaustive:
            for finding in others:
                filled = unmentioned[finding] & (states[finding] == UNKNOWN) & (states[name] == PRESENT)
                states[finding] = np.where(filled, ABSENT, states[finding]).astype("int8")
