"""The findings a film can show, how each is drawn, and the box around what was drawn.

Each finding has a severity in (0, 1] (0.2 mild, 0.5 moderate, 1 severe) that sets its size and density, a
side of the patient and a place in the lung. Some change the anatomy before the film is drawn (`altered`), the
others paint on the clean film's layers (`draw`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from unichest_kedro.phantoms.anatomy import RIBS, SIDES, Anatomy, Break, Film, lung_point
from unichest_kedro.phantoms.grid import SIGN, Field, Strokes, box_of, bump, smooth_noise, step
from unichest_kedro.phantoms.masks import Outline

KINDS = (
    "cardiomegaly",
    "effusion",
    "pneumothorax",
    "consolidation",
    "infiltrate",
    "nodule",
    "mass",
    "oedema",
    "atelectasis",
    "fracture",
    "fibrosis",
    "emphysema",
    "devices",
    "aorta",
    "thickening",
    "hernia",
    "tuberculosis",
)
"""The findings a film can show; `aorta` is an enlarged aorta, `thickening` a thickened pleura, `hernia` a part of the
stomach above the diaphragm, `tuberculosis` the pattern of the upper zones that makes a reader think of it."""

CHRONIC = frozenset(
    {
        "cardiomegaly", "nodule", "mass", "fibrosis", "emphysema", "devices", "aorta", "thickening", "fracture",
        "hernia", "tuberculosis",
    }
)  # fmt: skip
"""Findings that mostly stay from one study of a patient to the next."""

BILATERAL = frozenset({"oedema", "fibrosis", "emphysema", "cardiomegaly", "aorta", "hernia"})
OUTLINED = frozenset({"pneumothorax"})
"""Findings of which the exact area is kept, next to its box."""

CAVITY = 0.5
"""Severity from which tuberculosis shows a cavity."""

DEVICES = ("pacemaker", "tracheal tube", "central line", "chest tube")


@dataclass(frozen=True)
class Finding:
    """One finding of one study: what, how severe, on which side, where, and the seed of its own shape.

    `side` is right, left or both; `across` runs from 0 (hilum) to 1 (flank), `down` from 0 (apex) to 1
    (diaphragm).
    """

    kind: str
    severity: float
    side: str
    across: float
    down: float
    seed: int


_HEIGHTS = {
    "nodule": (0.15, 0.85),
    "mass": (0.2, 0.75),
    "infiltrate": (0.25, 0.8),
    "hernia": (0.9, 1.0),
    "tuberculosis": (0.16, 0.32),
}
"""Lowest and highest `down` of a new finding of a kind."""


class DrawnBox(NamedTuple):
    """Box of a drawn finding in pixels of the film, x to the right, y down; the maxima are exclusive.

    `outline` is the drawn area itself, of the findings in `OUTLINED`.
    """

    kind: str
    severity: float
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    outline: Outline | None = None


def random_finding(kind: str, rng: np.random.Generator) -> Finding:
    """Draw severity (0.2 to 1), side and place of a new finding of `kind`."""
    severity = float(rng.uniform(0.2, 1.0))
    sides = (*SIDES, "both") if kind == "tuberculosis" else SIDES
    side = "both" if kind in BILATERAL else str(rng.choice(sides))
    low, high = _HEIGHTS.get(kind, (0.3, 0.85))
    down = float(rng.uniform(low, high))
    # Low on the left the heart would hide it.
    across = rng.uniform(0.6, 0.8) if side == "left" and down > 0.5 else rng.uniform(0.3, 0.7)
    return Finding(kind, severity, side, float(across), down, int(rng.integers(2**31)))


def altered(anatomy: Anatomy, findings: Sequence[Finding]) -> Anatomy:
    """Return the patient's anatomy as the study's findings change it."""
    for finding in findings:
        change = _ALTERATIONS.get(finding.kind)
        if change is not None:
            anatomy = change(anatomy, finding)
    return anatomy


def draw(film: Film, findings: Sequence[Finding]) -> list[DrawnBox]:
    """Paint the findings on the film's layers and return their boxes (one or two per visible finding)."""
    boxes = []
    for finding in findings:
        layer = _PAINTERS[finding.kind](film, finding, np.random.default_rng(finding.seed))
        outline = Outline.of(layer > 0.5) if finding.kind in OUTLINED else None
        boxes += [DrawnBox(finding.kind, finding.severity, *box, outline) for box in _boxes(film, finding, layer)]
    return boxes


