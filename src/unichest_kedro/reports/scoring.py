"""Scores the report reader against the MeSH headings that Open-I's indexers gave its reports by hand."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from unichest_kedro.errors import SourceError, VocabularyError
from unichest_kedro.reports.labels import labels_of_mentions
from unichest_kedro.reports.mentions import read_mentions
from unichest_kedro.reports.settings import LabelSettings
from unichest_kedro.vocabulary import SourceRules, Vocabulary

MICRO = "all findings (micro)"
SOURCE = "open_i"
_RATES = ("precision", "recall", "f1")


class ScoreSettings(BaseModel):
    """What is scored: `findings` of the vocabulary, `resamples` of the bootstrap, `disagreements` listed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    findings: tuple[str, ...] = (
        "atelectasis", "cardiomegaly", "pleural effusion", "infiltration", "mass", "nodule", "pneumonia",
        "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "hernia",
    )  # fmt: skip
    resamples: int = Field(default=1000, ge=1)
    disagreements: int = Field(default=50, ge=1)


class Comparison(NamedTuple):
    """What the indexers and the reader say of the same reports.

    `reports`: report_id, report, terms (joined by "; "), one row per indexed report. `expected`: bool, a column
    per finding. `found`: float32, 1, -1, 0 or NaN, likewise. `mentions`: schema `Mentions`, `report_row` being
    the row of `reports`. `unindexed`: number of reports left out for want of any heading.
    """

    reports: pd.DataFrame
    expected: pd.DataFrame
    found: pd.DataFrame
    mentions: pd.DataFrame
    unindexed: int


def compare(
    reports: pd.DataFrame,
    native: pd.DataFrame,
    vocabulary: Vocabulary,
    labels: LabelSettings,
    settings: ScoreSettings,
) -> Comparison:
    """Read every indexed report and put the indexers' answer beside the reader's.

    Args:
        reports: columns report_id, report and majors (the indexers' terms).
        native: one row per report in the same order, a column per native label of Open-I: 1, 0, or NaN where
            the report was not indexed.
        vocabulary: the findings, and how Open-I's native labels map into them.
        labels: how mentions become labels.
        settings: what is scored.

    Raises:
        VocabularyError: a finding to be scored is not in the vocabulary, or no native label states it.
        SourceError: not one report was indexed.
    """
    indexed = native.notna().any(axis=1).to_numpy()
    if not indexed.any():
        raise SourceError(
            f"open_i: none of {len(reports):,} reports has a MeSH heading, so there is nothing to score against. "
            "Give the full XML reports (MeSH/major) or Kaggle's indiana_reports.csv."
        )
    kept = reports[indexed].reset_index(drop=True)
    expected = expected_labels(native[indexed].reset_index(drop=True), vocabulary, settings.findings)
    mentions = read_mentions(enumerate(kept["report"]), vocabulary.synonyms, total=len(kept), progress=False)
    found = labels_of_mentions(mentions, np.arange(len(kept)), vocabulary, labels)[list(settings.findings)]
    table = kept[["report_id", "report"]].assign(terms=kept["majors"].map("; ".join))
    return Comparison(table, expected, found, mentions, int((~indexed).sum()))


def expected_labels(native: pd.DataFrame, vocabulary: Vocabulary, findings: Sequence[str]) -> pd.DataFrame:
    """Whether the native labels state each finding, by itself or by what it implies; bool, one row per report."""
    rules = vocabulary.rules(SOURCE)
    _require_stated(rules, vocabulary, findings)
    implies = vocabulary.relations().implies
    expected = pd.DataFrame(False, index=native.index, columns=list(findings))
    for label in native.columns:
        stated = {name for one in rules.labels.get(label, ()) for name in (one, *implies[one])}
        for finding in stated & set(findings):
            expected[finding] |= native[label] == 1
    return expected


def score(comparison: Comparison, settings: ScoreSettings, seed: int) -> pd.DataFrame:
    """Precision, recall and F1 per finding and over all of them, with 95% bootstrap intervals by report.

    A finding is found where its label is 1; an uncertain one is not (`uncertain` counts those).

    Returns:
        Schema `ExtractorScores`: finding, reports, expected, found, uncertain, agreed, invented, missed, and
        precision, recall, f1 each with `_low` and `_high`; NaN where a rate has no denominator.
    """
    expected = comparison.expected.to_numpy()
    found = (comparison.found == 1).to_numpy()
    uncertain = (comparison.found == -1).to_numpy().sum(axis=0)
    parts = np.stack([expected & found, ~expected & found, expected & ~found], axis=-1)
    counts = _with_micro(parts.sum(axis=0))
    weights = _bootstrap_weights(len(expected), settings.resamples, seed)
    resampled = np.stack([_with_micro(np.tensordot(one, parts, axes=1)) for one in weights])
    table = pd.DataFrame(
        {
            "finding": [*comparison.expected.columns, MICRO],
            "reports": len(expected),
            "expected": counts[:, 0] + counts[:, 2],
            "found": counts[:, 0] + counts[:, 1],
            "uncertain": [*uncertain, uncertain.sum()],
            "agreed": counts[:, 0],
            "invented": counts[:, 1],
            "missed": counts[:, 2],
        }
    )
    rates, spread = _rates(counts), _rates(resampled)
    for number, name in enumerate(_RATES):
        table[name] = rates[..., number]
        table[f"{name}_low"], table[f"{name}_high"] = _interval(spread[..., number])
    return table


