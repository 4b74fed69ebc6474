"""Reliability diagrams: what the model's numbers say and how often they are right, before and after calibration."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.evaluation.panels import in_order, number_in_words, panel_grid
from unichest_kedro.evaluation.style import FAINT, MUTED, OKABE_ITO, foot, message, new_figure, tidy, title

LOOKS = {
    "raw": ("as the model answers", OKABE_ITO[1], "--", "s"),
    "calibrated": ("calibrated", OKABE_ITO[0], "-", "o"),
}


def calibration_figure(bins: pd.DataFrame, benchmarks: pd.DataFrame) -> Drawing:
    """Share of positives against mean score, one panel per benchmark; larger dots are bins of more answers.

    Args:
        bins: `CalibrationBins` of one model.
        benchmarks: `benchmark_table`.
    """
    drawn = bins[bins["count"] > 0]
    titles = {name: words for name, words in in_order(benchmarks).items() if name in set(drawn["benchmark"])}
    if not titles:
        return Drawing(message(new_figure(6, 2), "No answer has a known label."), bins)
    figure, panels = panel_grid(len(titles), width=3.6, height=3.8)
    for axes, (benchmark, words) in zip(panels, titles.items()):
        part = drawn[drawn["benchmark"] == benchmark]
        for kind, look in LOOKS.items():
            _line(axes, part[part["kind"] == kind], look)
        _dress(axes, words)
    foot(figure, "Mean score of a bin. Dotted: what a calibrated answer would give. In the legend: the mean gap (ECE).")
    figure.supylabel("Share of positives in it", fontsize=10)
    return Drawing(figure, bins)


def pooled_error(bins: pd.DataFrame) -> float:
    """Expected calibration error of pooled bins: the mean gap between score and share, weighted by count; or NaN."""
    filled = bins[bins["count"] > 0]
    if filled.empty:
        return float("nan")
    gaps = (filled["mean_score"] - filled["share_positive"]).abs()
    return float(np.average(gaps, weights=filled["count"]))


def _line(axes: Axes, bins: pd.DataFrame, look: tuple[str, str, str, str]) -> None:
    if bins.empty:
        return
    name, colour, dashes, marker = look
    bins = bins.sort_values("mean_score")
    sizes = 12 + 90 * np.sqrt(bins["count"] / bins["count"].max())
    label = f"{name}  {number_in_words(pooled_error(bins))}"
    axes.plot(bins["mean_score"], bins["share_positive"], color=colour, linestyle=dashes, linewidth=1.4, label=label)
    axes.scatter(
        bins["mean_score"], bins["share_positive"], s=sizes, color=colour, marker=marker, edgecolor="white", zorder=3
    )


def _dress(axes: Axes, words: str) -> None:
    tidy(axes)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    title(axes, words, characters=36)
    legend = axes.legend(loc="best", fontsize=8, title="ECE", title_fontsize=8, framealpha=0.92)
    legend.get_frame().set_edgecolor(FAINT)
