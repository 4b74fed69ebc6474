"""AUROC finding by finding."""

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.evaluation.panels import dot_handle, dots, finding_ticks, in_order, intervals, legend_above, offsets
from unichest_kedro.evaluation.style import MUTED, foot, message, new_figure, tidy, title

PANELS_IN_A_ROW = 4
"""More would be too small to read on a page."""


def finding_figure(metrics: pd.DataFrame, benchmarks: pd.DataFrame, model: str) -> Drawing:
    """AUROC of every finding (rows), benchmark (panels) and model (colour and shape of the dots).

    Benchmarks of sources trained on and zero-shot ones have rows of panels of their own, each with the findings that
    its benchmarks share out among them. One model's dots have their 95 % intervals.

    Args:
        metrics: `Metrics` of one split.
        benchmarks: `benchmark_table`.
        model: The model whose intervals are drawn.
    """
    drawn = metrics[metrics["auroc"].notna()]
    if drawn.empty:
        return Drawing(message(new_figure(6, 2), "No finding has both positives and negatives."), metrics)
    models = list(drawn["model"].unique())
    blocks = _blocks(drawn, benchmarks)
    findings = [_ordered(drawn[drawn["benchmark"].isin(block)]) for block in blocks]
    columns = max(map(len, blocks))
    heights = [1.3 + 0.27 * len(names) for names in findings]
    figure = new_figure(2.6 + 2.5 * columns, 0.9 + sum(heights))
    grid = figure.subplots(
        len(blocks), columns, sharey="row", sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for panels, block, names in zip(grid, blocks, findings):
        _row(panels, block, names, drawn, models, model)
    grid[0, 0].set_xlim(min(0.4, drawn["auroc"].min() - 0.03), 1.02)
    foot(figure, f"AUROC; lines: 95 % interval of {model} (dotted: chance)")
    legend_above(figure, [dot_handle(k, name) for k, name in enumerate(models)])
    return Drawing(figure, metrics)


def _blocks(drawn: pd.DataFrame, benchmarks: pd.DataFrame) -> list[dict[str, str]]:
    """Benchmarks and their titles in rows of at most `PANELS_IN_A_ROW`, no row with both kinds."""
    kinds, titles = benchmarks.set_index("benchmark")["trained_on"], in_order(benchmarks)
    blocks = []
    for wanted in (True, False):
        some = [name for name in titles if kinds[name] == wanted and name in set(drawn["benchmark"])]
        rows = ceil(len(some) / PANELS_IN_A_ROW)
        blocks += [{name: titles[name] for name in some[row::rows]} for row in range(rows)]
    return blocks


def _row(
    panels: Sequence[Axes],
    block: Mapping[str, str],
    findings: list[str],
    drawn: pd.DataFrame,
    models: list[str],
    model: str,
) -> None:
    """One row of panels, a benchmark each; what is left over stays empty."""
    for axes, (benchmark, name) in zip(panels, block.items()):
        tidy(axes)
        title(axes, name, characters=24)
        axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=":")
        of_benchmark = drawn[drawn["benchmark"] == benchmark]
        for k, (each, offset) in enumerate(zip(models, offsets(len(models)))):
            part = of_benchmark[of_benchmark["model"] == each]
            rows = np.array([findings.index(finding) for finding in part["finding"]]) + offset
            if each == model:
                intervals(axes, part["low"], part["high"], rows, k)
            dots(axes, part["auroc"], rows, k)
        axes.tick_params(axis="x", labelbottom=True)
    finding_ticks(panels[0], findings)
    for axes in panels[len(block) :]:
        axes.set_visible(False)


def _ordered(metrics: pd.DataFrame) -> list[str]:
    """Findings of most benchmarks first, then in order of appearance."""
    spread = metrics.groupby("finding", sort=False)["benchmark"].nunique()
    return list(spread.sort_values(ascending=False, kind="stable").index)
