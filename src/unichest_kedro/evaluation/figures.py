"""Figures of data, training and results. Each function returns a `Figure` that no pyplot state knows of."""

import textwrap
from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from unichest_kedro.evaluation.films import Answer, Film
from unichest_kedro.evaluation.metrics import auroc_table, expert_columns, gate_table, macro_roc, roc_points
from unichest_kedro.evaluation.style import (
    FAINT,
    HATCHES,
    INK,
    LINES,
    MARKERS,
    MUTED,
    OKABE_ITO,
    finding_title,
    foot,
    message,
    new_figure,
    source_title,
    tidy,
    title,
)

MARKS = {"present": "✓", "absent": "✗", "unknown": "?"}
MARK_COLOURS = {"present": OKABE_ITO[2], "absent": OKABE_ITO[1], "unknown": MUTED}


def roc_figure(scores: pd.DataFrame) -> Figure:
    """ROC curves, one panel per source: macro mean of each model; thin, each finding of the last model.

    Sources that were trained on come first, the titles of the others say that they are zero-shot.

    Args:
        scores: `Scores` of one split.
    """
    models, sources = list(scores["model"].unique()), _by_kind(scores)
    if not sources:
        return message(new_figure(6, 2), "Nothing was scored.")
    figure, panels = _panels(len(sources), width=4.2, height=4.3)
    macro = auroc_table(scores).groupby(["model", "source"])["auroc"].mean()
    for axes, (source, trained_on) in zip(panels, sources.items()):
        part = scores[scores["source"] == source]
        _thin_rocs(axes, part[part["model"] == models[-1]])
        for k, model in enumerate(models):
            false, true = macro_roc(part[part["model"] == model])
            label = f"{model}  {_number(macro.get((model, source), np.nan))}"
            axes.plot(false, true, color=OKABE_ITO[k], linestyle=LINES[k], linewidth=2, label=label)
        _dress_roc(axes, _titled(source, trained_on))
    note = f"Grey: each finding, {models[-1]}. Coloured: mean over findings."
    foot(figure, "False positive rate (1 − specificity)", note)
    figure.supylabel("True positive rate (sensitivity)", fontsize=10)
    return figure


