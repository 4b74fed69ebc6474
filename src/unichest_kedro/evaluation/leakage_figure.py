"""The figure of the leakage audit: which source's test films are whose training films."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Patch, Rectangle

from unichest_kedro.evaluation.drawing import Drawing
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

_SHADES = LinearSegmentedColormap.from_list("leaks", ["#FFFFFF", OKABE_ITO[4], OKABE_ITO[1]])


def leakage_figure(leaked_films: pd.DataFrame, summary: pd.DataFrame) -> Drawing:
    """How many validation and test films of each source (columns) repeat a training film of each (rows).

    Args:
        leaked_films: `LeakedFilms`.
        summary: `LeakageSummary`, for the sources and what is known of each pair beforehand.
    """
    sources = list(dict.fromkeys(summary["source_a"]))
    if not sources:
        return Drawing(
            message(new_figure(6, 2), "No source was compared."), _numbers([], np.empty((0, 0)), np.empty((0, 0)))
        )
    counts = pd.crosstab(leaked_films["seen_in"], leaked_films["source"])
    counts = counts.reindex(index=sources, columns=sources, fill_value=0).to_numpy()
    pairs = _pairs_of_films(summary, sources)
    figure = new_figure(2.6 + 1.0 * len(sources), 2.3 + 0.62 * len(sources))
    axes = tidy(figure.subplots(), grid="")
    _cells(axes, counts, pairs)
    for a, b in summary.loc[summary["known"] != "", ["source_a", "source_b"]].to_numpy():
        for row, column in ((sources.index(a), sources.index(b)), (sources.index(b), sources.index(a))):
            axes.add_patch(Rectangle((column - 0.45, row - 0.42), 0.9, 0.84, **_KNOWN))
    _name_sides(axes, sources)
    foot(
        figure,
        "Large: validation and test films of the column that are training films of the row. Small: pairs of films "
        "that the two sources share in any split.",
    )
    figure.legend(
        handles=[Patch(label="known beforehand to share films", **_KNOWN)],
        loc="outside upper center",
        fontsize=9.5,
        frameon=False,
    )
    return Drawing(figure, _numbers(sources, counts, pairs))


_KNOWN = {"fill": False, "edgecolor": OKABE_ITO[0], "linestyle": "--", "linewidth": 1.6}


def _numbers(sources: list[str], counts: np.ndarray, pairs: np.ndarray) -> pd.DataFrame:
    """One row per cell."""
    rows = [
        (training, tested, counts[row, column], pairs[row, column])
        for row, training in enumerate(sources)
        for column, tested in enumerate(sources)
    ]
    return pd.DataFrame(rows, columns=["training_films_of", "among_films_of", "films", "pairs_in_any_split"])


def _pairs_of_films(summary: pd.DataFrame, sources: list[str]) -> np.ndarray:
    """Pairs of films of any two sources, int (sources, sources), the same both ways."""
    pairs = np.zeros((len(sources), len(sources)), dtype=int)
    for a, b, same, near in summary[["source_a", "source_b", "same_pixels", "near_copies"]].itertuples(index=False):
        pairs[sources.index(a), sources.index(b)] = pairs[sources.index(b), sources.index(a)] = same + near
    return pairs


def _cells(axes: Axes, counts: np.ndarray, pairs: np.ndarray) -> None:
    axes.imshow(np.log1p(counts), cmap=_SHADES, aspect="auto", vmin=0, vmax=max(np.log1p(counts).max(), 1))
    for row, column in np.ndindex(counts.shape):
        leaked, shared = counts[row, column], pairs[row, column]
        colour = INK if leaked else MUTED
        weight = "bold" if leaked else "normal"
        axes.text(column, row - 0.08, f"{leaked:,}", ha="center", va="center", color=colour, fontweight=weight)
        if shared:
            axes.text(column, row + 0.27, f"{shared:,} pairs", ha="center", va="center", fontsize=7.5, color=INK)
    for place in range(1, len(counts)):
        axes.axhline(place - 0.5, color=FAINT, linewidth=0.8)
        axes.axvline(place - 0.5, color=FAINT, linewidth=0.8)


def _name_sides(axes: Axes, sources: list[str]) -> None:
    titles = [source_title(source) for source in sources]
    axes.set_xticks(range(len(sources)), titles, rotation=30, ha="right")
    axes.set_yticks(range(len(sources)), titles)
    axes.set_ylabel("Training films of …", fontsize=10)
    axes.set_xlabel("… among the validation and test films of …", fontsize=10)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
