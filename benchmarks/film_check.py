"""Fits the model that tells frontal chest films from lateral ones and from everything else, and says how it errs.

    python benchmarks/film_check.py            # measures what is shipped, on held-out pictures
    python benchmarks/film_check.py --fit      # fits the coefficients anew and writes them into the package

Fitted on: one half of the patients of the real ChestX-ray14 films at hand (`UNICHEST_REAL_DATA`, by default
`../shared/real` beside the project), phantoms from the front and from the side, and pictures that are no upright
frontal film: noise, textures, pieces of a photograph, drawings, and frontal films that are turned, inverted or of which
only a piece is shown. Measured on: the other half of the patients, phantoms of another seed, the 40 films from the web,
and photographs and scans that come with Python packages, nothing of which the fit has seen.

There is no real lateral film among them: how well lateral films are recognised is known for phantoms alone.
"""

import argparse
import gzip
import json
import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pydicom.data
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression

from unichest_kedro.errors import UnreadableImage
from unichest_kedro.imaging.decode import decode_image, grey_of_picture
from unichest_kedro.phantoms.acquisition import take_film
from unichest_kedro.phantoms.differences import Differences, profile_of
from unichest_kedro.phantoms.make import LAYOUTS, plan_source
from unichest_kedro.phantoms.settings import PhantomSettings
from unichest_kedro.prediction import film_check
from unichest_kedro.prediction.film_check import CLASSES, check_film, features
from unichest_kedro.prediction.reading import read_picture

Films = list[np.ndarray]
SOURCES = ("mimic_cxr", "chestxray14", "chexpert", "vindr_cxr", "open_i", "padchest")
PHANTOMS = 900
SIDE = 160

REAL_WEIGHT = 4.0
"""A real film counts as so many phantoms in the fit: real films are what the model is for."""


