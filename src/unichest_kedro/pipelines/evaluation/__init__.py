"""Scores, metrics, figures, report."""

from unichest_kedro.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
