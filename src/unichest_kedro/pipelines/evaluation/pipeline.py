"""Wiring of the evaluation stage."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from unichest_kedro.pipelines.evaluation.inspecting_nodes import (
    compare_localisation,
    draw_experts,
    draw_localisation,
    find_box_targets,
    look_for_boxes,
    measure_experts,
)
from unichest_kedro.pipelines.evaluation.measuring_nodes import (
    compute_measures,
    count_listed_images,
    gather_other_scores,
    judge_scores,
    select_thresholds,
    trace_curves,
)
from unichest_kedro.pipelines.evaluation.reporting_nodes import (
    draw_example_maps,
    draw_figures,
    fingerprint_data,
    write_card,
    write_report,
    write_summary,
)
from unichest_kedro.pipelines.evaluation.scoring_nodes import (
    calibrate,
    score_conquer,
    score_continued,
    score_other_models,
    score_unichest,
)
from unichest_kedro.pipelines.per_source import of_every

STAGES = ("conquer", "continued", "unichest")
FINAL = "unichest"
"""The model that is inspected and calibrated."""

EXPERT_TABLES = ("expert_aurocs", "expert_comparison", "gate_by_source", "gate_summary")
SCORERS = (score_conquer, score_continued, score_unichest)
RESULTS = ("benchmark_table", "headline", "metrics", "measures", "thresholds", "comparison", "test_films")
INSPECTION = (
    *("localisation", "localisation_comparison", "boxes_left_out"),
    *("expert_aurocs", "expert_comparison", "gate_by_source", "gate_summary", "calibration_table"),
)
DATA = (
    *("accounting", "coverage", "teachers", "contradictions"),
    *("leakage_summary", "leakage_pairs", "data_fingerprints"),
)
DRAWN = (
    *("forest_figure", "findings_figure", "roc_figure", "precision_recall_figure"),
    *("calibration_figure", "subgroups_figure", "training_figure"),
)
"""What `draw_figures` makes."""

SHOWN = (
    *DRAWN,
    *("localisation_figure", "localisation_examples_figure", "experts_figure", "gates_figure"),
    *("coverage_figure", "leakage_figure"),
)
"""What the report shows beside tables, models and example films."""

QUARANTINES = ("ingestion_quarantine", "imaging_quarantine")


def create_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return the evaluation of the models on every active source: scores, measures, inspection and report."""
    parts = (create_scoring_pipeline, create_measuring_pipeline, create_inspecting_pipeline, create_reporting_pipeline)
    return sum((create(sources) for create in parts), Pipeline([]))


def create_scoring_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return what asks the models about films."""
    films = {
        "examples": "examples",
        "leaked_films": "leaked_films",
        "train_on": "params:train_on",
        **of_every(sources, "images", "labels"),
    }
    scorers = [
        Node(
            scorer,
            {
                "model": f"{stage}_model",
                "vocabulary": "vocabulary",
                "benchmarks": "params:benchmarks",
                "settings": "params:evaluation",
                **films,
            },
            [f"{stage}_scores", f"{stage}_gates", *(["expert_answers"] if stage == FINAL else [])],
            name=f"score_{stage}",
        )
        for stage, scorer in zip(STAGES, SCORERS)
    ]
    calibration = Node(
        calibrate,
        {
            "model": f"{FINAL}_model",
            "evaluation": "params:evaluation",
            "settings": "params:calibration",
            **_same("leakage_pairs"),
            **films,
        },
        ["calibration", "calibration_table"],
        name="fit_calibration",
    )
    others = Node(
        score_other_models,
        {
            "other_models": "params:other_models",
            "vocabulary": "vocabulary",
            "benchmarks": "params:benchmarks",
            "settings": "params:evaluation",
            **{name: films[name] for name in films if name != "train_on"},
        },
        "other_folder_scores",
        name="score_other_models",
    )
    return Pipeline([*scorers, others, calibration], tags=["evaluate"])


def create_measuring_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return what makes measures of the scores; it needs no model."""
    others = {"other_models": "params:other_models"}
    words = {"vocabulary": "vocabulary"}
    judged = {"judged_scores": "judged_scores"}
    judged_by = {
        "benchmarks": "params:benchmarks",
        "settings": "params:evaluation",
        **of_every(sources, "studies"),
    }
    scores = {**{stage: f"{stage}_scores" for stage in STAGES}, "other_scores": "other_scores"}
    nodes = [
        Node(
            gather_other_scores,
            ["unichest_scores", "other_folder_scores", "params:other_models", "leaked_films", "vocabulary"],
            "other_scores",
            name="gather_other_scores",
        ),
        Node(
            judge_scores,
            scores | judged_by | others | words,
            ["judged_scores", "benchmark_table", "test_films"],
            name="judge_scores",
        ),
        Node(
            select_thresholds,
            scores | judged | judged_by | words | _same("leakage_pairs"),
            "thresholds",
            name="select_thresholds",
        ),
        Node(
            compute_measures,
            judged | judged_by | others | {"thresholds": "thresholds", "seed": "params:seed"},
            ["measures", "metrics", "headline", "comparison"],
            name="compute_measures",
        ),
        Node(
            trace_curves,
            judged | {"calibration": "calibration", "settings": "params:evaluation"},
            ["curves", "calibration_bins"],
            name="trace_curves",
        ),
        Node(
            count_listed_images,
            {
                "examples": "examples",
                "settings": "params:imaging",
                **of_every(sources, "studies", *QUARANTINES),
            },
            "accounting",
            name="count_listed_images",
        ),
    ]
    return Pipeline(nodes, tags=["evaluate"])