def real_folder() -> Path:
    """Return the folder of real films, which may not be there."""
    return Path(os.environ.get("UNICHEST_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "real"))


def real_files(held_out: bool) -> list[Path]:
    """Return one half of the real films, divided by patient."""
    folder = real_folder() / "chestxray14" / "images"
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for file in files if (zlib.crc32(file.name.split("_")[0].encode()) % 2 == 1) == held_out]


def phantoms(seed: int, count: int, lateral: bool) -> Films:
    """Draw phantoms of one view, as many of each source."""
    films = []
    each = count // len(SOURCES)
    settings = PhantomSettings(images_per_source=4 * each, scored_images=4 * each, image_size=128, seed=seed)
    for source in SOURCES:
        profile = profile_of(source, Differences())
        first = [plan for plan in plan_source(source, settings) if not plan.lateral and not plan.origin]
        assert len(first) >= each and LAYOUTS[source]
        for plan in first[:each]:
            film, _ = take_film(replace(plan, lateral=lateral), 128, profile)
            films.append(np.rint(film * 255).astype(np.uint8))
    return films


def varied(films: Iterable[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield films as other devices would have taken them: slightly cropped, of another gamma, mirrored, coarser."""
    for film in films:
        height, width = film.shape
        top, left = (int(rng.uniform(0, 0.06) * side) for side in (height, width))
        bottom, right = (side - int(rng.uniform(0, 0.06) * side) for side in (height, width))
        part = film[top:bottom, left:right]
        part = part[:, ::-1] if rng.random() < 0.5 else part
        curve = (np.arange(256) / 255) ** np.exp(rng.uniform(-0.7, 0.7)) * 255
        shown = np.rint(curve).astype(np.uint8)[part]
        yield framed(shown, rng) if rng.random() < 0.4 else shown


def framed(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a film with shut borders, black or (as on some digitised films) white."""
    height, width = film.shape
    sheet = np.full_like(film, 255 if rng.random() < 0.6 else 0)
    top, bottom, left, right = rng.uniform(0, (0.2, 0.2, 0.08, 0.08)) * (rng.random(4) < 0.7)
    rows, columns = (
        slice(int(top * height), int((1 - bottom) * height)),
        slice(int(left * width), int((1 - right) * width)),
    )
    if rng.random() < 0.5:  # the borders cover the film, or the film is set into them
        sheet[rows, columns] = film[rows, columns]
    else:
        room = sheet[rows, columns].shape
        sheet[rows, columns] = np.asarray(Image.fromarray(film).resize(room[::-1], Image.Resampling.BILINEAR))
    return sheet


def turned(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a film on its side or on its head."""
    return np.ascontiguousarray(np.rot90(film, rng.integers(1, 4)))


def inverted(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a film's negative."""
    return 255 - film


def piece(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a piece of a film: a third to a half of its height and width."""
    height, width = film.shape
    rows, columns = (int(rng.uniform(0.33, 0.5) * side) for side in (height, width))
    top, left = rng.integers(0, height - rows), rng.integers(0, width - columns)
    return np.ascontiguousarray(film[top : top + rows, left : left + columns])


def noise(rng: np.random.Generator) -> np.ndarray:
    """Return noise, from white to cloudy."""
    field = gaussian_filter(rng.standard_normal((SIDE, SIDE)), float(rng.choice([0.1, 1, 3, 8, 20, 35])))
    return stretched(field)


def texture(rng: np.random.Generator) -> np.ndarray:
    """Return stripes, a chequerboard, a ramp or rings, with some noise."""
    down, across = np.mgrid[-1 : 1 : complex(0, SIDE), -1 : 1 : complex(0, SIDE)]
    turn, waves, shift = rng.uniform(0, np.pi), rng.uniform(1, 25), rng.uniform(-0.5, 0.5, 2)
    line = np.cos(turn) * across + np.sin(turn) * down
    fields = (
        np.sin(waves * line),
        np.sign(np.sin(waves * across) * np.sin(waves * down)),
        line,
        np.sin(waves * np.hypot(across - shift[0], down - shift[1])),
        -np.hypot(across - shift[0], (down - shift[1]) * rng.uniform(0.6, 1.6)),
    )
    return stretched(fields[rng.integers(len(fields))] + rng.uniform(0, 0.5) * rng.standard_normal((SIDE, SIDE)))


def cloud(rng: np.random.Generator) -> np.ndarray:
    """Return a field with the spectrum of photographs, 1 / frequency to some power."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None]) + 1 / SIDE
    spectrum = np.fft.fft2(rng.standard_normal((SIDE, SIDE))) / frequency ** rng.uniform(0.5, 2.5)
    return stretched(np.real(np.fft.ifft2(spectrum)))


def drawing(rng: np.random.Generator) -> np.ndarray:
    """Return lines of text, boxes and curves, dark on light or light on dark."""
    sheet = Image.new("L", (SIDE, SIDE), 255)
    pencil = ImageDraw.Draw(sheet)
    for _ in range(rng.integers(3, 30)):
        x, y, u, v = (int(place) for place in rng.integers(0, SIDE, 4))
        kind = rng.integers(4)
        if kind == 0:
            pencil.text(
                (x, y), "".join(rng.choice(list("abcdefgh ijklmno 0123456789"), 20)), fill=int(rng.integers(90))
            )
        elif kind == 1:
            pencil.rectangle((min(x, u), min(y, v), max(x, u), max(y, v)), outline=int(rng.integers(200)))
        elif kind == 2:
            pencil.ellipse((min(x, u), min(y, v), max(x, u), max(y, v)), fill=int(rng.integers(255)))
        else:
            pencil.line((x, y, u, v), fill=int(rng.integers(200)), width=int(rng.integers(1, 6)))
    page = np.asarray(sheet)
    return 255 - page if rng.random() < 0.5 else page


def photograph_pieces(name: str, count: int, rng: np.random.Generator) -> Films:
    """Return grey pieces of one of scikit-learn's photographs ("china.jpg" or "flower.jpg")."""
    content = load_sample_images()
    picture = dict(zip((Path(file).name for file in content.filenames), content.images))[name]
    grey = grey_of_picture(Image.fromarray(picture))
    return [piece(grey, rng) for _ in range(count)]


def packaged_pictures() -> Films:
    """Return grey versions of photographs and scans that come with Python packages: people, boxes, scans."""
    films = []
    samples = Path(matplotlib.get_data_path()) / "sample_data"
    for name in ("grace_hopper.jpg", "Minduka_Present_Blue_Pack.png", "logo2.png"):
        films.append(grey_of_picture(Image.open(samples / name).convert("L")))
    with gzip.open(samples / "s1045.ima.gz") as file:
        films.append(stretched(np.frombuffer(file.read(), np.uint16).reshape(256, 256).astype(float)))
    for name in ("topobathy.npz", "jacksboro_fault_dem.npz"):
        with np.load(samples / name) as content:
            key = "topo" if "topo" in content else "elevation"
            films.append(stretched(content[key].astype(float)))
    folder = Path(pydicom.data.__file__).parent / "test_files"
    for file in sorted(folder.glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                film = decode_image(file)
            except UnreadableImage:
                continue
        if min(film.shape) >= film_check.SMALLEST:
            films.append(film)
    return films


def stretched(field: np.ndarray) -> np.ndarray:
    """Return a field from its lowest (0) to its highest (255), uint8."""
    low, high = field.min(), field.max()
    return np.rint((field - low) / (high - low or 1) * 255).astype(np.uint8)


def drawn(make: Callable[[np.random.Generator], np.ndarray], count: int, rng: np.random.Generator) -> Films:
    """Return so many pictures of one kind."""
    return [make(rng) for _ in range(count)]


def altered(films: Films, change: Callable[..., np.ndarray], count: int, rng: np.random.Generator) -> Films:
    """Return so many films, drawn at random and changed."""
    return [change(films[i], rng) for i in rng.integers(0, len(films), count)] if films else []


def fit() -> None:
    """Fit the coefficients and write them into the package."""
    rng = np.random.default_rng(0)
    real = [decode_image(file) for file in real_files(held_out=False)]
    front, side = phantoms(1, PHANTOMS, lateral=False), phantoms(1, PHANTOMS, lateral=True)
    every = real * 2 + front
    others = [
        *(film for make in (noise, texture, cloud, drawing) for film in drawn(make, 300, rng)),
        *photograph_pieces("china.jpg", 300, rng),
        *(film for change in (turned, inverted, piece) for film in altered(every, change, 500, rng)),
        *altered(side, turned, 200, rng),
    ]
    groups = [
        (real, 0, REAL_WEIGHT / 2),
        (list(varied(real * 3, rng)), 0, REAL_WEIGHT / 6),
        (list(varied(front, rng)), 0, 1.0),
        (list(varied(side, rng)), 1, 1.0),
        (others, 2, 1.0),
    ]
    table = np.stack([features(film) for films, _, _ in groups for film in films])
    classes = np.concatenate([np.full(len(films), label) for films, label, _ in groups])
    weights = np.concatenate([np.full(len(films), weight) for films, _, weight in groups])
    mean, scale = table.mean(axis=0), table.std(axis=0)
    scale[scale == 0] = 1
    model = LogisticRegression(C=0.1, max_iter=5000).fit((table - mean) / scale, classes, sample_weight=weights)
    content = {
        "classes": CLASSES,
        "fitted_on": {name: len(films) for name, films in (("real frontal", real), ("frontal phantoms", front))}
        | {"lateral phantoms": len(side), "other pictures": len(others)},
        "mean": mean.round(5).tolist(),
        "scale": scale.round(5).tolist(),
        "weights": model.coef_.round(5).tolist(),
        "bias": model.intercept_.round(5).tolist(),
    }
    path = Path(film_check.__file__).with_name(film_check.COEFFICIENTS)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    film_check._model.cache_clear()
    print(f"wrote {path.name}: {content['fitted_on']}")


def held_out() -> Iterator[tuple[str, bool, Films]]:
    """Yield name, whether a warning is right, and the held-out pictures of each kind."""
    rng = np.random.default_rng(1)
    real = [decode_image(file) for file in real_files(held_out=True)]
    front, side = phantoms(2, 600, lateral=False), phantoms(2, 600, lateral=True)
    yield "frontal, real (ChestX-ray14)", False, real
    yield "frontal, phantoms", False, front
    yield "lateral, phantoms", True, side
    yield "frontal on its side or head, real", True, altered(real, turned, 300, rng)
    yield "frontal, negative, real", True, altered(real, inverted, 300, rng)
    yield "a piece of a frontal film, real", True, altered(real, piece, 300, rng)
    yield "photograph, pieces", True, photograph_pieces("flower.jpg", 300, rng)
    yield "photographs and scans of packages", True, packaged_pictures()
    for make in (noise, texture, cloud, drawing):
        yield f"{make.__name__}", True, drawn(make, 300, rng)


def interval(errors: int, count: int) -> str:
    """Return an error rate with its 95 % interval (Wilson)."""
    low, high = binomtest(errors, count).proportion_ci(method="wilson")
    return f"{100 * errors / count:5.1f} %  ({100 * low:.1f}-{100 * high:.1f})"


def measure() -> None:
    """Print a line for each kind of picture: how many there are and how many are judged wrongly."""
    print(f"{'held-out pictures':<38}{'count':>6}{'wrong':>7}  share (95 % interval)")
    for name, is_wrong, films in held_out():
        if films:
            errors = sum((check_film(film).warning != "") != is_wrong for film in films)
            print(f"{name:<38}{len(films):>6}{errors:>7}  {interval(errors, len(films))}", flush=True)
    web = sorted((real_folder() / "own_hospital" / "films").glob("*"))
    if web:
        checks = [read_picture(file).check.warning for file in web]
        wrong = sum(warning != "" for warning in checks)
        print(f"{'frontal, 40 films from the web':<38}{len(web):>6}{wrong:>7}  {interval(wrong, len(web))}")
        for file, warning in zip(web, checks):
            if warning:
                print(f"  {file.name[:60]}: {warning}")


def main() -> None:
    """Fit if asked to, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="fit the coefficients anew and write them")
    if parser.parse_args().fit:
        fit()
    measure()


if __name__ == "__main__":
    main()
