"""From a patient's measures to the layers of a clean frontal chest film.

A film is kept as layers (soft tissue, air, lung markings, bone, opacity) until every finding has been drawn;
then `expose` adds them up. Lengths are in the body coordinates of `grid.py`.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from unichest_kedro.phantoms.grid import SIGN, Field, Grid, Strokes, bump, smooth_noise, step

SIDES = ("right", "left")
RIBS = 10
APEX_X = 0.31
CARDIOPHRENIC_X = 0.42


@dataclass(frozen=True)
class Break:
    """A broken rib: which one, where along it (0 spine, 1 flank), and how far the outer part is displaced."""

    side: str
    rib: int
    position: float
    offset: float


@dataclass(frozen=True)
class Anatomy:
    """The measures of one patient; findings such as cardiomegaly change some of them for one study."""

    thorax: float
    apex: float
    dome: dict[str, float]
    sulcus: float
    cardiothoracic: float
    heart_y: float
    heart_height: float
    mediastinum: float
    aorta: float
    spine: float
    trachea: float
    carina: float
    rib_spacing: float
    rib_width: float
    rib_slope: float
    clavicle: float
    shoulder: float
    margin: float
    breast: float
    inflation: float
    vessel_seed: int
    breaks: tuple[Break, ...] = ()


def random_anatomy(rng: np.random.Generator, sex: str) -> Anatomy:
    """Draw the measures of a patient of `sex` F or M."""
    dome = rng.uniform(0.38, 0.50)
    return Anatomy(
        thorax=rng.uniform(0.70, 0.80),
        apex=rng.uniform(-0.80, -0.70),
        dome={"right": dome, "left": dome + rng.uniform(0.02, 0.07)},
        sulcus=rng.uniform(0.18, 0.26),
        cardiothoracic=rng.uniform(0.38, 0.46),
        heart_y=dome - rng.uniform(0.20, 0.26),
        heart_height=rng.uniform(0.29, 0.34),
        mediastinum=rng.uniform(0.11, 0.14),
        aorta=rng.uniform(0.065, 0.085),
        spine=rng.uniform(0.06, 0.08),
        trachea=rng.uniform(0.032, 0.042),
        carina=rng.uniform(-0.32, -0.24),
        rib_spacing=rng.uniform(0.145, 0.17),
        rib_width=rng.uniform(0.038, 0.050),
        rib_slope=rng.uniform(0.08, 0.18),
        clavicle=rng.uniform(-0.66, -0.56),
        shoulder=rng.uniform(-0.72, -0.60),
        margin=rng.uniform(0.10, 0.26),
        breast=rng.uniform(0.06, 0.14) if sex == "F" else 0.0,
        inflation=1.0,
        vessel_seed=int(rng.integers(2**31)),
    )


@dataclass
class Film:
    """Layers of one film, all (H, W) float32, that findings draw into; `expose` turns them into a picture."""

    grid: Grid
    anatomy: Anatomy
    soft: Field
    lung: dict[str, Field]
    depth: dict[str, Field]
    wall: dict[str, Field]
    heart: Field
    markings: Field
    bone: Field
    opacity: Field
    extra: Field
    ribs: dict[str, NDArray[np.floating]] = field(default_factory=dict)

    @property
    def lungs(self) -> Field:
        """Both lungs' masks in [0, 1]."""
        return self.lung["right"] + self.lung["left"]


def outer_border(anatomy: Anatomy, y: Field) -> Field:
    """Distance of the lateral lung border from the midline at height `y`."""
    base = max(anatomy.dome.values()) + anatomy.sulcus
    t = np.clip((y - anatomy.apex) / (base - anatomy.apex), 0, 1)
    rise = np.sqrt(np.clip(1 - (1 - np.clip(t / 0.78, 0, 1)) ** 2, 0, 1))
    return APEX_X + (anatomy.thorax - APEX_X) * rise - 0.05 * np.clip(t - 0.8, 0, 1)


