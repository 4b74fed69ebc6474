"""Example films: right and wrong answers of a model at its thresholds, drawn at random, with their heat maps."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from unichest_kedro.evaluation.heatmaps import overlay
from unichest_kedro.evaluation.resampling import generator_for
from unichest_kedro.schemas import UNKNOWN

KINDS = ("true positive", "false positive", "false negative", "true negative")
COLUMNS = ["benchmark", "source", "image_id", "finding", "kind", "score", "threshold"]

PICTURE_PIXELS = 288
"""Longer side of a kept picture; it is for looking, not for reading films."""

JPEG_QUALITY = 85


def pick_examples(scores: pd.DataFrame, thresholds: pd.DataFrame, *, per_kind: int = 1, seed: int = 42) -> pd.DataFrame:
    """Draw answers of each kind (`KINDS`) for every benchmark, at random.

    A draw depends on the seed, the benchmark's key and the answers of the kind alone. No film is shown twice in one
    benchmark, and no finding twice in one kind, while there are others.

    Args:
        scores: `Scores` of one model and split with the column `benchmark`.
        thresholds: `Thresholds`; rows of other models are passed over.
        per_kind: Answers of each kind, fewer where there are fewer.
        seed: Of the draws.

    Returns:
        `benchmark, source, image_id, finding, kind, score, threshold`; benchmarks in order of appearance. Findings
        without a threshold have no example.
    """
    columns = ["model", "benchmark", "finding"]
    answers = scores[scores["label"] != UNKNOWN].merge(thresholds[[*columns, "threshold"]], on=columns, how="inner")
    answers = answers[answers["threshold"].notna()]
    called, present = answers["score"] >= answers["threshold"], answers["label"] == 1
    conditions = [called & present, called & ~present, ~called & present]
    answers = answers.assign(kind=np.select(conditions, KINDS[:3], KINDS[3]))
    chosen = [
        _of_benchmark(part, per_kind, generator_for(str(benchmark), seed))
        for benchmark, part in answers.groupby("benchmark", sort=False)
    ]
    return pd.concat(chosen or [answers.iloc[:0]], ignore_index=True)[COLUMNS]


def example_picture(film: np.ndarray) -> bytes:
    """A film, uint8 (H,W), or a picture, uint8 (H,W,3), as a small JPEG."""
    picture = Image.fromarray(film)
    picture.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def with_pictures(examples: pd.DataFrame, films: Sequence[np.ndarray], heats: Sequence[np.ndarray]) -> pd.DataFrame:
    """The examples with their pictures as JPEG, ready to be kept.

    Args:
        examples: `pick_examples`.
        films: One film for each row, uint8 (H,W).
        heats: One heat map for each row, float (h,w) in [0, 1].

    Returns:
        The table with the columns `film` and `heat` (the film with the map over it), bytes.
    """
    pictures = [example_picture(film) for film in films]
    maps = [example_picture(overlay(_small(film), heat)) for film, heat in zip(films, heats)]
    return examples.assign(film=pd.Series(pictures, dtype=object), heat=pd.Series(maps, dtype=object))


def in_words(example: Mapping[str, object]) -> str:
    """Score, threshold and what became of it, in one sentence."""
    called = "called present" if example["score"] >= example["threshold"] else "not called"
    labelled = "present" if example["kind"] in (KINDS[0], KINDS[2]) else "absent"
    return f"Score {example['score']:.3f}, threshold {example['threshold']:.3f}: {called}; labelled {labelled}."


def _of_benchmark(answers: pd.DataFrame, per_kind: int, generator: np.random.Generator) -> pd.DataFrame:
    shown: set[str] = set()
    rows = []
    for kind in KINDS:
        part = answers[answers["kind"] == kind]
        order = part.iloc[generator.permutation(len(part))]
        for _ in range(per_kind):
            fresh = order[~order["image_id"].isin(shown)]
            order = fresh if len(fresh) else order
            if order.empty:
                break
            rows.append(order.iloc[:1])
            shown.add(order["image_id"].iloc[0])
            others = order[order["finding"] != order["finding"].iloc[0]]
            order = others if len(others) else order.iloc[1:]
    return pd.concat(rows) if rows else answers.iloc[:0]


def _small(film: np.ndarray) -> np.ndarray:
    """The film at the size it is kept in, so that a heat map is drawn over no more pixels than are shown."""
    picture = Image.fromarray(film)
    picture.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
    return np.asarray(picture)
