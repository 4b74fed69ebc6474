import numpy as np
import pandas as pd
import pytest
from scipy.fft import dctn
from scipy.stats import rankdata

from unichest_kedro.leakage.hashing import (
    comparable,
    from_text,
    hash_store,
    perceptual_hashes,
    pixel_digest,
    ranks,
    thumbnail,
    to_text,
)
from unichest_kedro.schemas import FilmHashes

from .conftest import film, resized, save_store


def distance(a, b):
    return int(np.bitwise_count(perceptual_hashes(thumbnail(a)[None]) ^ perceptual_hashes(thumbnail(b)[None])).sum())


def test_ranks_agree_with_scipys():
    thumbnails = np.stack([thumbnail(film(seed)) for seed in range(3)])
    thumbnails[0, :10] = 7  # many ties
    for some, expected in zip(ranks(thumbnails), thumbnails):
        slow = (rankdata(expected.ravel()) - 0.5) / expected.size - 0.5
        np.testing.assert_allclose(some.ravel(), slow, atol=1e-7)


def test_hash_is_the_signs_of_the_lowest_frequencies():
    small = thumbnail(film(1))
    waves = dctn(ranks(small[None])[0], norm="ortho")
    order = sorted((i * i + j * j, i, j) for i in range(32) for j in range(32))[1:129]
    signs = ["1" if waves[i, j] > 0 else "0" for _, i, j in order]
    expected = [int("".join(signs[0::2]), 2), int("".join(signs[1::2]), 2)]
    assert perceptual_hashes(small[None])[0].tolist() == expected


def test_copies_are_near_other_films_far_and_negatives_opposite():
    one = film(1)
    assert distance(one, resized(resized(one, 200), 96)) <= 4
    stretched = (255 * (one / 255) ** 1.8).astype(np.uint8)
    assert distance(one, stretched) <= 4
    assert distance(one, 255 - one) == 128
    others = [distance(one, film(seed)) for seed in range(2, 30)]
    assert min(others) > 30 and max(others) < 98


def test_films_of_any_shape_are_hashed():
    assert thumbnail(np.zeros((96, 400), np.uint8)).shape == (32, 32)
    assert thumbnail(film(3, 20)).shape == (32, 32)


def test_flat_films_are_not_compared():
    blank, dot = np.zeros((96, 96), np.uint8), np.zeros((96, 96), np.uint8)
    dot[:10, :10] = 255
    thumbnails = np.stack([thumbnail(picture) for picture in (blank, dot, film(1))])
    assert comparable(thumbnails).tolist() == [False, False, True]


def test_text_and_back():
    hashes = np.array([[0, 2**64 - 1], [1, 2**63]], dtype=np.uint64)
    assert to_text(hashes)[0] == "0" * 16 + "f" * 16
    np.testing.assert_array_equal(from_text(pd.Series(to_text(hashes))), hashes)


def test_digest_tells_shape_and_every_pixel():
    one = film(1)
    other = one.copy()
    other[5, 5] ^= 1
    assert pixel_digest(one) == pixel_digest(one.copy()) != pixel_digest(other)
    assert pixel_digest(np.zeros((4, 6), np.uint8)) != pixel_digest(np.zeros((6, 4), np.uint8))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_store_is_hashed_film_by_film(tmp_path, workers):
    some = [film(k, 96 if k % 2 else 100) for k in range(10)]
    films = {f"f{k}": some[k % 10] for k in range(300)}
    films["blank"] = np.full((96, 96), 9, np.uint8)
    store = save_store(tmp_path / "store", films)
    table, thumbnails = hash_store(store, workers)
    FilmHashes.validate(table)
    assert table["image_id"].tolist() == list(films)
    assert thumbnails.dtype == np.uint8 and thumbnails.shape == (301, 32, 32)
    for row in (0, 255, 256, 299):
        picture = films[f"f{row}"]
        assert table["digest"][row] == pixel_digest(picture)
        np.testing.assert_array_equal(thumbnails[row], thumbnail(picture))
        assert table["hash"][row] == to_text(perceptual_hashes(thumbnail(picture)[None]))[0]
    assert table["hash"].iloc[-1] == ""


def test_an_empty_store(tmp_path):
    store = save_store(tmp_path / "full", {"a": film(1)})
    store = type(store)(store.manifest.iloc[:0], store.folder, 96)
    table, thumbnails = hash_store(store)
    FilmHashes.validate(table)
    assert thumbnails.shape == (0, 32, 32)
