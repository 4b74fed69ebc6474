"""The cache of what a text encoder read: nothing is read twice, and nothing is lost or confused."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from unichest_kedro.errors import SettingsError
from unichest_kedro.models import text_cache
from unichest_kedro.models.text_cache import BATCHES_PER_PART, PooledBatch, TextCache, digest_of_text

WIDTH = 3


class Reader:
    """An encoder that remembers what it read; `weights` stands for all that its output depends on."""

    width = WIDTH

    def __init__(self, weights: float = 1.0, stop_after: int | None = None) -> None:
        self.weights = weights
        self.stop_after = stop_after
        self.read: list[list[str]] = []

    def pooling_fingerprint(self, max_tokens: int) -> str:
        return f"{self.weights} {max_tokens}"

    def says(self, text: str) -> list[float]:
        return [self.weights, float(len(text)), float(sum(map(ord, text)) % 97)]

    def pool_in_batches(
        self, texts: Sequence[str], *, batch_size: int, max_tokens: int, progress: bool
    ) -> Iterator[PooledBatch]:
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]), reverse=True)
        for start in range(0, len(order), batch_size):
            if self.stop_after is not None and len(self.read) == self.stop_after:
                raise KeyboardInterrupt
            places = order[start : start + batch_size]
            self.read.append([texts[place] for place in places])
            yield PooledBatch(places, np.array([self.says(texts[place]) for place in places], dtype=np.float32))


def words(count: int, prefix: str = "word") -> list[str]:
    return [f"{prefix}{'x' * (number % 5)}{number}" for number in range(count)]


def collect(folder, reader, texts, *, batch_size=2, max_tokens=8, limit_gib=1.0, **options):
    cache = TextCache(folder, limit_gib)
    return cache.collect(reader, texts, batch_size=batch_size, max_tokens=max_tokens, progress=False, **options)


def slow(reader, texts):
    return np.array([reader.says(text) for text in texts], dtype=np.float32).reshape(-1, WIDTH)


def count(reader):
    return sum(map(len, reader.read))


def parts(folder):
    return sorted(folder.glob("*/part-*.arrow"))


def test_rows_agree_with_one_text_at_a_time_whatever_order_and_repeats(tmp_path):
    reader, texts = Reader(), words(100)
    mixed = [texts[number] for number in np.random.default_rng(0).integers(0, 100, 300)]
    for asked in (mixed, texts, texts[::-1], [], ["", "é"]):
        collected = collect(tmp_path, reader, asked)
        assert collected.dtype == np.float32
        np.testing.assert_array_equal(collected, slow(reader, asked))
    assert count(reader) == 102, "each text once"


def test_only_what_is_missing_is_read_longest_first(tmp_path):
    collect(tmp_path, Reader(), ["a", "bbb"])
    reader = Reader()
    collect(tmp_path, reader, ["a", "cc", "bbb", "dddd"])
    assert reader.read == [["dddd", "cc"]]


def test_encoders_and_token_limits_do_not_share_rows(tmp_path):
    first, second, third = Reader(1.0), Reader(2.0), Reader(1.0)
    collect(tmp_path, first, words(4))
    np.testing.assert_array_equal(collect(tmp_path, second, words(4)), slow(second, words(4)))
    collect(tmp_path, third, words(4), max_tokens=9)
    assert (count(second), count(third)) == (4, 4)


def test_the_projection_is_applied_part_by_part_and_not_kept(tmp_path):
    reader, texts = Reader(), words(BATCHES_PER_PART * 4 + 3)
    sizes = []

    def double(pooled):
        sizes.append(len(pooled))
        return 2 * pooled

    np.testing.assert_array_equal(collect(tmp_path, reader, texts, transform=double), 2 * slow(reader, texts))
    assert sorted(sizes) == [3, BATCHES_PER_PART * 2, BATCHES_PER_PART * 2]
    np.testing.assert_array_equal(collect(tmp_path, reader, texts), slow(reader, texts))
    assert count(reader) == len(texts)


def test_a_stopped_run_keeps_what_it_wrote(tmp_path):
    texts = words(BATCHES_PER_PART * 2 * 3)
    with pytest.raises(KeyboardInterrupt):
        collect(tmp_path, Reader(stop_after=BATCHES_PER_PART * 2 + 1), texts)
    assert len(parts(tmp_path)) == 2
    (parts(tmp_path)[0].parent / ".part-abc.999999999.writing").write_bytes(b"half")
    reader = Reader()
    np.testing.assert_array_equal(collect(tmp_path, reader, texts), slow(reader, texts))
    assert count(reader) == BATCHES_PER_PART * 2
    assert not list(tmp_path.rglob("*.writing"))


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-40]), lambda path: path.unlink()])
def test_damaged_and_lost_parts_are_read_again(tmp_path, damage, caplog):
    texts = words(BATCHES_PER_PART * 2 * 2)
    collect(tmp_path, Reader(), texts)
    damage(parts(tmp_path)[0])
    reader = Reader()
    np.testing.assert_array_equal(collect(tmp_path, reader, texts), slow(reader, texts))
    assert count(reader) == BATCHES_PER_PART * 2


def test_the_parts_used_longest_ago_go_first(tmp_path):
    size = 0
    for age, weights in enumerate((1.0, 2.0, 3.0)):
        collect(tmp_path, Reader(weights), words(4))
        for path in parts(tmp_path):
            if path.stat().st_mtime > 1e9:
                size = path.stat().st_size
                os.utime(path, (1000 + age, 1000 + age))
    collect(tmp_path, Reader(1.0), words(4))  # the oldest is used again
    again = Reader(4.0)
    collect(tmp_path, again, words(4), limit_gib=2.5 * size / 2**30)
    assert len(list(tmp_path.iterdir())) == 2, "empty folders go too"
    kept = Reader(1.0)
    collect(tmp_path, kept, words(4))
    gone = Reader(3.0)
    collect(tmp_path, gone, words(4))
    assert (count(kept), count(gone)) == (0, 4)


def test_what_is_in_use_stays_beyond_the_limit(tmp_path):
    collect(tmp_path, Reader(), words(40), limit_gib=1e-9)
    reader = Reader()
    collect(tmp_path, reader, words(40), limit_gib=1e-9)
    assert count(reader) == 0


def test_a_large_array_is_mapped_from_a_file_that_vanishes(tmp_path, monkeypatch):
    monkeypatch.setattr(text_cache, "_LARGEST_IN_MEMORY", 10)
    reader, texts = Reader(), words(30)
    collected = collect(tmp_path, reader, texts)
    assert isinstance(collected, np.memmap)
    np.testing.assert_array_equal(collected, slow(reader, texts))
    np.save(tmp_path / "copy.npy", collected)
    np.testing.assert_array_equal(np.load(tmp_path / "copy.npy"), slow(reader, texts))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["copy.npy"]


def test_numbers_that_are_not_finite_are_refused_and_not_kept(tmp_path):
    with pytest.raises(SettingsError, match=r"not finite for 2 texts, e\.g\. .*choose another `text_encoder.name`"):
        collect(tmp_path, Reader(float("nan")), ["broken", "x"])
    assert not parts(tmp_path)


def test_digests_tell_texts_apart():
    assert len({digest_of_text(text) for text in ("", " ", "a", "A", "\u00e9", "e\u0301")}) == 6
