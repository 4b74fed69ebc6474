"""Prints what a training step takes, part by part, in both stages: the paper's network on made-up films and texts.

The real loop runs (`run_stage`, the paper's settings and augmentation), on films of an image store that is written
first; the fastest step counts, since other work on the machine only ever makes one slower. Beside it stand the median
and, as `cores`, the processor time of all threads divided by their number: what a step takes where nothing else runs.
Every moment of a step belongs to one part: `data` is all from the end of one optimiser step to the next batch,
`backward` includes the gradient's norm and the checks that it is finite. On a processor the published code's time for
the same step stands beside each row: as it is, and with text features given (measured once on that code, on two cores;
it encodes texts at every step). On a GPU the steps are run in bf16, with the peak of its memory and the share of its
peak arithmetic that the step uses.
"""

import argparse
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

# Threads that wait sleep: where they spin, a step takes ten times longer as soon as anything else runs on the machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.flop_counter import FlopCounterMode

from unichest_kedro.imaging.augment import BatchAugmentation
from unichest_kedro.imaging.parts import StoredFilm, write_part
from unichest_kedro.imaging.store import ImageStore
from unichest_kedro.models.device import has_bf16_units
from unichest_kedro.models.image_encoder import ImageEncoder
from unichest_kedro.models.mixture import QueryMixture
from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest
from unichest_kedro.training.data import TrainingData
from unichest_kedro.training.loop import run_stage
from unichest_kedro.training.settings import ConquerSettings, DivideSettings
from unichest_kedro.training.setup import Stage
from unichest_kedro.training.stages import CONQUERED, DIVIDED, conquer_stage, divide_stage

FINDINGS = 60
WIDTH = 768
FILMS = 24
SOURCES = ("a", "b", "c", "d")
ASPECT = 1.2
"""Longer over shorter side of a film, as most releases have it."""

PUBLISHED = {
    ("conquer", 224, 8): (62.7, 3.9),
    ("divide", 224, 8): (60.0, 7.0),
    ("conquer", 512, 4): (None, 8.6),
    ("divide", 512, 4): (None, 6.2),
}
"""Stage, image size, batch -> seconds per step of the published code: as it is, and with text features given."""

PEAK_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 operations per second, from the cards' data sheets."""

PARTS = ("data", "augmentation", "image encoder", "query networks", "loss", "backward", "optimiser", "other")


class Shape(NamedTuple):
    """One row of the table."""

    stage: str
    image_size: int
    batch_size: int


class Step(NamedTuple):
    """One step's seconds, all together, of the processor, and of each part; the parts add up to the whole."""

    seconds: float
    processor: float
    parts: dict[str, float]


