"""A crude lateral chest film: enough that it is plainly not a frontal one."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from unichest_kedro.phantoms.anatomy import Anatomy
from unichest_kedro.phantoms.findings import Finding
from unichest_kedro.phantoms.grid import Field, Grid, Strokes, step


def lateral_film(anatomy: Anatomy, findings: Sequence[Finding], grid: Grid) -> Field:
    """Draw the patient from the side, sternum to the left; (H, W) float32 in [0, 1].

    Only the size of the heart and fluid behind the diaphragm follow the findings.
    """
    severity = {finding.kind: finding.severity for finding in findings}
    x, y = grid.x, grid.y
    trunk = 0.58 + 0.5 * anatomy.margin
    body = np.sqrt(np.clip(1 - (x / trunk) ** 2, 0, 1)) * step(y + 1.15, 0.25)
    lung = _lung(anatomy, x, y)
    heart_radius = 0.22 + 0.10 * severity.get("cardiomegaly", 0.0)
    heart = step(1 - np.hypot((x + 0.16) / heart_radius, (y - anatomy.heart_y) / 0.27), 0.12)
    fluid = step(y - (anatomy.dome["left"] + 0.22 - 0.4 * severity.get("effusion", 0.0)), 0.06) * step(x - 0.1, 0.1)
    density = 0.62 * body + 0.20 * step(y - anatomy.dome["left"] - 0.05 * x, 0.03) * body
    density -= 0.36 * lung * (1 - 0.7 * heart) * (1 - 0.85 * fluid * ("effusion" in severity))
    return np.clip(density + _bones(anatomy, grid), 0, 1).astype(np.float32)


def _lung(anatomy: Anatomy, x: Field, y: Field) -> Field:
    height = anatomy.dome["left"] - anatomy.apex
    middle = (anatomy.dome["left"] + anatomy.apex) / 2
    chest = 1 - np.hypot((x - 0.02) / 0.50, (y - middle) / (0.62 * height))
    return step(chest, 0.08) * step(anatomy.dome["left"] + 0.22 * np.clip(x, 0, 1) - y, 0.03)


def _bones(anatomy: Anatomy, grid: Grid) -> Field:
    """Vertebral column at the back, sternum in front, a few ribs across."""
    strokes = Strokes(grid)
    for y in np.arange(anatomy.apex - 0.1, 1.1, 0.13):
        strokes.line(np.array([[0.46, y], [0.47, y + 0.09]]), 0.15, 0.9)
    strokes.line(np.array([[-0.52, -0.6], [-0.56, 0.25]]), 0.05, 0.8)
    for y in np.arange(anatomy.apex + 0.1, 0.5, anatomy.rib_spacing):
        along = np.linspace(0, 1, 10)
        strokes.line(np.stack([0.42 - 0.9 * along, y + 0.35 * along**1.5], axis=1), 0.035, 0.45)
    return np.float32(0.22) * gaussian_filter(strokes.field(), 0.01 * grid.unit)
