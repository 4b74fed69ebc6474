"""Wiring of the imaging stage."""

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.imaging.nodes import decode_films


def create_pipeline(source: str) -> Pipeline:
    """Return the decoding of one source's films, in its namespace."""
    return Pipeline(
        [
            Node(
                decode_films,
                inputs=["studies", "root", "image_cache", "params:imaging"],
                outputs=["images", "imaging_quarantine"],
                name="decode_films",
                tags=["images"],
            )
        ],
        namespace=source,
        inputs={name: f"{source}_{name}" for name in ("studies", "root", "image_cache")},
        outputs={name: f"{source}_{name}" for name in ("images", "imaging_quarantine")},
        parameters={"params:imaging": "params:imaging"},
    )
