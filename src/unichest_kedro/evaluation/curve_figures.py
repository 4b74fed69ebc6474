"""ROC and precision-recall curves of every benchmark."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.evaluation.panels import in_order, line_look, number_in_words, panel_grid
from unichest_kedro.evaluation.style import FAINT, MUTED, foot, message, new_figure, tidy, title

GRID = np.linspace(0, 1, 101)
"""Where curves of several findings are averaged."""

GREY = "#BBBBBB"
NUMBERS = ["benchmark", "model", "finding", "x", "y"]
MEAN_OF_FINDINGS = "mean"


class _Kind(NamedTuple):
    curve: str
    x: str
    y: str
    macro: str
    corner: str


ROC = _Kind(
    "roc", "False positive rate (1 − specificity)", "True positive rate (sensitivity)", "Macro AUROC", "lower right"
)
PR = _Kind("pr", "Recall (sensitivity)", "Precision", "Mean average precision", "upper right")


def roc_figure(curves: pd.DataFrame, macro: pd.DataFrame, benchmarks: pd.DataFrame) -> Drawing:
    """ROC curves, one panel per benchmark: mean of each model over the findings; in grey each finding, last model.

    Args:
        curves: `Curves`.
        macro: `model, benchmark, value`: the macro AUROC that stands in the legend.
        benchmarks: `benchmark_table`.
    """
    return _draw(curves, macro, benchmarks, ROC)


def precision_recall_figure(curves: pd.DataFrame, macro: pd.DataFrame, benchmarks: pd.DataFrame) -> Drawing:
    """Precision-recall curves, laid out as the ROC curves; `macro` is the mean average precision."""
    return _draw(curves, macro, benchmarks, PR)


def mean_curve(curves: pd.DataFrame, kind: str) -> np.ndarray:
    """The mean over findings at each x of `GRID`, NaN where there is no curve.

    Between the points of a ROC curve the line is straight (ties are called together or not at all); a precision is
    that at the smallest recall that reaches x, as average precision counts it.

    Args:
        curves: `Curves` of one model, benchmark and kind.
        kind: "roc" or "pr".
    """
    heights = [
        _at_grid(part["x"].to_numpy(), part["y"].to_numpy(), kind) for _, part in curves.groupby("finding", sort=False)
    ]
    return np.mean(heights, axis=0) if heights else np.full(len(GRID), np.nan)


def _at_grid(x: np.ndarray, y: np.ndarray, kind: str) -> np.ndarray:
    if kind == "roc":
        order = np.lexsort((y, x))
        heights = np.interp(GRID, x[order], y[order])
        return np.concatenate([[0], heights[1:]])  # it begins at (0, 0), however steeply it rises there
    order = np.lexsort((-y, x))
    recall, precision = x[order], y[order]
    # At recall 0 nothing is called yet: the first film that is called and has the finding gives the first precision.
    reached = np.maximum(GRID - 1e-12, np.min(recall[recall > 0], initial=1.0))
    return precision[np.minimum(np.searchsorted(recall, reached), len(x) - 1)]


def _draw(curves: pd.DataFrame, macro: pd.DataFrame, benchmarks: pd.DataFrame, kind: _Kind) -> Drawing:
    curves = curves[curves["curve"] == kind.curve]
    models, scored = list(macro["model"].unique()), set(macro["benchmark"])
    titles = {benchmark: name for benchmark, name in in_order(benchmarks).items() if benchmark in scored}
    if not titles:
        return Drawing(message(new_figure(6, 2), "Nothing was scored."), pd.DataFrame(columns=NUMBERS))
    figure, panels = panel_grid(len(titles), width=4.2, height=4.3)
    values = macro.set_index(["model", "benchmark"])["value"]
    numbers = []
    for axes, (benchmark, name) in zip(panels, titles.items()):
        part = curves[curves["benchmark"] == benchmark]
        of_last = part[part["model"] == models[-1]]
        _thin_lines(axes, of_last, kind)
        numbers.append(of_last[NUMBERS])
        for k, model in enumerate(models):
            if (model, benchmark) in values.index:
                height = mean_curve(part[part["model"] == model], kind.curve)
                label = f"{model}  {number_in_words(values[(model, benchmark)])}"
                axes.plot(GRID, height, linewidth=2, label=label, zorder=2, **line_look(k))
                row = {"benchmark": benchmark, "model": model, "finding": MEAN_OF_FINDINGS, "x": GRID, "y": height}
                numbers.append(pd.DataFrame(row))
        _dress(axes, name, kind)
    foot(figure, kind.x, f"Grey: each finding, {models[-1]}. Coloured: mean over findings.")
    figure.supylabel(kind.y, fontsize=10)
    return Drawing(figure, pd.concat(numbers, ignore_index=True))


def _thin_lines(axes: Axes, curves: pd.DataFrame, kind: _Kind) -> None:
    """Each finding's own curve; between two recalls the precision of the higher one holds."""
    look = "steps-pre" if kind is PR else "default"
    for _, part in curves.groupby("finding", sort=False):
        axes.plot(part["x"], part["y"], color=GREY, linewidth=0.7, zorder=1, drawstyle=look)


def _dress(axes: Axes, words: str, kind: _Kind) -> None:
    tidy(axes)
    if kind is ROC:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    title(axes, words, characters=42)
    legend = axes.legend(loc=kind.corner, fontsize=8.5, title=kind.macro, title_fontsize=8.5, framealpha=0.92)
    legend.get_frame().set_edgecolor(FAINT)
