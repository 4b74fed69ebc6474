"""Native labels to the unified vocabulary, and what each source can teach."""

from unichest_kedro.pipelines.harmonisation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
