"""Wiring of the pretrain stage: Conquer, then Divide and the control that Divide is compared with."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.per_source import of_every
from unichest_kedro.pipelines.pretrain.nodes import conquer, continue_conquering, divide

DATA = {name: name for name in ("examples", "text_embeddings", "leakage_pairs")}


def create_conquer_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return the Conquer stage."""
    node = Node(
        conquer,
        {
            **DATA,
            "prompt_embeddings": "prompt_embeddings",
            **_places("conquer"),
            "model_settings": "params:model",
            "settings": "params:conquer",
            "seed": "params:seed",
            "train_on": "params:train_on",
            "trainer": "params:trainer",
            **of_every(sources, "root", "images", "labels"),
        },
        _results("conquer"),
        name="conquer",
    )
    return Pipeline([node], tags=["conquer"])


def create_divide_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return the Divide stage and Conquer continued for its steps."""
    divided = Node(
        divide,
        {
            "model": "conquer_model",
            **DATA,
            **_places("unichest"),
            "settings": "params:divide",
            "seed": "params:seed",
            "train_on": "params:train_on",
            "trainer": "params:trainer",
            **of_every(sources, "root", "images", "labels"),
        },
        _results("unichest"),
        name="divide",
    )
    continued = Node(
        continue_conquering,
        {
            "model": "conquer_model",
            **DATA,
            **_places("continued"),
            "conquer_settings": "params:conquer",
            "divide_settings": "params:divide",
            "seed": "params:seed",
            "train_on": "params:train_on",
            "trainer": "params:trainer",
            "divided": "unichest_outcome",
            **of_every(sources, "root", "images", "labels"),
        },
        _results("continued"),
        name="continue_conquering",
    )
    return Pipeline([divided, continued], tags=["divide"])


def _places(stage: str) -> dict[str, str]:
    return {"vocabulary": "vocabulary", "checkpoints": f"{stage}_checkpoints", "log_folder": "training_logs"}


def _results(stage: str) -> list[str]:
    return [f"{stage}_model", f"{stage}_history", f"{stage}_outcome"]
