"""Measures of every model on its test films, and paired differences between variants.

AUROC needs no threshold. F1 calls each finding from one threshold on, and Brier score and calibration error take
probabilities through one curve (Platt), both **shared by all sources** and fitted on the validation films of all
sources that the model was trained on, together. Where sources draw the line elsewhere, one line for all cannot fit
each; AUROC within a source does not see that.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

from unichest_kedro.ablations.settings import Variant
from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.calibration import Platt, best_threshold, fit_platt
from unichest_kedro.evaluation.metrics import MEAN, ZERO_SHOT_MEAN, expert_columns, mutual_information
from unichest_kedro.evaluation.resampling import (
    MEASURES,
    draw_patients,
    limits,
    mean_of_defined,
    measure_samples,
    p_value,
)
from unichest_kedro.evaluation.sheets import Sheet, sheet_of
from unichest_kedro.schemas import UNKNOWN

SHOWN = ("auroc", "f1", "brier", "calibration_error")
"""Measures of the tables: the first two are better when larger, the others when smaller."""

_CALIBRATED = ("brier", "calibration_error")

GATE_COLUMNS = ["variant", "seed", "experts", "sharpness", "mutual_information", "possible"]


class Line(NamedTuple):
    """Of one finding: the threshold from which it is called and its calibration, shared by all sources."""

    threshold: float
    curve: Platt


class Measured(NamedTuple):
    """One model on one source.

    Attributes:
        findings: Names of the F findings.
        positive: Films with each, (F,).
        negative: Films known to be without each, (F,).
        thresholds: (F,), NaN where validation has not both classes.
        values: float32 (M,F,1+R), measures as in `SHOWN`, as it is and on every resample.
    """

    findings: tuple[str, ...]
    positive: np.ndarray
    negative: np.ndarray
    thresholds: np.ndarray
    values: np.ndarray

    @property
    def macro(self) -> np.ndarray:
        """(M,1+R), means over the findings that have a value."""
        return mean_of_defined(self.values, axis=1)


Results = dict[tuple[str, int], dict[str, Measured]]
"""By variant and seed, by source."""


def measure(scores: pd.DataFrame, trained: Sequence[str], resamples: int, seed: int) -> dict[str, Measured]:
    """Measure one model on the test films of every source.

    Args:
        scores: `Scores` of one model, validation and test films; those marked as leaked are left out.
        trained: Sources whose validation films thresholds and calibration come from.
        resamples: Bootstrap resamples by patient; the same for every model.
        seed: Of these.

    Raises:
        UniChestError: no test film is left.
    """
    scores = scores[~scores["leaked"]]
    lines = shared_lines(scores[(scores["split"] == "val") & scores["source"].isin(list(trained))])
    test = scores[scores["split"] == "test"]
    if test.empty:
        raise UniChestError("ablations: there is no test film to judge by; the sources need a split 'test'")
    return {
        str(source): _measure_source(sheet_of(part), str(source), lines, resamples, seed)
        for source, part in test.groupby("source", sort=False)
    }


def shared_lines(validation: pd.DataFrame) -> dict[str, Line]:
    """Threshold (of the highest F1) and calibration of each finding, over the films of all sources together.

    Args:
        validation: `Scores` of one model.

    Returns:
        Of every finding that is present on one film and absent on another.
    """
    lines = {}
    for finding, part in validation[validation["label"] != UNKNOWN].groupby("finding", sort=False):
        score, present = part["score"].to_numpy(dtype=np.float64), part["label"].to_numpy() == 1
        if present.any() and not present.all():
            lines[str(finding)] = Line(best_threshold(score, present, "f1"), fit_platt(score, present))
    return lines


def own_sources(results: Results, variant: Variant, sources: Sequence[str], seeds: Sequence[int]) -> Results:
    """An `each_source` variant as one row: each of its models on its own source."""
    made: Results = {}
    for seed in seeds:
        own = {source: results.get((f"{variant.name}_{source}", seed), {}).get(source) for source in sources}
        found = {source: measured for source, measured in own.items() if measured is not None}
        if found:
            made[(variant.name, seed)] = found
    return made


def score_table(results: Results) -> pd.DataFrame:
    """`AblationScores`: one row per variant, seed, source and finding, without resamples."""
    rows = []
    for (variant, seed), by_source in results.items():
        for source, measured in by_source.items():
            table = pd.DataFrame(measured.values[:, :, 0].T, columns=list(SHOWN)).astype(float)
            table.insert(0, "threshold", measured.thresholds)
            table.insert(0, "negative", measured.negative)
            table.insert(0, "positive", measured.positive)
            for name, value in (("finding", list(measured.findings)), ("source", source), ("seed", seed)):
                table.insert(0, name, value)
            table.insert(0, "variant", variant)
            rows.append(table)
    return pd.concat(rows, ignore_index=True)


def mean_table(results: Results, titles: Mapping[str, str], trained: Sequence[str]) -> pd.DataFrame:
    """`AblationTable`: mean and spread over seeds of every variant, source (or mean of sources) and measure.

    Args:
        results: Of all models.
        titles: Title of each variant.
        trained: Sources trained on.
    """
    rows = []
    for variant, by_seed in _by_variant(results).items():
        macros = [
            _with_means({source: measured.macro for source, measured in by_source.items()}, trained)
            for by_source in by_seed.values()
        ]
        for source in macros[0]:
            values = np.stack([macro[source][:, 0] for macro in macros])
            rows += [
                (
                    variant,
                    titles.get(variant, variant),
                    source,
                    name,
                    float(column.mean()),
                    _spread(column),
                    len(column),
                )
                for name, column in zip(SHOWN, values.T)
            ]
    columns = ["variant", "title", "source", "measure", "value", "spread", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def difference_table(results: Results, variants: Sequence[Variant], trained: Sequence[str]) -> pd.DataFrame:
    """`AblationDifferences`: every variant minus each of its controls, paired film by film and seed by seed.

    The difference is the mean over seeds and over the findings that have a value of both. Its 95 % limits and
    `p_patients` come from resamples by patient with the models as they are; `p_seeds` is that of a paired t-test over
    seeds (NaN for one seed); `same_sign` says whether all seeds agree in which is larger.
    """
    by_variant = _by_variant(results)
    pairs = [(variant.name, control) for variant in variants for control in variant.against]
    rows = []
    for name, control in pairs:
        ones, others = by_variant.get(name, {}), by_variant.get(control, {})
        seeds = [seed for seed in ones if seed in others]
        differences = [_with_means(_paired(ones[seed], others[seed]), trained) for seed in seeds]
        for source in differences[0] if differences else ():
            every = np.stack([difference[source] for difference in differences])  # (S,M,1+R)
            rows += [
                (name, control, source, measure_name, *_judged(every[:, place]))
                for place, measure_name in enumerate(SHOWN)
            ]
    columns = ["variant", "against", "source", "measure", "difference", "spread", "low", "high"]
    table = pd.DataFrame(rows, columns=[*columns, "p_patients", "p_seeds", "same_sign", "seeds"])
    return table.astype(dict.fromkeys(columns[:4], "str") | {"same_sign": "bool"})


def gate_table(name: str, seed: int, gates: pd.DataFrame, trained: Sequence[str]) -> pd.DataFrame:
    """`AblationGates` of one model: sharpness and mutual information of its gate on the test films trained on.

    Args:
        name: Of the variant.
        seed: Its seed.
        gates: `Gates` of the model.
        trained: Sources trained on.
    """
    gates = gates[(gates["split"] == "test") & gates["source"].isin(list(trained))]
    experts = expert_columns(gates)
    weights = gates.groupby("source", sort=False)[experts].mean().to_numpy()
    largest = gates[experts].max(axis=1).groupby(gates["source"], sort=False).mean()
    row = {
        "variant": name,
        "seed": seed,
        "experts": len(experts),
        "sharpness": float(largest.mean()),
        "mutual_information": mutual_information(weights),
        "possible": float(np.log2(min(len(weights), len(experts)))),
    }
    return pd.DataFrame([row], columns=GATE_COLUMNS)


def _measure_source(sheet: Sheet, source: str, lines: Mapping[str, Line], resamples: int, seed: int) -> Measured:
    draws = draw_patients(sheet.patients, source, resamples, seed)
    everyone = [np.ones(len(sheet.images), dtype=bool)]
    thresholds = {finding: line.threshold for finding, line in lines.items()}
    raw = measure_samples(sheet, thresholds, everyone, draws)[:, 0]
    calibrated = measure_samples(_calibrated(sheet, lines), {}, everyone, draws)[:, 0]
    chosen = [(calibrated if name in _CALIBRATED else raw)[MEASURES.index(name)] for name in SHOWN]
    values = np.stack(chosen).astype(np.float32)
    # A finding without a curve has no calibrated probability to judge.
    bare = [place for place, finding in enumerate(sheet.findings) if finding not in lines]
    values[np.ix_([SHOWN.index(name) for name in _CALIBRATED], bare)] = np.nan
    chosen_thresholds = np.array([thresholds.get(finding, np.nan) for finding in sheet.findings])
    return Measured(sheet.findings, sheet.positive, sheet.negative, chosen_thresholds, values)


def _calibrated(sheet: Sheet, lines: Mapping[str, Line]) -> Sheet:
    columns = [
        lines[finding].curve.apply(values) if finding in lines else values
        for finding, values in zip(sheet.findings, sheet.scores.T)
    ]
    return sheet._replace(scores=np.stack(columns, axis=1))


def _by_variant(results: Results) -> dict[str, dict[int, dict[str, Measured]]]:
    ordered: dict[str, dict[int, dict[str, Measured]]] = {}
    for (variant, seed), by_source in results.items():
        ordered.setdefault(variant, {})[seed] = by_source
    return ordered


def _paired(one: Mapping[str, Measured], other: Mapping[str, Measured]) -> dict[str, np.ndarray]:
    """Differences (M,1+R) on every source that both were judged on, over the findings that both have a value of."""
    differences = {}
    for source in one:
        if source in other:
            places = [other[source].findings.index(finding) for finding in one[source].findings]
            each = one[source].values.astype(np.float64) - other[source].values[:, places]
            differences[source] = mean_of_defined(each, axis=1)
    return differences


def _with_means(by_source: dict[str, np.ndarray], trained: Sequence[str]) -> dict[str, np.ndarray]:
    """The values of sources, with their means; a mean over sources trained on needs all of them."""
    own = [by_source[source] for source in trained if source in by_source]
    others = [values for source, values in by_source.items() if source not in trained]
    means = {}
    if len(own) == len(trained):
        means[MEAN] = mean_of_defined(np.stack(own))
    if others:
        means[ZERO_SHOT_MEAN] = mean_of_defined(np.stack(others))
    return by_source | means


def _judged(values: np.ndarray) -> tuple[float, float, float, float, float, float, bool, int]:
    """Difference, spread, limits, p-values, agreement of signs and number of seeds, of values (S,1+R)."""
    per_seed, samples = values[:, 0], values[:, 1:].mean(axis=0)
    low, high = limits(samples)
    signs = np.sign(per_seed)
    return (
        float(per_seed.mean()),
        _spread(per_seed),
        float(low),
        float(high),
        p_value(samples),
        float(ttest_1samp(per_seed, 0).pvalue) if len(per_seed) > 1 and np.ptp(per_seed) > 0 else float("nan"),
        bool((signs == signs[0]).all() and signs[0] != 0),
        len(per_seed),
    )


def _spread(values: np.ndarray) -> float:
    """Standard deviation over seeds (n - 1); NaN for one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