def inner_border(anatomy: Anatomy, y: Field) -> Field:
    """Distance of the mediastinal lung border from the midline at height `y`."""
    below_apex = np.clip(y - anatomy.apex, 0, None)
    return anatomy.mediastinum + (APEX_X - anatomy.mediastinum) * np.exp(-below_apex / 0.07)


def diaphragm(anatomy: Anatomy, side: str, lateral: Field) -> Field:
    """Height of the diaphragm of `side` at distance `lateral` from the midline."""
    flat = 1 / anatomy.inflation**2
    outward = np.clip((lateral - CARDIOPHRENIC_X) / (anatomy.thorax - CARDIOPHRENIC_X), 0, 1.3)
    inward = np.clip((CARDIOPHRENIC_X - lateral) / CARDIOPHRENIC_X, 0, 1)
    return anatomy.dome[side] + anatomy.sulcus * flat * (outward**2.2 + 0.35 * inward**2)


def lung_point(anatomy: Anatomy, side: str, across: float, down: float) -> tuple[float, float]:
    """Body point of a place in a lung: `across` 0 hilum to 1 flank, `down` 0 apex to 1 diaphragm."""
    y = anatomy.apex + down * (anatomy.dome[side] + 0.3 * anatomy.sulcus - anatomy.apex)
    at = np.array(y, dtype=np.float32)
    inner, outer = float(inner_border(anatomy, at)), float(outer_border(anatomy, at))
    return SIGN[side] * (inner + across * (outer - inner)), y


def clean_film(anatomy: Anatomy, grid: Grid, rng: np.random.Generator) -> Film:
    """Draw the layers of a film without opacities; `rng` only gives the fine tissue texture."""
    zeros = np.zeros(grid.shape, dtype=np.float32)
    depth = {side: _lung_depth(anatomy, side, grid) for side in SIDES}
    lung = {side: step(depth[side], 0.018) for side in SIDES}
    film = Film(
        grid=grid,
        anatomy=anatomy,
        soft=_soft_tissue(anatomy, grid, rng),
        lung=lung,
        depth=depth,
        wall={side: outer_border(anatomy, grid.y) - SIGN[side] * grid.x for side in SIDES},
        heart=_heart(anatomy, grid),
        markings=_vessels(anatomy, grid),
        bone=zeros.copy(),
        opacity=zeros.copy(),
        extra=zeros.copy(),
    )
    film.bone = _ribs(film) + _clavicles(anatomy, grid) + _scapulae(anatomy, grid) + _spine(anatomy, grid)
    return film


def expose(film: Film) -> Field:
    """Add the layers up to a picture in about [0, 1]: bright is dense, as on a film; (H, W) float32."""
    aerated = np.zeros(film.grid.shape, dtype=np.float32)
    for side in SIDES:
        thickness = 0.66 + 0.34 * np.clip(film.depth[side] / 0.22, 0, 1)
        aerated += film.lung[side] * thickness
    aerated *= 1 - 0.65 * film.heart
    clear = 1 - np.clip(film.opacity, 0, 1)
    density = film.soft + 0.17 * film.heart - (0.43 * film.anatomy.inflation) * aerated * clear
    density += 0.16 * film.markings * film.lungs * clear
    density += film.bone + film.extra
    return _shoulder(density)


def _shoulder(density: Field) -> Field:
    """Compress the densest parts, as film does: identity up to 0.6, then towards 1."""
    excess = np.clip(density - 0.6, 0, None)
    return np.clip(np.minimum(density, 0.6) + 0.4 * (1 - np.exp(-excess / 0.4)), 0, 1).astype(np.float32)


def _lung_depth(anatomy: Anatomy, side: str, grid: Grid) -> Field:
    """Distance to the nearest border of a lung, negative outside."""
    lateral = SIGN[side] * grid.x
    outer = outer_border(anatomy, grid.y) - lateral
    inner = lateral - inner_border(anatomy, grid.y)
    below = diaphragm(anatomy, side, lateral) - grid.y
    return np.minimum(np.minimum(outer, inner), np.minimum(below, grid.y - anatomy.apex))


