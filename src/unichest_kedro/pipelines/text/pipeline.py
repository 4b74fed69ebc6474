"""Wiring of the text stage."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.per_source import of_every
from unichest_kedro.pipelines.text.nodes import (
    choose_text_encoder,
    collect_texts,
    embed_prompts,
    embed_texts,
    join_examples,
    write_prompts,
    write_training_texts,
)


def _of_one(source: str) -> Pipeline:
    return Pipeline(
        [
            Node(
                write_training_texts,
                inputs=["studies", "mentions", "labels", "params:text", "params:radgraph"],
                outputs="texts",
                name="write_training_texts",
                tags=["text"],
            )
        ],
        namespace=source,
        inputs={name: f"{source}_{name}" for name in ("studies", "mentions", "labels")},
        outputs={"texts": f"{source}_texts"},
        parameters={name: name for name in ("params:text", "params:radgraph")},
    )


def create_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return the texts of every source, their embeddings, and the examples that join all tables."""
    return sum((_of_one(source) for source in sources), Pipeline([])) + Pipeline(
        [
            Node(
                collect_texts,
                {"train_on": "params:train_on", "radgraph": "params:radgraph", **of_every(sources, "texts")},
                "texts",
                name="collect_texts",
            ),
            Node(write_prompts, "vocabulary", "prompts", name="write_prompts"),
            Node(
                choose_text_encoder,
                ["vocabulary", "texts", "text_cache", "params:text_encoder", "params:model.width", "params:seed"],
                "text_encoder",
                name="choose_text_encoder",
            ),
            Node(
                embed_texts,
                ["text_encoder", "texts", "text_cache", "params:text_encoder"],
                "text_embeddings",
                name="embed_texts",
            ),
            Node(
                embed_prompts,
                ["text_encoder", "prompts", "text_cache", "params:text_encoder"],
                "prompt_embeddings",
                name="embed_prompts",
            ),
            Node(
                join_examples,
                {"texts": "texts", **of_every(sources, "studies", "images", "labels", "texts")},
                "examples",
                name="join_examples",
            ),
        ],
        tags=["text"],
    )
