"""Made-up films that look unlike each other, copies of them, and tables of sources that hold them."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from unichest_kedro.imaging.parts import StoredFilm, write_part
from unichest_kedro.imaging.store import ImageStore
from unichest_kedro.leakage import HashedSource, hash_store


def film(seed, size=96):
    """A film with coarse and fine structure, uint8 (size, size)."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(3, size, size))
    widths = [share * size for share in (0.015, 0.04, 0.12)]
    picture = sum(gaussian_filter(layer, width) * width for layer, width in zip(noise, widths))
    low, high = picture.min(), picture.max()
    return ((picture - low) / (high - low) * 255).astype(np.uint8)


def resized(picture, size):
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS))


def save_store(folder, films):
    """An image store of films by id."""
    folder.mkdir(parents=True)
    rows = [StoredFilm(name, name, pixels, *pixels.shape) for name, pixels in films.items()]
    write_part(folder / "part-0.arrow", rows)
    manifest = pd.DataFrame(
        [(row.image_id, "part-0.arrow", k, *row.pixels.shape, *row.pixels.shape) for k, row in enumerate(rows)],
        columns=["image_id", "part", "row", "height", "width", "original_height", "original_width"],
    )
    return ImageStore(manifest, folder, 96)


@pytest.fixture
def hashed(tmp_path):
    """From rows (image_id, patient, split, pixels) of a source to a `HashedSource`."""

    def make(source, rows, paths=None):
        store = save_store(tmp_path / source, {name: pixels for name, _, _, pixels in rows})
        hashes, thumbnails = hash_store(store)
        studies = pd.DataFrame([row[:3] for row in rows], columns=["image_id", "patient_id", "split"])
        studies["path"] = paths or [f"images/{name}" for name in studies["image_id"]]
        # A film that was never decoded is in the studies only.
        studies.loc[len(studies)] = ("undecoded", "nobody", "train", "images/undecoded.png")
        return HashedSource(studies.sample(frac=1, random_state=0), hashes, thumbnails)

    return make
