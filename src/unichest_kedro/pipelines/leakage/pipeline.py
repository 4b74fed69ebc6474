"""Wiring of the leakage stage: each source is hashed alone, then all are compared."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.leakage.nodes import draw_leakage, find_leaks, hash_films
from unichest_kedro.pipelines.per_source import of_every


def create_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return the hashing of every source's films and the audit over all of them."""
    comparing = [
        Node(
            find_leaks,
            {"settings": "params:leakage", **of_every(sources, "studies", "film_hashes", "thumbnails")},
            ["leakage_pairs", "leaked_films", "leakage_summary"],
            name="find_leaks",
            tags=["leakage"],
        ),
        Node(
            draw_leakage,
            ["leaked_films", "leakage_summary"],
            "leakage_figure",
            name="draw_leakage",
            tags=["leakage"],
        ),
    ]
    return sum((_of_one(source) for source in sources), Pipeline([])) + Pipeline(comparing)


def _of_one(source: str) -> Pipeline:
    return Pipeline(
        [
            Node(
                hash_films,
                inputs=["images", "params:leakage"],
                outputs=["film_hashes", "thumbnails"],
                name="hash_films",
                tags=["leakage"],
            )
        ],
        namespace=source,
        inputs={"images": f"{source}_images"},
        outputs={name: f"{source}_{name}" for name in ("film_hashes", "thumbnails")},
        parameters={"params:leakage": "params:leakage"},
    )
