"""Variants minus their controls, drawn with their intervals."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unichest_kedro.evaluation.metrics import MEAN
from unichest_kedro.evaluation.style import INK, MARKERS, MUTED, OKABE_ITO, foot, message, new_figure, tidy, title

DRAWN = {"auroc": "AUROC", "f1": "F1", "brier": "Brier score", "calibration_error": "Calibration error"}
"""Title of each measure that has a panel."""

LARGER_IS_BETTER = ("auroc", "f1")


def difference_figure(differences: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Every variant minus each of its controls, mean over the sources trained on, one panel per measure.

    Filled: the 95 % interval leaves 0 out and all seeds agree in sign.

    Args:
        differences: `AblationDifferences`.
        table: `AblationTable`, for the titles.
    """
    drawn = differences[differences["source"] == MEAN]
    if drawn.empty:
        return message(new_figure(6, 2), "No variant is compared with another.")
    titles = dict(zip(table["variant"], table["title"]))
    pairs = list(drawn[["variant", "against"]].drop_duplicates().itertuples(index=False, name=None))
    figure = new_figure(13, 1.6 + 0.27 * len(pairs))
    panels = figure.subplots(1, len(DRAWN), sharey=True)
    for place, (axes, (name, words)) in enumerate(zip(panels, DRAWN.items())):
        part = drawn[drawn["measure"] == name].set_index(["variant", "against"]).loc[pairs]
        _draw_panel(axes, part, OKABE_ITO[place], MARKERS[place])
        title(tidy(axes, "x"), f"{words} ({'more' if name in LARGER_IS_BETTER else 'less'} is better)")
    labels = [f"{titles.get(variant, variant)} − {titles.get(control, control)}" for variant, control in pairs]
    panels[0].set_yticks(range(len(pairs)), labels, fontsize=8.5)
    panels[0].invert_yaxis()
    seeds = int(drawn["seeds"].max())
    foot(
        figure,
        f"Difference of means over the sources trained on and {seeds} seeds; 95 % intervals by resampling patients.",
        "Filled marks: the interval leaves 0 out and all seeds agree in sign.",
    )
    return figure


def is_beyond_noise(differences: pd.DataFrame) -> pd.Series:
    """Whether each difference's 95 % interval leaves 0 out and all of its seeds (two at least) agree in sign."""
    away = (differences["low"] > 0) | (differences["high"] < 0)
    return away & differences["same_sign"] & (differences["seeds"] > 1)


def _draw_panel(axes: Axes, part: pd.DataFrame, colour: str, marker: str) -> None:
    rows = np.arange(len(part))
    middle = part["difference"].to_numpy()
    errors = np.stack([middle - part["low"], part["high"] - middle]).clip(min=0)
    axes.errorbar(middle, rows, xerr=errors, fmt="none", ecolor=MUTED, elinewidth=1.1, capsize=2)
    beyond = is_beyond_noise(part).to_numpy()
    faces = np.where(beyond, colour, "white")
    axes.scatter(middle, rows, marker=marker, s=34, c=list(faces), edgecolors=colour, linewidths=1.2, zorder=3)
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.margins(y=0.02)