def list_disagreements(comparison: Comparison, settings: ScoreSettings) -> pd.DataFrame:
    """The reports and findings on which indexers and reader disagree most plainly, the plainest first.

    Plainest is a finding that the report affirms outright and the indexers left out, or that it denies and they
    gave; then what it never mentions; last what it calls likely or possible.

    Returns:
        Schema `ExtractorDisagreements`, at most `settings.disagreements` rows: report_id, finding, kind
        ("invented" or "missed"), said (how the report puts it), sentences, terms, report.
    """
    rows = []
    mentioned = dict(list(comparison.mentions.groupby("report_row", observed=True)))
    wrong = comparison.expected.to_numpy() != (comparison.found == 1).to_numpy()
    for row, column in np.argwhere(wrong):
        finding = comparison.expected.columns[column]
        of_report = mentioned.get(row)
        of_finding = None if of_report is None else of_report[of_report["finding"] == finding]
        said, plainness = _said(comparison.found.iat[row, column], of_finding)
        rows.append(
            {
                "report_id": comparison.reports["report_id"].iat[row],
                "finding": finding,
                "kind": "missed" if comparison.expected.iat[row, column] else "invented",
                "said": said,
                "sentences": _sentences(of_finding),
                "terms": comparison.reports["terms"].iat[row],
                "report": comparison.reports["report"].iat[row],
                "plainness": plainness,
            }
        )
    names = ["report_id", "finding", "kind", "said", "sentences", "terms", "report", "plainness"]
    table = pd.DataFrame(rows, columns=names)
    worst = table.sort_values("plainness", ascending=False, kind="stable").head(settings.disagreements)
    return worst.drop(columns="plainness").astype("str").reset_index(drop=True)


def _require_stated(rules: SourceRules, vocabulary: Vocabulary, findings: Sequence[str]) -> None:
    stated = rules.findings
    for finding in findings:
        if finding not in vocabulary.findings:
            raise VocabularyError(
                f"extractor_score.findings: {finding!r} is no finding of the vocabulary; check its spelling."
            )
        if finding not in stated:
            raise VocabularyError(
                f"extractor_score.findings: no native label of {SOURCE} states {finding!r}, so it cannot be scored. "
                f"Leave it out, or map a label to it under `sources.{SOURCE}.labels` of the vocabulary."
            )


def _with_micro(counts: np.ndarray) -> np.ndarray:
    """Counts (findings, 3) with one more row: their sum."""
    return np.concatenate([counts, counts.sum(axis=0, keepdims=True)])


def _rates(counts: np.ndarray) -> np.ndarray:
    """Precision, recall and F1 (..., 3) of counts (..., 3) of agreed, invented, missed; NaN for 0 / 0."""
    agreed, invented, missed = (counts[..., number].astype(float) for number in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = agreed / (agreed + invented), agreed / (agreed + missed)
        return np.stack([precision, recall, 2 * agreed / (2 * agreed + invented + missed)], axis=-1)


def _bootstrap_weights(reports: int, resamples: int, seed: int) -> np.ndarray:
    """How often each report is drawn in each resample, int64 (resamples, reports)."""
    return np.random.default_rng(seed).multinomial(reports, np.full(reports, 1 / reports), size=resamples)


def _interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle 95% of each column (resamples, findings), resamples without a value left out."""
    low, high = np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    some = ~np.isnan(values).all(axis=0)
    low[some], high[some] = np.nanpercentile(values[:, some], [2.5, 97.5], axis=0)
    return low, high


def _said(label: float, of_finding: pd.DataFrame | None) -> tuple[str, int]:
    """How the report puts a finding, in words, and how plain that makes a disagreement."""
    if of_finding is None or of_finding.empty:
        return ("implied by another finding", 1) if label == 1 else ("not mentioned", 2)
    if label == 1:
        outright = ~(of_finding[["negated", "uncertain", "likely", "historical", "asked"]].any(axis=1))
        return ("affirmed", 3) if outright.any() else ("called likely, or one of several", 1)
    if label == -1:
        return "left open", 1
    if label == 0:
        return "denied", 3
    return "only asked for, or past", 2


def _sentences(of_finding: pd.DataFrame | None) -> str:
    if of_finding is None:
        return ""
    return "\n".join(dict.fromkeys(of_finding["sentence_text"].astype(str)))
