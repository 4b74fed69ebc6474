"""What is kept of every film to recognise it elsewhere: a digest of its pixels, a thumbnail and a perceptual hash.

The hash has 128 bits: the signs of the 128 lowest frequencies (without the constant) of the cosine transform of a
32 x 32 thumbnail whose grey levels have been replaced by their ranks. Ranks make it blind to windowing, gamma and
histogram equalisation; the signs of a negative are those of the film, inverted. `docs/leakage.md` says how it was
chosen and how often it errs.
"""

from collections.abc import Iterator
from hashlib import blake2b

import joblib
import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dctn
from tqdm import tqdm

from unichest_kedro.imaging.store import ImageStore

SIDE = 32
"""Pixels of a thumbnail's side; a film's aspect is given up, so that squashed copies agree."""

BITS = 128
LEVELS = 256

FLATTEST = 0.9
"""A thumbnail with this share of one grey level shows too little to be compared with others (a blank, a label)."""

_FILMS_AT_ONCE = 256
_NOT_HASHED = ""


def _lowest_frequencies() -> np.ndarray:
    """Places of the hashed coefficients in a flattened transform: nearest to the constant first, then top first.

    Every other one goes to the first 64-bit word, so that each word holds coarse and fine ones.
    """
    down, across = np.mgrid[:SIDE, :SIDE]
    nearest = np.lexsort((down.ravel(), (down**2 + across**2).ravel()))[1 : BITS + 1]
    return np.concatenate([nearest[0::2], nearest[1::2]])


_HASHED = _lowest_frequencies()


def thumbnail(film: np.ndarray) -> np.ndarray:
    """A film squeezed to uint8 (`SIDE`, `SIDE`), every pixel of it counting.

    Args:
        film: uint8 (height, width).
    """
    # Hamming rather than box: less aliasing, so that a slightly cropped copy can be aligned.
    return np.asarray(Image.fromarray(film).resize((SIDE, SIDE), Image.Resampling.HAMMING))


def ranks(thumbnails: np.ndarray) -> np.ndarray:
    """Grey levels replaced by their mid-ranks, from -0.5 to 0.5; of a negative, exactly the negative.

    Args:
        thumbnails: uint8 (B, `SIDE`, `SIDE`).

    Returns:
        float32 of the same shape.
    """
    batch = len(thumbnails)
    flat = thumbnails.reshape(batch, -1).astype(np.int64)
    counts = np.bincount((flat + LEVELS * np.arange(batch)[:, None]).ravel(), minlength=LEVELS * batch)
    counts = counts.reshape(batch, LEVELS)
    # Twice the mid-rank is a whole number, so that both polarities round alike.
    doubled = 2 * counts.cumsum(axis=1) - counts - flat.shape[1]
    rank = np.take_along_axis(doubled, flat, axis=1) / (2 * flat.shape[1])
    return rank.reshape(thumbnails.shape).astype(np.float32)


def hashed_waves(thumbnails: np.ndarray) -> np.ndarray:
    """The coefficients whose signs are the hash, float32 (B, `BITS`), in the order of its bits.

    Args:
        thumbnails: uint8 (B, `SIDE`, `SIDE`).
    """
    return dctn(ranks(thumbnails), axes=(1, 2), norm="ortho").reshape(len(thumbnails), -1)[:, _HASHED]


def signs(waves: np.ndarray) -> np.ndarray:
    """Which of (B, `BITS`) coefficients are positive, as bits: uint64 (B, 2), the first one highest."""
    packed = np.packbits(waves > 0, axis=1)
    return np.ascontiguousarray(packed).view(">u8").astype(np.uint64)


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Hashes of thumbnails; copies of a film are few bits apart, or few bits from all bits (a negative).

    Args:
        thumbnails: uint8 (B, `SIDE`, `SIDE`).

    Returns:
        uint64 (B, 2).
    """
    return signs(hashed_waves(thumbnails))


def comparable(thumbnails: np.ndarray) -> np.ndarray:
    """Whether each thumbnail shows enough to be compared, bool (B,): not (almost) all of one grey level."""
    batch = len(thumbnails)
    flat = thumbnails.reshape(batch, -1).astype(np.int64)
    counts = np.bincount((flat + LEVELS * np.arange(batch)[:, None]).ravel(), minlength=LEVELS * batch)
    return counts.reshape(batch, LEVELS).max(axis=1) < FLATTEST * flat.shape[1]


def pixel_digest(film: np.ndarray) -> str:
    """A digest of a film's shape and exact pixels, 32 hexadecimal digits."""
    digest = blake2b(f"{film.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(film))
    return digest.hexdigest()


def to_text(hashes: np.ndarray) -> list[str]:
    """Hashes uint64 (B, 2) as 32 hexadecimal digits each."""
    return [f"{first:016x}{second:016x}" for first, second in hashes.tolist()]


def from_text(hashes: pd.Series) -> np.ndarray:
    """The hashes uint64 (B, 2) that `to_text` wrote; none of them may be ""."""
    raw = bytes.fromhex("".join(hashes))
    return np.frombuffer(raw, dtype=">u8").reshape(-1, 2).astype(np.uint64)


def hash_store(store: ImageStore, workers: int = 1, description: str = "") -> tuple[pd.DataFrame, np.ndarray]:
    """Digest, hash and thumbnail of every film of a store; its pixels are looked at once, a few films at a time.

    Args:
        store: The films of one source.
        workers: Threads; -1 is one per core.
        description: What the progress bar is called.

    Returns:
        Schema `FilmHashes` without `source`, in the store's order, and the thumbnails, uint8 (films, `SIDE`, `SIDE`).
    """
    thumbnails = np.empty((len(store), SIDE, SIDE), dtype=np.uint8)
    digests: list[str] = []
    chunks = [range(start, min(start + _FILMS_AT_ONCE, len(store))) for start in range(0, len(store), _FILMS_AT_ONCE)]
    with tqdm(total=len(store), desc=f"hash {description}".strip(), unit="film", disable=not chunks) as bar:
        for rows, (some_digests, some_thumbnails) in zip(chunks, _look_at(store, chunks, workers)):
            thumbnails[rows.start : rows.stop] = some_thumbnails
            digests += some_digests
            bar.update(len(rows))
    table = pd.DataFrame({"image_id": store.image_ids, "digest": digests, "hash": _hash_texts(thumbnails)})
    return table.astype("str"), thumbnails


def _look_at(store: ImageStore, chunks: list[range], workers: int) -> Iterator[tuple[list[str], np.ndarray]]:
    # Threads: digests and resizing leave the interpreter free, and a store of many films is slow to send around.
    threads = max(1, min(joblib.effective_n_jobs(workers), len(chunks)))
    run = joblib.Parallel(n_jobs=threads, prefer="threads", return_as="generator")
    return run(joblib.delayed(_look_at_some)(store, rows) for rows in chunks)


def _look_at_some(store: ImageStore, rows: range) -> tuple[list[str], np.ndarray]:
    films = [store[row] for row in rows]
    return [pixel_digest(film) for film in films], np.stack([thumbnail(film) for film in films])


def _hash_texts(thumbnails: np.ndarray) -> list[str]:
    texts: list[str] = []
    for start in range(0, len(thumbnails), _FILMS_AT_ONCE):
        some = thumbnails[start : start + _FILMS_AT_ONCE]
        pairs = zip(to_text(perceptual_hashes(some)), comparable(some))
        texts += [text if shows_something else _NOT_HASHED for text, shows_something in pairs]
    return texts
