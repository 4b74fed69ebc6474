"""Figures of localisation: how well maps find boxes, and example films with map and boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.asking import Findings, words_of
from unichest_kedro.evaluation.heatmaps import overlay
from unichest_kedro.evaluation.localisation import PRIORS, Look
from unichest_kedro.evaluation.localisation_targets import CORNERS
from unichest_kedro.evaluation.metrics import MEAN
from unichest_kedro.evaluation.resampling import generator_for
from unichest_kedro.evaluation.scoring import Images, Resize
from unichest_kedro.evaluation.style import (
    INK,
    MARKERS,
    MUTED,
    OKABE_ITO,
    finding_title,
    foot,
    message,
    new_figure,
    source_title,
    tidy,
    title,
)

SHOWN_SIDE = 384
"""Pixels of the longer side of an example film, at least: small films are enlarged so that boxes are thin on them."""

PANELS = (("pointing", "pointing game, share of hits"), ("iou", "intersection over union"))
_PRIOR_COLOURS = ("#8A8A8A", "#444444")
_SPREAD = 0.62
"""Part of a finding's row over which its models are spread."""


@dataclass(frozen=True, eq=False)
class Example:
    """A film with its heat map: uint8 (H,W,3) picture, and in words what was asked and what came of it."""

    source: str
    image_id: str
    finding: str
    picture: np.ndarray
    words: str


def localisation_figure(table: pd.DataFrame) -> Figure:
    """Pointing game (left) and IoU (right) per finding, one row of panels per source, with 95 % intervals.

    Args:
        table: `LocalisationMetrics` of one or more models and of the priors.
    """
    if table.empty:
        return message(new_figure(6, 2), "No film with boxes to hold heat maps against.")
    blocks = {source: _findings(part) for source, part in table.groupby("source", sort=False)}
    models = _in_order(table["model"].unique())
    step = 0.16 + 0.075 * len(models)
    heights = [step * len(findings) + 0.5 for findings in blocks.values()]
    figure = new_figure(9.5, sum(heights) + 1.3)
    grid = figure.subplots(len(blocks), 2, squeeze=False, sharey="row", height_ratios=heights)
    for row, (source, findings) in zip(grid, blocks.items()):
        for axes, (measure, words) in zip(row, PANELS):
            _panel(axes, table[table["source"] == source], findings, models, measure)
            title(axes, f"{source_title(str(source))}: {words}")
        _finding_names(row[0], table[table["source"] == source], findings)
    figure.legend(handles=_handles(models), loc="outside upper center", ncols=min(len(models), 4), frameon=False)
    foot(figure, _note(table))
    return figure


