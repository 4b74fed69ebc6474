"""Discrimination per finding and source, its intervals, and how far the gate tells the sources apart."""

import zlib
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from unichest_kedro.errors import UniChestError
from unichest_kedro.schemas import UNKNOWN

MEAN = "mean"
"""Name of the row (or column) that holds the plain mean over the sources that were trained on."""

ZERO_SHOT_MEAN = "mean_zero_shot"
"""The same over the sources that were only scored; the two kinds are never averaged together."""

MEANS = {True: MEAN, False: ZERO_SHOT_MEAN}
"""Name of the mean by whether its sources were trained on."""

GROUP = ["model", "source", "split", "finding"]
BLOCK_CELLS = 4_000_000  # weights held at once by the bootstrap: 32 MB of float64


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Args:
        labels: (n,) 1, 0 or `UNKNOWN`; unknown ones are left out.
        scores: (n,) finite numbers, larger meaning more likely present.

    Returns:
        A number in [0, 1], exact (from mid-ranks, Mann-Whitney); NaN where one class is missing.

    Raises:
        UniChestError: A known image has a score that is not finite.
    """
    known = np.asarray(labels) != UNKNOWN
    positive, scores = np.asarray(labels)[known] == 1, np.asarray(scores, dtype=np.float64)[known]
    _require_finite(scores)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    won = rankdata(scores)[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(won / (n_positive * n_negative))


def auroc_table(scores: pd.DataFrame) -> pd.DataFrame:
    """AUROC of every model, source, split and finding in a `Scores` table.

    Returns:
        `Metrics`: one row per group in order of appearance, with its known positives and negatives.

    Raises:
        UniChestError: A known image has a score that is not finite.
    """
    group = scores.groupby(GROUP, sort=False, observed=True).ngroup().to_numpy()
    firsts = np.unique(group, return_index=True)[1]
    table = scores[[*GROUP, "trained_on"]].iloc[firsts].reset_index(drop=True)
    label, score = scores["label"].to_numpy(), scores["score"].to_numpy(dtype=np.float64)
    _require_finite(score[label != UNKNOWN])
    rank = pd.Series(np.where(label == UNKNOWN, np.nan, score)).groupby(group).rank().to_numpy()
    positive = np.bincount(group[label == 1], minlength=len(table))
    negative = np.bincount(group[label == 0], minlength=len(table))
    rank_sum = np.bincount(group[label == 1], weights=rank[label == 1], minlength=len(table))
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (rank_sum - positive * (positive + 1) / 2) / (positive * negative)
    area[(positive == 0) | (negative == 0)] = np.nan
    return table.assign(positive=positive, negative=negative, auroc=area)


def macro_table(metrics: pd.DataFrame, samples: pd.DataFrame | None = None, split: str = "test") -> pd.DataFrame:
    """Mean AUROC over the findings of each source, and the means of these over each kind of source (`MEANS`).

    Args:
        metrics: `Metrics`.
        samples: The resamples of `macro_samples`, for intervals.
        split: Which split to summarise.

    Returns:
        One row per model and source: `model, source, trained_on, auroc, findings` (how many were averaged), `left_out`
        (names of the findings, or for a mean of the sources, that lack a class) and, with samples, the 95 % limits
        `low, high`. Of each model first the sources that were trained on and their mean, then the zero-shot sources
        and theirs.

    Raises:
        UniChestError: The models were not trained on the same sources.
    """
    metrics = metrics[metrics["split"] == split]
    _require_one_kind(metrics)
    rows = [_macro_row(model, source, part) for (model, source), part in _model_source(metrics)]
    columns = ["model", "source", "trained_on", "auroc", "findings", "left_out"]
    per_source = pd.DataFrame(rows, columns=columns)
    parts = [
        table
        for (model, trained_on), part in per_source.groupby(["model", "trained_on"], sort=False)
        for table in (part, pd.DataFrame([_mean_row(model, trained_on, part)], columns=columns))
    ]
    table = pd.concat(parts or [per_source], ignore_index=True)
    types = {"model": "str", "source": "str", "trained_on": bool, "auroc": float, "findings": int, "left_out": "str"}
    table = table.astype(types)
    order = {model: i for i, model in enumerate(per_source["model"].unique())}
    table = table.iloc[np.lexsort((~table["trained_on"], table["model"].map(order)))].reset_index(drop=True)
    if samples is None:
        return table
    limits = [_limits(samples[(m, s)].to_numpy()) for m, s in zip(table["model"], table["source"])]
    return table.assign(low=[low for low, _ in limits], high=[high for _, high in limits])


def macro_samples(scores: pd.DataFrame, resamples: int = 1000, seed: int = 42, split: str = "test") -> pd.DataFrame:
    """Bootstrap of the macro AUROC: patients drawn with replacement, the same draws for every model.

    A finding that lacks a class in a resample is left out of that resample's mean, as in `macro_table`. The
    draws of a source depend on the seed and its key alone: adding a source changes no other's interval.

    Args:
        scores: `Scores` of one or more models, all on the same images, findings and labels.
        resamples: Number of resamples, at least 1.
        seed: Seed of the draws.
        split: Which split to resample.

    Returns:
        One row per resample, columns (model, source) with the `MEANS` over each kind of source; NaN where nothing
        could be averaged.

    Raises:
        UniChestError: The models were not scored on the same images and labels, or a score is not finite.
    """
    scores = scores[scores["split"] == split]
    models = list(scores["model"].unique())
    columns: dict[tuple[str, str], np.ndarray] = {}
    for source, part in scores.groupby("source", sort=False):
        for model, values in _source_samples(str(source), part, models, resamples, seed):
            columns[(model, str(source))] = values
    for trained_on, part in scores.groupby("trained_on"):
        for model in models:
            stacked = np.stack([columns[(model, str(source))] for source in part["source"].unique()])
            columns[(model, MEANS[bool(trained_on)])] = _nanmean(stacked)
    return pd.DataFrame(columns)


def difference_table(macro: pd.DataFrame, samples: pd.DataFrame, model: str, against: str) -> pd.DataFrame:
    """Paired difference of macro AUROC, `model` minus `against`, with its 95 % bootstrap interval.

    Returns:
        One row per source and mean, in the order of `macro_table`: `source, difference, low, high`.
    """
    area = macro.set_index(["model", "source"])["auroc"]
    sources = [source for name, source in area.index if name == model]
    rows = []
    for source in sources:
        low, high = _limits((samples[(model, source)] - samples[(against, source)]).to_numpy())
        rows.append((source, area[(model, source)] - area[(against, source)], low, high))
    return pd.DataFrame(rows, columns=["source", "difference", "low", "high"])


def weighted_auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC with each image counted `weights` times, for many weightings at once.

    Args:
        labels: (n,) 1, 0 or `UNKNOWN`.
        scores: (n,) finite numbers.
        weights: (n, R) non-negative counts.

    Returns:
        (R,) AUROC, NaN where the weights leave no positive or no negative.
    """
    known = np.flatnonzero(labels != UNKNOWN)
    order = known[np.argsort(scores[known], kind="stable")]
    ranked, weights = scores[order], weights[order]
    positive = labels[order] == 1
    negatives = np.zeros((len(order) + 1, weights.shape[1]))
    np.cumsum(np.where(positive[:, None], 0, weights), axis=0, out=negatives[1:])
    below = negatives[np.searchsorted(ranked, ranked[positive], side="left")]
    up_to = negatives[np.searchsorted(ranked, ranked[positive], side="right")]
    won = np.einsum("pr,pr->r", weights[positive], below + up_to) / 2
    pairs = weights[positive].sum(axis=0) * negatives[-1]
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def roc_points(labels: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """The ROC curve of one finding, from (0, 0) to (1, 1), one point per distinct score.

    Returns:
        `threshold` (a film is called positive at or above it; the first is infinite), `false_positive_rate`
        and `true_positive_rate`; no rows where one class is missing.
    """
    known = labels != UNKNOWN
    order = np.argsort(-scores[known], kind="stable")
    ranked, positive = scores[known][order], labels[known][order] == 1
    if positive.all() or not positive.any():
        return pd.DataFrame({"threshold": [], "false_positive_rate": [], "true_positive_rate": []}, dtype=float)
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    true, false = np.cumsum(positive)[last], np.cumsum(~positive)[last]
    return pd.DataFrame(
        {
            "threshold": np.concatenate([[np.inf], ranked[last]]),
            "false_positive_rate": np.concatenate([[0], false / false[-1]]),
            "true_positive_rate": np.concatenate([[0], true / true[-1]]),
        }
    )


def macro_roc(scores: pd.DataFrame, points: int = 201) -> tuple[np.ndarray, np.ndarray]:
    """Mean ROC curve over the findings of one model and source, averaged at equal false positive rate.

    Returns:
        False and true positive rates, (points,) each; the latter NaN where no finding has both classes.
    """
    grid = np.linspace(0, 1, points)
    curves = []
    for _, part in scores.groupby("finding", sort=False):
        roc = roc_points(part["label"].to_numpy(), part["score"].to_numpy())
        if len(roc):
            curves.append(np.interp(grid, roc["false_positive_rate"], roc["true_positive_rate"]))
    if not curves:
        return grid, np.full(points, np.nan)
    return grid, np.concatenate([[0], np.mean(curves, axis=0)[1:]])


def gate_table(gates: pd.DataFrame) -> pd.DataFrame:
    """Mean gate of each model and source.

    Returns:
        One row per model and source: `model, source, images`, the mean weight of each expert (`expert_1` ...)
        and `sharpness`, the mean over images of the largest weight (1/K: undecided, 1: certain).
    """
    experts = expert_columns(gates)
    sharp = gates.assign(sharpness=gates[experts].max(axis=1))
    groups = sharp.groupby(["model", "source"], sort=False)
    table = groups[[*experts, "sharpness"]].mean()
    table.insert(0, "images", groups.size())
    return table.reset_index()


def gate_summary(gates: pd.DataFrame) -> pd.DataFrame:
    """How far the gate tells the sources apart, one row per model.

    Returns:
        `model`, `mutual_information` between source and chosen expert in bits, `possible` (its largest value,
        log2 of the smaller of sources and experts), `sharpness` (mean largest weight, sources counting alike)
        and `experts` (K).
    """
    rows = []
    for model, part in gate_table(gates).groupby("model", sort=False):
        experts = expert_columns(part)
        possible = float(np.log2(min(len(part), len(experts))))
        information = mutual_information(part[experts].to_numpy())
        rows.append((model, information, possible, part["sharpness"].mean(), len(experts)))
    return pd.DataFrame(rows, columns=["model", "mutual_information", "possible", "sharpness", "experts"])


def mutual_information(gates: np.ndarray) -> float:
    """Mutual information in bits between source and expert, every source counting alike.

    `I = mean_s sum_k p(k|s) log2(p(k|s) / p(k))`, the expert being drawn with the gate's weights.

    Args:
        gates: (sources, K) mean gate weights of each source; rows sum to one.
    """
    overall = gates.mean(axis=0, keepdims=True)
    ratio = np.divide(gates, overall, out=np.ones_like(gates), where=gates > 0)
    return float(np.mean(np.sum(gates * np.log2(ratio), axis=1)))


def expert_columns(gates: pd.DataFrame) -> list[str]:
    """Names of the experts' columns in a `Gates` table, in order of their numbers."""
    names = [name for name in gates.columns if name.startswith("expert_")]
    return sorted(names, key=lambda name: int(name.removeprefix("expert_")))


def _require_finite(scores: np.ndarray) -> None:
    bad = int((~np.isfinite(scores)).sum())
    if bad:
        raise UniChestError(
            f"{bad} of {len(scores)} scores are not finite numbers; a model with such scores has diverged: "
            "train it again with a lower learning rate"
        )


def _model_source(metrics: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    yield from metrics.groupby(["model", "source"], sort=False)


def _require_one_kind(metrics: pd.DataFrame) -> None:
    kinds = metrics.groupby("source", sort=False)["trained_on"].nunique()
    if (kinds > 1).any():
        raise UniChestError(
            f"of the models {', '.join(metrics['model'].unique())} some were trained on {kinds.index[kinds > 1][0]} "
            "and some were not, so that they cannot stand in one table; train all of them on the same sources"
        )


def _macro_row(model: str, source: str, part: pd.DataFrame) -> tuple[str, str, bool, float, int, str]:
    usable = part["auroc"].notna()
    left_out = ", ".join(part.loc[~usable, "finding"])
    return model, source, bool(part["trained_on"].iloc[0]), part["auroc"].mean(), int(usable.sum()), left_out


def _mean_row(model: str, trained_on: bool, part: pd.DataFrame) -> tuple[str, str, bool, float, int, str]:
    left_out = ", ".join(part.loc[part["auroc"].isna(), "source"])
    return model, MEANS[trained_on], trained_on, part["auroc"].mean(), int(part["findings"].sum()), left_out


def _limits(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _nanmean(stacked: np.ndarray) -> np.ndarray:
    """Mean over the first axis without NaN; NaN where all are."""
    count = np.isfinite(stacked).sum(axis=0)
    total = np.nansum(stacked, axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _source_samples(
    source: str, scores: pd.DataFrame, models: list[str], resamples: int, seed: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Macro AUROC of each resample, model by model, for the scores of one source."""
    labels, values = _same_labels(source, scores, models), {m: _wide(scores, m, "score") for m in models}
    people = scores.drop_duplicates("image_id").set_index("image_id")["patient_id"]
    patients = pd.factorize(people.loc[labels.index])[0]
    generator = np.random.default_rng([seed, zlib.crc32(source.encode())])
    blocks = [_draw(patients, block, generator) for block in _blocks(len(patients), resamples)]
    truth = labels.to_numpy()
    for model in models:
        column = values[model].to_numpy()
        yield model, np.concatenate([_macro_of_block(truth, column, weights) for weights in blocks])


def _same_labels(source: str, scores: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """The (images x findings) labels that all models share."""
    first = _wide(scores, models[0], "label")
    for model in models[1:]:
        if not _wide(scores, model, "label").equals(first):
            raise UniChestError(
                f"models {models[0]!r} and {model!r} were not scored on the same images, findings and labels "
                f"of source {source!r}; run the evaluate pipeline again for both"
            )
    return first


def _wide(scores: pd.DataFrame, model: str, value: str) -> pd.DataFrame:
    """One row per image, one column per finding, both sorted by name."""
    part = scores[scores["model"] == model]
    return part.pivot(index="image_id", columns="finding", values=value).sort_index()


def _blocks(images: int, resamples: int) -> list[int]:
    """Sizes of the blocks of resamples that keep the weights small."""
    size = max(1, BLOCK_CELLS // max(images, 1))
    return [min(size, resamples - start) for start in range(0, resamples, size)]


def _draw(patients: np.ndarray, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """(images, resamples) how often each image is drawn when whole patients are drawn with replacement."""
    count = int(patients.max()) + 1
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn.T.astype(np.int16)[patients]


def _macro_of_block(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    columns = [weighted_auroc(labels[:, f], scores[:, f], weights) for f in range(labels.shape[1])]
    return _nanmean(np.stack(columns))
