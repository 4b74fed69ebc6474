"""Ablations: every variant with every seed, measured against its controls."""

from unichest_kedro.pipelines.ablation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
