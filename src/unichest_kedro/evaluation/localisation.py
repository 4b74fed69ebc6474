"""How well heat maps find what readers boxed: pointing game and overlap, beside priors that never see the film.

* **Pointing game** (Zhang et al., "Top-down neural attention by excitation backprop", IJCV 2018): a hit is a map whose
  highest point lies in the region of the finding, or within the tolerance of it.
* **Intersection over union** of the region and what the map puts at or above a threshold, which is chosen on validation
  boxes; and its mean over all thresholds, which needs no choice.
* **Priors**: a bell in the middle of the film, the same for every finding, and per finding the mean of the regions on
  training films. A map that does not beat them has shown no more than where chests are, and findings in them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.asking import Findings, words_of
from unichest_kedro.evaluation.heatmaps import stretch
from unichest_kedro.evaluation.localisation_targets import (
    REGION,
    BoxedFinding,
    LocalisationSettings,
    boxed_findings,
    region,
)
from unichest_kedro.evaluation.metrics import MEAN
from unichest_kedro.evaluation.resampling import generator_for, limits, p_value, times_drawn
from unichest_kedro.evaluation.scoring import Films, Images, Resize

Look = Callable[[Tensor, Sequence[str]], Tensor]
"""uint8 (B,1,S,S), words in which Q findings are asked -> heat maps float (B,Q,h,w) in [0, 1]."""

CENTRE_PRIOR = "Centre prior"
MEAN_BOX_PRIOR = "Mean box prior"
PRIORS = (CENTRE_PRIOR, MEAN_BOX_PRIOR)
"""What stands in the column `model` for maps that look at no film."""

CENTRE_SPREAD = 0.25
"""Standard deviation of the bell in the middle, as part of the film's height and width."""

THRESHOLDS = np.arange(5, 100, 5) / 100
"""From which part of a map's range on a place counts as found."""

IOUS = [f"iou_{round(100 * threshold):02d}" for threshold in THRESHOLDS]
FIXED = "fixed"
MEASURES = ("pointing", "iou", "mean_iou")
LIMITS = [f"{measure}{limit}" for measure in MEASURES for limit in ("", "_low", "_high")]
P_VALUES = [f"{measure}_p" for measure in MEASURES]
SUMMARY_COLUMNS = ["finding", "films", "patients", "in_mean", *LIMITS]
_ROUNDING = 1e-6  # how far float32 may carry a map beyond [0, 1], or a threshold from itself


def localise(
    look: Look,
    name: str,
    targets: pd.DataFrame,
    stores: Mapping[str, Images],
    findings_by_source: Mapping[str, Findings],
    settings: LocalisationSettings,
    *,
    image_size: int,
    batch_size: int,
    resize: Resize,
    splits: Sequence[str] = ("val", "test"),
    device: torch.device | str = "cpu",
    workers: int = 0,
) -> pd.DataFrame:
    """Hold a model's heat maps against the regions of all boxed films, each film seen once.

    A film is asked about all findings of its source at once, as when it is scored: what queries see depends on the
    others that are asked with them.

    Args:
        look: The model's heat maps, as of `heatmaps.look_with`.
        name: What the `model` column will say.
        targets: `BoxTargets`.
        stores: Image store of each source.
        findings_by_source: Findings asked of each source, with the words in which they are asked where these are not
            their names.
        settings: Tolerance and raster.
        image_size: Side of the square images, in pixels.
        batch_size: Images per forward pass.
        resize: How a film becomes a square of that side.
        splits: Splits to look at.
        device: Where the images go before the model looks.
        workers: Processes that read images ahead.

    Returns:
        `Localisations`, source by source, film by film.

    Raises:
        UniChestError: a boxed finding is not asked, or the maps are not as many as asked or not within [0, 1].
    """
    wanted = targets[targets["split"].isin(list(splits))]
    rows: list[tuple] = []
    count = len(wanted[["source", "image_id"]].drop_duplicates())
    with tqdm(total=count, desc=f"look with {name}", unit="film", disable=not count) as bar:
        for source, part in wanted.groupby("source", sort=False):
            words = words_of(findings_by_source[source])
            findings = list(words)
            _require_asked(str(source), part, findings)
            films = [list(boxes) for _, boxes in groupby(_by_film(part), key=lambda boxed: boxed.image_row)]
            squares = Films(stores[source], [boxes[0].image_row for boxes in films], image_size, resize)
            loader = DataLoader(squares, batch_size=batch_size, shuffle=False, num_workers=workers)
            for film, maps in zip(films, _maps(look, name, loader, list(words.values()), device)):
                rows += [_row(name, boxed, maps[findings.index(boxed.finding)], settings) for boxed in film]
                bar.update()
    return _table(rows)