def auroc_figure(metrics: pd.DataFrame) -> Figure:
    """AUROC of every finding (rows), source (panels) and model (colour and shape of the dots).

    Sources that were trained on and zero-shot sources have rows of panels of their own, each with the findings that
    its sources share out among them.

    Args:
        metrics: `Metrics` of one split.
    """
    drawn = metrics[metrics["auroc"].notna()]
    if drawn.empty:
        return message(new_figure(6, 2), "No finding has both positives and negatives.")
    models = list(drawn["model"].unique())
    blocks = _blocks_of_sources(drawn)
    findings = [_ordered_findings(drawn[drawn["source"].isin(block)]) for block in blocks]
    columns = max(map(len, blocks))
    heights = [1.3 + 0.25 * len(names) for names in findings]
    figure = new_figure(2.6 + 2.5 * columns, 0.9 + sum(heights))
    grid = figure.subplots(
        len(blocks), columns, sharey="row", sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for panels, block, names in zip(grid, blocks, findings):
        _auroc_row(panels, block, names, drawn, models)
    grid[0, 0].set_xlim(min(0.4, drawn["auroc"].min() - 0.03), 1.02)
    foot(figure, "AUROC (dotted: chance)")
    _legend(figure, [_dot_handle(k, model) for k, model in enumerate(models)])
    return figure


def gate_figure(gates: pd.DataFrame) -> Figure:
    """Mean weight of each expert by source as stacked bars, one panel per model, with its sharpness."""
    if gates.empty:
        return message(new_figure(6, 2), "No model with experts was scored.")
    table, experts = gate_table(gates), expert_columns(gates)
    models = list(table["model"].unique())
    rows = int(table.groupby("model").size().max())
    figure = new_figure(8, 1.3 + len(models) * (0.8 + 0.45 * rows))
    for axes, model in zip(figure.subplots(len(models), 1, squeeze=False)[:, 0], models):
        _gate_bars(axes, table[table["model"] == model], experts)
        title(axes, model)
    axes.set_xlabel("Mean gate weight", fontsize=10)
    handles = [
        Patch(facecolor=OKABE_ITO[k], hatch=HATCHES[k], edgecolor="white", label=f"Expert {k + 1}")
        for k in range(len(experts))
    ]
    _legend(figure, handles)
    return figure


def training_figure(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Losses (top) and validation AUROC (bottom) per epoch, one column per stage.

    Args:
        histories: For each stage, in order, one row per epoch: `epoch`, any `loss...` columns, `val_auroc`
            and `val_auroc_<source>`. Columns with no number are left out.
    """
    if not histories:
        return message(new_figure(6, 2), "No stage has been trained.")
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
    return figure


def coverage_figure(coverage: pd.DataFrame, teachers: pd.DataFrame | None = None) -> Figure:
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
        return message(new_figure(6, 2), "No source annotates any finding.")
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
    _legend(figure, [Patch(facecolor=c, hatch=h, edgecolor="white", label=n) for n, c, h in COVERAGE])
    return figure


def films_figure(films: Sequence[Film]) -> Figure:
    """A page of films, one row per source, with labels and the highest answers: right, wrong or unknown."""
    if not films:
        return message(new_figure(6, 2), "No film to show.")
    by_source: dict[str, list[Film]] = {}
    for film in films:
        by_source.setdefault(film.source, []).append(film)
    rows, columns = len(by_source), max(map(len, by_source.values()))
    figure = new_figure(2.75 * max(columns, 3), 4.5 * rows + 0.4)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[2.6, 1.6] * rows)
    for axes in grid.flat:
        axes.axis("off")
    for row, of_source in enumerate(by_source.values()):
        for column, film in enumerate(of_source):
            _film(grid[2 * row, column], grid[2 * row + 1, column], film)
    note = "Highest answers with their probability.  ✓ labelled present   ✗ labelled absent   ? not labelled"
    foot(figure, note)
    return figure


COVERAGE = (("positive", OKABE_ITO[1], ""), ("negative", OKABE_ITO[5], ""), ("unknown", "#E4E4E4", "////"))
COVERAGE_WIDTH = 0.46
"""How much of a cell its bar takes; the number has the rest."""
ONE_WAY = "▲"
"""Marks a finding of which a source knows positives only."""


PANELS_IN_A_ROW = 4
"""More would be too small to read on a page."""


def _by_kind(table: pd.DataFrame) -> dict[str, bool]:
    """Whether each source was trained on; those that were come first, in order of appearance."""
    kinds = table.groupby("source", sort=False)["trained_on"].first()
    return kinds.sort_values(ascending=False, kind="stable").astype(bool).to_dict()


def _titled(source: str, trained_on: bool) -> str:
    return source_title(source) if trained_on else f"{source_title(source)} (zero-shot)"


def _blocks_of_sources(table: pd.DataFrame) -> list[dict[str, bool]]:
    """The sources in rows of at most `PANELS_IN_A_ROW`, no row with both kinds."""
    kinds = _by_kind(table)
    blocks = []
    for wanted in (True, False):
        some = [source for source, trained_on in kinds.items() if trained_on == wanted]
        rows = ceil(len(some) / PANELS_IN_A_ROW)
        blocks += [dict.fromkeys(some[row::rows], wanted) for row in range(rows)]
    return blocks


def _auroc_row(
    panels: Sequence[Axes], block: Mapping[str, bool], findings: list[str], drawn: pd.DataFrame, models: list[str]
) -> None:
    """One row of panels, a source each; what is left over stays empty."""
    for axes, (source, trained_on) in zip(panels, block.items()):
        tidy(axes)
        title(axes, _titled(source, trained_on))
        axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=":")
        for k, model in enumerate(models):
            part = drawn[(drawn["source"] == source) & (drawn["model"] == model)]
            rows = np.array([findings.index(finding) for finding in part["finding"]])
            _dots(axes, part["auroc"], rows + 0.22 * (k - (len(models) - 1) / 2), k)
        axes.tick_params(axis="x", labelbottom=True)
    _finding_ticks(panels[0], findings)
    for axes in panels[len(block) :]:
        axes.set_visible(False)


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A grid of square-ish panels, at most two in a row unless three fill it; unused ones hidden."""
    columns = count if count <= 3 else 2 if count == 4 else 3
    rows = ceil(count / columns)
    figure = new_figure(width * columns + 0.5, height * rows + 0.5)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axes in panels[count:]:
        axes.axis("off")
    return figure, panels[:count]


def _thin_rocs(axes: Axes, scores: pd.DataFrame) -> None:
    for _, part in scores.groupby("finding", sort=False):
        roc = roc_points(part["label"].to_numpy(), part["score"].to_numpy())
        axes.plot(roc["false_positive_rate"], roc["true_positive_rate"], color="#BBBBBB", linewidth=0.7, zorder=1)


def _dress_roc(axes: Axes, words: str) -> None:
    tidy(axes)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    title(axes, words)
    legend = axes.legend(loc="lower right", fontsize=8.5, title="Macro AUROC", title_fontsize=8.5, framealpha=0.92)
    legend.get_frame().set_edgecolor(FAINT)


def _ordered_findings(metrics: pd.DataFrame) -> list[str]:
    """Findings of most sources first, then in order of appearance."""
    spread = metrics.groupby("finding", sort=False)["source"].nunique()
    return list(spread.sort_values(ascending=False, kind="stable").index)


def _finding_ticks(axes: Axes, findings: Sequence[str]) -> None:
    axes.set_yticks(range(len(findings)), [finding_title(finding) for finding in findings])
    axes.set_ylim(len(findings) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _dots(axes: Axes, values: pd.Series, rows: np.ndarray, k: int) -> None:
    axes.plot(
        values,
        rows,
        linestyle="none",
        marker=MARKERS[k],
        color=OKABE_ITO[k],
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.4,
    )


def _dot_handle(k: int, label: str) -> Line2D:
    return Line2D([], [], linestyle="none", marker=MARKERS[k], color=OKABE_ITO[k], label=label)


def _legend(figure: Figure, handles: Sequence[Patch | Line2D]) -> None:
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=9.5, frameon=False)


def _gate_bars(axes: Axes, table: pd.DataFrame, experts: Sequence[str]) -> None:
    tidy(axes, grid="")
    rows = np.arange(len(table))
    left = np.zeros(len(table))
    for k, expert in enumerate(experts):
        weight = table[expert].to_numpy()
        axes.barh(
            rows,
            weight,
            left=left,
            height=0.7,
            color=OKABE_ITO[k],
            hatch=HATCHES[k],
            edgecolor="white",
            linewidth=1,
        )
        left += weight
    for row, sharpness in zip(rows, table["sharpness"]):
        axes.text(1.015, row, f"sharpness {sharpness:.2f}", va="center", fontsize=9, color=INK)
    axes.set_yticks(rows, [source_title(source) for source in table["source"]])
    axes.set(xlim=(0, 1), ylim=(len(table) - 0.4, -0.6))


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


def _coverage_grid(axes: Axes, sources: Sequence[str], shown: Sequence[str], columns: int) -> None:
    """Rows for findings, columns for sources, with thin lines between them and every second row shaded."""
    tidy(axes, grid="")
    _finding_ticks(axes, shown)
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


def _film(picture: Axes, words: Axes, film: Film) -> None:
    picture.imshow(film.image, cmap="gray", vmin=0, vmax=255)
    present = ", ".join(finding_title(finding) for finding in film.present) or "nothing present"
    lines = textwrap.wrap(f"Labels: {present}", 36, max_lines=3, placeholder=" …")
    words.set(xlim=(0, 1), ylim=(7, 0))
    words.text(0, 0.5, source_title(film.source), fontsize=9.5, fontweight="bold", color=INK, va="center")
    for place, line in enumerate(lines):
        words.text(0, 1.5 + 0.9 * place, line, fontsize=8.5, color=INK, va="center")
    for place, answer in enumerate(film.answers):
        _answer(words, 1.7 + 0.9 * (len(lines) + place), answer)


def _answer(words: Axes, height: float, answer: Answer) -> None:
    colour = MARK_COLOURS[answer.truth]
    words.text(0, height, MARKS[answer.truth], fontsize=10, color=colour, va="center", fontweight="bold")
    words.text(0.09, height, finding_title(answer.finding), fontsize=8.5, color=INK, va="center")
    words.text(1, height, f"{answer.probability:.2f}", fontsize=8.5, color=INK, va="center", ha="right")
