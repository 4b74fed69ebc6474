"""A user's own films to a table of findings, heat maps and a contact sheet."""

from unichest_kedro.pipelines.prediction.pipeline import create_pipeline

__all__ = ["create_pipeline"]
