"""Nodes of the leakage stage."""

from typing import Any

import numpy as np
import pandas as pd

from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.evaluation.leakage_figure import leakage_figure
from unichest_kedro.imaging.store import ImageStore
from unichest_kedro.leakage import HashedSource, LeakageSettings, audit, hash_store
from unichest_kedro.pipelines.per_source import by_source


def hash_films(images: ImageStore, settings: LeakageSettings) -> tuple[pd.DataFrame, np.ndarray]:
    """Note what every film of one source can be recognised by: digest, perceptual hash and thumbnail.

    Returns:
        A table of schema `FilmHashes` in the store's order, and uint8 (films, 32, 32).
    """
    return hash_store(images, settings.n_jobs)


def find_leaks(settings: LeakageSettings, **tables: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Find every film that is there twice, and the test films that repeat a training film.

    Returns:
        Tables of the schemas `LeakagePairs`, `LeakedFilms` and `LeakageSummary`.
    """
    studies, thumbnails = by_source(tables, "studies"), by_source(tables, "thumbnails")
    sources = {
        source: HashedSource(studies[source], hashes, thumbnails[source])
        for source, hashes in by_source(tables, "film_hashes").items()
    }
    return tuple(audit(sources, settings))


def draw_leakage(leaked_films: pd.DataFrame, leakage_summary: pd.DataFrame) -> Drawing:
    """Draw how many test and validation films of each source repeat a training film of each."""
    return leakage_figure(leaked_films, leakage_summary)
