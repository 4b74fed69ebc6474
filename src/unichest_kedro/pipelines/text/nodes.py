"""Nodes of the text stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unichest_kedro.models.text_encoder import TextEncoder, TextEncoderSettings, build_text_encoder
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.reports.radgraph import RadGraphFiles, read_radgraph
from unichest_kedro.reports.training_text import TextSettings, training_texts
from unichest_kedro.sources import SOURCES
from unichest_kedro.training.examples import join
from unichest_kedro.vocabulary import Vocabulary


def write_training_texts(
    studies: pd.DataFrame,
    mentions: pd.DataFrame,
    labels: pd.DataFrame,
    settings: TextSettings,
    radgraph: RadGraphFiles | None,
) -> pd.DataFrame:
    """Write the text that each image is trained with: its report's entities, or the names of what is present.

    Returns:
        Columns source, image_id, text ("" where there is nothing to say).
    """
    names = {str(column): str(column) for column in labels.columns}
    texts = training_texts(studies["report"], mentions, labels, names, settings)
    graphs = radgraph.of(studies["source"].iloc[0]) if radgraph is not None and len(studies) else None
    if graphs is not None:
        annotated = read_radgraph(graphs).texts_of(studies["study_id"])
        texts = annotated.where(annotated != "", texts)
    return studies[["source", "image_id"]].assign(text=texts.to_numpy())


def collect_texts(train_on: Sequence[str], radgraph: RadGraphFiles | None, **tables: pd.DataFrame) -> pd.DataFrame:
    """Keep each distinct text of the sources that are trained on once, in alphabetical order (schema `Texts`).

    The texts of sources that are only scored are never read: an image is scored by its pixels alone.

    Raises:
        SettingsError: if `radgraph` names a source that there is not.
    """
    texts = by_source(tables, "texts")
    if radgraph is not None:
        radgraph.check_sources({*SOURCES, *texts})
    trained = [table["text"] for source, table in texts.items() if source in train_on]
    return pd.DataFrame({"text": sorted(set().union(*trained) - {""})}, dtype="str")


def write_prompts(vocabulary: dict[str, Any]) -> pd.DataFrame:
    """List the words with which the text encoder is asked for each finding (schema `Prompts`)."""
    prompts = Vocabulary.from_mapping(vocabulary).prompts
    return pd.DataFrame({"finding": list(prompts), "prompt": list(prompts.values())}, dtype="str")


def choose_text_encoder(
    vocabulary: dict[str, Any],
    texts: pd.DataFrame,
    cache: Path,
    settings: TextEncoderSettings,
    model_width: int,
    seed: int,
) -> TextEncoder:
    """Load the text encoder the user names, or train the small embedded one on the vocabulary and the texts."""
    words = Vocabulary.from_mapping(vocabulary)
    return build_text_encoder(
        words.synonyms, words.prompts, texts["text"], settings, seed, model_width=model_width, cache=cache
    )


def embed_texts(encoder: TextEncoder, texts: pd.DataFrame, cache: Path, settings: TextEncoderSettings) -> np.ndarray:
    """Embed each distinct text, float32 (texts, width); only those that the encoder has not read before are read."""
    return encoder.embed(list(texts["text"]), cache, settings)


def embed_prompts(
    encoder: TextEncoder, prompts: pd.DataFrame, cache: Path, settings: TextEncoderSettings
) -> np.ndarray:
    """Embed the prompt of every finding, float32 (findings, width), in the vocabulary's order; see `embed_texts`."""
    return encoder.embed(list(prompts["prompt"]), cache, settings)


def join_examples(texts: pd.DataFrame, **tables: Any) -> pd.DataFrame:
    """Point every decoded film at its rows in the image store, the labels and the texts (schema `Examples`)."""
    kinds = [by_source(tables, kind) for kind in ("studies", "images", "labels", "texts")]
    parts = [join(*(kind[source] for kind in kinds), texts["text"]) for source in kinds[0]]
    return pd.concat(parts, ignore_index=True)
