"""Nodes of the harmonisation stage."""

from typing import Any

import pandas as pd

from unichest_kedro.evaluation.coverage_figure import coverage_figure
from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.vocabulary import Vocabulary, coverage, harmonise, teachers


def harmonise_labels(
    studies: pd.DataFrame, report_labels: pd.DataFrame, vocabulary: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bring one source's own labels into the unified vocabulary: 1 present, 0 absent, -1 unknown.

    Returns:
        Tables of the schemas `Labels` and `Contradictions`.
    """
    return tuple(harmonise(studies, Vocabulary.from_mapping(vocabulary), report_labels=report_labels))


def join_contradictions(**tables: pd.DataFrame) -> pd.DataFrame:
    """Put the contradictions of all sources into one table (schema `Contradictions`)."""
    return pd.concat(by_source(tables, "contradictions").values(), ignore_index=True)


def count_coverage(**tables: pd.DataFrame) -> pd.DataFrame:
    """Count, for every source, split and finding, the images known positive, known negative and unknown."""
    labels = by_source(tables, "labels")
    studies = by_source(tables, "studies")
    return pd.concat([coverage(studies[source], labels[source]) for source in labels], ignore_index=True)


def find_teachers(coverage_table: pd.DataFrame, train_on: list[str]) -> pd.DataFrame:
    """List, for every finding, the sources that can teach it and those that know it in one way only."""
    return teachers(coverage_table, train_on)


def draw_coverage(coverage_table: pd.DataFrame, teachers_table: pd.DataFrame) -> Drawing:
    """Draw which source labels which finding, how often it is present, and who can teach it."""
    return coverage_figure(coverage_table, teachers_table)
