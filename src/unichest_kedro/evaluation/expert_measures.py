"""What the experts of a Divide model are good for: AUROC of each alone, and of the model without it."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from unichest_kedro.evaluation.experts import MIXTURE, only_model, variants
from unichest_kedro.evaluation.metrics import MEANS
from unichest_kedro.evaluation.resampling import auroc_samples, draw_patients, limits, mean_of_defined, p_value
from unichest_kedro.evaluation.sheets import sheet_of

_VARIANT = {"model": "str", "variant": "str", "source": "str"}
_LIMITS = {"low": "float64", "high": "float64"}
AUROC_COLUMNS = _VARIANT | {"trained_on": "bool", "auroc": "float64", "findings": "int64", "left_out": "str"} | _LIMITS
DIFFERENCE_COLUMNS = _VARIANT | {"difference": "float64"} | _LIMITS | {"p_value": "float64"}


class ExpertResults(NamedTuple):
    """What `judge_experts` finds.

    Attributes:
        aurocs: `ExpertAurocs`: macro AUROC of every variant on every source.
        differences: `ExpertDifferences`: every variant minus the mixture, paired.
    """

    aurocs: pd.DataFrame
    differences: pd.DataFrame


def judge_experts(
    answers: pd.DataFrame, ratios: tuple[float, float], resamples: int = 1000, seed: int = 42, split: str = "test"
) -> ExpertResults:
    """Macro AUROC of every variant by source, and what each changes against the mixture, with 95 % limits by patient.

    A finding that lacks a class is left out of the mean, in a resample too. After the sources that the model was
    trained on comes their mean, and likewise after the others.

    Args:
        answers: `ExpertAnswers` of one model; leave out leaked films beforehand (`leaks.judged`).
        ratios: `main_ratio, expert_ratio` of the mixture.
        resamples: Bootstrap resamples by patient, the same for all variants.
        seed: Seed of the draws.
        split: The split to judge.

    Returns:
        A table per source, and one of differences; both empty where there is no answer.

    Raises:
        UniChestError: answers of several models.
    """
    answers = answers[answers["split"] == split]
    if answers.empty:
        return ExpertResults(table_of([], AUROC_COLUMNS), table_of([], DIFFERENCE_COLUMNS))
    model = only_model(answers)
    sources = answers.groupby("source", sort=False)
    with tqdm(sources, desc="judge the experts", unit="source") as bar:
        judged = {str(source): _judge_source(str(source), part, ratios, resamples, seed) for source, part in bar}
    trained = {str(source): bool(part["trained_on"].iloc[0]) for source, part in sources}
    aurocs, differences = [], []
    for variant in next(iter(judged.values())).samples:
        for source, trained_on, samples, findings, left_out in _with_means(judged, trained, variant):
            mixture = _samples_of(judged, trained, MIXTURE, source)
            low, high = limits(samples[1:])
            key = {"model": model, "variant": variant, "source": source}
            found = {"trained_on": trained_on, "auroc": samples[0], "findings": findings, "left_out": left_out}
            aurocs.append({**key, **found, "low": float(low), "high": float(high)})
            if variant != MIXTURE:
                gap = samples - mixture
                low, high = limits(gap[1:])
                row = {"difference": gap[0], "low": float(low), "high": float(high), "p_value": p_value(gap[1:])}
                differences.append(key | row)
    return ExpertResults(table_of(aurocs, AUROC_COLUMNS), table_of(differences, DIFFERENCE_COLUMNS))


class _Judged(NamedTuple):
    """One source.

    Attributes:
        samples: Macro AUROC of each variant, float64 (1+R): of the films as they are, then of every resample.
        findings: How many findings have both classes.
        left_out: Names of the others.
    """

    samples: dict[str, np.ndarray]
    findings: int
    left_out: str


def _judge_source(
    source: str, answers: pd.DataFrame, ratios: tuple[float, float], resamples: int, seed: int
) -> _Judged:
    said = variants(answers, ratios)
    samples = {}
    for variant, probabilities in said.items():
        sheet = sheet_of(answers.assign(score=np.clip(probabilities, 0, 1)))
        draws = draw_patients(sheet.patients, source, resamples, seed)  # the same for all variants
        samples[variant] = mean_of_defined(auroc_samples(sheet, draws))
    lacking = (sheet.positive == 0) | (sheet.negative == 0)
    left_out = ", ".join(finding for finding, lacks in zip(sheet.findings, lacking) if lacks)
    return _Judged(samples, int((~lacking).sum()), left_out)


def _with_means(
    judged: Mapping[str, _Judged], trained: Mapping[str, bool], variant: str
) -> Iterator[tuple[str, bool, np.ndarray, int, str]]:
    """Source, whether trained on, samples, findings (of a mean: sources) that count, and those left out."""
    for kind, mean in MEANS.items():
        own = {source: one for source, one in judged.items() if trained[source] == kind}
        for source, one in own.items():
            yield source, kind, one.samples[variant], one.findings, one.left_out
        if own:
            lacking = [source for source, one in own.items() if not one.findings]
            samples = _samples_of(judged, trained, variant, mean)
            yield mean, kind, samples, len(own) - len(lacking), ", ".join(lacking)


def _samples_of(judged: Mapping[str, _Judged], trained: Mapping[str, bool], variant: str, source: str) -> np.ndarray:
    """Samples (1+R) of a source, or of the mean over one kind of sources."""
    if source in judged:
        return judged[source].samples[variant]
    kind = next(kind for kind, mean in MEANS.items() if mean == source)
    return mean_of_defined(np.stack([one.samples[variant] for s, one in judged.items() if trained[s] == kind]))


def table_of(rows: list[dict[str, object]], columns: Mapping[str, str]) -> pd.DataFrame:
    """A table of rows, also of none, with columns of the types given."""
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)
