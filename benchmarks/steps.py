"""Prints what a training step takes, part by part, in both stages: the paper's network on made-up images and texts.

Beside each row stands what the published code takes for the same step on two processor cores (measured once, on that
code: 62.7 and 60.0 seconds at 224 px, of which 50 are its text encoder, which it runs at every step). On a GPU the
steps are run in bf16, with the peak of its memory and the share of its peak arithmetic that the step uses.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from unichest_kedro.imaging.augment import BatchAugmentation
from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest
from unichest_kedro.training.data import Batch, TrainingData
from unichest_kedro.training.settings import ConquerSettings, DivideSettings, TrainingSettings
from unichest_kedro.training.setup import Stage, choose_parameters, make_epoch_batches, make_loaders, make_optimiser
from unichest_kedro.training.stages import conquer_stage, divide_stage

FINDINGS = 60
WIDTH = 768
STORED = 1.15
"""Shorter side of the stored films, relative to the network's images."""

PUBLISHED = {
    ("conquer", 224, 8): (62.7, 3.9),
    ("divide", 224, 8): (60.0, 7.0),
    ("conquer", 512, 4): (None, 8.6),
    ("divide", 512, 4): (None, 6.2),
}
"""Stage, image size, batch -> seconds per step of the published code: as it is, and with text features given."""

PEAK_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 operations per second, from the cards' data sheets."""

PARTS = ("data", "augmentation", "image encoder", "query networks", "loss", "backward", "optimiser")


class Shape(NamedTuple):
    """One row of the table."""

    stage: str
    image_size: int
    batch_size: int


class Clock:
    """Adds up the seconds of each part; waits for the device, so that each part owns its time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def now(self) -> float:
        """Seconds, once all work that was asked for is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the time of a block."""
        start = self.now()
        yield
        self.seconds[name] += self.now() - start

    def watch(self, module: nn.Module, name: str) -> None:
        """Adds the time of every forward pass of a module."""
        started: list[float] = []
        module.register_forward_pre_hook(lambda *_: started.append(self.now()))
        module.register_forward_hook(lambda *_: self._stop(name, started))

    def _stop(self, name: str, started: list[float]) -> None:
        self.seconds[name] += self.now() - started.pop()


def made_up(shape: Shape, steps: int) -> TrainingData:
    """Grey noise with random labels of all findings; every image has a text of its own."""
    rng = np.random.default_rng(0)
    side, count = int(STORED * shape.image_size), shape.batch_size * steps
    images = [rng.integers(0, 255, (side, side), dtype=np.uint8) for _ in range(min(count, 32))]
    sources = ("a", "b", "c", "d")
    tables = [_examples(source, count // len(sources), len(images)) for source in sources]
    labels = {s: rng.integers(-1, 2, (len(images), FINDINGS), dtype=np.int8) for s in sources}
    names = tuple(f"finding {i}" for i in range(FINDINGS))
    return TrainingData(
        examples=pd.concat(tables, ignore_index=True),
        stores=dict.fromkeys(sources, images),
        labels=labels,
        findings=names,
        text_embeddings=rng.normal(size=(len(images), WIDTH)).astype(np.float32),
        findings_by_source=dict.fromkeys(sources, names),
    )


def _examples(source: str, count: int, images: int) -> pd.DataFrame:
    rows = np.arange(count) % images
    ids = [f"{source}{i}" for i in range(count)]
    return pd.DataFrame(
        {"source": source, "image_id": ids, "patient_id": ids, "split": "train"}
        | dict.fromkeys(("image_row", "label_row", "text_row"), rows)
    )


def stage_of(shape: Shape, device: torch.device, workers: int) -> Stage:
    """The stage with the paper's settings and augmentation."""
    kind: Callable[..., TrainingSettings] = ConquerSettings if shape.stage == "conquer" else DivideSettings
    settings = kind(
        batch_size=shape.batch_size, num_workers=workers, device="auto" if device.type == "cuda" else "cpu", trackers=()
    )
    return conquer_stage("conquer", settings) if shape.stage == "conquer" else divide_stage(settings)


