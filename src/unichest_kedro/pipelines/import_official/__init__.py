"""A checkpoint of the published code to a model folder."""

from unichest_kedro.pipelines.import_official.pipeline import create_pipeline

__all__ = ["create_pipeline"]
