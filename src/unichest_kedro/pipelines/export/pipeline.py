"""Wiring of the ONNX export."""

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.export.nodes import export


def create_pipeline() -> Pipeline:
    """Return the export."""
    return Pipeline(
        [
            Node(
                export,
                {"settings": "params:export", "own_model": "trained_model_folder"},
                ["onnx_model", "onnx_findings"],
                name="export_onnx",
            )
        ],
        tags=["export"],
    )
