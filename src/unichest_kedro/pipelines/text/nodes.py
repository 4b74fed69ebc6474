"""Nodes of the text stage."""

from typing import Any

import numpy as np
import pandas as pd

from unichest_kedro.models.text_encoder import TextEncoder, TextEncoderSettings, build_text_encoder
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.reports.training_text import TextSettings, training_texts
from unichest_kedro.training.examples import join
from unichest_kedro.vocabulary import Vocabulary


def write_training_texts(
    studies: pd.DataFrame, labels: pd.DataFrame, vocabulary: dict[str, Any], settings: TextSettings
) -> pd.DataFrame:
    """Write the text that each image is trained with: its report's entities, or the names of what is present.

    Returns:
        Columns source, image_id, text ("" where there is nothing to say).
    """
    words = Vocabulary.from_mapping(vocabulary)
    texts = training_texts(studies["report"], labels, words.synonyms, words.prompts, settings)
    return studies[["source", "image_id"]].assign(text=texts.to_numpy())


def collect_texts(**tables: pd.DataFrame) -> pd.DataFrame:
    """Keep each distinct text of all sources once, in alphabetical order (schema `Texts`)."""
    every = pd.concat([table["text"] for table in by_source(tables, "texts").values()])
    return pd.DataFrame({"text": sorted(set(every) - {""})}, dtype="str")


def write_prompts(vocabulary: dict[str, Any]) -> pd.DataFrame:
    """List the words with which the text encoder is asked for each finding (schema `Prompts`)."""
    prompts = Vocabulary.from_mapping(vocabulary).prompts
    return pd.DataFrame({"finding": list(prompts), "prompt": list(prompts.values())}, dtype="str")


def choose_text_encoder(
    vocabulary: dict[str, Any], texts: pd.DataFrame, settings: TextEncoderSettings, seed: int
) -> TextEncoder:
    """Load the text encoder the user names, or train the small embedded one on the vocabulary and the texts."""
    words = Vocabulary.from_mapping(vocabulary)
    return build_text_encoder(words.synonyms, words.prompts, texts["text"], settings, seed)


def embed_texts(encoder: TextEncoder, texts: pd.DataFrame, settings: TextEncoderSettings) -> np.ndarray:
    """Embed each distinct text once, float32 (texts, width); training never runs the text encoder."""
    return encoder.encode(list(texts["text"]), batch_size=settings.batch_size, max_tokens=settings.max_tokens)


def embed_prompts(encoder: TextEncoder, prompts: pd.DataFrame, settings: TextEncoderSettings) -> np.ndarray:
    """Embed the prompt of every finding, float32 (findings, width), in the vocabulary's order."""
    return encoder.encode(list(prompts["prompt"]), batch_size=settings.batch_size, max_tokens=settings.max_tokens)


def join_examples(texts: pd.DataFrame, **tables: Any) -> pd.DataFrame:
    """Point every decoded film at its rows in the image store, the labels and the texts (schema `Examples`)."""
    kinds = [by_source(tables, kind) for kind in ("studies", "images", "labels", "texts")]
    parts = [join(*(kind[source] for kind in kinds), texts["text"]) for source in kinds[0]]
    return pd.concat(parts, ignore_index=True)