class Clock:
    """Cuts the time of a running loop into steps and their parts; waits for the device at every cut."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.steps: list[Step] = []
        self.parts = dict.fromkeys(PARTS, 0.0)
        self.last: float | None = None
        self.processor = time.process_time()

    def cut(self, part: str) -> None:
        """Everything since the last cut belonged to `part`."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self.last is not None:
            self.parts[part] += now - self.last
        self.last = now

    def end_of_step(self) -> None:
        """The optimiser is done."""
        processor = time.process_time()
        self.steps.append(Step(sum(self.parts.values()), processor - self.processor, self.parts))
        self.processor = processor
        self.parts = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Cuts wherever a watched module or the optimiser starts or ends."""
        before = {BatchAugmentation: "data", ImageEncoder: "other", QueryMixture: "other"}
        after = {BatchAugmentation: "augmentation", ImageEncoder: "image encoder", QueryMixture: "query networks"}

        def cut_for(parts: dict[type, str]) -> Callable[..., None]:
            return lambda module, *_: self.cut(parts[type(module)]) if type(module) in parts else None

        def ended(*_: Any) -> None:
            self.cut("optimiser")
            self.end_of_step()

        hooks = (
            register_module_forward_pre_hook(cut_for(before)),
            register_module_forward_hook(cut_for(after)),
            register_optimizer_step_pre_hook(lambda *_: self.cut("backward")),
            register_optimizer_step_post_hook(ended),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def in_stage(self, stage: Stage) -> Stage:
        """The stage with its losses watched."""

        def terms(*arguments: Any) -> dict[str, Tensor]:
            self.cut("other")
            named = stage.loss_terms(*arguments)
            self.cut("loss")
            return named

        return replace(stage, loss_terms=terms)


def written_store(image_size: int, folder: Path) -> ImageStore:
    """A store of smooth random films whose shorter side is `image_size`."""
    rng = np.random.default_rng(0)
    shape = (image_size, round(ASPECT * image_size))
    films = []
    for number in range(FILMS):
        rough = torch.from_numpy(rng.random((1, 1, 16, 16), dtype=np.float32))
        smooth = nn.functional.interpolate(rough, shape, mode="bicubic")[0, 0].numpy()
        pixels = np.clip(255 * smooth + rng.normal(0, 4, shape), 0, 255).astype(np.uint8)
        films.append(StoredFilm(f"{number}", f"{number}", pixels, *shape))
    write_part(folder / "part-0.arrow", films)
    columns = {"image_id": [film.image_id for film in films], "part": "part-0.arrow", "row": range(FILMS)}
    sizes = dict(zip(("height", "width", "original_height", "original_width"), 2 * shape))
    return ImageStore(pd.DataFrame(columns | sizes), folder, image_size)


def made_up(shape: Shape, steps: int, folder: Path) -> TrainingData:
    """Films with random labels of all findings for an epoch of so many steps; every film has a text."""
    rng = np.random.default_rng(0)
    store = written_store(shape.image_size, folder)
    count = shape.batch_size * steps
    rows, ids = np.arange(count) % FILMS, [str(number) for number in range(count)]
    examples = {"source": [SOURCES[number % len(SOURCES)] for number in range(count)], "split": "train"}
    examples |= {"image_id": ids, "patient_id": ids, "image_row": rows, "label_row": rows, "text_row": rows}
    names = tuple(f"finding {number}" for number in range(FINDINGS))
    return TrainingData(
        examples=pd.DataFrame(examples),
        stores=dict.fromkeys(SOURCES, store),
        labels={source: rng.integers(-1, 2, (FILMS, FINDINGS), dtype=np.int8) for source in SOURCES},
        findings=names,
        text_embeddings=rng.normal(size=(FILMS, WIDTH)).astype(np.float32),
        findings_by_source=dict.fromkeys(SOURCES, names),
    )


def stage_of(shape: Shape, device: torch.device, options: argparse.Namespace) -> Stage:
    """The stage with the paper's settings and augmentation, one epoch long."""
    settings = {
        "epochs": 1,
        "batch_size": shape.batch_size,
        "num_workers": options.workers,
        "device": "auto" if device.type == "cuda" else "cpu",
        "precision": options.precision,
        "compile": options.compile,
        "trackers": (),
    }
    if shape.stage == "conquer":
        return conquer_stage("conquer", ConquerSettings.model_validate(settings))
    return divide_stage(DivideSettings.model_validate(settings))


def paper_model(image_size: int, findings: tuple[str, ...], options: argparse.Namespace) -> UniChest:
    """The paper's network with random weights."""
    settings = ModelSettings(image_size=image_size, backbone=options.backbone, channels_last=options.channels_last)
    embeddings = np.random.default_rng(1).normal(size=(len(findings), WIDTH)).astype(np.float32)
    return build_unichest(settings, findings, embeddings, seed=0)


def operations(shape: Shape) -> tuple[int, int]:
    """Arithmetic operations of one step (forward and backward), and the part of them that is the image encoder's.

    Counted on tensors without content: products of matrices and convolutions, a multiplication and an addition each.
    """
    with torch.device("meta"):
        model = UniChest(ModelSettings(image_size=shape.image_size))
        films = torch.empty(shape.batch_size, 1, shape.image_size, shape.image_size)
        queries, texts = torch.empty(FINDINGS, WIDTH), torch.empty(shape.batch_size, WIDTH)
    trained = CONQUERED if shape.stage == "conquer" else DIVIDED
    model.requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    ratios = (1.0, 0.0) if shape.stage == "conquer" else (0.5, 0.5)
    with FlopCounterMode(display=False) as counter:
        output = model(films, queries, *ratios, texts=texts)
        (output.image.probabilities.sum() + output.text.probabilities.sum() + output.pooled.sum()).backward()
    return counter.get_total_flops(), sum(counter.get_flop_counts()["UniChest.image_encoder"].values())


