"""Tables of measures: every benchmark, finding, group of films and measure with its interval; means; differences.

The macro of a measure is its mean over the findings that have films of both classes in the group (and a threshold, for
what is measured at one); the others are left out and named. In a resample it is over those of the same findings that
have the measure there: one that has lost its positives has no AUROC, and its Brier score all the same. A mean over
benchmarks gives each benchmark that counts (`in_mean`) the same weight, and never mixes the two kinds: sources that
our models were trained on, and zero-shot ones.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from unichest_kedro.evaluation.benchmarks import BenchmarkSettings
from unichest_kedro.evaluation.measures import BINS
from unichest_kedro.evaluation.metrics import MEANS
from unichest_kedro.evaluation.resampling import (
    MEASURES,
    draw_patients,
    limits,
    mean_of_defined,
    measure_samples,
    p_value,
)
from unichest_kedro.evaluation.sheets import Sheet, sheets_of
from unichest_kedro.evaluation.subgroups import EVERYONE, Group, groups_of
from unichest_kedro.schemas import UNKNOWN

MACRO = "mean"
"""Finding of the rows that hold the mean over the findings of a benchmark."""

AUROC = MEASURES.index("auroc")

_Head = tuple[str, str, str, bool, bool, str]
_KEYS = ["model", "benchmark", "source", "trained_on", "in_domain", "split"]
_MEASURES_COLUMNS = [
    *_KEYS,
    "finding",
    "group_kind",
    "group",
    "measure",
    "value",
    "low",
    "high",
    "positive",
    "negative",
    "patients",
    "findings",
]
_METRICS_COLUMNS = [
    *("model", "benchmark", "source", "split", "finding", "trained_on", "in_domain"),
    *("positive", "negative", "auroc", "low", "high"),
]
_HEADLINE_COLUMNS = [
    *("model", "benchmark", "source", "trained_on", "in_domain", "in_mean"),
    *("auroc", "findings", "left_out", "low", "high"),
]
_COMPARISON_COLUMNS = ["model", "against", "benchmark", "measure", "difference", "low", "high", "p_value", "findings"]


class Tables(NamedTuple):
    """What `measure_tables` makes.

    Attributes:
        measures: `Measures`.
        metrics: `Metrics`.
        headline: `Headline`.
        comparison: `Comparisons`.
    """

    measures: pd.DataFrame
    metrics: pd.DataFrame
    headline: pd.DataFrame
    comparison: pd.DataFrame


class _Measured(NamedTuple):
    """One model on one benchmark.

    `samples` (M,F,1+R) and `macro` (M,1+R) are of all films, the first column as they are; `left_out` names the
    findings without both classes.
    """

    model: str
    benchmark: str
    source: str
    trained_on: bool
    in_domain: bool
    in_mean: bool
    findings: tuple[str, ...]
    samples: np.ndarray
    macro: np.ndarray
    left_out: tuple[str, ...]


def measure_tables(
    scores: pd.DataFrame,
    benchmarks: Mapping[str, BenchmarkSettings],
    studies: Mapping[str, pd.DataFrame],
    thresholds: pd.DataFrame,
    *,
    models: Sequence[str],
    own: Collection[str],
    compared: str,
    age_bands: Sequence[int] = (),
    resamples: int = 1000,
    seed: int = 42,
    bins: int = BINS,
) -> Tables:
    """Measure every model on every benchmark.

    Args:
        scores: `Scores` with a column `benchmark` (`benchmark_scores`), films that are not to be judged left out; all
            models of a benchmark on the same films.
        benchmarks: By key.
        studies: `Studies` of each source, for the groups.
        thresholds: `Thresholds`.
        models: All models, in the order in which tables show them.
        own: Our models among them; what they were trained on says which benchmarks are in-domain.
        compared: The model whose difference from each other one is given.
        age_bands: Years at which an age band begins.
        resamples: Bootstrap resamples by patient behind each 95 % interval (percentiles).
        seed: Seed of the draws.
        bins: Of the calibration error.

    Raises:
        UniChestError: models were not scored on the same films and labels, or a score is not finite.
    """
    ours = scores[scores["model"].isin(list(own))]
    in_domain = set(ours.loc[ours["trained_on"], "source"])
    rows: dict[str, list[pd.DataFrame]] = {model: [] for model in models}
    measured: dict[str, list[_Measured]] = {model: [] for model in models}
    parts = {str(key): part for key, part in scores.groupby("benchmark", sort=False)}
    active = {key: settings for key, settings in benchmarks.items() if key in parts}
    for key, settings in tqdm(active.items(), desc="measure the benchmarks", unit="benchmark"):
        sheets = sheets_of(parts[key])
        first = next(iter(sheets.values()))
        groups = groups_of(first.images, studies[settings.source], age_bands)
        draws = draw_patients(first.patients, settings.source, resamples, seed)
        films = parts[key].drop_duplicates("model").set_index("model")
        for model, sheet in sheets.items():
            chosen = thresholds[(thresholds["model"] == model) & (thresholds["benchmark"] == key)]
            at = dict(zip(chosen["finding"], chosen["threshold"]))
            samples = measure_samples(sheet, at, [group.films for group in groups], draws, bins)
            macro = _macro(samples)
            trained_on = bool(films.loc[model, "trained_on"])
            head = (model, key, settings.source, trained_on, settings.source in in_domain)
            rows[model].append(_rows((*head, settings.split), sheet, groups, samples, macro))
            left_out = tuple(np.array(sheet.findings, dtype=object)[np.isnan(samples[AUROC, 0, :, 0])])
            everyone = (settings.in_mean, sheet.findings, samples[:, 0].copy(), macro[:, 0].copy(), left_out)
            measured[model].append(_Measured(*head, *everyone))
    return _tables(list(chain(*rows.values())), list(chain(*measured.values())), compared)


def _macro(samples: np.ndarray) -> np.ndarray:
    """(M,G,1+R): the mean over the findings that have both classes as they are and the measure, of (M,G,F,1+R)."""
    both = np.isfinite(samples[AUROC, ..., :1])
    return np.stack([mean_of_defined(np.where(both, of_measure, np.nan), axis=1) for of_measure in samples])


def _rows(head: _Head, sheet: Sheet, groups: Sequence[Group], samples: np.ndarray, macro: np.ndarray) -> pd.DataFrame:
    """`Measures` of one model and benchmark: by group, the macro first, then finding by finding, each measure a row."""
    whole = np.concatenate([macro[:, :, None], samples], axis=2)  # (M,G,1+F,1+R)
    averaged = np.isfinite(samples[..., 0]) & np.isfinite(samples[AUROC, ..., 0])
    findings = np.ones(whole.shape[:3], dtype=int)
    findings[:, :, 0] = averaged.sum(axis=2)
    counts = np.stack([_counts(sheet, group.films, averaged[AUROC, g]) for g, group in enumerate(groups)])
    places = [(MACRO, *sheet.findings), [group.kind for group in groups], [group.name for group in groups]]
    return _long(head, *places, whole, counts, findings)


def _counts(sheet: Sheet, films: np.ndarray, averaged: np.ndarray) -> np.ndarray:
    """Positives, negatives and patients, (1+F,3): of all that the macro averages, then of each finding."""
    labels, patients = sheet.labels[films], sheet.patients[films]
    known = labels != UNKNOWN
    positive, negative = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
    people = [_distinct(patients[column]) for column in known.T]
    macro = (positive[averaged].sum(), negative[averaged].sum(), _distinct(patients[known.any(axis=1)]))
    return np.array([macro, *zip(positive, negative, people)])


def _long(
    head: _Head,
    findings: Sequence[str],
    kinds: Sequence[str],
    names: Sequence[str],
    values: np.ndarray,
    counts: np.ndarray,
    averaged: np.ndarray,
) -> pd.DataFrame:
    """`Measures` of one model and benchmark: G groups (`kinds`, `names`), F rows of each, M measures of each row.

    Args:
        head: Model, benchmark, source, whether trained on, whether in-domain, split.
        findings: F names.
        kinds: G kinds of groups.
        names: G names of groups.
        values: (M,G,F,1+R), the first as it is, the others resampled.
        counts: (G,F,3) positives, negatives, patients.
        averaged: (M,G,F) how many findings each value is the mean of.
    """
    value = values[..., 0]
    low, high = (np.where(np.isfinite(value), limit, np.nan) for limit in limits(values[..., 1:]))
    n_measures, n_groups, n_findings = value.shape
    columns = dict(zip(_KEYS, head))
    columns["finding"] = np.tile(np.repeat(np.array(findings, dtype=object), n_measures), n_groups)
    for key, group in (("group_kind", kinds), ("group", names)):
        columns[key] = np.repeat(np.array(group, dtype=object), n_findings * n_measures)
    columns["measure"] = np.tile(np.array(MEASURES, dtype=object), n_groups * n_findings)
    for key, numbers in (("value", value), ("low", low), ("high", high), ("findings", averaged)):
        columns[key] = np.moveaxis(numbers, 0, -1).ravel()
    for key, count in zip(("positive", "negative", "patients"), np.moveaxis(counts, -1, 0)):
        columns[key] = np.repeat(count.ravel(), n_measures)
    texts = ("model", "benchmark", "source", "split", "finding", "group_kind", "group", "measure")
    return pd.DataFrame(columns).astype(dict.fromkeys(texts, "str"))


def _distinct(names: np.ndarray) -> int:
    return len(set(names.tolist()))


def _tables(rows: list[pd.DataFrame], measured: list[_Measured], compared: str) -> Tables:
    means = list(chain.from_iterable(_means_of(measured, kind) for kind in (True, False)))
    mean_rows = [_mean_rows(model, kind, parts) for model, kind, parts in means]
    empty = pd.DataFrame(columns=_MEASURES_COLUMNS)
    measures = pd.concat([*rows, *mean_rows] or [empty], ignore_index=True)[_MEASURES_COLUMNS]
    areas = measures[(measures["measure"] == "auroc") & (measures["group_kind"] == EVERYONE)]
    metrics = areas[(areas["finding"] != MACRO)].rename(columns={"value": "auroc"})[_METRICS_COLUMNS]
    headline = _headline(areas[areas["finding"] == MACRO], measured, means)
    return Tables(measures, metrics.reset_index(drop=True), headline, _comparison(measured, compared))


def _means_of(measured: list[_Measured], in_domain: bool) -> Iterator[tuple[str, bool, list[_Measured]]]:
    """For each model what is averaged of one kind of benchmarks, where there is any."""
    for model in dict.fromkeys(one.model for one in measured):
        parts = [one for one in measured if one.model == model and one.in_domain == in_domain and one.in_mean]
        if parts:
            yield model, in_domain, parts


def _mean_samples(parts: Sequence[_Measured]) -> np.ndarray:
    """(M,1+R): the mean over benchmarks of their macro."""
    return mean_of_defined(np.stack([one.macro for one in parts]))


def _mean_rows(model: str, in_domain: bool, parts: list[_Measured]) -> pd.DataFrame:
    samples = _mean_samples(parts)
    trained_on = all(one.trained_on for one in parts)
    head = (model, MEANS[in_domain], "", trained_on, in_domain, "test")
    both = [np.isfinite(one.samples[AUROC, :, 0]) for one in parts]
    findings = sum((np.isfinite(one.samples[..., 0]) & b).sum(axis=1) for one, b in zip(parts, both))
    no_films = np.zeros((1, 1, 3), dtype=int)
    one_group = ([MACRO], [EVERYONE], [EVERYONE])
    return _long(head, *one_group, samples[:, None, None], no_films, findings[:, None, None])


def _headline(
    areas: pd.DataFrame, measured: list[_Measured], means: list[tuple[str, bool, list[_Measured]]]
) -> pd.DataFrame:
    """`Headline`: of each model the benchmarks trained on and their mean, then the zero-shot ones and theirs."""
    left_out = {(one.model, one.benchmark): ", ".join(one.left_out) for one in measured}
    in_mean = {(one.model, one.benchmark): one.in_mean for one in measured}
    counting = {kind: _counting(measured, kind) for kind in (True, False)}
    for model, kind, parts in means:
        usable = {one.benchmark for one in parts if np.isfinite(one.macro[AUROC, 0])}
        left_out[(model, MEANS[kind])] = ", ".join(key for key in counting[kind] if key not in usable)
    table = areas.rename(columns={"value": "auroc"}).reset_index(drop=True)
    keys = list(zip(table["model"], table["benchmark"]))
    table["left_out"] = pd.Series([left_out[key] for key in keys], dtype="str")
    table["in_mean"] = [in_mean.get(key, True) for key in keys]
    place = {model: number for number, model in enumerate(dict.fromkeys(one.model for one in measured))}
    order = (table["benchmark"].isin(MEANS.values()), ~table["in_domain"].astype(bool), table["model"].map(place))
    return table.iloc[np.lexsort(order)][_HEADLINE_COLUMNS].reset_index(drop=True)


def _counting(measured: list[_Measured], in_domain: bool) -> list[str]:
    """Benchmarks of one kind that a mean is taken over, of any model."""
    return list(dict.fromkeys(one.benchmark for one in measured if one.in_domain == in_domain and one.in_mean))


def _comparison(measured: list[_Measured], compared: str) -> pd.DataFrame:
    """`Comparisons`: the macro of one model minus that of each other, on the findings that both answer."""
    of_model: dict[str, dict[str, _Measured]] = {}
    for one in measured:
        of_model.setdefault(one.model, {})[one.benchmark] = one
    mine = of_model.get(compared, {})
    rows = []
    for other, theirs in of_model.items():
        if other == compared:
            continue
        shared = {key: _shared(mine[key], theirs[key]) for key in mine if key in theirs}
        for kind in (True, False):
            block = [key for key in shared if mine[key].in_domain == kind]
            for key in block:
                rows += _differences((compared, other, key), *shared[key])
            counting = [key for key in block if mine[key].in_mean]
            if counting:
                both = [_mean_samples([shared[key][side] for key in counting]) for side in (0, 1)]
                findings = sum(shared[key][2] for key in counting)
                rows += _difference_rows((compared, other, MEANS[kind]), both[0] - both[1], findings)
    return pd.DataFrame(rows, columns=_COMPARISON_COLUMNS)


def _shared(one: _Measured, other: _Measured) -> tuple[_Measured, _Measured, np.ndarray]:
    """Both with the macro of the findings that both have a value of, by measure; and how many these are, (M,)."""
    findings = [finding for finding in one.findings if finding in other.findings]
    places = [[each.findings.index(finding) for finding in findings] for each in (one, other)]
    samples = [each.samples[:, place] for each, place in zip((one, other), places)]
    usable = np.isfinite(samples[0]) & np.isfinite(samples[1])
    usable &= np.isfinite(samples[0][AUROC, :, :1]) & np.isfinite(samples[1][AUROC, :, :1])
    macro = [mean_of_defined(np.where(usable, values, np.nan), axis=1) for values in samples]
    return one._replace(macro=macro[0]), other._replace(macro=macro[1]), usable[..., 0].sum(axis=1)


def _differences(
    key: tuple[str, str, str], one: _Measured, other: _Measured, findings: np.ndarray
) -> list[tuple[object, ...]]:
    return _difference_rows(key, one.macro - other.macro, findings)


def _difference_rows(
    key: tuple[str, str, str], differences: np.ndarray, findings: np.ndarray
) -> list[tuple[object, ...]]:
    """Rows of `Comparisons` of differences (M,1+R)."""
    low, high = limits(differences[:, 1:])
    rows = []
    for m, measure in enumerate(MEASURES):
        defined = np.isfinite(differences[m, 0])
        p = p_value(differences[m, 1:]) if defined else float("nan")
        numbers = (differences[m, 0], low[m], high[m], p) if defined else (float("nan"),) * 4
        rows.append((*key, measure, *numbers, int(findings[m])))
    return rows
