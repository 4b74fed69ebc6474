"""Nodes of the harmonisation stage."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from unichest_kedro.evaluation.figures import coverage_figure
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.vocabulary import Vocabulary, coverage, harmonise


def harmonise_labels(studies: pd.DataFrame, vocabulary: dict[str, Any]) -> pd.DataFrame:
    """Bring one source's own labels into the unified vocabulary: 1 present, 0 absent, -1 unknown."""
    return harmonise(studies, Vocabulary.from_mapping(vocabulary))


def count_coverage(**tables: pd.DataFrame) -> pd.DataFrame:
    """Count, for every source, split and finding, the images known positive, known negative and unknown."""
    labels = by_source(tables, "labels")
    studies = by_source(tables, "studies")
    return pd.concat([coverage(studies[source], labels[source]) for source in labels], ignore_index=True)


def draw_coverage(coverage_table: pd.DataFrame) -> Figure:
    """Draw which source labels which finding, and how often it is present."""
    return coverage_figure(coverage_table)
