"""The project's pipelines by name; their nodes depend on which sources are active."""

from kedro.pipeline import Pipeline

from unichest_kedro.active_sources import active_sources
from unichest_kedro.pipelines import (
    ablation,
    evaluation,
    export,
    harmonisation,
    imaging,
    import_official,
    ingestion,
    leakage,
    prediction,
    pretrain,
    reports,
    text,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline.

    The stages alone; `pretrain` (raw folders to model), `evaluate` (model to report) and `__default__` (both); the
    parts of `evaluate` (`score`, `measure`, `inspect`, `report`);
    `score_extractor`, `import_official`, `predict`, `export` and `ablate`, which stand apart.
    """
    sources = active_sources()
    stages = {
        "ingest": sum((ingestion.create_pipeline(source) for source in sources), Pipeline([])),
        "images": sum((imaging.create_pipeline(source) for source in sources), Pipeline([])),
        "reports": reports.create_pipeline(sources),
        "harmonise": harmonisation.create_pipeline(sources),
        "text": text.create_pipeline(sources),
        "leakage": leakage.create_pipeline(sources),
        "conquer": pretrain.create_conquer_pipeline(sources),
        "divide": pretrain.create_divide_pipeline(sources),
    }
    whole = sum(stages.values(), Pipeline([]))
    evaluate = evaluation.create_pipeline(sources)
    return {
        **stages,
        "pretrain": whole,
        "score": evaluation.create_scoring_pipeline(sources),
        "measure": evaluation.create_measuring_pipeline(sources),
        "inspect": evaluation.create_inspecting_pipeline(sources),
        "report": evaluation.create_reporting_pipeline(sources),
        "evaluate": evaluate,
        "score_extractor": reports.create_score_pipeline(),
        "import_official": import_official.create_pipeline(),
        "predict": prediction.create_pipeline(),
        "export": export.create_pipeline(),
        "ablate": ablation.create_pipeline(sources),
        "__default__": whole + evaluate,
    }
