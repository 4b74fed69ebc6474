import numpy as np
import pytest

from unichest_kedro.leakage.neighbours import near_pairs

MASK = (1 << 64) - 1


def slow(hashes, max_distance):
    """Every pair, bit by bit."""
    numbers = [sum(int(word) << (64 * k) for k, word in enumerate(row)) for row in hashes]
    bits = 64 * hashes.shape[1]
    found = {}
    for i, a in enumerate(numbers):
        for j in range(i + 1, len(numbers)):
            distance = (a ^ numbers[j]).bit_count()
            if min(distance, bits - distance) <= max_distance:
                found[i, j] = (min(distance, bits - distance), bits - distance < distance)
    return found


def fast(hashes, max_distance, workers=1):
    found = {}
    for near in near_pairs(hashes, max_distance, workers):
        for i, j, distance, inverted in zip(*(column.tolist() for column in near)):
            assert i < j and (i, j) not in found, "each pair once"
            found[i, j] = (distance, inverted)
    return found


def flipped(hash_, count, generator, inverted=False):
    """A hash with `count` random bits changed, and all of them if inverted."""
    places = generator.choice(64 * len(hash_), count, replace=False)
    other = hash_.copy()
    for place in places:
        other[place // 64] ^= np.uint64(1) << np.uint64(place % 64)
    return ~other if inverted else other


def crowd(generator, count, words):
    """Hashes with unequal and dependent bits, as those of films that look alike."""
    base = generator.integers(0, 2**64, (4, words), dtype=np.uint64)
    rows = base[generator.integers(0, 4, count)]
    return np.stack([flipped(row, int(generator.integers(0, 30)), generator) for row in rows])


@pytest.mark.parametrize("words", [1, 2, 4])
@pytest.mark.parametrize("max_distance", [0, 1, 2, 7, 15])
def test_finds_exactly_what_comparing_all_pairs_finds(words, max_distance):
    generator = np.random.default_rng(max_distance)
    random = generator.integers(0, 2**64, (150, words), dtype=np.uint64)
    planted = [flipped(row, k % (max_distance + 3), generator, k % 2 == 1) for k, row in enumerate(random[:60])]
    hashes = np.concatenate([random, planted, crowd(generator, 150, words)])
    expected = slow(hashes, max_distance)
    assert len(expected) >= 20
    assert fast(hashes, max_distance) == expected


@pytest.mark.parametrize("max_distance", [20, 31])
def test_large_distances_are_exact_too(max_distance):
    generator = np.random.default_rng(1)
    hashes = crowd(generator, 200, 2)
    assert fast(hashes, max_distance) == slow(hashes, max_distance)


def test_every_distance_up_to_the_limit_is_found_wherever_the_bits_are():
    generator = np.random.default_rng(2)
    for trial in range(60):
        row = generator.integers(0, 2**64, 2, dtype=np.uint64)
        pair = np.stack([row, flipped(row, 15, generator, trial % 2 == 0)])
        assert fast(pair, 15) == {(0, 1): (15, trial % 2 == 0)}
        assert fast(np.stack([row, flipped(row, 16, generator)]), 15) == {}


def test_full_buckets_are_cut_into_tiles():
    """More equal hashes than one tile holds."""
    hashes = np.repeat(np.array([[5, 7], [~np.uint64(5), ~np.uint64(7)]], dtype=np.uint64), 520, axis=0)
    total = sum(len(near.first) for near in near_pairs(hashes, 1))
    assert total == 1040 * 1039 // 2


def test_threads_change_neither_pairs_nor_order():
    hashes = crowd(np.random.default_rng(3), 400, 2)
    one, two = (list(near_pairs(hashes, 15, workers)) for workers in (1, 2))
    assert len(one) == len(two)
    for a, b in zip(one, two):
        for left, right in zip(a, b):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_to_compare(count):
    assert fast(np.zeros((count, 2), dtype=np.uint64), 15) == {}


@pytest.mark.parametrize("max_distance", [-1, 16, 32])
def test_a_distance_out_of_range_is_refused(max_distance):
    with pytest.raises(ValueError, match=f"max_distance is {max_distance}; allowed is 0 to 15"):
        list(near_pairs(np.zeros((3, 1), dtype=np.uint64), max_distance))


def test_hashes_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="hashes must be uint64"):
        list(near_pairs(np.zeros((3, 2), dtype=np.int64), 5))