def _body_width(anatomy: Anatomy, y: Field) -> Field:
    """Half-width of the body: neck, shoulders, trunk."""
    trunk = anatomy.thorax + anatomy.margin
    top = anatomy.shoulder
    heights = [-1.6, top - 0.28, top - 0.16, top - 0.04, top + 0.08, top + 0.35, top + 0.75, 1.6]
    widths = [0.21, 0.23, 0.36, 0.80, 1.10, max(1.04, trunk), trunk, trunk - 0.02]
    return np.interp(y, heights, widths).astype(np.float32)


def _soft_tissue(anatomy: Anatomy, grid: Grid, rng: np.random.Generator) -> Field:
    """Trunk, mediastinum, great vessels, abdomen, breasts and trachea, without lungs and heart."""
    width = _body_width(anatomy, grid.y)
    inside = np.sqrt(np.clip(1 - (grid.x / width) ** 2, 0, 1))
    soft = 0.10 * step(width - np.abs(grid.x), 0.02) + 0.54 * inside
    soft *= 1 + 0.025 * smooth_noise(rng, grid.shape, 7)
    soft += 0.15 * _mediastinum(anatomy, grid) + 0.24 * _abdomen(anatomy, grid) * inside
    if anatomy.breast:
        soft += anatomy.breast * _breasts(anatomy, grid)
    return soft - _airways(anatomy, grid)


def _mediastinum(anatomy: Anatomy, grid: Grid) -> Field:
    central = step(anatomy.mediastinum - np.abs(grid.x), 0.04)
    knob_x = anatomy.mediastinum - 0.035 + 0.4 * (anatomy.aorta - 0.075)
    knob = np.hypot(grid.x - knob_x, grid.y + 0.36)
    arch = step(anatomy.aorta - knob, 0.015)
    descending = step(anatomy.aorta - np.abs(grid.x - 0.7 * knob_x), 0.02) * step(grid.y + 0.36, 0.02)
    hila = sum(bump(((grid.x - SIGN[side] * 0.19) / 0.07) ** 2 + ((grid.y + 0.09) / 0.11) ** 2) for side in SIDES)
    return np.maximum(np.maximum(central, 1.1 * arch), 0.5 * descending) + 0.55 * hila


def _abdomen(anatomy: Anatomy, grid: Grid) -> Field:
    """Below the diaphragm: liver on the right, stomach with its air bubble on the left."""
    lateral = np.abs(grid.x)
    right = step(grid.y - diaphragm(anatomy, "right", lateral), 0.015)
    left = step(grid.y - diaphragm(anatomy, "left", lateral), 0.015)
    below = np.where(grid.x < 0, right, left).astype(np.float32)
    bubble_y = anatomy.dome["left"] + 0.15
    bubble = 1 - ((grid.x - 0.36) / 0.15) ** 2 - ((grid.y - bubble_y) / 0.06) ** 2
    return below - 0.9 * step(bubble, 0.35)


def _breasts(anatomy: Anatomy, grid: Grid) -> Field:
    layers = np.zeros(grid.shape, dtype=np.float32)
    for side in SIDES:
        distance = np.hypot((SIGN[side] * grid.x - 0.46) / 0.36, (grid.y - anatomy.dome[side] + 0.08) / 0.30)
        layers += step(1 - distance, 0.12) * np.clip(0.4 + 0.6 * distance, 0, 1)
    return layers


