"""Nodes of the ONNX export."""

from pathlib import Path
from typing import Any

from unichest_kedro.pipelines.prediction.nodes import load_model
from unichest_kedro.prediction.export import describe_questions, export_onnx
from unichest_kedro.prediction.questions import ask
from unichest_kedro.prediction.settings import ExportSettings


def export(settings: ExportSettings, own_model: Path) -> tuple[Any, dict[str, Any]]:
    """Turn a model folder into an ONNX model whose answers are checked, and describe what it is asked with.

    Raises:
        SettingsError: the extra [export] is not installed, or a finding cannot be asked.
        MissingArtefact: there is no model folder.
        UniChestError: the ONNX model's answers differ from the model's by more than `export.tolerance`.
    """
    model = load_model(settings.model, own_model)
    questions = ask(model, settings.findings or model.findings, model.folder)
    return export_onnx(model, settings.tolerance), describe_questions(model, questions)
