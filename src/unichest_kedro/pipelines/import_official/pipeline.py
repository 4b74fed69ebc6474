"""Wiring of the import of a published checkpoint."""

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.import_official.nodes import import_model, import_text_encoder


def create_pipeline() -> Pipeline:
    """Return the import: first the text encoder, which the model folder takes a copy of."""
    text_encoder = Node(
        import_text_encoder, "params:official", "official_text_encoder", name="import_official_text_encoder"
    )
    model = Node(
        import_model,
        {"encoder": "official_text_encoder", "vocabulary": "vocabulary", "settings": "params:official"},
        "official_model",
        name="import_official_model",
    )
    return Pipeline([text_encoder, model], tags=["import_official"])
