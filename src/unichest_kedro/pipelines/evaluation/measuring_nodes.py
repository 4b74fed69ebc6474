"""Nodes that measure: from scores to measures, without any model."""

from typing import Any

import pandas as pd

from unichest_kedro.evaluation.accounting import account
from unichest_kedro.evaluation.benchmarks import Benchmarks
from unichest_kedro.evaluation.calibration import Calibrations
from unichest_kedro.evaluation.curves import bins_table, curve_table
from unichest_kedro.evaluation.judging import benchmark_table, judge
from unichest_kedro.evaluation.leaks import count_test_films, without_leaked, without_tested
from unichest_kedro.evaluation.other_models import OtherModels, read_predictions
from unichest_kedro.evaluation.settings import EvaluationSettings
from unichest_kedro.evaluation.tables import measure_tables
from unichest_kedro.evaluation.thresholds import choose_thresholds
from unichest_kedro.imaging.store import ImagingSettings
from unichest_kedro.pipelines.evaluation.shared import MODELS, quarantine_of
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.vocabulary import Vocabulary

_NOT_MEASURED = ["query", "fingerprint"]
"""Columns of `Scores` that no measure looks at; left out to save memory."""


def gather_other_scores(
    unichest: pd.DataFrame,
    folder_scores: pd.DataFrame,
    other_models: OtherModels,
    leaked_films: pd.DataFrame,
    vocabulary: dict[str, Any],
) -> pd.DataFrame:
    """Lay the predictions of other models, and the scores of other model folders, beside ours (schema `Scores`)."""
    words = Vocabulary.from_mapping(vocabulary)
    read = [
        read_predictions(title, one, unichest, leaked_films, words) for title, one in other_models.predictions.items()
    ]
    tables = {table["model"].iloc[0]: table for table in read}
    tables |= {str(model): table for model, table in folder_scores.groupby("model", sort=False)}
    ordered = [tables[title] for title in other_models.root if title in tables]
    return pd.concat([unichest.iloc[:0], *ordered], ignore_index=True)


def judge_scores(
    conquer: pd.DataFrame,
    continued: pd.DataFrame,
    unichest: pd.DataFrame,
    other_scores: pd.DataFrame,
    benchmarks: Benchmarks,
    other_models: OtherModels,
    vocabulary: dict[str, Any],
    settings: EvaluationSettings,
    **tables: Any,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Choose the films and findings that all models are judged by, and say what is left out.

    Returns:
        `JudgedScores`, `BenchmarkTable`; and one row per source with its test films and how many of them training has
        seen.
    """
    scores, studies = _together(conquer, continued, unichest, other_scores), by_source(tables, "studies")
    words, active = Vocabulary.from_mapping(vocabulary), benchmarks.of_sources(studies)
    given = judge(scores, active, other_models, studies, words, settings.leave_out_leaked)
    trained_on = frozenset(unichest.loc[unichest["trained_on"], "source"])
    table = benchmark_table(given, active, studies, trained_on)
    return given.scores, table, count_test_films(scores[scores["split"] == "test"])


def select_thresholds(
    conquer: pd.DataFrame,
    continued: pd.DataFrame,
    unichest: pd.DataFrame,
    other_scores: pd.DataFrame,
    judged_scores: pd.DataFrame,
    leakage_pairs: pd.DataFrame,
    benchmarks: Benchmarks,
    vocabulary: dict[str, Any],
    settings: EvaluationSettings,
    **tables: Any,
) -> pd.DataFrame:
    """Choose on validation films from which score on each model calls a finding (schema `Thresholds`)."""
    scores, studies = _together(conquer, continued, unichest, other_scores), by_source(tables, "studies")
    words, active = Vocabulary.from_mapping(vocabulary), benchmarks.of_sources(studies)
    free = without_tested(without_leaked(scores, settings.leave_out_leaked), leakage_pairs)
    return choose_thresholds(free, judged_scores, active, studies, words, settings.criterion)


def compute_measures(
    judged_scores: pd.DataFrame,
    thresholds: pd.DataFrame,
    benchmarks: Benchmarks,
    other_models: OtherModels,
    settings: EvaluationSettings,
    seed: int,
    **tables: Any,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Measure every model on every benchmark, with intervals, by group of films, and compare ours with all others.

    Returns:
        `Measures`, `Metrics`, `Headline` and `Comparisons`.
    """
    studies = by_source(tables, "studies")
    return measure_tables(
        judged_scores,
        benchmarks.of_sources(studies),
        studies,
        thresholds,
        models=[*MODELS.values(), *other_models.root],
        own=tuple(MODELS.values()),
        compared=MODELS["unichest"],
        age_bands=settings.age_bands,
        resamples=settings.resamples,
        seed=seed,
        bins=settings.calibration_bins,
    )


def trace_curves(
    judged_scores: pd.DataFrame, calibration: Calibrations, settings: EvaluationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Lay out the numbers behind ROC, precision-recall and calibration curves (`Curves`, `CalibrationBins`)."""
    final = judged_scores[judged_scores["model"] == MODELS["unichest"]]
    return curve_table(judged_scores), bins_table(final, calibration, settings.calibration_bins)


def count_listed_images(examples: pd.DataFrame, settings: ImagingSettings, **tables: pd.DataFrame) -> pd.DataFrame:
    """Account for every listed image: missing, rejected, unreadable, of another view, or used in a split."""
    studies = pd.concat(by_source(tables, "studies").values(), ignore_index=True)
    return account(studies, examples, quarantine_of(tables), settings.views)


def _together(*tables: pd.DataFrame) -> pd.DataFrame:
    """The scores of all models, without what no measure looks at."""
    return pd.concat([table.drop(columns=_NOT_MEASURED) for table in tables], ignore_index=True)
