"""Wiring of the reports stage and of its score."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.reports.nodes import (
    compare_with_indexers,
    list_disagreements,
    read_reports,
    score_reader,
    write_page,
)


def create_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return the reading of every source's reports."""
    return sum((_of_one(source) for source in sources), Pipeline([]))


def create_score_pipeline() -> Pipeline:
    """Return the score of the report reader against the headings of Open-I's indexers."""
    return Pipeline(
        [
            Node(
                compare_with_indexers,
                ["open_i_root", "vocabulary", "params:reports", "params:extractor_score"],
                "extractor_comparison",
                name="compare_with_indexers",
            ),
            Node(
                score_reader,
                ["extractor_comparison", "params:extractor_score", "params:seed"],
                "extractor_scores",
                name="score_reader",
            ),
            Node(
                list_disagreements,
                ["extractor_comparison", "params:extractor_score"],
                "extractor_disagreements",
                name="list_disagreements",
            ),
            Node(
                write_page,
                ["extractor_scores", "extractor_disagreements"],
                "extractor_page",
                name="write_page",
            ),
        ],
        tags=["score_extractor"],
    )


def _of_one(source: str) -> Pipeline:
    return Pipeline(
        [
            Node(
                read_reports,
                inputs=["studies", "vocabulary", "params:reports"],
                outputs=["mentions", "report_labels"],
                name="read_reports",
                tags=["reports"],
            )
        ],
        namespace=source,
        inputs={"studies": f"{source}_studies", "vocabulary": "vocabulary"},
        outputs={"mentions": f"{source}_mentions", "report_labels": f"{source}_report_labels"},
        parameters={"params:reports": "params:reports"},
    )