class Bench:
    """One shape, ready to step."""

    def __init__(
        self, shape: Shape, device: torch.device, steps: int, workers: int, options: argparse.Namespace
    ) -> None:
        self.device, self.clock = device, Clock(device)
        self.data = made_up(shape, steps)
        self.stage = stage_of(shape, device, workers)
        settings = ModelSettings(image_size=shape.image_size, backbone=options.backbone)
        embeddings = np.random.default_rng(1).normal(size=(FINDINGS, WIDTH)).astype(np.float32)
        self.model: UniChest = build_unichest(settings, self.data.findings, embeddings, seed=0).to(device)
        if options.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.parameters = choose_parameters(self.model, self.stage)
        self.optimiser = make_optimiser(self.parameters, self.stage.settings.optimiser)
        batches = make_epoch_batches(self.data, self.stage.settings, 0)
        self.loader = make_loaders(self.data, batches, shape.image_size, self.stage.settings, 0)[0]
        self.augment, self.generator = BatchAugmentation(self.stage.settings.augmentation), torch.Generator()
        self.queries = self.model.queries_for(self.data.findings)
        self.clock.watch(self.model.image_encoder, "image encoder")
        self.clock.watch(self.model.mixture, "query networks")
        self.model.train()
        if "image_encoder" not in self.stage.trained:
            self.model.image_encoder.eval()

    def batches(self) -> Iterator[Batch]:
        """All batches, on the device; the time until each is there counts as waiting for data."""
        batches = iter(self.loader)
        while True:
            with self.clock.part("data"):
                batch = next(batches, None)
            if batch is None:
                return
            yield Batch(*(tensor.to(self.device, non_blocking=True) for tensor in batch))

    def step(self, batch: Batch) -> None:
        """One optimiser step, as the training loop makes it."""
        with self.clock.part("augmentation"), torch.no_grad():
            images = self.augment(batch.images, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            output = self.model(
                images,
                self.queries,
                main_ratio=self.stage.main_ratio,
                expert_ratio=self.stage.expert_ratio,
                texts=batch.text,
            )
            with self.clock.part("loss"):
                loss = torch.stack(list(self.stage.loss_terms(output, batch, batch.labels).values())).sum()
        with self.clock.part("backward"):
            loss.backward()
        with self.clock.part("optimiser"):
            self.optimiser.step()
            self.optimiser.zero_grad()


def measure(shape: Shape, device: torch.device, options: argparse.Namespace) -> None:
    """Run some steps and print their row."""
    bench = Bench(shape, device, options.steps + 2, options.workers, options)
    batches = bench.batches()
    bench.step(next(batches))  # allocations, and the choice of kernels
    with FlopCounterMode(display=False) as counter:
        bench.step(next(batches))
    bench.clock.seconds = dict.fromkeys(PARTS, 0.0)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start, done = bench.clock.now(), 0
    for batch in batches:
        bench.step(batch)
        done += 1
    seconds = (bench.clock.now() - start) / done
    shares = "".join(f"{value / done / seconds:>9.0%}" for value in bench.clock.seconds.values())
    print(f"{shape.stage:<9}{shape.image_size:>5}{shape.batch_size:>6}{seconds:>9.3f}", end="")
    print(f"{shape.batch_size / seconds:>10.1f}{shares}  {_beside(shape, seconds, counter.get_total_flops(), device)}")


def _beside(shape: Shape, seconds: float, operations: int, device: torch.device) -> str:
    """What the row is compared with: the published step on a processor, the card's limits on a GPU."""
    if device.type == "cuda":
        card = torch.cuda.get_device_name()
        peak = next((peak for name, peak in PEAK_BF16.items() if name in card), None)
        share = f"{operations / seconds / peak:.0%} of peak arithmetic" if peak else f"{operations / seconds:.2e} op/s"
        return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB, {share}"
    whole, given = PUBLISHED.get(shape, (None, None))
    parts = [f"{whole:.1f} s published: {whole / seconds:.1f} times"] if whole else []
    parts += [f"{given:.1f} s with text features given: {given / seconds:.1f} times"] if given else []
    return "; ".join(parts)


def main() -> None:
    """Measure every shape that suits the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--workers", type=int, default=None, help="processes that read images (GPU: 16)")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--cpu", action="store_true", help="the processor, even where there is a GPU")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() and not options.cpu else "cpu")
    if options.workers is None:
        options.workers = 16 if device.type == "cuda" else 0
    sizes = ((512, 32), (512, 128)) if device.type == "cuda" else ((224, 8), (512, 4))
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{name}, {options.backbone}, {FINDINGS} findings, width {WIDTH}; shares of the step's time")
    print(f"{'stage':<9}{'px':>5}{'batch':>6}{'s/step':>9}{'images/s':>10}", end="")
    print("".join(f"{part.split()[-1][:8]:>9}" for part in PARTS))
    for size, batch in sizes:
        for stage in ("conquer", "divide"):
            measure(Shape(stage, size, batch), device, options)


if __name__ == "__main__":
    main()
