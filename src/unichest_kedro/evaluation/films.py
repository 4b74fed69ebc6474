"""Example films: which ones to show, and what the model said about each."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from unichest_kedro.schemas import UNKNOWN

NOTHING_FOUND = ("normal", "No Finding")
"""Findings that say that there is nothing to see."""

VERDICTS = {1: "present", 0: "absent", UNKNOWN: "unknown"}


@dataclass(frozen=True)
class Answer:
    """A finding the model ranked high: its probability, and `truth` "present", "absent" or "unknown"."""

    finding: str
    probability: float
    truth: str


@dataclass(frozen=True, eq=False)
class Film:
    """One test film: uint8 (h, w) image, the findings labelled present, the model's highest answers."""

    source: str
    image_id: str
    image: np.ndarray
    present: tuple[str, ...]
    answers: tuple[Answer, ...]


def pick_films(
    scores: pd.DataFrame,
    read: Callable[[str, str], np.ndarray],
    *,
    per_source: int = 4,
    top: int = 3,
    seed: int = 42,
) -> tuple[Film, ...]:
    """Draw films of each source at random, at least half with something to see, and their top findings.

    The draw looks at labels and seed alone, never at scores, so the page flatters no model.

    Args:
        scores: `Scores` of one model and split.
        read: source, image_id -> uint8 (h, w) film.
        per_source: Films of each source, fewer where it has fewer.
        top: Answers per film, by probability.
        seed: Seed of the draw.

    Returns:
        The films, source by source.
    """
    films = []
    for source, part in scores.groupby("source", sort=False):
        generator = np.random.default_rng([seed, zlib.crc32(str(source).encode())])
        for image_id in _draw(part, per_source, generator):
            rows = part[part["image_id"] == image_id]
            present = tuple(rows.loc[rows["label"] == 1, "finding"])
            image = read(str(source), image_id)
            films.append(Film(str(source), image_id, image, present, _answers(rows, top)))
    return tuple(films)


def _draw(scores: pd.DataFrame, count: int, generator: np.random.Generator) -> Sequence[str]:
    """Image ids in a random order, the first half of them with a present finding where there are so many."""
    seen = scores["label"].eq(1) & ~scores["finding"].isin(NOTHING_FOUND)
    something = seen.groupby(scores["image_id"].to_numpy()).any().sort_index()
    order = something.iloc[generator.permutation(len(something))]
    first = list(order.index[order][: (count + 1) // 2])
    return (first + [image_id for image_id in order.index if image_id not in first])[:count]


def _answers(rows: pd.DataFrame, top: int) -> tuple[Answer, ...]:
    highest = rows.sort_values("score", ascending=False, kind="stable").head(top)
    return tuple(
        Answer(finding, float(probability), VERDICTS[int(label)])
        for finding, probability, label in zip(highest["finding"], highest["score"], highest["label"])
    )
