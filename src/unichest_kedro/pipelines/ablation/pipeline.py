"""Wiring of the ablations."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.ablation.nodes import draw_differences, measure_variants, train_variants, write_page
from unichest_kedro.pipelines.per_source import of_every

DATA = ("examples", "text_embeddings", "prompt_embeddings", "vocabulary", "leaked_films", "text_encoder", "text_cache")


def create_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return the ablations: train every variant with every seed, measure, draw, write."""
    train = Node(
        train_variants,
        {
            **{name: name for name in DATA},
            "text_settings": "params:text_encoder",
            "folder": "ablation_parts",
            "model_settings": "params:model",
            "conquer_settings": "params:conquer",
            "divide_settings": "params:divide",
            "settings": "params:ablation",
            "evaluation": "params:evaluation",
            "train_on": "params:train_on",
            **of_every(sources, "root", "images", "labels"),
        },
        "ablation_runs",
        name="train_variants",
    )
    measure = Node(
        measure_variants,
        {
            "runs": "ablation_runs",
            "folder": "ablation_parts",
            "settings": "params:ablation",
            "train_on": "params:train_on",
            **of_every(sources, "labels"),
        },
        ["ablation_scores", "ablation_table", "ablation_differences", "ablation_gates"],
        name="measure_variants",
    )
    draw = Node(
        draw_differences, ["ablation_differences", "ablation_table"], "ablation_figure", name="draw_differences"
    )
    write = Node(
        write_page,
        {
            "table": "ablation_table",
            "differences": "ablation_differences",
            "gates": "ablation_gates",
            "runs": "ablation_runs",
            "settings": "params:ablation",
            "train_on": "params:train_on",
            **of_every(sources, "root"),
        },
        "ablation_page",
        name="write_page",
    )
    return Pipeline([train, measure, draw, write], tags=["ablate"])
