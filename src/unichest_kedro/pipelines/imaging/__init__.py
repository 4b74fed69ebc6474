"""Films of any format to an 8-bit image store; what cannot be read goes to quarantine."""

from unichest_kedro.pipelines.imaging.pipeline import create_pipeline

__all__ = ["create_pipeline"]
