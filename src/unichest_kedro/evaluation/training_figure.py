"""Training curves: losses and validation AUROC, epoch by epoch."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from unichest_kedro.evaluation.drawing import Drawing
from unichest_kedro.evaluation.style import INK, LINES, OKABE_ITO, message, new_figure, source_title, tidy, title


def training_figure(histories: Mapping[str, pd.DataFrame]) -> Drawing:
    """Losses (top) and validation AUROC (bottom) per epoch, one column per stage.

    Args:
        histories: For each stage, in order, one row per epoch: `epoch`, any `loss...` columns, `val_auroc`
            and `val_auroc_<source>`. Columns with no number are left out.
    """
    if not histories:
        return Drawing(message(new_figure(6, 2), "No stage has been trained."), pd.DataFrame())
    figure = new_figure(1 + 4.2 * len(histories), 6.6)
    panels = figure.subplots(2, len(histories), squeeze=False, sharex="col")
    for column, (stage, history) in enumerate(histories.items()):
        losses = [name for name in history.columns if name.startswith("loss") and history[name].notna().any()]
        _curves(panels[0, column], history, {name: _loss_label(name) for name in losses})
        _curves(panels[1, column], history, _auroc_labels(history))
        _mark_best(panels[1, column], history)
        title(panels[0, column], stage)
        panels[1, column].set_xlabel("Epoch", fontsize=10)
    panels[0, 0].set_ylabel("Training loss", fontsize=10)
    panels[1, 0].set_ylabel("Validation AUROC (★ best mean)", fontsize=10)
    _share_y(panels[1])
    numbers = pd.concat([history.assign(stage=stage) for stage, history in histories.items()], ignore_index=True)
    return Drawing(figure, numbers[["stage", *numbers.columns.drop("stage")]])


def _curves(axes: Axes, history: pd.DataFrame, labels: Mapping[str, str]) -> None:
    tidy(axes)
    for k, (name, label) in enumerate(labels.items()):
        axes.plot(
            history["epoch"],
            history[name],
            color=INK if k == 0 else OKABE_ITO[(k - 1) % 6],
            linestyle=LINES[k % len(LINES)],
            linewidth=2.4 if k == 0 else 1.5,
            marker="o" if len(history) < 3 else None,
            label=label,
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    if labels:
        axes.legend(fontsize=8.5, frameon=False)


def _loss_label(name: str) -> str:
    return name.removeprefix("loss").strip("_").replace("_", " ") or "total"


def _auroc_labels(history: pd.DataFrame) -> dict[str, str]:
    """Column -> label of the validation curves that have a number, the mean first."""
    names = [name for name in history.columns if name.startswith("val_auroc") and history[name].notna().any()]
    keys = {name: name.removeprefix("val_auroc").strip("_") for name in names}
    return {name: source_title(key) if key else "Mean over sources" for name, key in keys.items()}


def _mark_best(axes: Axes, history: pd.DataFrame) -> None:
    if "val_auroc" in history and history["val_auroc"].notna().any():
        best = history.loc[history["val_auroc"].idxmax()]
        axes.plot(best["epoch"], best["val_auroc"], marker="*", markersize=13, color=INK, linestyle="none")


def _share_y(panels: Sequence[Axes]) -> None:
    limits = np.array([axes.get_ylim() for axes in panels])
    for axes in panels:
        axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())
