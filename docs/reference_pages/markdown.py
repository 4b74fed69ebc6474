"""Small pieces of Markdown."""

import inspect
import re
from collections.abc import Iterable, Sequence
from itertools import cycle


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; bars and line breaks inside cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def code(text: object) -> str:
    """A piece of code in a line; "" stays empty."""
    return f"`{text}`" if str(text) else ""


def codes(names: Iterable[object]) -> str:
    """Several pieces of code, joined by commas."""
    return ", ".join(code(name) for name in names)


def docstring(thing: object) -> str:
    """The docstring, without its sections (Args, Returns, Raises), as paragraphs of Markdown; "" without one."""
    text = inspect.cleandoc(thing.__doc__ or "")
    text = re.sub(r"docs/method\.md", "[the method](../method.md)", text)
    return re.split(r"\n\n?(?:Args|Returns|Raises|Yields|Attributes):\n", text)[0].strip()


def first_line(thing: object) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join(docstring(thing).split("\n\n")[0].split())


def _cell(text: str) -> str:
    """A cell on one line. Bars inside backquotes stay: there they part no columns."""
    pieces = " ".join(str(text).split()).split("`")
    return "`".join(piece.replace("|", "\\|") if outside else piece for outside, piece in zip(cycle((1, 0)), pieces))
