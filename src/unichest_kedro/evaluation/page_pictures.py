"""Pictures inside a page: figures and films as data addresses, made small enough for it."""

import base64
import io
from typing import NamedTuple

from PIL import Image

SCREEN_DPI = 96
EM_PIXELS = 16
"""CSS's inch and the browser's default em, in pixels."""

COLOURS = 256
"""Of a figure in the page; figures have few colours, and a palette takes a third of the room."""


class Picture(NamedTuple):
    """A figure on the page: its data address, its caption, and the width in em beyond which it is not enlarged."""

    address: str
    caption: str
    largest: float


def figure_picture(png: bytes, caption: str, scale: float = 1.0) -> Picture:
    """A figure for the page, with a palette and, where room is short, fewer pixels; shown as large as before.

    Args:
        png: The figure as it lies on disk.
        caption: Its caption.
        scale: Of its width and height in pixels, up to 1.
    """
    with Image.open(io.BytesIO(png)) as image:
        inches = image.width / image.info.get("dpi", (SCREEN_DPI, SCREEN_DPI))[0]
        flat = image.convert("RGB")
    if scale < 1:
        flat = flat.resize((max(1, round(flat.width * scale)), max(1, round(flat.height * scale))), Image.LANCZOS)
    buffer = io.BytesIO()
    flat.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(buffer, format="PNG")
    return Picture(data_address("png", buffer.getvalue()), caption, round(inches * SCREEN_DPI / EM_PIXELS, 1))


def data_address(kind: str, content: bytes) -> str:
    """A picture ("png", "jpeg") as an address that holds all of it."""
    return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")
