"""Official folder to studies table: one namespaced sub-pipeline per source."""

from unichest_kedro.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
