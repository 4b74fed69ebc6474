"""Wiring of the evaluation stage."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.evaluation.measuring_nodes import compute_metrics, count_listed_images
from unichest_kedro.pipelines.evaluation.reporting_nodes import (
    draw_figures,
    draw_films,
    write_report,
    write_summary,
)
from unichest_kedro.pipelines.evaluation.scoring_nodes import score_conquer, score_continued, score_unichest
from unichest_kedro.pipelines.per_source import of_every

STAGES = ("conquer", "continued", "unichest")
SCORERS = (score_conquer, score_continued, score_unichest)
FIGURES = ("roc_figure", "auroc_figure", "gates_figure", "training_figure")
TABLES = (
    "metrics",
    "headline",
    "comparison",
    "accounting",
    "test_films",
    "coverage",
    "teachers",
    "contradictions",
    "leakage_summary",
    "leakage_pairs",
    "unichest_scores",
    "unichest_gates",
)
"""What the report shows beside figures, models and films."""

QUARANTINES = ("ingestion_quarantine", "imaging_quarantine")


def create_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return the evaluation of the three models on every active source."""
    scoring = [
        Node(
            scorer,
            {
                "model": f"{stage}_model",
                "examples": "examples",
                "vocabulary": "vocabulary",
                "leaked_films": "leaked_films",
                "settings": "params:evaluation",
                "train_on": "params:train_on",
                **of_every(sources, "images", "labels"),
            },
            [f"{stage}_scores", f"{stage}_gates"],
            name=f"score_{stage}",
        )
        for stage, scorer in zip(STAGES, SCORERS)
    ]
    return Pipeline([*scoring, *_measuring(sources), *_reporting(sources)], tags=["evaluate"])


def _measuring(sources: Sequence[str]) -> list[Node]:
    return [
        Node(
            compute_metrics,
            [*_scores(), "params:evaluation", "params:seed"],
            ["metrics", "headline", "comparison", "test_films"],
            name="compute_metrics",
        ),
        Node(
            count_listed_images,
            {
                "examples": "examples",
                "settings": "params:imaging",
                **of_every(sources, "studies", *QUARANTINES),
            },
            "accounting",
            name="count_listed_images",
        ),
    ]


def _reporting(sources: Sequence[str]) -> list[Node]:
    shown = {
        **{name: name for name in TABLES},
        "settings": "params:evaluation",
        "seed": "params:seed",
        "train_on": "params:train_on",
        "parameters": "parameters",
    }
    whole = [f"{stage}_{kind}" for stage in STAGES for kind in ("outcome", "model")]
    return [
        Node(
            draw_figures,
            [*_scores(), "metrics", "unichest_gates", *(f"{stage}_history" for stage in STAGES), "params:evaluation"],
            list(FIGURES),
            name="draw_figures",
        ),
        Node(
            draw_films,
            {
                "scores": "unichest_scores",
                "settings": "params:evaluation",
                "seed": "params:seed",
                **of_every(sources, "images"),
            },
            "films_figure",
            name="draw_films",
        ),
        Node(
            write_summary,
            {
                "headline": "headline",
                "test_films": "test_films",
                "settings": "params:evaluation",
                **of_every(sources, "root"),
            },
            "summary",
            name="write_summary",
        ),
        Node(
            write_report,
            {
                **shown,
                **{name: name for name in (*whole, *FIGURES, "coverage_figure", "leakage_figure")},
                **of_every(sources, "root", "studies", "images", *QUARANTINES),
            },
            "report",
            name="write_report",
        ),
    ]


def _scores() -> list[str]:
    return [f"{stage}_scores" for stage in STAGES]
