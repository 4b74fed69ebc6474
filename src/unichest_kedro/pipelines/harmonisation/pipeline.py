"""Wiring of the harmonisation stage."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.harmonisation.nodes import (
    count_coverage,
    draw_coverage,
    find_teachers,
    harmonise_labels,
    join_contradictions,
)
from unichest_kedro.pipelines.per_source import of_every


def _of_one(source: str) -> Pipeline:
    return Pipeline(
        [
            Node(
                harmonise_labels,
                inputs=["studies", "report_labels", "vocabulary"],
                outputs=["labels", "contradictions"],
                name="harmonise_labels",
                tags=["harmonise"],
            )
        ],
        namespace=source,
        inputs={**{name: f"{source}_{name}" for name in ("studies", "report_labels")}, "vocabulary": "vocabulary"},
        outputs={name: f"{source}_{name}" for name in ("labels", "contradictions")},
    )


def create_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return the harmonisation of every source, the contradictions and the coverage of all of them."""
    return sum((_of_one(source) for source in sources), Pipeline([])) + Pipeline(
        [
            Node(
                join_contradictions,
                inputs=of_every(sources, "contradictions"),
                outputs="contradictions",
                name="join_contradictions",
            ),
            Node(
                count_coverage,
                inputs=of_every(sources, "studies", "labels"),
                outputs="coverage",
                name="count_coverage",
            ),
            Node(
                find_teachers,
                inputs=["coverage", "params:train_on"],
                outputs="teachers",
                name="find_teachers",
            ),
            Node(
                draw_coverage,
                inputs=["coverage", "teachers"],
                outputs="coverage_figure",
                name="draw_coverage",
            ),
        ],
        tags=["harmonise"],
    )
