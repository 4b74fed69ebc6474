"""Reports and labels to training text, finding prompts, and their embeddings."""

from unichest_kedro.pipelines.text.pipeline import create_pipeline

__all__ = ["create_pipeline"]