def localise_priors(
    targets: pd.DataFrame, settings: LocalisationSettings, splits: Sequence[str] = ("val", "test")
) -> pd.DataFrame:
    """Hold the priors against the same regions: `CENTRE_PRIOR`, and `MEAN_BOX_PRIOR` where training films have boxes.

    Returns:
        `Localisations`; a finding without boxes on training films has no row of `MEAN_BOX_PRIOR`.
    """
    centre, mean_boxes = centre_prior(settings.raster), mean_box_priors(targets, settings.raster)
    wanted = targets[targets["split"].isin(list(splits))]
    rows = [
        _row(name, boxed, heat, settings)
        for boxed in _with_bar(wanted, "hold priors against boxes")
        for name, heat in zip(PRIORS, (centre, mean_boxes.get(boxed.finding)))
        if heat is not None
    ]
    return _table(rows)


def centre_prior(raster: int) -> np.ndarray:
    """A bell in the middle of the film (`CENTRE_SPREAD`), float32 (raster, raster) from 0 to 1."""
    away = ((np.arange(raster) + 0.5) / raster - 0.5) / CENTRE_SPREAD
    bell = np.exp(-(away**2) / 2)
    return _from_0_to_1(bell[:, None] * bell)


def mean_box_priors(targets: pd.DataFrame, raster: int) -> dict[str, np.ndarray]:
    """For each finding the mean of its regions on training films of all sources, float32 (raster, raster), 0 to 1."""
    train = targets[targets["split"] == "train"]
    sums: dict[str, np.ndarray] = {}
    for boxed in _with_bar(train, "average training boxes"):
        total = sums.setdefault(boxed.finding, np.zeros((raster, raster)))
        total += region(boxed, raster)
    return {finding: _from_0_to_1(total) for finding, total in sums.items()}


def pointing_hit(
    heat: np.ndarray, truth: np.ndarray, tolerance: float = 0.0, shape: tuple[float, float] = (1, 1)
) -> float:
    """Whether the highest point of a map lies in a region.

    Args:
        heat: float (R,R), a map.
        truth: bool (R,R), the region, not empty.
        tolerance: How far from the region is near enough, as part of the film's shorter side.
        shape: Height and width of the film, in any unit.

    Returns:
        1 or 0; where several points are equally high, the part of them that hit (what a draw among them would give).
    """
    allowed = truth
    if tolerance:
        cell = np.array(shape) / np.array(truth.shape) / min(shape)
        allowed = distance_transform_edt(~truth, sampling=cell) <= tolerance
    return float(allowed[heat == heat.max()].mean())


