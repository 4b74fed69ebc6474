"""Nodes of the reports stage."""

from typing import Any

import pandas as pd

from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.reports import mentions as reading
from unichest_kedro.reports import scoring
from unichest_kedro.reports.labels import labels_of_mentions
from unichest_kedro.reports.page import render_page
from unichest_kedro.reports.settings import ReportSettings
from unichest_kedro.sources import open_i
from unichest_kedro.vocabulary import Vocabulary


def read_reports(
    studies: pd.DataFrame, vocabulary: dict[str, Any], settings: ReportSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read one source's English reports, each distinct one once, and say what each image's report affirms and denies.

    Returns:
        Tables of the schemas `Mentions` and `ReportLabels`; without mentions and labels where the source has no
        reports, or none in English.
    """
    keys = studies[["source", "image_id"]].reset_index(drop=True)
    distinct = reading.distinct_reports(studies["report"])
    if distinct.empty or not settings.reads(str(studies["source"].iloc[0])):
        return reading.no_mentions(), keys
    words = Vocabulary.from_mapping(vocabulary)
    mentions = reading.read_mentions(distinct.items(), words.synonyms, total=len(distinct))
    labels = labels_of_mentions(mentions, reading.report_rows(studies["report"]), words, settings.labels)
    return mentions, pd.concat([keys, labels.add_prefix("report:")], axis=1)


def compare_with_indexers(
    folder: SourceFolder, vocabulary: dict[str, Any], reports: ReportSettings, settings: scoring.ScoreSettings
) -> scoring.Comparison:
    """Read every Open-I report that was indexed, and put the indexers' headings beside what was read."""
    table = open_i.read_reports_table(folder.root)
    indexed = [open_i.Report(row.report_id, {}, row.majors, row.images) for row in table.itertuples()]
    native = open_i.label_terms(indexed, open_i.load_mesh_labels())
    words = Vocabulary.from_mapping(vocabulary)
    return scoring.compare(table, native.reset_index(drop=True), words, reports.labels, settings)


def score_reader(comparison: scoring.Comparison, settings: scoring.ScoreSettings, seed: int) -> pd.DataFrame:
    """Precision, recall and F1 of the report reader per finding, with intervals (schema `ExtractorScores`)."""
    return scoring.score(comparison, settings, seed)


def list_disagreements(comparison: scoring.Comparison, settings: scoring.ScoreSettings) -> pd.DataFrame:
    """The plainest disagreements between report reader and indexers (schema `ExtractorDisagreements`)."""
    return scoring.list_disagreements(comparison, settings)


def write_page(scores: pd.DataFrame, disagreements: pd.DataFrame) -> str:
    """Scores and disagreements as one HTML page."""
    return render_page(scores, disagreements)
