"""The project's pipelines by name; their nodes depend on which sources are active."""

from kedro.pipeline import Pipeline

from unichest_kedro.active_sources import active_sources
from unichest_kedro.pipelines import evaluation, harmonisation, imaging, ingestion, pretrain, text


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline: the stages alone, `pretrain` (raw folders to model) and `__default__` (everything)."""
    sources = active_sources()
    stages = {
        "ingest": sum((ingestion.create_pipeline(source) for source in sources), Pipeline([])),
        "images": sum((imaging.create_pipeline(source) for source in sources), Pipeline([])),
        "harmonise": harmonisation.create_pipeline(sources),
        "text": text.create_pipeline(sources),
        "conquer": pretrain.create_conquer_pipeline(sources),
        "divide": pretrain.create_divide_pipeline(sources),
    }
    whole = sum(stages.values(), Pipeline([]))
    evaluate = evaluation.create_pipeline(sources)
    return {**stages, "pretrain": whole, "evaluate": evaluate, "__default__": whole + evaluate}
