"""Real films: copies are recognised, and no film is taken for another's copy."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from unichest_kedro.imaging.decode import decode_image
from unichest_kedro.imaging.resize import shorter_side
from unichest_kedro.leakage import HashedSource, LeakageSettings, audit
from unichest_kedro.leakage.hashing import perceptual_hashes, pixel_digest, thumbnail, to_text

REPEATED = {"00002658_001.png", "00002658_002.png"}
"""One film that ChestX-ray14 itself has twice, of one patient."""


@pytest.fixture(scope="module")
def films(real):
    files = sorted((real / "chestxray14" / "images").iterdir())[:240]
    return {file.name: shorter_side(decode_image(file), 256) for file in files}


def jpeg(film):
    buffer = io.BytesIO()
    Image.fromarray(film).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def hashed(films, split):
    stored = [shorter_side(film, 96) for film in films.values()]
    thumbnails = np.stack([thumbnail(film) for film in stored])
    names = list(films)
    hashes = pd.DataFrame(
        {
            "image_id": names,
            "digest": [pixel_digest(film) for film in stored],
            "hash": to_text(perceptual_hashes(thumbnails)),
        }
    )
    patients = [name.split("_")[0] for name in names]
    studies = pd.DataFrame({"image_id": names, "patient_id": patients, "split": split, "path": names})
    return HashedSource(studies, hashes, thumbnails)


@pytest.mark.parametrize(
    "change",
    [
        jpeg,
        lambda film: 255 - film,
        lambda film: shorter_side(film, 150),
        lambda film: (255 * (film / 255) ** 1.6).astype(np.uint8),
    ],
    ids=["jpeg", "negative", "smaller", "gamma"],
)
def test_every_copy_and_nothing_else_is_found(films, change):
    copies = {name: change(film) for name, film in films.items()}
    sources = {"chestxray14": hashed(films, "train"), "siim_acr": hashed(copies, "test")}
    pairs = audit(sources, LeakageSettings(n_jobs=1)).pairs
    across = pairs[pairs["source_a"] != pairs["source_b"]]
    found = set(zip(across["image_a"], across["image_b"]))
    assert {copy for _, copy in found} == set(films)
    assert all({a, b} <= REPEATED for a, b in found if a != b)


def test_no_two_films_of_different_patients_are_taken_for_one(films):
    pairs = audit({"chestxray14": hashed(films, "train")}, LeakageSettings(n_jobs=1)).pairs
    assert len(pairs) == 0