def _airways(anatomy: Anatomy, grid: Grid) -> Field:
    """Trachea down to the carina and the two main bronchi, as the density they take away."""
    strokes = Strokes(grid)
    carina = np.array([0.0, anatomy.carina])
    strokes.line(np.array([[0.0, -1.5], [0.01, -0.6], carina]), 2 * anatomy.trachea)
    for side in SIDES:
        end = np.array([SIGN[side] * 0.16, anatomy.carina + (0.13 if side == "right" else 0.11)])
        strokes.line(np.array([carina, end]), 1.2 * anatomy.trachea, 0.7)
    return np.float32(0.15) * gaussian_filter(strokes.field(), 0.012 * grid.unit)


def _heart(anatomy: Anatomy, grid: Grid) -> Field:
    """Heart shadow in [0, 1]: two thirds left of the midline, tilted, as wide as the ratio says."""
    width = 2 * anatomy.thorax * anatomy.cardiothoracic
    left, right = 0.69 * width, 0.31 * width
    centre_x, radius = (left - right) / 2, (left + right) / 2
    angle = np.float32(0.42)
    x, y = grid.x - centre_x, grid.y - anatomy.heart_y
    along, across = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    height = anatomy.heart_height * (0.75 + 0.25 * radius / 0.32)
    distance = np.hypot(along / (1.02 * radius), across / (0.82 * height))
    ventricles = step((1 - distance) * radius, 0.025)
    atrium_at = np.hypot((grid.x + 0.62 * right) / (0.5 * right), (grid.y - anatomy.heart_y - 0.02) / (0.9 * height))
    atrium = step((1 - atrium_at) * 0.5 * right, 0.025)
    return np.maximum(ventricles, atrium)


def _vessels(anatomy: Anatomy, grid: Grid) -> Field:
    """Vessel trees that leave both hila and thin out towards the periphery, in [0, 1]."""
    rng = np.random.default_rng(anatomy.vessel_seed)
    strokes = Strokes(grid)
    angles = np.tile(np.linspace(-1.45, 1.35, 11), 2)
    sign = np.repeat((SIGN["right"], SIGN["left"]), 11)
    start = np.stack([0.17 * sign, np.full(22, -0.08)], axis=1)
    generations = []
    for width in (0.030, 0.0186, 0.0115):
        length = rng.uniform(0.13, 0.24, len(start))
        bend = angles + rng.normal(0, 0.12, len(start))
        middle = start + _stride(0.5 * length, angles, sign)
        end = middle + _stride(0.5 * length, bend, sign)
        generations.append((np.stack([start, middle, end], axis=1), width))
        # Each vessel ends in two thinner children.
        turn = np.tile((-0.28, 0.28), len(start)) + rng.normal(0, 0.1, 2 * len(start))
        angles, sign, start = np.repeat(bend, 2) + turn, np.repeat(sign, 2), np.repeat(end, 2, axis=0)
    for points, width in reversed(generations):
        strokes.lines(points, width, 0.35 + 18 * width)
    return gaussian_filter(strokes.field(), 0.008 * grid.unit)


