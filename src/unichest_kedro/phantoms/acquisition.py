"""From a clean picture to a source's film: response, blur, noise, shut borders and burnt-in words."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from unichest_kedro.phantoms.anatomy import clean_film, expose
from unichest_kedro.phantoms.cohort import Plan
from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import DrawnBox, altered, draw
from unichest_kedro.phantoms.grid import Field, Grid, Pose
from unichest_kedro.phantoms.lateral import lateral_film


def film_shape(image_size: int, profile: Profile) -> tuple[int, int]:
    """Return (height, width) of a source's films in pixels; the shorter is `image_size` times `size`."""
    short = round(image_size * profile.size)
    long = round(short * max(profile.aspect, 1 / profile.aspect))
    return (long, short) if profile.aspect >= 1 else (short, long)


def take_film(plan: Plan, image_size: int, profile: Profile) -> tuple[Field, list[DrawnBox]]:
    """Draw one film as its source would take it.

    Returns:
        The film (H, W) float32 in [0, 1], bright is dense, and the boxes of its findings in its pixels (none
        for a lateral film).
    """
    rng = np.random.default_rng(plan.seed)
    grid = Grid.of(film_shape(image_size, profile), _pose(rng))
    if plan.lateral:
        picture, boxes = lateral_film(plan.anatomy, plan.findings, grid), []
    else:
        film = clean_film(altered(plan.anatomy, plan.findings), grid, rng)
        boxes = draw(film, plan.findings)
        picture = expose(film)
    return acquire(picture, profile, rng), [_clipped(box, grid.shape) for box in boxes]


def acquire(picture: Field, profile: Profile, rng: np.random.Generator) -> Field:
    """Turn a clean picture into a film of the profile's source; (H, W) float32 in [0, 1].

    The same random numbers are drawn whatever the profile, so that switching one difference changes nothing
    else.
    """
    blur = profile.blur * min(picture.shape) / 128
    film = gaussian_filter(picture, blur) if blur > 0.05 else picture
    film = respond(film, profile, rng.uniform(-1, 1), rng.uniform(-1, 1))
    noise = rng.standard_normal(film.shape, dtype=np.float32)
    if profile.grain > 0.05:
        # Blurring by sigma pixels divides white noise by about 2 sqrt(pi) sigma once sigma exceeds half a
        # pixel.
        noise = gaussian_filter(noise, profile.grain) * max(1.0, 3.545 * profile.grain)
    film = film + np.float32(profile.noise) * noise
    film = _shut_borders(film, profile, rng)
    return np.clip(_burn_words(film, profile, rng), 0, 1)


def respond(picture: Field, profile: Profile, gamma_drift: float = 0.0, light_drift: float = 0.0) -> Field:
    """Intensity response: gamma, contrast about mid grey and brightness, with a drift per film (in ±1)."""
    curve = np.clip(picture, 0, 1) ** np.float32(profile.gamma * (1 + 0.06 * gamma_drift))
    return 0.5 + np.float32(profile.contrast) * (curve - 0.5) + np.float32(profile.brightness + 0.02 * light_drift)


def _pose(rng: np.random.Generator) -> Pose:
    shift_x, shift_y, rotation = rng.normal(0, (0.025, 0.025, 0.025))
    return Pose(float(shift_x), float(shift_y), float(rng.uniform(1.02, 1.14)), float(rotation))


def _clipped(box: DrawnBox, shape: tuple[int, int]) -> DrawnBox:
    height, width = shape
    return box._replace(x_max=min(box.x_max, float(width)), y_max=min(box.y_max, float(height)))


def _shut_borders(film: Field, profile: Profile, rng: np.random.Generator) -> Field:
    """Blacken up to `border` of the film at each edge, as the collimator's leaves do."""
    shut, shares = rng.random(), rng.random(4)
    if shut >= profile.collimated:
        return film
    height, width = film.shape
    top, bottom = (int(share * profile.border * height) for share in shares[:2])
    left, right = (int(share * profile.border * width) for share in shares[2:])
    framed = np.full_like(film, 0.01)
    framed[top : height - bottom, left : width - right] = film[top : height - bottom, left : width - right]
    return framed


def _burn_words(film: Field, profile: Profile, rng: np.random.Generator) -> Field:
    """Burn a side marker into an upper corner and, sometimes, one of the source's words below it."""
    marked, wordy, on_left, shade = rng.random(4)
    pick = rng.random()
    if marked >= profile.marked:
        return film
    height, width = film.shape
    lines = ["R" if on_left < 0.5 else "L"]
    if wordy < 0.5 and profile.words:
        lines.append(profile.words[int(pick * len(profile.words))])
    sheet = Image.new("L", (width, height))
    font = _font(max(8, round(0.065 * min(height, width))))
    # R marks the patient's right, which is the film's left half.
    x = 0.04 * width if on_left < 0.5 else 0.96 * width
    pencil = ImageDraw.Draw(sheet)
    for row, words in enumerate(lines):
        anchor = "la" if on_left < 0.5 else "ra"
        pencil.text((x, (0.04 + 0.07 * row) * height), words, fill=255, font=font, anchor=anchor)
    ink = np.asarray(sheet, dtype=np.float32) / 255
    return film * (1 - ink) + ink * np.float32(0.85 + 0.15 * shade)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