def device_names(finding: Finding) -> tuple[str, ...]:
    """Which support devices a `devices` finding shows: one, or two from severity 0.6."""
    first = finding.seed % len(DEVICES)
    count = 2 if finding.severity >= 0.6 else 1
    return tuple(DEVICES[(first + i) % len(DEVICES)] for i in range(count))


def _boxes(film: Film, finding: Finding, layer: Field) -> list[tuple[float, float, float, float]]:
    """One box; one per lung for findings of both lungs, one per spot for nodules."""
    if finding.kind in ("oedema", "fibrosis", "emphysema", "tuberculosis"):
        parts = [layer * (SIGN[side] * film.grid.x > 0) for side in SIDES]
    elif finding.kind == "nodule":
        spots, count = label(layer > 0.35 * layer.max())
        parts = [layer * (spots == spot + 1) for spot in range(count)]
    else:
        parts = [layer]
    return [box for box in map(box_of, parts) if box is not None]


def _raise_opacity(film: Film, layer: Field) -> Field:
    film.opacity = 1 - (1 - film.opacity) * (1 - np.clip(layer, 0, 1))
    return layer


def _sides(finding: Finding) -> tuple[str, ...]:
    return SIDES if finding.side == "both" else (finding.side,)


def _blob(film: Film, centre: tuple[float, float], radius: float, rough: float, rng: np.random.Generator) -> Field:
    """Distance from a lumpy blob's centre in units of its radius; below 1 is inside."""
    noise = smooth_noise(rng, film.grid.shape, 1.6 / radius)
    distance = np.hypot(film.grid.x - centre[0], film.grid.y - centre[1]) / np.float32(radius)
    return distance * (1 + rough * noise)


def _enlarge_heart(anatomy: Anatomy, finding: Finding) -> Anatomy:
    ratio = 0.50 + 0.22 * finding.severity
    return replace(anatomy, cardiothoracic=ratio, heart_height=anatomy.heart_height * (1.02 + 0.12 * finding.severity))


def _enlarge_aorta(anatomy: Anatomy, finding: Finding) -> Anatomy:
    return replace(
        anatomy,
        aorta=0.105 + 0.065 * finding.severity,
        mediastinum=anatomy.mediastinum + 0.015 + 0.035 * finding.severity,
    )


def _overinflate(anatomy: Anatomy, finding: Finding) -> Anatomy:
    lower = 0.06 + 0.16 * finding.severity
    return replace(
        anatomy,
        inflation=1.06 + 0.15 * finding.severity,
        dome={side: height + lower for side, height in anatomy.dome.items()},
        cardiothoracic=anatomy.cardiothoracic * (1 - 0.22 * finding.severity),
        heart_y=anatomy.heart_y + 0.5 * lower,
        thorax=min(0.86, anatomy.thorax + 0.05 * finding.severity),
    )


def _raise_diaphragm(anatomy: Anatomy, finding: Finding) -> Anatomy:
    raised = anatomy.dome[finding.side] - 0.05 - 0.10 * finding.severity
    return replace(anatomy, dome={**anatomy.dome, finding.side: raised})


def _break_ribs(anatomy: Anatomy, finding: Finding) -> Anatomy:
    rng = np.random.default_rng(finding.seed)
    count = 2 + round(2 * finding.severity)
    first = int(rng.integers(2, RIBS - count - 1))
    sign = float(rng.choice((-1.0, 1.0)))
    position = rng.uniform(0.30, 0.58)
    offset = sign * anatomy.rib_width * (1.0 + 0.8 * finding.severity)
    breaks = tuple(Break(finding.side, first + i, float(position + rng.normal(0, 0.03)), offset) for i in range(count))
    return replace(anatomy, breaks=anatomy.breaks + breaks)


_ALTERATIONS: dict[str, Callable[[Anatomy, Finding], Anatomy]] = {
    "cardiomegaly": _enlarge_heart,
    "aorta": _enlarge_aorta,
    "emphysema": _overinflate,
    "atelectasis": _raise_diaphragm,
    "fracture": _break_ribs,
}


