"""What each source says of each finding, and which sources can teach it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.evaluation.panels import finding_ticks, legend_above
from unichest_kedro.evaluation.style import (
    FAINT,
    INK,
    MUTED,
    OKABE_ITO,
    foot,
    message,
    new_figure,
    source_title,
    tidy,
)

COVERAGE = (("positive", OKABE_ITO[1], ""), ("negative", OKABE_ITO[5], ""), ("unknown", "#E4E4E4", "////"))
COVERAGE_WIDTH = 0.46
"""How much of a cell its bar takes; the number has the rest."""
ONE_WAY = "▲"
"""Marks a finding of which a source knows positives only."""


def coverage_figure(coverage: pd.DataFrame, teachers: pd.DataFrame | None = None) -> Drawing:
    """What each source (column) says of each finding (row), all splits: shares as a bar, and the number of positives.

    Only findings that some source labels have a row; a cell is empty where the source never says anything. A finding
    that a source knows in one way only is marked. At the right, the sources that can teach the finding.

    Args:
        coverage: `Coverage`.
        teachers: `Teachers`; without it, that column is left out.
    """
    counts = coverage.groupby(["source", "finding"], sort=False)[["positive", "negative", "unknown"]].sum()
    counts = counts.reset_index()
    known = counts[counts["positive"] + counts["negative"] > 0]
    if known.empty:
        return Drawing(message(new_figure(6, 2), "No source annotates any finding."), counts)
    sources, findings = list(counts["source"].unique()), list(dict.fromkeys(counts["finding"]))
    shown = [finding for finding in findings if finding in set(known["finding"])]
    columns = len(sources) + (teachers is not None)
    figure = new_figure(2.3 + 1.15 * columns, 1.7 + 0.235 * len(shown))
    axes = figure.subplots()
    _coverage_grid(axes, sources, shown, columns)
    for column, source in enumerate(sources):
        _coverage_cells(axes, column, known[known["source"] == source], shown)
    if teachers is not None:
        _coverage_teachers(axes, len(sources), teachers, shown)
    left_out = len(findings) - len(shown)
    note = f" {left_out} further findings of the vocabulary are annotated by no source." if left_out else ""
    foot(
        figure,
        f"Bar: share of the source's images. Number: positive images, {ONE_WAY} where none is negative. Can teach it: "
        f"sources that are trained on and have positives and negatives in their train split.{note}",
    )
    legend_above(figure, [Patch(facecolor=c, hatch=h, edgecolor="white", label=n) for n, c, h in COVERAGE])
    return Drawing(figure, known)


def _coverage_grid(axes: Axes, sources: Sequence[str], shown: Sequence[str], columns: int) -> None:
    """Rows for findings, columns for sources, with thin lines between them and every second row shaded."""
    tidy(axes, grid="")
    finding_ticks(axes, shown)
    axes.set_xlim(0, columns)
    titles = [source_title(source) for source in sources] + ["Can teach it"] * (columns - len(sources))
    axes.set_xticks(np.arange(columns) + 0.46, titles, fontsize=9.5, fontweight="bold")
    axes.tick_params(axis="x", length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    for row in range(0, len(shown), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#F4F4F4", zorder=0)
    for column in range(1, columns):
        axes.axvline(column - 0.03, color=FAINT, linewidth=0.8, zorder=1)


def _coverage_cells(axes: Axes, column: int, counts: pd.DataFrame, shown: Sequence[str]) -> None:
    """The bars of one source and their numbers."""
    rows = np.array([shown.index(finding) for finding in counts["finding"]])
    total = counts[["positive", "negative", "unknown"]].sum(axis=1).to_numpy()
    left = np.full(len(counts), float(column))
    for name, colour, hatch in COVERAGE:
        width = COVERAGE_WIDTH * counts[name].to_numpy() / total
        axes.barh(rows, width, left=left, height=0.62, color=colour, hatch=hatch, edgecolor="white", linewidth=0.3)
        left += width
    for row, positive, negative in zip(rows, counts["positive"], counts["negative"]):
        text = f"{positive:,}" + (f" {ONE_WAY}" if negative == 0 else "")
        colour = MUTED if positive == 0 else OKABE_ITO[1] if negative == 0 else INK
        axes.text(column + COVERAGE_WIDTH + 0.03, row, text, va="center", fontsize=7.5, color=colour)


def _coverage_teachers(axes: Axes, column: int, teachers: pd.DataFrame, shown: Sequence[str]) -> None:
    """How many sources can teach each finding; the one by name where there is one, in colour."""
    for finding, taught_by, count in zip(teachers["finding"], teachers["taught_by"], teachers["teachers"]):
        if finding in shown:
            text = f"{count} sources" if count > 1 else source_title(taught_by) if count else "none"
            colour = INK if count > 1 else OKABE_ITO[0] if count else MUTED
            axes.text(column + 0.03, shown.index(finding), text, va="center", fontsize=8, color=colour)
