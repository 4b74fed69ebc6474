"""A model folder to an ONNX file."""

from unichest_kedro.pipelines.export.pipeline import create_pipeline

__all__ = ["create_pipeline"]
