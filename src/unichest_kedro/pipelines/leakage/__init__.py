"""Films and patients that stand on both sides of a split, within a source and across sources."""

from unichest_kedro.pipelines.leakage.pipeline import create_pipeline

__all__ = ["create_pipeline"]
