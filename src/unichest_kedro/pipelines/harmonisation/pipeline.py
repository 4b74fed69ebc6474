"""Wiring of the harmonisation stage."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.harmonisation.nodes import count_coverage, draw_coverage, harmonise_labels
from unichest_kedro.pipelines.per_source import of_every


def _of_one(source: str) -> Pipeline:
    return Pipeline(
        [
            Node(
                harmonise_labels,
                inputs=["studies", "vocabulary"],
                outputs="labels",
                name="harmonise_labels",
                tags=["harmonise"],
            )
        ],
        namespace=source,
        inputs={"studies": f"{source}_studies", "vocabulary": "vocabulary"},
        outputs={"labels": f"{source}_labels"},
    )


def create_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return the harmonisation of every source and the coverage of all of them."""
    return sum((_of_one(source) for source in sources), Pipeline([])) + Pipeline(
        [
            Node(
                count_coverage,
                inputs=of_every(sources, "studies", "labels"),
                outputs="coverage",
                name="count_coverage",
                tags=["harmonise"],
            ),
            Node(
                draw_coverage,
                inputs="coverage",
                outputs="coverage_figure",
                name="draw_coverage",
                tags=["harmonise"],
            ),
        ]
    )
