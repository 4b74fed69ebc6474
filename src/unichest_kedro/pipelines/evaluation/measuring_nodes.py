"""Nodes that measure: from scores to metrics, without any model."""

import pandas as pd

from unichest_kedro.evaluation.accounting import account
from unichest_kedro.evaluation.leaks import count_test_films, judged
from unichest_kedro.evaluation.metrics import auroc_table, difference_table, macro_samples, macro_table
from unichest_kedro.evaluation.settings import EvaluationSettings
from unichest_kedro.imaging.store import ImagingSettings
from unichest_kedro.pipelines.evaluation.shared import MODELS, quarantine_of
from unichest_kedro.pipelines.per_source import by_source


def compute_metrics(
    conquer: pd.DataFrame,
    continued: pd.DataFrame,
    unichest: pd.DataFrame,
    settings: EvaluationSettings,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Compute AUROC per source and finding, macro means with intervals, and paired differences between models.

    Returns:
        `Metrics`; one row per model and source with its macro AUROC; one row per pair of models and source; one row
        per source with its test films and how many of them training has seen.
    """
    scores = judged(pd.concat([conquer, continued, unichest], ignore_index=True), settings.leave_out_leaked)
    metrics = auroc_table(scores)
    samples = macro_samples(scores, settings.resamples, seed)
    headline = macro_table(metrics, samples)
    return metrics, headline, _comparisons(headline, samples), count_test_films(unichest)


def count_listed_images(examples: pd.DataFrame, settings: ImagingSettings, **tables: pd.DataFrame) -> pd.DataFrame:
    """Account for every listed image: missing, rejected, unreadable, of another view, or used in a split."""
    studies = pd.concat(by_source(tables, "studies").values(), ignore_index=True)
    return account(studies, examples, quarantine_of(tables), settings.views)


def _comparisons(headline: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Paired differences of the whole model against each control, with their intervals."""
    final = MODELS["unichest"]
    parts = [
        difference_table(headline, samples, final, other).assign(comparison=f"{final} minus {other}")
        for other in (MODELS["continued"], MODELS["conquer"])
    ]
    return pd.concat(parts, ignore_index=True)
