"""The figure of example films: right and wrong answers with their heat maps."""

import io
import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.evaluation.examples import COLUMNS, KINDS, in_words
from unichest_kedro.evaluation.style import INK, finding_title, message, new_figure

WRAPPED = 16
"""Characters in a line of a row's title, which is as long as a film is high."""


def example_figure(examples: pd.DataFrame, titles: dict[str, str]) -> Drawing:
    """The first example of each kind (columns) and benchmark (rows): film, and film with heat map.

    Args:
        examples: `examples.with_pictures`.
        titles: Title of each benchmark.
    """
    numbers = examples[COLUMNS]
    if examples.empty:
        return Drawing(message(new_figure(6, 2), "No answer could be told right or wrong."), numbers)
    benchmarks = list(dict.fromkeys(examples["benchmark"]))
    figure = new_figure(15, 0.5 + 2.55 * len(benchmarks))
    grid = figure.subplots(len(benchmarks), len(KINDS), squeeze=False)
    for row, benchmark in zip(grid, benchmarks):
        for axes, kind in zip(row, KINDS):
            axes.set(xticks=[], yticks=[])
            for side in axes.spines.values():
                side.set_visible(False)
            some = examples[(examples["benchmark"] == benchmark) & (examples["kind"] == kind)]
            if len(some):
                _show(axes, some.iloc[0].to_dict())
            else:
                axes.text(0.5, 0.5, f"no {kind}", ha="center", va="center", transform=axes.transAxes, color=INK)
        row[0].set_ylabel(textwrap.fill(titles.get(benchmark, benchmark), WRAPPED), fontsize=11, fontweight="bold")
    for axes, kind in zip(grid[0], KINDS):
        axes.set_title(f"{kind.capitalize()}\n{axes.get_title()}", fontsize=9.5)
    return Drawing(figure, numbers)


def _show(axes: Axes, example: dict[str, object]) -> None:
    film, heat = (Image.open(io.BytesIO(example[name])).convert("RGB") for name in ("film", "heat"))
    axes.imshow(np.concatenate([np.asarray(film), np.asarray(heat)], axis=1))
    axes.set_title(finding_title(str(example["finding"])), fontsize=9.5)
    axes.set_xlabel(in_words(example), fontsize=7.5, color=INK)
