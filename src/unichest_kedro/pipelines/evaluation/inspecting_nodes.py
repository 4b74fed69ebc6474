"""Nodes that look into the models: heat maps against boxes, experts, gate."""

import logging
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from unichest_kedro.evaluation.asking import asked_in
from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.evaluation.expert_figures import experts_figure, gate_by_source_figure
from unichest_kedro.evaluation.expert_measures import judge_experts
from unichest_kedro.evaluation.gates import gate_by_source
from unichest_kedro.evaluation.heatmaps import HeatmapSettings, look_with
from unichest_kedro.evaluation.leaks import without_leaked
from unichest_kedro.evaluation.localisation import (
    PRIORS,
    localisation_differences,
    localisation_table,
    localise,
    localise_priors,
)
from unichest_kedro.evaluation.localisation_figures import (
    draw_examples,
    examples_figure,
    localisation_figure,
    pick_examples,
)
from unichest_kedro.evaluation.localisation_targets import BoxedSource, LocalisationSettings, box_frames, find_targets
from unichest_kedro.evaluation.settings import EvaluationSettings
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.models.device import pick_device
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.pipelines.evaluation.shared import MODELS
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def find_box_targets(
    examples: pd.DataFrame,
    scores: pd.DataFrame,
    vocabulary: dict[str, Any],
    evaluation: EvaluationSettings,
    settings: LocalisationSettings,
    **tables: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find the boxes that heat maps are held against: of findings that the source is scored on, on films not leaked.

    Returns:
        `BoxTargets` and `BoxesLeftOut`.
    """
    words, asked = Vocabulary.from_mapping(vocabulary), asked_in(scores)
    roots, stores = by_source(tables, "root"), by_source(tables, "images")
    studies, labels = by_source(tables, "studies"), by_source(tables, "labels")
    boxed = {
        source: BoxedSource(
            boxes,
            studies[source],
            labels[source],
            box_frames(source, stores[source].manifest, roots[source].phantom),
            words.rules(source).labels,
            asked.get(source, {}),
        )
        for source, boxes in by_source(tables, "boxes").items()
        if len(boxes)
    }
    if not boxed:
        logger.warning("No active source has boxes: heat maps are held against nothing.")
    leaked = scores.loc[scores["leaked"], ["source", "image_id"]] if evaluation.leave_out_leaked else None
    return find_targets(examples, boxed, settings, leaked)


def look_for_boxes(
    unichest: UniChest,
    conquer: UniChest,
    targets: pd.DataFrame,
    scores: pd.DataFrame,
    evaluation: EvaluationSettings,
    settings: LocalisationSettings,
    heatmaps: HeatmapSettings,
    **stores: Any,
) -> pd.DataFrame:
    """Hold heat maps of the whole model, of Conquer and of the priors against the boxes (schema `Localisations`)."""
    images, asked = by_source(stores, "images"), asked_in(scores)
    device = pick_device(evaluation.device)
    records = [
        localise(
            look_with(model.to(device), heatmaps),
            MODELS[stage],
            targets,
            images,
            asked,
            settings,
            image_size=model.settings.image_size,
            batch_size=evaluation.batch_size,
            resize=resize_square,
            device=device,
            workers=evaluation.num_workers,
        )
        for stage, model in {"unichest": unichest, "conquer": conquer}.items()
    ]
    return pd.concat([*records, localise_priors(targets, settings)], ignore_index=True)


def compare_localisation(
    records: pd.DataFrame, settings: LocalisationSettings, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the heat maps of each model and prior, and the whole model against each of the others.

    Returns:
        `LocalisationMetrics` and `LocalisationDifferences`.
    """
    final, known = MODELS["unichest"], set(records["model"])
    pairs = [(final, other) for other in (*PRIORS, MODELS["conquer"]) if {final, other} <= known]
    return localisation_table(records, settings, seed), localisation_differences(records, settings, pairs, seed)


def draw_localisation(
    model: UniChest,
    table: pd.DataFrame,
    records: pd.DataFrame,
    targets: pd.DataFrame,
    scores: pd.DataFrame,
    evaluation: EvaluationSettings,
    settings: LocalisationSettings,
    heatmaps: HeatmapSettings,
    seed: int,
    **stores: Any,
) -> tuple[Figure, Drawing]:
    """Draw how well boxes are found, and some test films of each source with heat map and boxes.

    The numbers of the first figure are those of the table; beside the second stand the records of its films.
    """
    device = pick_device(evaluation.device)
    picked = pick_examples(records, MODELS["unichest"], settings.examples_per_source, seed)
    examples = draw_examples(
        look_with(model.to(device), heatmaps),
        picked,
        targets,
        by_source(stores, "images"),
        asked_in(scores),
        image_size=model.settings.image_size,
        resize=resize_square,
        device=device,
    )
    return localisation_figure(table), Drawing(examples_figure(examples), picked)


def measure_experts(
    model: UniChest, answers: pd.DataFrame, evaluation: EvaluationSettings, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Measure what each expert is worth and what the gate does with each source, on test films not leaked.

    Returns:
        `ExpertAurocs`, `ExpertDifferences`, `GateBySource` and `GateSummary`, all empty for a model without experts.
    """
    kept = without_leaked(answers, evaluation.leave_out_leaked) if len(answers) else answers
    main_ratio, expert_ratio = np.round(model.ratios.tolist(), 6)  # kept in single precision
    results = judge_experts(kept, (main_ratio, expert_ratio), evaluation.resamples, seed)
    return *results, *gate_by_source(kept, evaluation.resamples, seed)


def draw_experts(
    aurocs: pd.DataFrame, differences: pd.DataFrame, gates: pd.DataFrame, summary: pd.DataFrame
) -> tuple[Drawing, Drawing]:
    """Draw what each expert is worth, and the gate's weights by source."""
    return Drawing(experts_figure(aurocs, differences), aurocs), Drawing(gate_by_source_figure(gates, summary), gates)
