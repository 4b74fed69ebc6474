"""How figures and report look: one colour-blind-safe palette, one set of names, axes without clutter."""

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Palette of Okabe and Ito (2008), distinct for any colour vision; yellow left out (too pale on white)."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo")
INK, MUTED, FAINT = "#222222", "#666666", "#DDDDDD"

SOURCE_TITLES = {
    "mimic_cxr": "MIMIC-CXR",
    "chestxray14": "ChestX-ray14",
    "chexpert": "CheXpert",
    "vindr_cxr": "VinDr-CXR",
    "shenzhen": "Shenzhen",
    "open_i": "Open-I",
    "siim_acr": "SIIM-ACR",
    "padchest": "PadChest",
    "mean": "Mean of sources trained on",
    "mean_zero_shot": "Mean of zero-shot sources",
}


def source_title(source: str) -> str:
    """The name by which readers know a source; the key itself where there is none."""
    return SOURCE_TITLES.get(source, source)


def finding_title(finding: str) -> str:
    """The finding with a capital first letter, the rest as the vocabulary writes it."""
    return finding[:1].upper() + finding[1:]


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure (inches) of its own, known to no global pyplot state."""
    return Figure(figsize=(width, height), dpi=130, layout="constrained", facecolor="white")


def tidy(axes: Axes, grid: str = "both") -> Axes:
    """Thin the frame, lighten the grid ("x", "y", "both" or "") and set readable ticks; returns the axes."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")
    axes.tick_params(colors=INK, labelsize=9, length=3)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, axis=grid, color=FAINT, linewidth=0.7)
    return axes


def title(axes: Axes, text: str, characters: int = 80) -> None:
    """A left-aligned bold title above the axes, in lines of so many characters at most."""
    axes.set_title("\n".join(textwrap.wrap(text, characters)), fontsize=11, fontweight="bold", loc="left", color=INK)


def foot(figure: Figure, *lines: str) -> None:
    """Lines of small text below everything, wrapped to the figure's width."""
    characters = int(figure.get_figwidth() * 12.5)
    figure.supxlabel("\n".join(part for line in lines for part in textwrap.wrap(line, characters)), fontsize=9.5)


def message(figure: Figure, text: str) -> Figure:
    """A figure that only says why there is nothing to draw."""
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=12, color=MUTED)
    return figure