def measure(shape: Shape, device: torch.device, options: argparse.Namespace) -> Step:
    """Run some steps, print their row, and return the fastest."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    clock = Clock(device)
    with TemporaryDirectory() as folder:
        data = made_up(shape, options.steps + 3, Path(folder))
        stage = clock.in_stage(stage_of(shape, device, options))
        model = paper_model(shape.image_size, data.findings, options)
        with clock.watching():
            run_stage(model, data, stage, Path(folder) / "state")
    steps = clock.steps[3:]  # before: allocations, the choice of kernels, the workers' start
    fastest = min(steps, key=lambda step: step.seconds)
    median = statistics.median(step.seconds for step in steps)
    cores = min(step.processor for step in steps) / torch.get_num_threads()
    shares = "".join(f"{seconds / fastest.seconds:>10.0%}" for seconds in fastest.parts.values())
    print(f"{shape.stage:<9}{shape.image_size:>5}{shape.batch_size:>6}{fastest.seconds:>9.3f}", end="")
    print(f"{median:>9.3f}{cores:>8.3f}", end="")
    print(f"{shape.batch_size / fastest.seconds:>10.1f}{shares}  {_beside(shape, fastest.seconds, device)}", flush=True)
    return fastest


def _beside(shape: Shape, seconds: float, device: torch.device) -> str:
    """What the row is compared with: the published step on a processor, the card's limits on a GPU."""
    if device.type == "cuda":
        card, each = torch.cuda.get_device_name(), operations(shape)[0] / seconds
        peak = next((peak for name, peak in PEAK_BF16.items() if name in card), None)
        share = f"{each / peak:.0%} of peak arithmetic" if peak else f"{each:.2e} operations/s"
        return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB, {share}"
    whole, given = PUBLISHED.get(shape, (None, None))
    parts = [f"published {whole:.1f} s: {whole / seconds:.1f} times"] if whole else []
    parts += [f"texts given {given:.1f} s: {given / seconds:.1f} times"] if given else []
    return "; ".join(parts)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6, help="that are timed, after three that are not")
    parser.add_argument("--only", help="one stage")
    parser.add_argument("--size", type=int, help="one image size")
    parser.add_argument("--workers", type=int, default=None, help="processes that read images (GPU: 16)")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--precision", default=None, help="no (float32), bf16; default no, on a GPU bf16")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--no-channels-last", dest="channels_last", action="store_false")
    parser.add_argument("--cpu", action="store_true", help="the processor, even where there is a GPU")
    return parser.parse_args()


def main() -> None:
    """Measure every shape that suits the machine; on processors with units for it, in bf16 as well."""
    options = arguments()
    logging.disable(logging.WARNING)  # that nothing is validated, and the last epoch kept
    device = torch.device("cuda" if torch.cuda.is_available() and not options.cpu else "cpu")
    on_gpu = device.type == "cuda"
    if options.workers is None:
        options.workers = 16 if on_gpu else 0
    if options.precision is None:
        precisions = ["bf16"] if on_gpu else ["no", "bf16"] if has_bf16_units(device) else ["no"]
    else:
        precisions = [options.precision]
    sizes = ((512, 32), (512, 128)) if on_gpu else ((224, 8), (512, 4))
    for options.precision in precisions:
        card = torch.cuda.get_device_name() if on_gpu else f"{torch.get_num_threads()} threads"
        precision = {"no": "float32"}.get(options.precision, options.precision)
        print(f"{card}, {options.backbone}, {FINDINGS} findings, {precision}; shares of the fastest step")
        print(f"{'stage':<9}{'px':>5}{'batch':>6}{'s/step':>9}{'median':>9}{'cores':>8}{'images/s':>10}", end="")
        print("".join(f"{part.split()[-1][:9]:>10}" for part in PARTS))
        for size, batch in sizes:
            for stage in ("conquer", "divide"):
                if options.only in (None, stage) and options.size in (None, size):
                    measure(Shape(stage, size, batch), device, options)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