def ious(heat: np.ndarray, truth: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """Intersection over union of a region and the map at or above each threshold.

    Args:
        heat: float (R,R), a map.
        truth: bool (R,R), the region, not empty.
        thresholds: (T,), rising.

    Returns:
        float64 (T,).
    """
    level = np.searchsorted(thresholds, heat.ravel(), side="right")
    bins = len(thresholds) + 1
    found = np.bincount(level, minlength=bins)[::-1].cumsum()[::-1][1:]
    both = np.bincount(level[truth.ravel()], minlength=bins)[::-1].cumsum()[::-1][1:]
    return both / (found + truth.sum() - both)


def choose_thresholds(records: pd.DataFrame, settings: LocalisationSettings) -> pd.DataFrame:
    """For each model the threshold with the best IoU on validation films, every source and finding counting alike.

    Args:
        records: `Localisations`.
        settings: The threshold for a model without validation films.

    Returns:
        `model`, `threshold` and `threshold_from`: the sources whose validation films chose it, or `FIXED`.
    """
    rows = []
    for model, part in records.groupby("model", sort=False):
        chosen_on = part[part["split"] == "val"]
        if chosen_on.empty:
            rows.append((model, settings.threshold, FIXED))
            continue
        mean = chosen_on.groupby(["source", "finding"])[IOUS].mean().mean().to_numpy()
        rows.append((model, THRESHOLDS[int(mean.argmax())], ", ".join(chosen_on["source"].unique())))
    table = pd.DataFrame(rows, columns=["model", "threshold", "threshold_from"])
    return table.astype({"model": "str", "threshold": "float64", "threshold_from": "str"})


def localisation_table(
    records: pd.DataFrame, settings: LocalisationSettings, seed: int = 42, split: str = "test"
) -> pd.DataFrame:
    """Pointing game and IoU of each model, source and finding, with 95 % limits by patient.

    All models of a source are resampled by the same draws of patients, which depend on seed and source alone.

    Args:
        records: `Localisations` of models and priors; those of `val` choose the thresholds.
        settings: Resamples, and how many films a finding needs to count in the mean.
        seed: Seed of the draws.
        split: The split to judge.

    Returns:
        `LocalisationMetrics`; the last row of each model and source is the mean over its findings.
    """
    thresholds = choose_thresholds(records, settings)
    judged = _with_measures(records, thresholds, split)
    rows = [
        {"model": model, "source": source, "split": split, **row}
        for source, part in judged.groupby("source", sort=False)
        for model, row in _rows_of_source(str(source), part, settings, seed)
    ]
    columns = ["model", "source", "split", *SUMMARY_COLUMNS, "area"]
    table = pd.DataFrame(rows, columns=columns).astype(_types(columns)).merge(thresholds, on="model", how="left")
    return table.assign(tolerance=settings.tolerance).astype({"tolerance": "float64"})


def localisation_differences(
    records: pd.DataFrame,
    settings: LocalisationSettings,
    pairs: Sequence[tuple[str, str]],
    seed: int = 42,
    split: str = "test",
) -> pd.DataFrame:
    """Paired differences between maps, on the regions that both have, with 95 % limits and p-values by patient.

    Args:
        records: `Localisations`, as for `localisation_table`.
        settings: Resamples, and how many films a finding needs to count in the mean.
        pairs: Of each pair, the first minus the second.
        seed: Seed of the draws.
        split: The split to judge.

    Returns:
        `LocalisationDifferences`; the last row of each pair and source is the mean over its findings.

    Raises:
        UniChestError: a pair names a model that has no records.
    """
    _require_known(pairs, records)
    judged = _with_measures(records, choose_thresholds(records, settings), split)
    rows = []
    for model, against in pairs:
        one, other = (judged[judged["model"] == name].set_index(REGION) for name in (model, against))
        common = one.index.intersection(other.index, sort=False)
        gap = one.loc[common, list(MEASURES)] - other.loc[common, list(MEASURES)]
        paired = gap.assign(area=one.loc[common, "area"], model=model).reset_index()
        for source, part in paired.groupby("source", sort=False):
            for _, row in _rows_of_source(str(source), part, settings, seed):
                rows.append({"model": model, "against": against, "source": source, "split": split, **row})
    columns = ["model", "against", "source", "split", *SUMMARY_COLUMNS, *P_VALUES]
    return pd.DataFrame(rows, columns=columns).astype(_types(columns)).drop(columns="patients")


class _Summary(NamedTuple):
    """Mean of the measures (3,), and of each resample (R,3), over some regions."""

    mean: np.ndarray
    samples: np.ndarray


def _rows_of_source(
    source: str, judged: pd.DataFrame, settings: LocalisationSettings, seed: int
) -> Iterator[tuple[str, dict[str, object]]]:
    """The rows of each model on one source: its findings, then their mean."""
    people = pd.Index(sorted(judged["patient_id"].unique()))
    draws = times_drawn(generator_for(source, seed), len(people), settings.resamples)
    for model, part in judged.groupby("model", sort=False):
        averaged: dict[str, _Summary] = {}
        for finding, of_finding in part.groupby("finding", sort=True):
            weights = draws[:, people.get_indexer(of_finding["patient_id"])]
            summary = _summarise(of_finding[list(MEASURES)].to_numpy(), weights)
            enough = len(of_finding) >= settings.fewest_films
            if enough:
                averaged[str(finding)] = summary
            yield str(model), _summary_row(str(finding), of_finding, enough, summary)
        mean = _average(list(averaged.values()), settings.resamples)
        yield str(model), _summary_row(MEAN, part[part["finding"].isin(list(averaged))], bool(averaged), mean)


def _summarise(values: np.ndarray, weights: np.ndarray) -> _Summary:
    """Mean of values (n,3), and for each resample (R,n) the weighted mean; NaN where nothing was drawn."""
    total = weights.sum(axis=1, keepdims=True)
    samples = np.divide(weights @ values, total, out=np.full((len(weights), values.shape[1]), np.nan), where=total > 0)
    return _Summary(values.mean(axis=0), samples)


def _average(summaries: Sequence[_Summary], resamples: int) -> _Summary:
    """The mean over findings; in a resample, over those that were drawn."""
    if not summaries:
        return _Summary(np.full(len(MEASURES), np.nan), np.full((resamples, len(MEASURES)), np.nan))
    stacked = np.stack([summary.samples for summary in summaries])
    drawn = np.isfinite(stacked).sum(axis=0)
    samples = np.divide(np.nansum(stacked, axis=0), drawn, out=np.full(stacked.shape[1:], np.nan), where=drawn > 0)
    return _Summary(np.mean([summary.mean for summary in summaries], axis=0), samples)


def _summary_row(finding: str, part: pd.DataFrame, in_mean: bool, summary: _Summary) -> dict[str, object]:
    row: dict[str, object] = {
        "finding": finding,
        "films": part["image_id"].nunique(),
        "patients": part["patient_id"].nunique(),
        "in_mean": in_mean,
        "area": part["area"].mean(),
    }
    for column, measure in enumerate(MEASURES):
        drawn = summary.samples[:, column]
        low, high = limits(drawn)
        row |= {measure: summary.mean[column], f"{measure}_low": float(low), f"{measure}_high": float(high)}
        row[f"{measure}_p"] = p_value(drawn)
    return row


def _with_measures(records: pd.DataFrame, thresholds: pd.DataFrame, split: str) -> pd.DataFrame:
    """The records of one split with the columns `MEASURES`."""
    judged = records[records["split"] == split].merge(thresholds, on="model", how="left")
    values = judged[IOUS].to_numpy(dtype=np.float64).reshape(-1, len(IOUS))
    at = np.searchsorted(THRESHOLDS, judged["threshold"].to_numpy() - _ROUNDING)
    return judged[["model", *REGION, "area"]].assign(
        pointing=judged["hit"], iou=values[np.arange(len(values)), at], mean_iou=values.mean(axis=1)
    )


def _maps(
    look: Look, name: str, loader: DataLoader, words: list[str], device: torch.device | str
) -> Iterator[np.ndarray]:
    """The maps (Q,h,w) of one film after the other."""
    for images in loader:
        maps = look(images.to(device), words).float().cpu().numpy()
        if maps.ndim != 4 or maps.shape[:2] != (len(images), len(words)):
            raise UniChestError(
                f"model {name!r} gave maps {maps.shape}; asked were {len(images)} images and {len(words)} findings"
            )
        if not (np.all(maps >= -_ROUNDING) and np.all(maps <= 1 + _ROUNDING)):
            raise UniChestError(
                f"model {name!r} gave heat maps beyond 0 to 1 or not finite; it has diverged: train it again with a "
                "lower learning rate"
            )
        yield from maps


def _row(name: str, boxed: BoxedFinding, heat: np.ndarray, settings: LocalisationSettings) -> tuple:
    """One row of `Localisations`."""
    truth = region(boxed, settings.raster)
    heat = stretch(heat, settings.raster, settings.raster)
    hit = pointing_hit(heat, truth, settings.tolerance, boxed.shape)
    return name, *boxed.key, truth.mean(), hit, *ious(heat, truth)


def _by_film(targets: pd.DataFrame) -> list[BoxedFinding]:
    """The boxed findings, those of a film beside each other."""
    return sorted(boxed_findings(targets), key=lambda boxed: boxed.image_row)


def _types(columns: Sequence[str]) -> dict[str, str]:
    """Types of the columns of summaries, so that a table without rows has them too."""
    known = {"films": "int64", "patients": "int64", "in_mean": "bool"}
    known |= dict.fromkeys(("model", "against", "source", "split", "finding"), "str")
    return {column: known.get(column, "float64") for column in columns}


def _table(rows: list[tuple]) -> pd.DataFrame:
    columns = ["model", *REGION, "area", "hit", *IOUS]
    types = {column: "str" if column in ("model", *REGION) else "float64" for column in columns}
    return pd.DataFrame(rows, columns=columns).astype(types)


def _from_0_to_1(values: np.ndarray) -> np.ndarray:
    """A map from its lowest to its highest value; all 1 where it is the same everywhere."""
    spread = values.max() - values.min()
    return ((values - values.min()) / spread if spread else np.ones_like(values)).astype(np.float32)


def _with_bar(targets: pd.DataFrame, words: str) -> Iterator[BoxedFinding]:
    count = len(targets[["source", "image_id", "finding"]].drop_duplicates())
    return iter(tqdm(boxed_findings(targets), total=count, desc=words, unit="region", disable=not count))


def _require_asked(source: str, targets: pd.DataFrame, findings: list[str]) -> None:
    missing = sorted(set(targets["finding"]) - set(findings))
    if missing:
        raise UniChestError(
            f"source {source!r} has boxes of {', '.join(map(repr, missing))}, which it is not asked about; ask about "
            "the same findings as when the boxes were picked"
        )


def _require_known(pairs: Sequence[tuple[str, str]], records: pd.DataFrame) -> None:
    known = set(records["model"])
    unknown = sorted({name for pair in pairs for name in pair} - known)
    if unknown:
        raise UniChestError(
            f"no heat maps of {', '.join(map(repr, unknown))} to compare; there are some of "
            f"{', '.join(sorted(known)) or 'nothing'}"
        )
