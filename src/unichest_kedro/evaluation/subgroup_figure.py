"""AUROC of subgroups: by sex, age band and view."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.evaluation.panels import dot_handle, dots, in_order, intervals, legend_above, name_rows
from unichest_kedro.evaluation.style import INK, foot, message, new_figure, tidy, title
from unichest_kedro.evaluation.subgroups import groups_in_order

GROUP_KINDS = {"sex": "Sex", "age": "Age in years", "view": "View"}
EVERYONE = "all"
PANELS_IN_A_ROW = 4


def subgroup_figure(measures: pd.DataFrame, benchmarks: pd.DataFrame, model: str) -> Drawing:
    """Macro AUROC of one model in every group of patients (rows) with its interval, one panel per benchmark.

    Args:
        measures: `Measures`; of it the macro AUROC (finding "mean") of the model.
        benchmarks: `benchmark_table`.
        model: The model.
    """
    macro = measures[
        (measures["model"] == model) & (measures["measure"] == "auroc") & (measures["finding"] == "mean")
    ].reset_index(drop=True)
    groups = macro[macro["group_kind"] != EVERYONE]
    drawn = groups[groups["value"].notna()]
    titles = {name: words for name, words in in_order(benchmarks).items() if name in set(drawn["benchmark"])}
    if not titles:
        return Drawing(message(new_figure(6, 2), "No subgroup has a finding with both classes."), groups)
    kinds = [kind for kind in GROUP_KINDS if kind in set(drawn["group_kind"])]
    rows = [pair for kind in kinds for pair in _groups_of(drawn, kind)]
    columns = min(PANELS_IN_A_ROW, len(titles))
    lines = -(-len(titles) // columns)
    figure = new_figure(1.6 + 2.4 * columns, 1.1 + lines * (0.8 + 0.24 * len(rows)))
    panels = list(figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axes, (benchmark, words) in zip(panels, titles.items()):
        _panel(axes, drawn[drawn["benchmark"] == benchmark], kinds, rows)
        overall = macro[(macro["benchmark"] == benchmark) & (macro["group_kind"] == EVERYONE)]["value"]
        for value in overall.dropna():
            axes.axvline(value, color=INK, linewidth=1, linestyle="--", zorder=1)
        title(axes, words, characters=24)
    for axes in panels[len(titles) :]:
        axes.axis("off")
    name_rows(panels[0], [group for _, group in rows])
    foot(figure, f"Mean AUROC over findings, {model}, with 95 % interval; dashed: all films of the benchmark")
    legend_above(figure, [dot_handle(k, GROUP_KINDS[kind]) for k, kind in enumerate(kinds)])
    return Drawing(figure, groups)


def _groups_of(drawn: pd.DataFrame, kind: str) -> list[tuple[str, str]]:
    return [(kind, group) for group in groups_in_order(drawn.loc[drawn["group_kind"] == kind, "group"])]


def _panel(axes: Axes, drawn: pd.DataFrame, kinds: list[str], rows: list[tuple[str, str]]) -> None:
    tidy(axes, grid="x")
    for k, kind in enumerate(kinds):
        part = drawn[drawn["group_kind"] == kind]
        places = np.array([rows.index((kind, group)) for group in part["group"]], dtype=float)
        intervals(axes, part["low"], part["high"], places, k)
        dots(axes, part["value"], places, k)
    axes.tick_params(axis="x", labelbottom=True)
