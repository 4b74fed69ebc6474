"""Prints how long the leakage audit's steps take and what they need, and how often hash and correlation err.

* Comparing 700,000 hashes: of independent bits, and of bits as unequal and dependent as those of films. Copies of
  known distance are planted, and it is an error if one within the limit is missed.
* Confirming candidates, and hashing films of 512 pixels.
* With real films at hand (`UNICHEST_REAL_DATA`, by default `../shared/real` beside the project): which share of
  re-encoded, resized, cropped, inverted and stretched copies is recognised, and how near films of different patients
  come.

Memory is the peak of this process so far; the comparisons come first, so that nothing else is in it.
"""

import argparse
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from unichest_kedro.imaging.decode import decode_image
from unichest_kedro.imaging.resize import shorter_side
from unichest_kedro.leakage.confirm import edge_correlation
from unichest_kedro.leakage.hashing import hashed_waves, perceptual_hashes, pixel_digest, signs, thumbnail
from unichest_kedro.leakage.neighbours import near_pairs
from unichest_kedro.leakage.settings import LeakageSettings

PLANTED = 2000
STORED = 96
"""Pixels of the shorter side of the films whose recognition is measured, as in the demo."""


def peak_mib() -> float:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def real_films() -> tuple[list[np.ndarray], np.ndarray] | None:
    """Return the real films at hand and their patients, or None where there are none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "real"
    folder = Path(os.environ.get("UNICHEST_REAL_DATA", beside)) / "chestxray14" / "images"
    if not folder.is_dir():
        return None
    files = sorted(folder.iterdir())
    return [decode_image(file) for file in files], np.array([file.name.split("_")[0] for file in files])


def film_like_waves(films: list[np.ndarray] | None, generator: np.random.Generator) -> np.ndarray:
    """Return hashed coefficients (films, 128) to draw more from: of real films, or of rough likenesses of chests."""
    if films is not None:
        thumbnails = np.stack([thumbnail(shorter_side(film, STORED)) for film in films])
    else:
        down, across = np.mgrid[-1:1:32j, -1:1:32j]
        lungs = np.exp(-(((np.abs(across) - 0.45) / 0.25) ** 2) - (down / 0.6) ** 2)
        noise = generator.normal(size=(500, 4, 4))
        rough = np.stack(
            [np.asarray(Image.fromarray(some).resize((32, 32), Image.Resampling.BICUBIC)) for some in noise]
        )
        grain = generator.normal(size=(500, 32, 32))
        thumbnails = np.clip(128 - 90 * lungs + 25 * rough + 8 * grain, 0, 255).astype(np.uint8)
    return hashed_waves(thumbnails)


def drawn(waves: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return hashes uint64 (count, 2), each of a mixture of two films and noise: as dependent as those of films."""
    mean, spread = waves.mean(axis=0), waves.std(axis=0)
    parts = []
    for start in range(0, count, 50_000):
        size = min(50_000, count - start)
        angle = generator.uniform(0, np.pi / 2, (size, 1))
        one, two = (waves[generator.integers(0, len(waves), size)] - mean for _ in range(2))
        noise = generator.normal(size=(size, waves.shape[1])) * spread
        mixed = (np.cos(angle) * one + np.sin(angle) * two + 0.7 * noise) / np.sqrt(1 + 0.7**2) + mean
        parts.append(signs(mixed))
    return np.concatenate(parts)


def plant(hashes: np.ndarray, most: int, generator: np.random.Generator) -> dict[tuple[int, int], int]:
    """Make some hashes copies of others, 0 to `most` bits changed, every other one inverted; return the pairs."""
    rows = generator.choice(len(hashes), 2 * PLANTED, replace=False)
    pairs = {}
    for k, (original, copy) in enumerate(zip(rows[:PLANTED], rows[PLANTED:])):
        bits = np.unpackbits(hashes[original].view(np.uint8))
        bits[generator.choice(len(bits), k % (most + 1), replace=False)] ^= 1
        changed = np.packbits(bits).view(np.uint64)
        hashes[copy] = ~changed if k % 2 else changed
        pairs[min(original, copy), max(original, copy)] = k % (most + 1)
    return pairs


def compare(name: str, hashes: np.ndarray, workers: int, generator: np.random.Generator) -> None:
    """Compare all hashes and print time, memory and what was found; stops if a planted pair is missing."""
    limit = LeakageSettings().max_distance
    planted = plant(hashes, limit, generator)
    start, used = time.perf_counter(), time.process_time()
    found: dict[tuple[int, int], int] = {}
    count = 0
    for near in near_pairs(hashes, limit, workers):
        count += len(near.first)
        keys = zip(near.first.tolist(), near.second.tolist(), near.distance.tolist())
        found.update({(i, j): distance for i, j, distance in keys if (i, j) in planted})
    seconds, used = time.perf_counter() - start, time.process_time() - used
    if found != planted:
        raise SystemExit(f"{len(planted) - len(found)} planted pairs were missed")
    shown = f"{len(hashes):,} hashes, {name}"
    print(
        f"{shown:<44}{seconds:>8.1f} s ({used:.1f} s of processor){peak_mib():>8.0f} MiB{count:>10,} pairs", flush=True
    )


