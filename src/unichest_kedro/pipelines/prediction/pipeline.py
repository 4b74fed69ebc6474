"""Wiring of prediction."""

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.prediction.nodes import answer_films, draw, lay_out


def create_pipeline() -> Pipeline:
    """Return prediction: answers, then their tables, then (where asked for) heat maps and contact sheet."""
    answers = Node(
        answer_films,
        {"settings": "params:predict", "own_model": "trained_model_folder", "parts": "prediction_parts"},
        "prediction_results",
        name="answer_films",
    )
    tables = Node(
        lay_out,
        "prediction_results",
        ["predictions", "predictions_csv", "predicted_films"],
        name="lay_out_predictions",
    )
    pictures = Node(
        draw,
        {
            "results": "prediction_results",
            "settings": "params:predict",
            "own_model": "trained_model_folder",
            "folder": "prediction_pictures",
        },
        None,
        name="draw_predictions",
    )
    return Pipeline([answers, tables, pictures], tags=["predict"])