def pick_examples(
    records: pd.DataFrame, model: str, per_source: int = 4, seed: int = 42, split: str = "test"
) -> pd.DataFrame:
    """Draw regions of each source at random, half of them hits and half misses where there are enough of both.

    Args:
        records: `Localisations`.
        model: Whose maps to show.
        per_source: Regions of each source, fewer where it has fewer.
        seed: Seed of the draw.
        split: Split to draw from.

    Returns:
        Rows of `records`, source by source, hits first.
    """
    wanted = records[(records["model"] == model) & (records["split"] == split)]
    parts = []
    for source, part in wanted.groupby("source", sort=False):
        generator = generator_for(str(source), seed)
        drawn = part.iloc[generator.permutation(len(part))].drop_duplicates("image_id")
        hits, misses = drawn[drawn["hit"] >= 0.5], drawn[drawn["hit"] < 0.5]
        count = min(len(hits), max((per_source + 1) // 2, per_source - len(misses)))
        parts += [hits.head(count), misses.head(per_source - count)]
    return pd.concat(parts, ignore_index=True) if parts else wanted.reset_index(drop=True)


def film_overlay(
    look: Look,
    film: np.ndarray,
    finding: str,
    findings: Findings,
    *,
    image_size: int,
    resize: Resize,
    boxes: np.ndarray | None = None,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """A film with the heat map of one finding over it.

    Args:
        look: The model's heat maps, as for `localise`.
        film: uint8 (H,W).
        finding: Whose map to draw.
        findings: All findings to ask about, as when the film is scored, with the words in which they are asked where
            these are not their names.
        image_size: Side of the square images that the model sees, in pixels.
        resize: How a film becomes a square of that side.
        boxes: float (n,4), left, top, right, bottom as parts of the film's width and height.
        device: Where the image goes before the model looks.

    Returns:
        uint8 (H,W,3); smaller films are enlarged to `SHOWN_SIDE`.

    Raises:
        UniChestError: `finding` is not among `findings`.
    """
    words = words_of(findings)
    if finding not in words:
        raise UniChestError(f"no heat map of {finding!r}: it is not among the findings that are asked about")
    image = torch.from_numpy(np.array(resize(film, image_size)))[None, None].to(device)
    heat = look(image, list(words.values()))[0, list(words).index(finding)].float().cpu().numpy()
    shown = _enlarged(film)
    height, width = shown.shape
    corners = np.zeros((0, 4)) if boxes is None else np.asarray(boxes) * (width, height, width, height)
    return overlay(shown, heat, corners)


def draw_examples(
    look: Look,
    picked: pd.DataFrame,
    targets: pd.DataFrame,
    stores: Mapping[str, Images],
    findings_by_source: Mapping[str, Findings],
    *,
    image_size: int,
    resize: Resize,
    device: torch.device | str = "cpu",
) -> tuple[Example, ...]:
    """Films with heat map and boxes, as drawn by `pick_examples`; other arguments as of `film_overlay`."""
    examples = []
    for row in picked.to_dict("records"):
        same = (targets[["source", "image_id", "finding"]] == [row["source"], row["image_id"], row["finding"]]).all(
            axis=1
        )
        boxes = targets[same]
        picture = film_overlay(
            look,
            stores[row["source"]][int(boxes["image_row"].iloc[0])],
            row["finding"],
            findings_by_source[row["source"]],
            image_size=image_size,
            resize=resize,
            boxes=boxes[CORNERS].to_numpy(),
            device=device,
        )
        verdict = "hit" if row["hit"] >= 0.5 else "miss"
        examples.append(Example(row["source"], row["image_id"], row["finding"], picture, verdict))
    return tuple(examples)


def examples_figure(examples: Sequence[Example]) -> Figure:
    """A page of films with heat maps, one row per source."""
    if not examples:
        return message(new_figure(6, 2), "No film with a heat map to show.")
    by_source: dict[str, list[Example]] = {}
    for example in examples:
        by_source.setdefault(example.source, []).append(example)
    columns = max(map(len, by_source.values()))
    figure = new_figure(2.6 * max(columns, 3), 3.5 * len(by_source) + 0.4)
    grid = figure.subplots(len(by_source), columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for row, of_source in zip(grid, by_source.values()):
        for axes, example in zip(row, of_source):
            axes.imshow(example.picture)
            words = f"{source_title(example.source)}\n{finding_title(example.finding)}: {example.words}"
            axes.set_title(words, fontsize=9, loc="left", color=INK)
    foot(figure, "Purple to yellow: where the model looks, from little to most. Blue: the readers' boxes.")
    return figure


def _findings(part: pd.DataFrame) -> list[str]:
    """Findings of a source with most films first, the mean last."""
    films = part.groupby("finding")["films"].max().drop(MEAN, errors="ignore")
    return [*films.sort_values(ascending=False, kind="stable").index, MEAN]


def _in_order(models: Sequence[str]) -> list[str]:
    """Models as they come, then the priors."""
    return [m for m in models if m not in PRIORS] + [m for m in PRIORS if m in list(models)]


def _looks(models: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each model; priors are grey."""
    own = [model for model in models if model not in PRIORS]
    looks = {model: (OKABE_ITO[k % 6], MARKERS[k % 5]) for k, model in enumerate(own)}
    return looks | dict(zip(PRIORS, zip(_PRIOR_COLOURS, ("P", "X"))))


def _panel(axes: Axes, part: pd.DataFrame, findings: list[str], models: list[str], measure: str) -> None:
    tidy(axes, grid="x")
    looks = _looks(models)
    for k, model in enumerate(models):
        rows = part[(part["model"] == model) & part[measure].notna()]
        place = rows["finding"].map(findings.index).to_numpy(dtype=float)
        place += _SPREAD * ((k + 0.5) / len(models) - 0.5)
        colour, marker = looks[model]
        axes.hlines(place, rows[f"{measure}_low"], rows[f"{measure}_high"], color=colour, linewidth=1.4)
        axes.plot(
            rows[measure], place, marker, color=colour, markersize=5, markeredgecolor="white", markeredgewidth=0.5
        )
    axes.axhline(len(findings) - 1.5, color=MUTED, linewidth=0.8)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(findings) - 0.5, -0.5))
    for row in range(0, len(findings), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#F4F4F4", zorder=0)


def _finding_names(axes: Axes, part: pd.DataFrame, findings: list[str]) -> None:
    films = part.groupby("finding")["films"].max()
    counted = part.groupby("finding")["in_mean"].any()
    names = [f"{finding_title(name)} ({films[name]}){'' if counted[name] else ' *'}" for name in findings[:-1]]
    axes.set_yticks(range(len(findings)), [*names, "Mean"], fontsize=8.5)
    axes.tick_params(axis="y", length=0)


def _handles(models: list[str]) -> list[Line2D]:
    looks = _looks(models)
    return [
        Line2D([], [], color=looks[model][0], marker=looks[model][1], linewidth=1.4, markersize=6, label=model)
        for model in models
    ]


def _note(table: pd.DataFrame) -> str:
    tolerance = table["tolerance"].iloc[0]
    reach = f"within {tolerance:.0%} of the shorter side of" if tolerance else "in"
    at = "; ".join(
        f"{row.model} {row.threshold:.2f} ({row.threshold_from if row.threshold_from == 'fixed' else 'validation'})"
        for row in table.drop_duplicates("model").itertuples()
    )
    few = " * too few films to count in the mean." if not table.loc[table["finding"] != MEAN, "in_mean"].all() else ""
    return (
        f"Films in brackets. Bars: 95 % intervals by patient. A hit: the map's highest point lies {reach} the boxed "
        f"region. IoU at the map's threshold: {at}.{few}"
    )


def _enlarged(film: np.ndarray) -> np.ndarray:
    """The film, each pixel repeated until its longer side is `SHOWN_SIDE` or more."""
    times = max(1, -(-SHOWN_SIDE // max(film.shape)))
    return film.repeat(times, axis=0).repeat(times, axis=1)
