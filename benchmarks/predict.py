"""Prints how many films a second are answered, and how memory grows with their number.

A ResNet-50 at 512 px with the paper's four query networks (untrained weights cost the same), 14 findings, films of
1024 x 1024 pixels as PNG: the real ones at hand (`UNICHEST_REAL_DATA`, by default `../shared/real` beside the project),
or else phantoms. From files to the finished Parquet table, without imports and without loading the model. Each line is
a process of its own; its peak is that of the process and of the workers that read films, added up.

"by s/film" is what the seconds of processor time per film would allow if the two cores did nothing else: on a busy
machine the films per second that were seen say more about its other work. (Threads that wait for each other count as
busy, so it is a lower bound there, too.)
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from unichest_kedro.datasets.table_stream import TableStreamDataset
from unichest_kedro.imaging.decode import decode_image
from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest
from unichest_kedro.phantoms import PhantomSettings, make_phantoms
from unichest_kedro.prediction.inputs import list_films
from unichest_kedro.prediction.questions import ask
from unichest_kedro.prediction.results import predict_films
from unichest_kedro.prediction.settings import PredictSettings
from unichest_kedro.prediction.speed import computing

SIDE = 1024
DIFFERENT = 24
"""Different films on disk; more are copies under other names, which are answered like any other."""

CORES = 2


def write_films(folder: Path, count: int) -> None:
    """Write so many PNG files of 1024 x 1024 pixels, 8-bit grey."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "real"
    real = Path(os.environ.get("UNICHEST_REAL_DATA", beside)) / "chestxray14" / "images"
    sources = sorted(real.iterdir()) if real.is_dir() else []
    if not sources:
        made = make_phantoms("chestxray14", folder.with_name("phantoms"), PhantomSettings(images_per_source=DIFFERENT))
        sources = sorted(made.rglob("*.png"))
    large = [path for path in sources if Image.open(path).size == (SIDE, SIDE)] or sources
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05d}.png"
        if number < DIFFERENT:
            film = Image.fromarray(decode_image(large[number % len(large)]))
            film.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
        else:
            shutil.copyfile(folder / f"{number % DIFFERENT:05d}.png", path)


def model() -> UniChest:
    """Build the paper's model with initial weights."""
    names = tuple(f"finding {number}" for number in range(14))
    embeddings = torch.randn(len(names), 768, generator=torch.Generator().manual_seed(0))
    built = build_unichest(ModelSettings(), names, embeddings, 0)
    built.set_ratios(0.5, 0.5)
    return built.eval()


def one_run(films: Path, precision: str, batch_size: int, workers: int, warm: bool) -> None:
    """Answer a folder and print films, seconds, seconds of processor time, and peak MiB."""
    torch.set_num_threads(CORES)
    built = model()
    settings = PredictSettings(precision=precision, batch_size=batch_size, num_workers=workers)
    listing = list_films(films)
    if warm:  # the second or two of preparing the backbone, which a long run does not notice
        with computing(built, settings.precision, pictures=len(listing)):
            pass
    start, before = time.perf_counter(), os.times()
    with tempfile.TemporaryDirectory() as place:
        results = predict_films(built, ask(built), listing, settings, Path(place) / "parts")
        TableStreamDataset(filepath=str(Path(place) / "predictions.parquet")).save(results)
    after = os.times()
    processor = sum(after[:4]) - sum(before[:4])
    print(len(listing), time.perf_counter() - start, processor, file=sys.__stdout__)


def peak_mib(process: subprocess.Popen) -> float:
    """Follow a process until it ends; returns the largest resident memory of it and its children, added up."""
    largest = 0.0
    while process.poll() is None:
        total = 0
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    status = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                    if int(folder.name) == process.pid or int(status[1]) == process.pid:
                        # Proportional: what forked workers share with their parent counts once.
                        rollup = (folder / "smaps_rollup").read_text().splitlines()
                        total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
                except (OSError, StopIteration, IndexError):
                    continue
        largest = max(largest, total / 1024)
        time.sleep(0.5)
    return largest


def measure(films: Path, precision: str, batch_size: int, workers: int) -> None:
    """Run one case in a process of its own and print its line."""
    command = [sys.executable, __file__, "--run", str(films), "--precision", precision]
    command += ["--batch", str(batch_size), "--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peak = peak_mib(process)
    output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with code {process.returncode}")
    count, seconds, processor = (float(word) for word in output.split())
    rates = f"{count / seconds:>9.2f}{CORES * count / processor:>10.2f}"
    print(
        f"{precision:<10}{batch_size:>6}{workers:>8}{count:>7.0f}{rates}{processor / count:>10.3f}{peak:>10.0f}",
        flush=True,
    )


def main() -> None:
    """Measure each precision, then memory for ten times as many films."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=100)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=PredictSettings().batch_size)
    parser.add_argument("--workers", type=int, default=PredictSettings().num_workers)
    parser.add_argument("--precision", default="")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        return one_run(given.run, given.precision, given.batch, given.workers, warm=True)
    heading = f"{'films/s':>9}{'by s/film':>10}{'s/film':>10}{'peak MiB':>10}"
    print(f"{'precision':<10}{'batch':>6}{'workers':>8}{'films':>7}{heading}")
    with tempfile.TemporaryDirectory() as place:
        few, many = Path(place) / "few", Path(place) / "many"
        write_films(few, given.films)
        for precision in [given.precision] if given.precision else ["float32", "bfloat16"]:
            measure(few, precision, given.batch, given.workers)
        if given.many:
            write_films(many, given.many)
            measure(many, given.precision or "bfloat16", given.batch, given.workers)
    return None


if __name__ == "__main__":
    main()
