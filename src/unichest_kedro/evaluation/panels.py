"""What several figures are laid out with: grids of panels, rows of findings, dots with intervals, legends."""

from collections.abc import Iterable, Sequence
from math import ceil

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unichest_kedro.evaluation.style import LINES, MARKERS, OKABE_ITO, finding_title, new_figure


def panel_grid(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A grid of `count` panels (inches each) with shared axes, at most three in a row; unused places stay empty."""
    columns = count if count <= 3 else 2 if count == 4 else 3
    rows = ceil(count / columns)
    figure = new_figure(width * columns + 0.5, height * rows + 0.5)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axes in panels[count:]:
        axes.axis("off")
    for axes in panels[:count]:
        axes.tick_params(labelbottom=True)
    return figure, panels[:count]


def in_order(benchmarks: pd.DataFrame) -> dict[str, str]:
    """Benchmark -> its title, zero-shot ones marked as such; those of sources trained on come first.

    Args:
        benchmarks: `benchmark_table`, of which `benchmark, title, trained_on` are looked at.
    """
    ordered = benchmarks.sort_values("trained_on", ascending=False, kind="stable")
    return {
        row.benchmark: row.title if row.trained_on else f"{row.title} (zero-shot)"
        for row in ordered.itertuples(index=False)
    }


def finding_ticks(axes: Axes, findings: Sequence[str]) -> None:
    """Names of findings from the top down, one row each."""
    name_rows(axes, [finding_title(finding) for finding in findings])


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Names of rows 0, 1, ... from the top down, without tick marks."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def dots(axes: Axes, values: Iterable[float], rows: np.ndarray, k: int) -> None:
    """Dots of the k-th kind, told apart by colour and shape."""
    axes.plot(
        list(values),
        rows,
        linestyle="none",
        marker=MARKERS[k % len(MARKERS)],
        color=OKABE_ITO[k % len(OKABE_ITO)],
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.4,
        zorder=3,
    )


def intervals(axes: Axes, low: Iterable[float], high: Iterable[float], rows: np.ndarray, k: int) -> None:
    """Horizontal lines from the lower to the upper limit, in the colour of the k-th kind; none where undefined."""
    axes.hlines(rows, list(low), list(high), color=OKABE_ITO[k % len(OKABE_ITO)], linewidth=1.4, zorder=2)


def dot_handle(k: int, label: str) -> Line2D:
    """Legend entry of the k-th kind of dots."""
    colour = OKABE_ITO[k % len(OKABE_ITO)]
    return Line2D([], [], linestyle="none", marker=MARKERS[k % len(MARKERS)], color=colour, label=label)


def line_look(k: int) -> dict[str, object]:
    """Colour and dashes of the k-th line."""
    return {"color": OKABE_ITO[k % len(OKABE_ITO)], "linestyle": LINES[k % len(LINES)]}


def legend_above(figure: Figure, handles: Sequence[Artist]) -> None:
    """A legend above all panels, in rows that fit the figure."""
    columns = max(1, min(len(handles), int(figure.get_figwidth() / 2.2)))
    figure.legend(handles=list(handles), loc="outside upper center", ncols=columns, fontsize=9.5, frameon=False)


def offsets(count: int, step: float = 0.22) -> np.ndarray:
    """How far each of `count` kinds is moved off the middle of its row, so that they do not cover each other."""
    return (np.arange(count) - (count - 1) / 2) * min(step, 0.8 / max(count, 1))


def number_in_words(value: float) -> str:
    """Three digits, or a dash where there is no number."""
    return "–" if np.isnan(value) else f"{value:.3f}"
