"""Forest plot: AUROC of every benchmark and model with its interval."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.evaluation.metrics import MEANS
from unichest_kedro.evaluation.panels import dot_handle, dots, intervals, legend_above, name_rows, offsets
from unichest_kedro.evaluation.style import MUTED, foot, message, new_figure, source_title, tidy, title

BLOCKS = {True: "Sources trained on", False: "Zero-shot sources"}
COLUMNS = ["model", "benchmark", "in_domain", "trained_on", "auroc", "low", "high", "findings"]


def forest_figure(headline: pd.DataFrame, titles: dict[str, str]) -> Drawing:
    """Macro AUROC of every benchmark (rows) and model (colour and shape) with its 95 % interval.

    Benchmarks of sources trained on and zero-shot ones have a panel each, which ends with their mean.

    Args:
        headline: `benchmark, in_domain, model, auroc, low, high, ...`, one row per model and benchmark.
        titles: Title of each benchmark.
    """
    drawn = headline[headline["auroc"].notna()]
    if drawn.empty:
        return Drawing(message(new_figure(6, 2), "No benchmark has a finding with both classes."), headline[COLUMNS])
    models = list(drawn["model"].unique())
    kinds = [kind for kind in BLOCKS if (drawn["in_domain"] == kind).any()]
    rows = [_rows(drawn[drawn["in_domain"] == kind], kind) for kind in kinds]
    heights = [0.55 + (0.22 + 0.13 * len(models)) * len(names) for names in rows]
    figure = new_figure(8.5, 1.4 + sum(heights))
    grid = figure.subplots(len(kinds), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, kind, names in zip(grid, kinds, rows):
        _panel(axes, drawn[drawn["in_domain"] == kind], names, models, titles)
        title(axes, BLOCKS[kind])
    grid[0].set_xlim(min(0.45, drawn["low"].min(skipna=True) - 0.02, drawn["auroc"].min() - 0.02), 1.01)
    foot(figure, "Mean AUROC over the findings of a benchmark, with 95 % interval by patient (dotted: chance)")
    legend_above(figure, [dot_handle(k, model) for k, model in enumerate(models)])
    return Drawing(figure, headline[COLUMNS])


def _rows(block: pd.DataFrame, kind: bool) -> list[str]:
    """Benchmarks in order of appearance, the mean over them last."""
    names = list(block["benchmark"].unique())
    return [name for name in names if name != MEANS[kind]] + [name for name in names if name == MEANS[kind]]


def _panel(axes: Axes, block: pd.DataFrame, names: list[str], models: list[str], titles: dict[str, str]) -> None:
    tidy(axes, grid="x")
    axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=":")
    for k, (model, offset) in enumerate(zip(models, offsets(len(models)))):
        part = block[block["model"] == model]
        rows = np.array([names.index(name) for name in part["benchmark"]]) + offset
        intervals(axes, part["low"], part["high"], rows, k)
        dots(axes, part["auroc"], rows, k)
    name_rows(axes, ["Mean" if name in MEANS.values() else titles.get(name, source_title(name)) for name in names])
    for row, label in zip(range(len(names)), axes.get_yticklabels()):
        if names[row] in MEANS.values():
            label.set_fontweight("bold")
            axes.axhspan(row - 0.5, row + 0.5, color="#F4F4F4", zorder=0)
    axes.tick_params(axis="x", labelbottom=True)
