"""What a node that trains makes of the tables it is given: the training data of the sources in `train_on`."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.sources import trained_sources
from unichest_kedro.training.data import TrainingData
from unichest_kedro.training.examples import check_rows, without_one_sided
from unichest_kedro.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def training_data(
    examples: pd.DataFrame,
    text_embeddings: np.ndarray,
    words: Vocabulary,
    seed: int,
    train_on: Sequence[str],
    tables: dict[str, Any],
) -> tuple[TrainingData, dict[str, Any]]:
    """Put together what the sources of `train_on` have to teach, and what the model's facts say of it.

    Args:
        examples: Schema `Examples`.
        text_embeddings: float32 (T,D), rows as `examples.text_row`.
        words: The vocabulary.
        seed: Noted among the facts.
        train_on: Sources to train on; those without data are passed over.
        tables: Of every active source `{source}_images`, `{source}_labels` and `{source}_root`.

    Returns:
        The data, and the facts (`UniChest.facts`).

    Raises:
        SettingsError: none of the sources is there.
        MissingArtefact: the tables do not belong together.
    """
    stores, labels = by_source(tables, "images"), by_source(tables, "labels")
    trained = trained_sources(train_on, labels)
    examples = examples[examples["source"].isin(trained)].reset_index(drop=True)
    check_rows(examples, stores, labels)
    values = {source: labels[source][list(words.findings)].to_numpy(np.int8) for source in trained}
    labelled = {source: words.annotated(source) for source in trained}
    values, one_sided = without_one_sided(examples, values, words.findings, labelled)
    for source, names in one_sided.items():
        logger.warning("Left out of training: %s knows in one way only: %s.", source, ", ".join(names))
    data = TrainingData(
        examples=examples,
        stores={source: stores[source] for source in trained},
        labels=values,
        findings=words.findings,
        text_embeddings=text_embeddings,
        findings_by_source=labelled,
    )
    for source in trained:
        if not len(data.rows("train", source)):
            logger.warning("train_on names %s, which has no training film: nothing is learnt from it.", source)
    return data, _facts(data, trained, one_sided, by_source(tables, "root"), seed)


def _facts(
    data: TrainingData,
    trained: Sequence[str],
    one_sided: dict[str, list[str]],
    folders: dict[str, SourceFolder],
    seed: int,
) -> dict[str, Any]:
    """Return what is known of the training data: in words for the model card, phantoms called phantoms, and as data."""
    films = {source: len(data.rows("train", source)) for source in trained}
    trained = [source for source in trained if films[source]]
    kinds = {source: "phantoms of " if folders[source].phantom else "" for source in trained}
    in_words = {
        "Trained on": ", ".join(f"{kinds[source]}{source} ({films[source]:,} films)" for source in trained),
        "Findings asked in training": ", ".join(data.asked),
        "Left out of training, known in one way only": "; ".join(
            f"{source}: {', '.join(names)}" for source, names in one_sided.items()
        ),
        "Seed": str(seed),
    }
    return {name: words for name, words in in_words.items() if words} | {
        "trained_on": list(trained),
        "training_films": films,
        "phantoms": [source for source in trained if folders[source].phantom],
        "findings_asked": list(data.asked),
        "stored_image_size": max((getattr(store, "image_size", 0) for store in data.stores.values()), default=0),
        "one_sided": one_sided,
        "seed": seed,
    }