def _jpeg(film: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(film).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _cropped(film: np.ndarray, *shares: float) -> np.ndarray:
    """Left, top, right and bottom shares are cut off."""
    height, width = film.shape
    left, top, right, bottom = (round(share * side) for share, side in zip(shares, (width, height, width, height)))
    return film[top : height - bottom, left : width - right]


def _window(film: np.ndarray, low: float, high: float) -> np.ndarray:
    bottom, top = np.percentile(film, [low, high])
    return (np.clip((film - bottom) / max(top - bottom, 1), 0, 1) * 255).round().astype(np.uint8)


def _turned(film: np.ndarray, degrees: float) -> np.ndarray:
    return np.asarray(Image.fromarray(film).rotate(degrees, Image.Resampling.BILINEAR))


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG, quality 75": lambda film: _jpeg(film, 75),
    "JPEG, quality 30": lambda film: _jpeg(film, 30),
    "resized to 256 pixels": lambda film: shorter_side(film, 256),
    "resized to 1024 pixels": lambda film: shorter_side(film, 1024),
    "negative": lambda film: 255 - film,
    "gamma 0.7": lambda film: (255 * (film / 255) ** 0.7).round().astype(np.uint8),
    "gamma 1.5": lambda film: (255 * (film / 255) ** 1.5).round().astype(np.uint8),
    "window, 5 % clipped at either end": lambda film: _window(film, 5, 95),
    "histogram equalised": lambda film: np.asarray(ImageOps.equalize(Image.fromarray(film))),
    "noise of 8 grey levels": lambda film: np.clip(
        film + np.random.default_rng(0).normal(0, 8, film.shape), 0, 255
    ).astype(np.uint8),
    "cropped, 1 % on every side": lambda film: _cropped(film, 0.01, 0.01, 0.01, 0.01),
    "cropped, 2 % and 1 % on two sides": lambda film: _cropped(film, 0.02, 0, 0, 0.01),
    "cropped, 2 % on every side": lambda film: _cropped(film, 0.02, 0.02, 0.02, 0.02),
    "cropped, 3 % on every side": lambda film: _cropped(film, 0.03, 0.03, 0.03, 0.03),
    "turned by 1 degree": lambda film: _turned(film, 1),
    "turned by 2 degrees": lambda film: _turned(film, 2),
}


def recognise(films: list[np.ndarray], patients: np.ndarray) -> None:
    """Print how many changed copies are recognised, and how near other patients' films come."""
    settings = LeakageSettings()

    def seen(pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        thumbnails = np.stack([thumbnail(shorter_side(picture, STORED)) for picture in pictures])
        return thumbnails, perceptual_hashes(thumbnails)

    thumbnails, hashes = seen(films)
    print(f"\n{len(films)} real films, stored at {STORED} pixels")
    print(f"{'copy':<36}{'bits that differ: median, 99 %, most':>40}{'hash near':>11}{'edges agree':>13}{'found':>8}")
    for name, change in CHANGES.items():
        other, others_hashes = seen([change(film) for film in films])
        bits = np.bitwise_count(hashes ^ others_hashes).sum(axis=1).astype(int)
        bits = np.minimum(bits, 128 - bits)
        agree = edge_correlation(thumbnails, other) >= settings.min_correlation
        near = bits <= settings.max_distance
        spread = f"{np.median(bits):.0f}, {np.percentile(bits, 99):.0f}, {bits.max()}"
        print(f"{name:<36}{spread:>40}{near.mean():>11.3f}{agree.mean():>13.3f}{(near & agree).mean():>8.3f}")
    first, second = np.triu_indices(len(films), 1)
    bits = np.bitwise_count(hashes[first] ^ hashes[second]).sum(axis=1).astype(int)
    bits = np.minimum(bits, 128 - bits)
    for name, which in (
        ("two patients", patients[first] != patients[second]),
        ("one patient", patients[first] == patients[second]),
    ):
        some = np.flatnonzero(which)
        nearest = some[np.argsort(bits[some], kind="stable")[:5000]]
        agreement = np.sort(edge_correlation(thumbnails[first[nearest]], thumbnails[second[nearest]]))[::-1]
        least = np.sort(bits[some])
        print(
            f"{len(some):,} pairs of {name}: fewest bits {least[:4].tolist()}, 0.1 % have at most "
            f"{least[len(least) // 1000]}; best agreement of the nearest {agreement[:4].round(3).tolist()}"
        )


def main() -> None:
    """Measure, in the order that the module describes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hashes", type=int, default=700_000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    real = real_films()
    waves = film_like_waves(real[0] if real else None, generator)
    uniform = generator.integers(0, 2**64, (arguments.hashes, 2), dtype=np.uint64)
    compare("independent bits", uniform, arguments.workers, generator)
    del uniform
    like = "real films'" if real else "made-up films'"
    compare(f"{like} bits", drawn(waves, arguments.hashes, generator), arguments.workers, generator)
    pictures = np.random.default_rng(1).integers(0, 256, (200, 512, 512), dtype=np.uint8)
    start = time.perf_counter()
    thumbnails = np.stack([thumbnail(picture) for picture in pictures if pixel_digest(picture)])
    perceptual_hashes(thumbnails)
    print(f"hashing, one thread: {1e3 * (time.perf_counter() - start) / len(pictures):.2f} ms per film of 512 pixels")
    start = time.perf_counter()
    many = np.tile(thumbnails, (20, 1, 1))
    edge_correlation(many, np.roll(many, 1, axis=0))
    print(f"confirming, one thread: {1e3 * (time.perf_counter() - start) / len(many):.2f} ms per pair of other films")
    if real:
        recognise(*real)


if __name__ == "__main__":
    main()
