"""From which score on a finding is called: chosen on validation films, never on those that are judged.

A benchmark whose source has validation films takes its thresholds from these. Elsewhere they come from the validation
films of the sources that the model was trained on, all together; and where these know nothing of a finding either,
there is none.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from unichest_kedro.evaluation.benchmarks import BenchmarkSettings, benchmark_scores
from unichest_kedro.evaluation.calibration import Criterion, best_threshold
from unichest_kedro.evaluation.measures import require_finite
from unichest_kedro.schemas import UNKNOWN
from unichest_kedro.vocabulary import Vocabulary

COLUMNS = ["model", "benchmark", "finding", "threshold", "criterion", "threshold_from", "positives", "negatives"]
NOWHERE = "nowhere: validation films of the benchmark and of training sources do not both have it and lack it"
"""Said of a finding that has no threshold."""

VALIDATION = "val"

Films = Mapping[tuple[str, str], Mapping[str, pd.DataFrame]]
"""Validation films with a known label, by model and benchmark, then by finding."""


def choose_thresholds(
    scores: pd.DataFrame,
    asked: pd.DataFrame,
    benchmarks: Mapping[str, BenchmarkSettings],
    studies: Mapping[str, pd.DataFrame],
    vocabulary: Vocabulary,
    criterion: Criterion = "youden",
) -> pd.DataFrame:
    """Choose a threshold for every model, benchmark and finding.

    A benchmark's own validation films are chosen as its test films are, by view and label policy. Those of the training
    sources are chosen as the benchmark of that source chooses them; of several, the first that asks the finding.

    Args:
        scores: `Scores` of all models, films that they were trained on left out; of it, films of the split `val` alone
            are looked at.
        asked: Columns `model, benchmark, finding`, once or more often each: what needs a threshold.
        benchmarks: By key, of active sources.
        studies: `Studies` of each source.
        vocabulary: The unified vocabulary.
        criterion: What a threshold maximises; of equally good ones the highest is taken.

    Returns:
        `Thresholds`, in the order of `asked`; NaN where no threshold can be chosen.
    """
    validation = benchmark_scores(scores, benchmarks, studies, vocabulary, VALIDATION)
    known = validation[validation["label"] != UNKNOWN]
    films = {
        key: dict(list(part.groupby("finding", sort=False)))
        for key, part in known.groupby(["model", "benchmark"], sort=False)
    }
    pairs = asked[["model", "benchmark", "finding"]].drop_duplicates()
    rows = [
        (model, benchmark, finding, *_threshold(films, model, benchmark, finding, benchmarks, criterion))
        for model, benchmark, finding in pairs.itertuples(index=False)
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype(
        {**dict.fromkeys(["model", "benchmark", "finding", "criterion", "threshold_from"], "str"), "threshold": float}
    )


def _threshold(
    films: Films,
    model: str,
    benchmark: str,
    finding: str,
    benchmarks: Mapping[str, BenchmarkSettings],
    criterion: Criterion,
) -> tuple[float, str, str, int, int]:
    """The last five columns of one row."""
    judged = benchmarks[benchmark]
    # Films that a benchmark judges choose no threshold for it: one of the split `val` takes those of other sources.
    free = {key: films.get((model, key), {}).get(finding) for key in benchmarks}
    if judged.split == VALIDATION:
        free |= {key: None for key, settings in benchmarks.items() if settings.source == judged.source}
    own = _together([free[benchmark]])
    if _has_both(own):
        return _chosen(own, criterion, f"validation of {judged.source}")
    training = [part for part in free.values() if part is not None and part["trained_on"].iloc[0]]
    elsewhere = _together(training)
    if _has_both(elsewhere):
        names = ", ".join(elsewhere["source"].unique())
        return _chosen(elsewhere, criterion, f"validation of {names} (training sources)")
    return float("nan"), criterion, NOWHERE, *_counts(elsewhere if len(elsewhere) else own)


def _chosen(films: pd.DataFrame, criterion: Criterion, words: str) -> tuple[float, str, str, int, int]:
    scores = films["score"].to_numpy(dtype=np.float64)
    require_finite(scores)
    threshold = best_threshold(scores, (films["label"] == 1).to_numpy(), criterion)
    return threshold, criterion, words, *_counts(films)


def _together(parts: Sequence[pd.DataFrame | None]) -> pd.DataFrame:
    """The films of several tables, each once."""
    tables = [part for part in parts if part is not None]
    films = pd.concat(tables) if tables else pd.DataFrame(columns=["source", "image_id", "score", "label"])
    return films.drop_duplicates(["source", "image_id"])


def _has_both(films: pd.DataFrame) -> bool:
    positives, negatives = _counts(films)
    return positives > 0 and negatives > 0


def _counts(films: pd.DataFrame) -> tuple[int, int]:
    return int((films["label"] == 1).sum()), int((films["label"] == 0).sum())