def _stride(
    length: NDArray[np.floating], angle: NDArray[np.floating], sign: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Steps (n, 2) of a length and direction, mirrored by `sign`."""
    return (length * np.stack([sign * np.cos(angle), np.sin(angle)])).T


def posterior_ribs(anatomy: Anatomy, side: str) -> NDArray[np.floating]:
    """Body points (ribs, n, 2) along the back part of a side's ribs from the spine to the flank."""
    along = np.linspace(0, 1, 18)
    rib = np.arange(RIBS)[:, None]
    start = anatomy.apex - 0.03 + rib * anatomy.rib_spacing * anatomy.inflation**0.5
    drop = anatomy.rib_slope + 0.018 * rib
    y = start - 0.055 * np.sin(np.pi * along * 0.85) + drop * along**2.2
    flank = outer_border(anatomy, start + drop + 0.02) + 0.02
    x = 0.06 + (flank - 0.06) * np.sin(along * np.pi / 2) ** 0.9
    return np.stack([SIGN[side] * x, y], axis=-1)


def _anterior_ribs(side: str, posterior: NDArray[np.floating]) -> NDArray[np.floating]:
    """Body points (ribs, n, 2) along the front part of ribs, from the flank down to their cartilage."""
    along = np.linspace(0, 1, 10)
    flank_x, flank_y = np.abs(posterior[:, -1:, 0]), posterior[:, -1:, 1]
    x = flank_x + (0.34 - flank_x) * np.sin(along * np.pi / 2 * 0.92)
    y = flank_y + 0.30 * along**0.8
    return np.stack([SIGN[side] * x, y], axis=-1)


def _ribs(film: Film) -> Field:
    """Ten pairs of ribs with brighter margins; broken ones are displaced at the break."""
    anatomy, grid = film.anatomy, film.grid
    back, front = Strokes(grid), Strokes(grid)
    broken = {(one.side, one.rib): one for one in anatomy.breaks}
    for side in SIDES:
        film.ribs[side] = posterior_ribs(anatomy, side)
        for rib, points in enumerate(film.ribs[side]):
            for part in _parts(points, broken.get((side, rib))):
                _tubes(back, part[None], anatomy.rib_width)
        _tubes(front, _anterior_ribs(side, film.ribs[side][:7]), 1.15 * anatomy.rib_width)
    blur = 0.007 * grid.unit
    return 0.135 * gaussian_filter(back.field(), blur) + 0.075 * gaussian_filter(front.field(), 1.5 * blur)


def _parts(points: NDArray[np.floating], broken: Break | None) -> list[NDArray[np.floating]]:
    """Return a rib's line whole, or as two parts displaced against each other."""
    if broken is None:
        return [points]
    cut = max(2, min(len(points) - 3, round(broken.position * len(points))))
    shifted = points[cut:] + np.array([0.0, broken.offset])
    return [points[:cut], shifted]


def _tubes(strokes: Strokes, points: NDArray[np.floating], width: float) -> None:
    strokes.lines(points, width, 1.0)
    strokes.lines(points, 0.5 * width, 0.68)


def _clavicles(anatomy: Anatomy, grid: Grid) -> Field:
    strokes = Strokes(grid)
    for side in SIDES:
        along = np.linspace(0, 1, 14)
        x = 0.09 + 0.76 * along
        y = anatomy.clavicle - 0.10 * along - 0.045 * np.sin(np.pi * along * 1.6)
        points = np.stack([SIGN[side] * x, y], axis=1)
        strokes.line(points, 0.070, 0.85)
        strokes.line(points, 0.034, 0.60)
    return np.float32(0.26) * gaussian_filter(strokes.field(), 0.010 * grid.unit)


def _scapulae(anatomy: Anatomy, grid: Grid) -> Field:
    """Shoulder blades as faint triangles with a brighter medial border, and the heads of the humeri."""
    strokes, heads = Strokes(grid), np.zeros(grid.shape, dtype=np.float32)
    top = anatomy.shoulder + 0.08
    for side in SIDES:
        corners = np.array([[0.70, top - 0.02], [0.96, top + 0.06], [0.74, top + 0.58], [0.64, top + 0.30]])
        corners = corners * np.array([SIGN[side], 1.0])
        strokes.polygon(corners, 0.45)
        strokes.line(corners[[0, 3, 2]], 0.022, 1.0)
        heads += step(0.13 - np.hypot(SIGN[side] * grid.x - 1.03, grid.y - top - 0.02), 0.02)
    return 0.085 * gaussian_filter(strokes.field(), 0.012 * grid.unit) + 0.16 * heads


def _spine(anatomy: Anatomy, grid: Grid) -> Field:
    """Vertebral bodies with darker discs between them."""
    column = step(anatomy.spine - np.abs(grid.x), 0.018)
    discs = 0.5 + 0.5 * np.cos(2 * np.pi * (grid.y - anatomy.apex) / (0.72 * anatomy.rib_spacing))
    return np.float32(0.10) * column * (0.55 + 0.45 * np.clip(2 * discs, 0, 1))
