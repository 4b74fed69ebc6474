"""Scores, measures, inspection, figures, report."""

from unichest_kedro.pipelines.evaluation.pipeline import (
    create_inspecting_pipeline,
    create_measuring_pipeline,
    create_pipeline,
    create_reporting_pipeline,
    create_scoring_pipeline,
)

__all__ = [
    "create_inspecting_pipeline",
    "create_measuring_pipeline",
    "create_pipeline",
    "create_reporting_pipeline",
    "create_scoring_pipeline",
]