def create_inspecting_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return what looks into the models: heat maps against boxes, experts and gate."""
    settings = {"evaluation": "params:evaluation", "settings": "params:localisation"}
    boxed = {"targets": "box_targets", "scores": f"{FINAL}_scores"}
    images = of_every(sources, "images")
    nodes = [
        Node(
            find_box_targets,
            {
                "examples": "examples",
                "scores": f"{FINAL}_scores",
                "vocabulary": "vocabulary",
                **settings,
                **of_every(sources, "root", "studies", "images", "labels", "boxes"),
            },
            ["box_targets", "boxes_left_out"],
            name="find_box_targets",
        ),
        Node(
            look_for_boxes,
            {
                "unichest": f"{FINAL}_model",
                "conquer": "conquer_model",
                **boxed,
                **settings,
                "heatmaps": "params:heatmaps",
                **images,
            },
            "localisations",
            name="look_for_boxes",
        ),
        Node(
            compare_localisation,
            ["localisations", "params:localisation", "params:seed"],
            ["localisation", "localisation_comparison"],
            name="compare_localisation",
        ),
        Node(
            draw_localisation,
            {
                "model": f"{FINAL}_model",
                "table": "localisation",
                "records": "localisations",
                **boxed,
                **settings,
                "heatmaps": "params:heatmaps",
                "seed": "params:seed",
                **images,
            },
            ["localisation_figure", "localisation_examples_figure"],
            name="draw_localisation",
        ),
        Node(
            measure_experts,
            [f"{FINAL}_model", "expert_answers", "params:evaluation", "params:seed"],
            list(EXPERT_TABLES),
            name="measure_experts",
        ),
        Node(draw_experts, list(EXPERT_TABLES), ["experts_figure", "gates_figure"], name="draw_experts"),
    ]
    return Pipeline(nodes, tags=["evaluate"])


def create_reporting_pipeline(sources: Sequence[str]) -> Pipeline:
    """Return what shows all of it: figures, example films, summary, report and model card."""
    judged_by = {"settings": "params:evaluation", "train_on": "params:train_on"}
    outcomes = [f"{stage}_outcome" for stage in STAGES]
    models = [f"{stage}_model" for stage in STAGES]
    drawn_from = ("headline", "metrics", "measures", "curves", "calibration_bins", "benchmark_table")
    nodes = [
        Node(
            draw_figures,
            [*drawn_from, *(f"{stage}_history" for stage in STAGES)],
            list(DRAWN),
            name="draw_figures",
        ),
        Node(
            draw_example_maps,
            {
                "model": f"{FINAL}_model",
                "scores": f"{FINAL}_scores",
                **_same("judged_scores", "thresholds", "benchmark_table"),
                "evaluation": "params:evaluation",
                "settings": "params:report",
                "heatmaps": "params:heatmaps",
                "seed": "params:seed",
                **of_every(sources, "images"),
            },
            ["example_maps", "examples_figure"],
            name="draw_example_maps",
        ),
        Node(
            fingerprint_data,
            {"examples": "examples", **of_every(sources, "studies", "labels")},
            "data_fingerprints",
            name="fingerprint_data",
        ),
        Node(
            write_summary,
            {
                **_same("headline", "benchmark_table", "test_films"),
                "settings": "params:evaluation",
                **of_every(sources, "root"),
            },
            "summary",
            name="write_summary",
        ),
        Node(
            write_report,
            {
                **judged_by,
                "report_settings": "params:report",
                "seed": "params:seed",
                "parameters": "parameters",
                **_same(*RESULTS, *INSPECTION, *DATA, *SHOWN, *outcomes, *models, "example_maps", "other_scores"),
                **of_every(sources, "root", "studies", *QUARANTINES),
            },
            "report",
            name="write_report",
        ),
        Node(
            write_card,
            {
                "model": f"{FINAL}_model",
                **judged_by,
                **_same(*RESULTS, *INSPECTION, "teachers", "data_fingerprints"),
                **of_every(sources, "root", "studies"),
            },
            "model_card",
            name="write_card",
        ),
    ]
    return Pipeline(nodes, tags=["evaluate"])


def _same(*names: str) -> dict[str, str]:
    """Inputs that a node calls as the catalog does."""
    return {name: name for name in names}
