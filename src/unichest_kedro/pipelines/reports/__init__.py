"""Reports to mentions and labels of findings, and how well that agrees with Open-I's indexers."""

from unichest_kedro.pipelines.reports.pipeline import create_pipeline, create_score_pipeline

__all__ = ["create_pipeline", "create_score_pipeline"]
