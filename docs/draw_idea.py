"""Draws the figure of the idea, once for light and once for dark pages: python docs/draw_idea.py."""

from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch


class Look(NamedTuple):
    """Colours of one variant: text, lines, and the fills of what is trained, frozen, and given."""

    ink: str
    line: str
    trained: str
    frozen: str
    given: str


LOOKS = {
    "light": Look("#1f2328", "#57606a", "#bfe3df", "#e3e6ea", "#fdf0d0"),
    "dark": Look("#eceff3", "#a9b1bd", "#14544e", "#3a414c", "#5c4a1c"),
}


SVG = {"svg.fonttype": "path", "svg.hashsalt": "idea", "font.family": "DejaVu Sans"}
"""No font needed to show it, and the same file for the same drawing."""


class Box(NamedTuple):
    """A box: its left lower corner, width and height, in units of the page."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> tuple[float, float]:
        """The middle of the right side."""
        return self.x + self.width, self.y + self.height / 2

    @property
    def left(self) -> tuple[float, float]:
        """The middle of the left side."""
        return self.x, self.y + self.height / 2


def draw(look: Look) -> Figure:
    """The two stages above each other, and the key of the colours."""
    figure = Figure(figsize=(9.6, 6.6))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 96), ylim=(0, 66))
    axes.axis("off")
    _stage(axes, look, 36, "1  Conquer: what all sources share", divide=False)
    _stage(axes, look, 6, "2  Divide: what is particular to each", divide=True)
    _key(axes, look)
    return figure


def _stage(axes: Axes, look: Look, y: float, title: str, divide: bool) -> None:
    """One stage: films and findings in, encoders, query networks, probabilities out."""
    axes.text(2, y + 24, title, color=look.ink, fontsize=13, fontweight="bold")
    films = _box(axes, look, Box(2, y + 11, 15, 8), "films of\nall sources", look.given)
    asked = _box(axes, look, Box(2, y, 15, 8), "findings\nin words", look.given)
    image = _box(axes, look, Box(24, y + 11, 16, 8), "image encoder", look.frozen if divide else look.trained)
    text = _box(axes, look, Box(24, y, 16, 8), "text encoder", look.frozen)
    networks = _box(axes, look, Box(48, y, 24, 19), "", "none")
    answer = _box(axes, look, Box(79, y + 5.5, 15, 8), "probability of\neach finding", look.given)
    for start, end in ((films.right, image.left), (asked.right, text.left)):
        _arrow(axes, look, start, end)
    for encoder in (image, text):
        _arrow(axes, look, encoder.right, (networks.x, encoder.right[1]))
    _arrow(axes, look, networks.right, answer.left)
    if not divide:
        _box(axes, look, Box(51, y + 6, 18, 7), "main query network", look.trained)
        return
    _box(axes, look, Box(51, y + 12, 18, 5), "main query network", look.trained)
    for number in range(3):
        _box(axes, look, Box(51, y + 8.4 - 3.4 * number, 18, 2.8), f"expert {number + 1}", look.trained, size=9)
    gate = _box(axes, look, Box(48, y + 21.5, 24, 4), "gate: weights of the experts", look.trained, size=9)
    _arrow(axes, look, (40, y + 17.5), gate.left)
    _arrow(axes, look, gate.right, (86.5, y + 13.5), bend=-0.25)
    axes.text(86.5, y + 2.8, "half main network,\nhalf experts", color=look.ink, fontsize=9, ha="center", va="center")


def _key(axes: Axes, look: Look) -> None:
    for x, fill, words in ((2, look.trained, "trained"), (17, look.frozen, "frozen"), (31, look.given, "in and out")):
        _box(axes, look, Box(x, 0.7, 3.2, 1.9), "", fill)
        axes.text(x + 4.2, 1.6, words, color=look.ink, fontsize=9, va="center")


def _box(axes: Axes, look: Look, box: Box, words: str, fill: str, size: int = 10) -> Box:
    shape = FancyBboxPatch(
        box[:2], box.width, box.height, "round,pad=0,rounding_size=0.9", facecolor=fill, edgecolor=look.line
    )
    axes.add_patch(shape)
    middle = box.x + box.width / 2, box.y + box.height / 2
    axes.text(*middle, words, color=look.ink, fontsize=size, ha="center", va="center")
    return box


def _arrow(axes: Axes, look: Look, start: tuple[float, float], end: tuple[float, float], bend: float = 0) -> None:
    style = f"arc3,rad={bend}"
    arrow = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=10, color=look.line, connectionstyle=style, linewidth=1.1
    )
    axes.add_patch(arrow)


def main() -> None:
    """Write docs/images/idea-light.svg and idea-dark.svg; the same drawing gives the same file."""
    folder = Path(__file__).parent / "images"
    with mpl.rc_context(SVG):
        for name, look in LOOKS.items():
            draw(look).savefig(folder / f"idea-{name}.svg", transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main()
