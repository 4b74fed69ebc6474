"""Body coordinates of a film and the two pencils that draw on it: thin strokes and smooth noise.

Body coordinates: x to the right of the film (the patient's left), y down, the origin at the film's centre,
and half of the film's shorter side as unit. A pose (shift, scale, rotation) says how the patient stands
before the film.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Field = NDArray[np.float32]
"""(H, W) float32 array, one value per pixel of the film."""

SIGN = {"right": -1.0, "left": 1.0}
"""Sign of x on the patient's side: the patient's right lung lies in the film's left half."""

SUPERSAMPLING = 2


class Pose(NamedTuple):
    """How the patient stands: shift in units, scale factor, rotation in radians."""

    shift_x: float = 0.0
    shift_y: float = 0.0
    scale: float = 1.0
    rotation: float = 0.0


@dataclass(frozen=True)
class Grid:
    """Pixel centres of one film in body coordinates; `x` and `y` are (H, W) float32."""

    x: Field
    y: Field
    pose: Pose

    @classmethod
    def of(cls, shape: tuple[int, int], pose: Pose | None = None) -> "Grid":
        """Return the grid of a film of `shape` (height, width) in pixels."""
        pose = pose or Pose()
        height, width = shape
        unit = min(shape) / 2
        rows = ((np.arange(height, dtype=np.float32) + 0.5) - height / 2) / unit - pose.shift_y
        columns = ((np.arange(width, dtype=np.float32) + 0.5) - width / 2) / unit - pose.shift_x
        cos, sin = np.float32(np.cos(pose.rotation)), np.float32(np.sin(pose.rotation))
        scale = np.float32(1 / pose.scale)
        x = (cos * columns[None, :] + sin * rows[:, None]) * scale
        y = (-sin * columns[None, :] + cos * rows[:, None]) * scale
        return cls(x, y, pose)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.x.shape

    @property
    def unit(self) -> float:
        """Pixels per unit of body coordinates."""
        return min(self.shape) / 2 * self.pose.scale

    def to_pixels(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Turn body points (n, 2) as x, y into pixel positions (n, 2) as column, row."""
        cos, sin = np.cos(self.pose.rotation), np.sin(self.pose.rotation)
        height, width = self.shape
        x, y = points[:, 0], points[:, 1]
        half = min(self.shape) / 2
        column = (cos * x - sin * y) * self.pose.scale + self.pose.shift_x
        row = (sin * x + cos * y) * self.pose.scale + self.pose.shift_y
        return np.stack([column * half + width / 2, row * half + height / 2], axis=1)


class Strokes:
    """A sheet for anti-aliased lines in body coordinates; later strokes cover earlier ones."""

    def __init__(self, grid: Grid) -> None:
        height, width = grid.shape
        self._grid = grid
        self._image = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: NDArray[np.floating], width: float, value: float = 1.0) -> None:
        """Draw a polyline through body `points` (n, 2), `width` in units, `value` in [0, 1]."""
        self.lines(points[None], width, value)

    def lines(self, points: NDArray[np.floating], width: float, value: float = 1.0) -> None:
        """Draw m polylines through body `points` (m, n, 2), all of one `width` and `value`."""
        pixels = self._on_sheet(points.reshape(-1, 2))
        thickness = max(1, round(width * self._grid.unit * SUPERSAMPLING))
        for one in pixels.reshape(len(points), -1).tolist():
            self._draw.line(one, fill=round(255 * value), width=thickness)

    def polygon(self, points: NDArray[np.floating], value: float = 1.0) -> None:
        """Fill the polygon with body corners `points` (n, 2), `value` in [0, 1]."""
        pixels = self._on_sheet(points)
        self._draw.polygon(pixels.ravel().tolist(), fill=round(255 * value))

    def _on_sheet(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Positions on the finer sheet; Pillow's whole numbers are the centres of its pixels."""
        return self._grid.to_pixels(points) * SUPERSAMPLING - 0.5

    def field(self) -> Field:
        """Return what was drawn as (H, W) float32 in [0, 1]."""
        return np.asarray(self._image.reduce(SUPERSAMPLING), dtype=np.float32) / np.float32(255)


def step(distance: Field, softness: float) -> Field:
    """Soft step from 0 (distance <= -softness) to 1 (distance >= softness), smooth in between."""
    t = np.clip(distance * np.float32(0.5 / softness) + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)


def bump(squared_distance: Field) -> Field:
    """Gaussian bump exp(-d^2) of a squared distance in units of its width."""
    return np.exp(-squared_distance)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> Field:
    """Smooth noise of about unit variance with `cells` grains along the shorter side; (H, W) float32."""
    unit = min(shape) / cells
    coarse = (max(2, round(shape[0] / unit)), max(2, round(shape[1] / unit)))
    grains = rng.standard_normal(coarse, dtype=np.float32)
    image = Image.fromarray(grains, mode=None).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32) * np.float32(1.4)


def box_of(layer: Field, share: float = 0.35) -> tuple[float, float, float, float] | None:
    """Box (x_min, y_min, x_max, y_max) around where |layer| exceeds `share` of its maximum, or None."""
    strength = np.abs(layer)
    peak = float(strength.max())
    if peak < 0.02:
        return None
    inside = strength > share * peak
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
