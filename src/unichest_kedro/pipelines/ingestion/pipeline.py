"""Wiring of the ingestion stage."""

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.ingestion.nodes import ingest_source


def create_pipeline(source: str) -> Pipeline:
    """Return the ingestion of one source, in its namespace."""
    return Pipeline(
        [
            Node(
                ingest_source,
                inputs=["root", "params:ingestion", "params:train_on", "params:seed"],
                outputs=["studies", "boxes", "ingestion_quarantine"],
                name="ingest",
                tags=["ingest"],
            )
        ],
        namespace=source,
        inputs={"root": f"{source}_root"},
        outputs={name: f"{source}_{name}" for name in ("studies", "boxes", "ingestion_quarantine")},
        parameters={name: name for name in ("params:ingestion", "params:train_on", "params:seed")},
    )