def _show_heart(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    return film.heart


def _show_aorta(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """The enlarged knob, with a calcified rim from moderate severity."""
    anatomy, grid = film.anatomy, film.grid
    centre = anatomy.mediastinum - 0.035 + 0.4 * (anatomy.aorta - 0.075)
    distance = np.hypot(grid.x - centre, grid.y + 0.36)
    if finding.severity > 0.5:
        film.extra += 0.12 * bump(((distance - anatomy.aorta + 0.01) / 0.016) ** 2) * (grid.x > centre)
    return step(anatomy.aorta - distance, 0.015)


def _paint_effusion(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """Fluid that fills the costophrenic angle and rises to the flank in a meniscus."""
    anatomy, grid = film.anatomy, film.grid
    sign = SIGN[finding.side]
    lateral = sign * grid.x
    level = anatomy.dome[finding.side] + 0.17 - 0.52 * finding.severity
    to_wall = np.clip((lateral - 0.25) / (anatomy.thorax - 0.25), 0, 1)
    surface = level - 0.16 * to_wall**3 + 0.05 * (1 - to_wall)
    layer = film.lung[finding.side] * step(grid.y - surface, 0.05) * np.float32(0.95)
    return _raise_opacity(film, layer)


def _paint_pneumothorax(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """Black air without vessels between the chest wall and the fine line of the retracted lung."""
    anatomy, grid, side = film.anatomy, film.grid, finding.side
    retreat = 0.07 + 0.26 * finding.severity
    upper = np.clip((anatomy.dome[side] - grid.y) / (anatomy.dome[side] - anatomy.apex), 0, 1)
    edge = np.minimum(film.wall[side], 1.3 * (grid.y - anatomy.apex)) - retreat * (0.30 + 0.70 * upper)
    outside = step(-edge, 0.014) * film.lung[side]
    line = bump((edge / 0.016) ** 2) * step(film.depth[side], 0.02)
    film.markings = film.markings * (1 - outside)
    film.extra += 0.20 * line - (0.10 + 0.05 * finding.severity) * outside
    collapsed = film.lung[side] * step(edge, 0.02) * step(np.float32(0.9) - np.abs(grid.x), 0.1)
    film.opacity = 1 - (1 - film.opacity) * (1 - (0.10 + 0.22 * finding.severity) * collapsed)
    return outside


def _paint_consolidation(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """A dense lumpy part of a lobe in which open airways show as dark lines."""
    anatomy = film.anatomy
    centre = lung_point(anatomy, finding.side, finding.across, finding.down)
    blob = _blob(film, centre, 0.17 + 0.14 * finding.severity, 0.16, rng)
    layer = step(1 - blob, 0.16) * film.lung[finding.side] * (0.55 + 0.35 * finding.severity)
    airways = Strokes(film.grid)
    hilum = np.array([SIGN[finding.side] * 0.17, -0.06])
    for _ in range(4):
        end = np.array(centre) + rng.normal(0, 0.09, 2)
        airways.line(np.stack([hilum, end, end + 0.35 * (end - hilum)]), 0.022)
    return _raise_opacity(film, layer * (1 - 0.45 * airways.field()))


def _paint_infiltrate(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """Ill-defined fluffy patches over a part of one lung."""
    centre = lung_point(film.anatomy, finding.side, finding.across, finding.down)
    spread = 0.24 + 0.10 * finding.severity
    region = bump(((film.grid.x - centre[0]) ** 2 + (film.grid.y - centre[1]) ** 2) / np.float32(spread**2))
    patches = np.clip(0.35 + 0.75 * smooth_noise(rng, film.grid.shape, 17), 0, 1.4)
    layer = region * patches * film.lung[finding.side] * (0.38 + 0.34 * finding.severity)
    return _raise_opacity(film, layer)


def _paint_nodule(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """One to three small, round, sharp spots."""
    layer = np.zeros(film.grid.shape, dtype=np.float32)
    for i in range(1 + round(2 * finding.severity)):
        across, down = finding.across, finding.down
        if i:
            across, down = rng.uniform(0.3, 0.75), rng.uniform(0.2, 0.7)
        centre = lung_point(film.anatomy, finding.side, across, down)
        radius = 0.048 + 0.032 * finding.severity
        blob = _blob(film, centre, radius, 0.04, rng)
        layer = np.maximum(layer, step(1 - blob, 0.25))
    return _raise_opacity(film, layer * film.lung[finding.side] * (0.72 + 0.25 * finding.severity))


def _paint_mass(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """A round mass with a lobulated, mostly sharp border."""
    centre = lung_point(film.anatomy, finding.side, finding.across, finding.down)
    blob = _blob(film, centre, 0.12 + 0.08 * finding.severity, 0.08, rng)
    layer = step(1 - blob, 0.08) * film.lung[finding.side] * (0.85 + 0.12 * finding.severity)
    return _raise_opacity(film, layer)


def _paint_oedema(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """Bat-wing haze around both hila, thick vessels and short septal lines at the flanks."""
    grid, severity = film.grid, finding.severity
    wings = bump(((np.abs(grid.x) - 0.30) / 0.21) ** 2 + ((grid.y - 0.02) / 0.34) ** 2)
    haze = wings * (1 + 0.18 * smooth_noise(rng, grid.shape, 10)) * film.lungs * (0.30 + 0.42 * severity)
    septa = Strokes(grid)
    for side in SIDES:
        for y in np.arange(0.10, 0.42, 0.045):
            outer = SIGN[side] * (film.anatomy.thorax - 0.02)
            septa.line(np.array([[outer, y], [outer - SIGN[side] * 0.10, y - 0.01]]), 0.012)
    film.markings = film.markings * (1 + 0.9 * severity)
    film.extra += 0.13 * severity * septa.field() * film.lungs
    return _raise_opacity(film, haze)


def _paint_atelectasis(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """Plate-like bands above a raised diaphragm."""
    strokes = Strokes(film.grid)
    side, dome = finding.side, film.anatomy.dome[finding.side]
    for i in range(1 + round(2 * finding.severity)):
        y = dome - 0.07 - 0.10 * i
        tilt = rng.uniform(-0.05, 0.07)
        x = np.array([0.24 + rng.uniform(-0.04, 0.04), 0.42, 0.62 + rng.uniform(-0.06, 0.05)])
        points = np.stack([SIGN[side] * x, y + tilt * np.array([0.0, 0.35, 1.0])], axis=1)
        strokes.line(points, 0.036 + 0.020 * finding.severity)
    bands = gaussian_filter(strokes.field(), 0.010 * film.grid.unit)
    return _raise_opacity(film, bands * film.lung[side] * (0.75 + 0.25 * finding.severity))


def _paint_callus(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """A dark gap and bright callus where the ribs of this finding are broken."""
    layer = np.zeros(film.grid.shape, dtype=np.float32)
    for broken in film.anatomy.breaks:
        if broken.side != finding.side:
            continue
        points = film.ribs[broken.side][broken.rib]
        cut = max(2, min(len(points) - 3, round(broken.position * len(points))))
        at = (points[cut - 1] + points[cut]) / 2 + np.array([0.0, broken.offset / 2])
        distance = np.hypot((film.grid.x - at[0]) / 1.1, film.grid.y - at[1]) / np.float32(0.064)
        layer = np.maximum(layer, bump(distance**2))
        film.extra -= 0.12 * bump((distance / 0.35) ** 2)
    film.extra += (0.26 + 0.16 * finding.severity) * layer
    return layer


def _paint_fibrosis(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """A coarse net at the bases and flanks of both lungs."""
    grid = film.grid
    net = np.zeros(grid.shape, dtype=np.float32)
    for cells in (24, 15):
        noise = smooth_noise(rng, grid.shape, cells)
        net = np.maximum(net, np.clip(1 - np.abs(noise) / 0.42, 0, 1))
    low = step(grid.y + 0.12 - 0.35 * (np.abs(grid.x) - 0.4), 0.30)
    peripheral = np.clip((np.abs(grid.x) - 0.10) / 0.30, 0.25, 1)
    layer = net * low * peripheral * film.lungs * (0.36 + 0.44 * finding.severity)
    return _raise_opacity(film, layer)


def _paint_emphysema(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """Sparse vessels and, in the upper zones, bullae with thin walls; the anatomy is already overinflated."""
    grid = film.grid
    film.markings = film.markings * (1 - 0.55 * finding.severity)
    for side in SIDES:
        centre = lung_point(film.anatomy, side, rng.uniform(0.45, 0.7), rng.uniform(0.18, 0.32))
        radius = 0.09 + 0.09 * finding.severity
        distance = np.hypot(grid.x - centre[0], grid.y - centre[1])
        inside = step(radius - distance, 0.02) * film.lung[side]
        rim = bump(((distance - radius) / 0.014) ** 2) * film.lung[side]
        film.extra += 0.09 * finding.severity * rim - 0.07 * inside
    return film.lungs


def _paint_thickening(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """A dense rind along the flank and over the apex."""
    thickness = 0.040 + 0.050 * finding.severity
    wavy = thickness * (1 + 0.25 * smooth_noise(rng, film.grid.shape, 6))
    edge = np.minimum(film.wall[finding.side], 0.8 * (film.grid.y - film.anatomy.apex))
    below = film.anatomy.dome[finding.side] - 0.05 - film.grid.y
    layer = step(wavy - edge, 0.014) * film.lung[finding.side] * step(below, 0.08)
    return _raise_opacity(film, layer * (0.62 + 0.33 * finding.severity))


def _paint_hernia(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """A round pouch of stomach behind the heart, above the diaphragm: gas on top, fluid below, a thin wall."""
    anatomy, grid = film.anatomy, film.grid
    radius = 0.11 + 0.08 * finding.severity
    x, y = rng.uniform(0.04, 0.12), anatomy.dome["left"] - 0.55 * radius
    distance = np.hypot((grid.x - x) / 1.15, grid.y - y)
    inside = step(radius - distance, 0.018)
    level = step(grid.y - y + 0.15 * radius, 0.012)
    wall = bump(((distance - radius) / 0.018) ** 2)
    film.extra += 0.13 * wall + inside * (0.12 * level - (0.20 + 0.10 * finding.severity) * (1 - level))
    return inside


def _paint_tuberculosis(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """Patches, small spots and streaks below the apex, drawn up from the hilum; once severe, a cavity as well."""
    total = np.zeros(film.grid.shape, dtype=np.float32)
    for side in _sides(finding):
        across, down = finding.across + rng.uniform(-0.06, 0.06), finding.down + rng.uniform(-0.03, 0.03)
        centre = np.array(lung_point(film.anatomy, side, across, down))
        layer = np.maximum(_tuberculous_patches(film, centre, finding.severity, rng), _streaks(film, side, centre, rng))
        if finding.severity >= CAVITY:
            layer = _with_cavity(film, centre, finding.severity, layer, rng)
        total = np.maximum(total, layer * film.lung[side])
    return _raise_opacity(film, total)


def _tuberculous_patches(film: Film, centre: NDArray[np.floating], severity: float, rng: np.random.Generator) -> Field:
    """Ill-defined patches around a point, and a few spots the size of a lentil next to them."""
    grid = film.grid
    spread = 0.18 + 0.12 * severity
    region = bump(((grid.x - centre[0]) ** 2 + (grid.y - centre[1]) ** 2) / np.float32(spread**2))
    layer = region * np.clip(0.75 + 0.65 * smooth_noise(rng, grid.shape, 13), 0.1, 1.5) * (0.50 + 0.27 * severity)
    for _ in range(3 + round(3 * severity)):
        x, y = centre + rng.normal(0, 0.11, 2) + (0, 0.06)
        spot = step(np.float32(0.028) - np.hypot(grid.x - x, grid.y - y), 0.026)
        layer = np.maximum(layer, spot * (0.45 + 0.3 * severity))
    return layer


def _streaks(film: Film, side: str, centre: NDArray[np.floating], rng: np.random.Generator) -> Field:
    """Scars that run from the hilum up to the diseased part."""
    strokes = Strokes(film.grid)
    hilum = np.array([SIGN[side] * 0.19, -0.10])
    for _ in range(4):
        end = centre + rng.normal(0, 0.07, 2)
        bend = (hilum + end) / 2 + rng.normal(0, 0.02, 2)
        strokes.line(np.stack([hilum, bend, end]), 0.024)
    return 0.6 * gaussian_filter(strokes.field(), 0.008 * film.grid.unit)


def _with_cavity(
    film: Film, centre: NDArray[np.floating], severity: float, layer: Field, rng: np.random.Generator
) -> Field:
    """The layer with a hole in its middle, whose wall is thick and uneven."""
    radius = 0.055 + 0.045 * severity
    distance = radius * _blob(film, (float(centre[0]), float(centre[1])), radius, 0.10, rng)
    hole = step(radius - distance, 0.02)
    thickness = 0.032 + 0.012 * smooth_noise(rng, film.grid.shape, 14)
    wall = bump(((distance - radius - 0.02) / thickness) ** 2)
    return np.maximum(layer * (1 - 0.9 * hole), (0.50 + 0.2 * severity) * wall)


def _paint_devices(film: Film, finding: Finding, rng: np.random.Generator) -> Field:
    """Metal and plastic: bright strokes; their box is around all of them."""
    strokes = Strokes(film.grid)
    side = "left" if finding.side == "both" else finding.side
    for name in device_names(finding):
        _DEVICE_PAINTERS[name](film, strokes, side, rng)
    layer = gaussian_filter(strokes.field(), 0.004 * film.grid.unit)
    film.extra += (0.48 + 0.16 * finding.severity) * layer
    return layer


def _curve(points: Sequence[tuple[float, float]]) -> NDArray[np.floating]:
    """Smooth line (n, 2) through a few body points (Catmull-Rom)."""
    knots = np.array([points[0], *points, points[-1]], dtype=float)
    t = np.linspace(0, 1, 9)[:, None]
    parts = []
    for a, b, c, d in zip(knots, knots[1:], knots[2:], knots[3:]):
        bend = 2 * a - 5 * b + 4 * c - d
        parts.append(0.5 * (2 * b + (c - a) * t + bend * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate(parts)


def _pacemaker(film: Film, strokes: Strokes, side: str, rng: np.random.Generator) -> None:
    sign = SIGN[side]
    x, y = sign * 0.56, -0.44
    angles = np.linspace(0, 2 * np.pi, 24)
    can = np.stack([x + 0.095 * np.cos(angles), y + 0.075 * np.sin(angles)], axis=1)
    strokes.polygon(can, 1.0)
    for target in ((-0.10, 0.16), (0.16, film.anatomy.dome["left"] - 0.08)):
        lead = [(x - sign * 0.08, y - 0.04), (sign * 0.30, -0.58), (-0.07, -0.42), (-0.09, -0.1), target]
        strokes.line(_curve(lead), 0.024, 0.85)


def _tracheal_tube(film: Film, strokes: Strokes, side: str, rng: np.random.Generator) -> None:
    tip = film.anatomy.carina - rng.uniform(0.05, 0.14)
    strokes.line(_curve([(0.03, -1.5), (0.01, -0.8), (0.0, tip)]), 0.034, 0.8)
    stomach = film.anatomy.dome["left"] + 0.16
    strokes.line(_curve([(0.05, -1.5), (0.03, -0.6), (0.05, 0.1), (0.12, stomach - 0.1), (0.3, stomach)]), 0.022, 0.8)


def _central_line(film: Film, strokes: Strokes, side: str, rng: np.random.Generator) -> None:
    sign = SIGN[side]
    strokes.line(_curve([(sign * 0.24, -1.3), (sign * 0.20, -0.75), (-0.07, -0.45), (-0.11, -0.02)]), 0.032, 0.9)
    for x, y in ((-0.62, -0.30), (0.62, -0.25), (0.50, 0.42)):
        angles = np.linspace(0, 2 * np.pi, 14)
        pad = np.stack([x + 0.035 * np.cos(angles), y + 0.035 * np.sin(angles)], axis=1)
        strokes.polygon(pad, 0.8)
        strokes.line(_curve([(x, y), (x * 1.2, y - 0.2), (x * 1.5, y - 0.1)]), 0.014, 0.6)


def _chest_tube(film: Film, strokes: Strokes, side: str, rng: np.random.Generator) -> None:
    sign = SIGN[side]
    entry = (sign * (film.anatomy.thorax + 0.22), 0.22)
    path = _curve([entry, (sign * film.anatomy.thorax, 0.14), (sign * 0.52, -0.10), (sign * 0.38, -0.48)])
    strokes.line(path, 0.050, 0.65)
    strokes.line(path, 0.014, 1.0)


_DEVICE_PAINTERS: dict[str, Callable[[Film, Strokes, str, np.random.Generator], None]] = {
    "pacemaker": _pacemaker,
    "tracheal tube": _tracheal_tube,
    "central line": _central_line,
    "chest tube": _chest_tube,
}

_PAINTERS: dict[str, Callable[[Film, Finding, np.random.Generator], Field]] = {
    "cardiomegaly": _show_heart,
    "effusion": _paint_effusion,
    "pneumothorax": _paint_pneumothorax,
    "consolidation": _paint_consolidation,
    "infiltrate": _paint_infiltrate,
    "nodule": _paint_nodule,
    "mass": _paint_mass,
    "oedema": _paint_oedema,
    "atelectasis": _paint_atelectasis,
    "fracture": _paint_callus,
    "fibrosis": _paint_fibrosis,
    "emphysema": _paint_emphysema,
    "devices": _paint_devices,
    "aorta": _show_aorta,
    "thickening": _paint_thickening,
    "hernia": _paint_hernia,
    "tuberculosis": _paint_tuberculosis,
}
