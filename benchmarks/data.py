"""Prints what it costs to bring films of 512 pixels to the network, against what it may: processor time on one core.

* Reading a film from the store, cutting out and resizing a crop, flipping: what loading processes do.
* Jitter, RandAugment and Fourier mixing of a whole batch, from 8-bit films (here on the processor too).
* Decoding a film file, which the store has done once for all epochs.

Processor time is taken, which other work on the machine disturbs little; the smallest of the repeats counts.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from steps import Shape, made_up

from unichest_kedro.imaging.augment import AugmentationSettings, BatchAugmentation
from unichest_kedro.imaging.decode import decode_image
from unichest_kedro.imaging.fourier import fourier_mix_within
from unichest_kedro.imaging.resize import shorter_side
from unichest_kedro.training.data import Draw, TrainingExamples, collate

SIZE = 512
BATCH = 32
REPEATS = 7
EPOCHS = 100
"""Of the paper's run."""
LIMIT_PER_IMAGE = 8.0
LIMIT_FOURIER = 60.0
"""Milliseconds."""


def milliseconds(work: Callable[[int], object], repeats: int = REPEATS) -> float:
    """Smallest processor time of `work(number)`, after one that is not counted."""
    work(0)
    times = []
    for number in range(1, repeats + 1):
        start = time.process_time()
        work(number)
        times.append(time.process_time() - start)
    return 1000 * min(times)


def show(what: str, value: float, limit: float | None = None) -> None:
    """One line."""
    judged = "" if limit is None else f"   at most {limit:.0f}: {'yes' if value <= limit else 'NO'}"
    print(f"{what:<62}{value:>8.2f} ms{judged}", flush=True)


def loading(folder: Path) -> tuple[float, torch.Tensor]:
    """Milliseconds per film of reading, cropping and stacking; and a batch."""
    data = made_up(Shape("conquer", SIZE, BATCH), REPEATS + 1, folder)
    examples = TrainingExamples(data, SIZE, AugmentationSettings(), seed=0)

    def batch(number: int) -> torch.Tensor:
        first = number * BATCH
        return collate([examples[Draw(row, 0, row)] for row in range(first, first + BATCH)]).images

    return milliseconds(batch) / BATCH, batch(0)


def augmenting(images: torch.Tensor, fourier: float) -> float:
    """Milliseconds per film of the batch's augmentation, averaged over many draws of it."""
    augment = BatchAugmentation(AugmentationSettings(fourier_probability=fourier))
    augment(images, torch.Generator().manual_seed(0))
    seconds = []
    for seed in range(2 * REPEATS):
        start = time.process_time()
        augment(images, torch.Generator().manual_seed(seed))
        seconds.append(time.process_time() - start)
    return 1000 * float(np.median(seconds)) / len(images)


def decoding(folder: Path, size: tuple[int, int], kind: str) -> float:
    """Milliseconds of decoding one film file and bringing it to the store's size."""
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = np.clip(np.asarray(rough) + rng.normal(0, 3, size[::-1]), 0, 255).astype(np.uint8)
    path = folder / f"film.{kind}"
    Image.fromarray(grain).save(path)
    return milliseconds(lambda _: shorter_side(decode_image(path), SIZE))


def main() -> None:
    """Measure and print a line each."""
    torch.set_num_threads(1)
    print(f"{SIZE} pixels, batches of {BATCH}, one core, the paper's augmentation; processor time per film")
    with TemporaryDirectory() as name:
        folder = Path(name)
        read, images = loading(folder)
        show("store, crop, flip, batch", read)
        plain, mixed = (augmenting(images, probability) for probability in (0.0, 1.0))
        show("jitter and RandAugment", plain)
        show("Fourier mixing, in half of the batches", (mixed - plain) / 2)
        png, jpeg = decoding(folder, (1024, 1024), "png"), decoding(folder, (2500, 3000), "jpg")
        show("decoding once, when the store is made: a PNG of 1024 x 1024", png)
        show("decoding once, when the store is made: a JPEG of 2500 x 3000", jpeg)
        everything = read + (plain + mixed) / 2 + jpeg / EPOCHS
        show(f"all of it, the decoding of a JPEG shared by {EPOCHS} epochs", everything, LIMIT_PER_IMAGE)
    eight, order = images[:8].float() / 255, torch.arange(8).flip(0)
    weights = torch.rand(8)
    taken = milliseconds(lambda _: fourier_mix_within(eight, order, weights, at_once=8))
    show(f"Fourier mixing of 8 films of {SIZE} x {SIZE}, together", taken, LIMIT_FOURIER)


if __name__ == "__main__":
    main()
