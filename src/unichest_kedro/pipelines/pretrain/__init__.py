"""Conquer, then Divide."""

from unichest_kedro.pipelines.pretrain.pipeline import create_conquer_pipeline, create_divide_pipeline

__all__ = ["create_conquer_pipeline", "create_divide_pipeline"]
