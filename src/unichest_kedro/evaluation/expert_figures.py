"""Figures of the experts: where the gate sends each source, and what each network is worth."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from unichest_kedro.evaluation.experts import EQUAL, MAIN, MIXTURE
from unichest_kedro.evaluation.gates import ALL
from unichest_kedro.evaluation.metrics import MEANS
from unichest_kedro.evaluation.style import (
    HATCHES,
    INK,
    MARKERS,
    MUTED,
    OKABE_ITO,
    foot,
    message,
    new_figure,
    source_title,
    tidy,
    title,
)

SMALLEST_REACH = 0.005
"""Differences are drawn on a scale no finer than this, so that noise does not look like an effect."""


def gate_by_source_figure(gates: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Mean gate weight of each expert (bars that sum to one) by source, with 95 % limits and sharpness.

    Args:
        gates: `GateBySource` of one model.
        summary: `GateSummary` of the same model.
    """
    if gates.empty:
        return message(new_figure(6, 2), "No model with experts was asked.")
    sources, experts = list(gates["source"].unique()), sorted(gates["expert"].unique())
    figure = new_figure(8.5, 1.9 + 0.5 * len(sources))
    axes = tidy(figure.subplots(), grid="")
    left = np.zeros(len(sources))
    for expert in experts:
        part = gates[gates["expert"] == expert].set_index("source").loc[sources]
        colour, hatch = _bar_look(expert)
        axes.barh(
            range(len(sources)), part["weight"], left=left, height=0.66, color=colour, hatch=hatch, edgecolor="white"
        )
        for row, (low, high) in enumerate(zip(part["low"], part["high"])):
            _whisker(axes, left[row] + low, left[row] + high, row)
        left += part["weight"].to_numpy()
    for row, sharpness in enumerate(gates.drop_duplicates("source")["sharpness"]):
        axes.text(1.015, row, f"{sharpness:.2f}", va="center", fontsize=9, color=INK)
    axes.text(1.015, -0.75, "sharpness", fontsize=9, color=MUTED, va="center")
    axes.set_yticks(range(len(sources)), [source_title(source) for source in sources])
    axes.set(xlim=(0, 1), ylim=(len(sources) - 0.4, -0.6))
    axes.set_xlabel("Mean gate weight", fontsize=10)
    looks = {expert: _bar_look(expert) for expert in experts}
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=f"Expert {expert}")
        for expert, (colour, hatch) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(experts), 6), frameon=False, fontsize=9.5)
    # Where all sources were trained on, both rows say the same.
    foot(figure, *(_in_words(row) for row in summary.drop_duplicates("sources").to_dict("records")))
    return figure


def experts_figure(aurocs: pd.DataFrame, differences: pd.DataFrame) -> Figure:
    """Left: macro AUROC of the mixture and of each network alone, by source. Right: what a change to it changes.

    Args:
        aurocs: `ExpertAurocs` of one model.
        differences: `ExpertDifferences` of the same model.
    """
    if aurocs.empty:
        return message(new_figure(6, 2), "No model with experts was asked.")
    sources = list(aurocs["source"].unique())
    alone = [name for name in aurocs["variant"].unique() if name in (MIXTURE, MAIN) or name.startswith("Expert ")]
    changed = [MAIN, *(name for name in aurocs["variant"].unique() if name == EQUAL or name.startswith("Without "))]
    rows = max(len(alone), len(changed))
    figure = new_figure(10.5, 1.7 + len(sources) * (0.16 + 0.105 * rows))
    left, right = figure.subplots(1, 2, sharey=True)
    _dots(left, aurocs.rename(columns={"auroc": "value"}), sources, alone)
    left.axvline(0.5, color=MUTED, linestyle=":", linewidth=1)
    title(left, "Macro AUROC of each network")
    _dots(right, differences.rename(columns={"difference": "value"}), sources, changed)
    right.axvline(0, color=MUTED, linewidth=1)
    title(right, "Change against the mixture")
    reach = max(SMALLEST_REACH, np.abs(right.get_xlim()).max())
    right.set_xlim(-reach, reach)
    left.set_yticks(range(len(sources)), [source_title(source) for source in sources])
    left.set_ylim(len(sources) - 0.5, -0.5)
    for axes, names in ((left, alone), (right, changed)):
        axes.legend(
            handles=_handles(names),
            loc="lower center",
            bbox_to_anchor=(0.5, 1.07),
            ncols=3,
            frameon=False,
            fontsize=8.5,
        )
    foot(
        figure,
        "Bars: 95 % intervals by patient (right: of paired differences). Without an expert, the gate's weights are "
        "shared out among the others; with equal weights, the gate is not asked.",
    )
    return figure


def _dots(axes: Axes, table: pd.DataFrame, sources: list[str], variants: list[str]) -> None:
    tidy(axes, grid="x")
    for k, variant in enumerate(variants):
        part = table[table["variant"] == variant].set_index("source").reindex(sources)
        place = np.arange(len(sources)) + 0.72 * ((k + 0.5) / len(variants) - 0.5)
        colour, marker = _look(variant)
        axes.hlines(place, part["low"], part["high"], color=colour, linewidth=1.5)
        axes.plot(part["value"], place, marker, color=colour, markersize=5.5, markeredgecolor="white")
    for row, source in enumerate(sources):
        if source in MEANS.values():
            axes.axhspan(row - 0.5, row + 0.5, color="#F0F0F0", zorder=0)
    for row in range(1, len(sources)):
        axes.axhline(row - 0.5, color="#DDDDDD", linewidth=0.7)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="y", length=0)


def _look(variant: str) -> tuple[str, str]:
    """Colour and marker: an expert has the same ones alone and where it is left out."""
    if variant in (MIXTURE, MAIN, EQUAL):
        place = {MIXTURE: 6, MAIN: 0, EQUAL: 5}[variant]
        return OKABE_ITO[place], MARKERS[place]
    number = int(variant.rpartition(" ")[2]) - 1
    return OKABE_ITO[1 + number % 4], MARKERS[1 + number % 5]  # 20 experts before two look alike


def _bar_look(expert: int) -> tuple[str, str]:
    """Colour and hatch of an expert's bar; 49 experts before two look alike."""
    number = expert - 1
    return OKABE_ITO[number % 7], HATCHES[(number + number // 7) % 7]


def _handles(variants: list[str]) -> list[Line2D]:
    looks = {name: _look(name) for name in variants}
    return [
        Line2D([], [], color=colour, marker=marker, linewidth=1.5, label=name)
        for name, (colour, marker) in looks.items()
    ]


def _whisker(axes: Axes, low: float, high: float, row: int) -> None:
    axes.plot([low, high], [row, row], color="white", linewidth=3.4, solid_capstyle="butt")
    axes.plot([low, high], [row, row], color=INK, linewidth=1.5, solid_capstyle="butt")


def _in_words(row: dict[str, float]) -> str:
    """One row of `GateSummary` as a sentence."""
    count = row["sources"]
    over = f"all {count} sources" if row["over"] == ALL else f"the {count} sources trained on"
    shared = (
        f"mutual information of source and expert {row['mutual_information']:.3f} "
        f"[{row['mutual_information_low']:.3f}, {row['mutual_information_high']:.3f}] of {row['possible']:.2f} bits; "
    )
    return (
        f"Over {over if count > 1 else 'the one source'}: {shared if count > 1 else ''}"
        f"mean maximum gate weight {row['sharpness']:.2f} [{row['sharpness_low']:.2f}, {row['sharpness_high']:.2f}], "
        f"{1 / row['experts']:.2f} being undecided."
    )
