"""Prints how fast the small text encoder reads, and what 300,000 texts cost that an encoder has read before.

The second needs no encoder: random numbers of the paper's width stand in for what a BERT says, and go through the same
cache and a projection of that width. Memory is the largest amount the process had to itself (pages of mapped files,
which the system takes back when it needs them, are not counted).
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from unichest_kedro.models.text_cache import PooledBatch, TextCache
from unichest_kedro.models.text_encoder import TextEncoderSettings, build_text_encoder
from unichest_kedro.models.text_fitting import PhraseSampler
from unichest_kedro.vocabulary import Vocabulary

READ = 20_000
CACHED = 300_000
WIDTH = 768
VOCABULARY = Path(__file__).resolve().parents[1] / "conf" / "base" / "vocabulary.yml"


class Random:
    """Stands in for a BERT: says something else of each text, at once."""

    width = WIDTH

    def pooling_fingerprint(self, max_tokens: int) -> str:
        """Of these numbers."""
        return f"random numbers, {max_tokens}"

    def pool_in_batches(
        self, texts: Sequence[str], *, batch_size: int, max_tokens: int, progress: bool
    ) -> Iterator[PooledBatch]:
        """Random rows."""
        rng = np.random.default_rng(0)
        for start in range(0, len(texts), batch_size):
            places = list(range(start, min(start + batch_size, len(texts))))
            yield PooledBatch(places, rng.standard_normal((len(places), WIDTH), dtype=np.float32))


@contextmanager
def measured(what: str, count: int) -> Iterator[None]:
    """Print how long the block took, and the most memory it had to itself."""
    done, peak = threading.Event(), [0]

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], _own_memory())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    print(f"{what:<48}{count:>9,}{seconds:>9.1f}{count / seconds:>12,.0f}{peak[0] / 1024:>10.0f}", flush=True)


def _own_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def reports(sampler: PhraseSampler, count: int) -> list[str]:
    """Write texts of two to eight entities or findings, each another."""
    rng = np.random.default_rng(1)
    return [f"{text} {number}" for number, text in enumerate(sampler.composed(count, rng).texts)]


def main() -> None:
    """Measure both."""
    words = Vocabulary.from_yaml(VOCABULARY)
    texts = reports(PhraseSampler(words.synonyms), READ)
    settings = TextEncoderSettings()
    print(f"{'what':<48}{'texts':>9}{'seconds':>9}{'texts/s':>12}{'MiB':>10}")
    with TemporaryDirectory() as folder:
        cache = Path(folder)
        with measured("small encoder: made and fitted", 1):
            encoder = build_text_encoder(words.synonyms, words.prompts, texts, settings, 1)
        with measured("small encoder: read anew", READ):
            encoder.embed(texts, cache, settings, progress=False)
        with measured("small encoder: found in the cache", READ):
            encoder.embed(texts, cache, settings, progress=False)
    with TemporaryDirectory() as folder:
        many = [f"{text} {number}" for number, text in enumerate(texts * (CACHED // READ))]
        cache, target = TextCache(Path(folder), limit_gib=4), Path(folder) / "embeddings.npy"
        projection = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)).requires_grad_(False)

        def project(pooled: np.ndarray) -> np.ndarray:
            return projection(torch.from_numpy(pooled)).numpy()

        arguments = {"batch_size": 64, "max_tokens": 256, "progress": False}
        with measured(f"width {WIDTH}: written to the cache", CACHED):
            cache.collect(Random(), many, **arguments)
        with measured(f"width {WIDTH}: found there, projected and saved", CACHED):
            np.save(target, cache.collect(Random(), many, transform=project, **arguments))
        with measured(f"width {WIDTH}: found there, not projected", CACHED):
            cache.collect(Random(), many, **arguments)
        with measured(f"width {WIDTH}: 60 prompts found there", 60):
            cache.collect(Random(), many[:60], transform=project, **arguments)


if __name__ == "__main__":
    main()
