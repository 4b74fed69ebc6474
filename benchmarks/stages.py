"""Prints wall time and peak memory of every stage of the demo, and of the whole demo in one process.

Each stage runs as a user would run it (`kedro run --pipeline=...`), so its time includes starting Python and
Kedro. Peak memory is the largest resident set of any one process of the stage, the decoding workers included.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from small_clone import clone

STAGES = ("ingest", "images", "harmonise", "text", "conquer", "divide", "evaluate")


class Measured(NamedTuple):
    """What one command took: seconds of wall time and MiB of the largest process."""

    seconds: float
    peak_mib: float


def measure(command: list[str], folder: Path) -> Measured:
    """Run a command and measure it.

    Raises:
        SystemExit: with the command's output, if it fails.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(output.read().decode(errors="replace")[-4000:])
    return Measured(time.perf_counter() - start, usage.ru_maxrss / 1024)


def main() -> None:
    """Measure each stage in its own process, then the whole demo in one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", default="", help="passed to every kedro run, e.g. conquer.epochs=5")
    parser.add_argument("--whole-only", action="store_true", help="only the whole demo in one process")
    arguments = parser.parse_args()
    extra = [f"--params={arguments.params}"] if arguments.params else []
    kedro = [sys.executable, "-m", "kedro", "run", *extra]
    print(f"{'stage':<12}{'seconds':>10}{'peak MiB':>10}")
    if not arguments.whole_only:
        with tempfile.TemporaryDirectory() as folder:
            root = clone(Path(folder))
            for stage in STAGES:
                took = measure([*kedro, f"--pipelines={stage}"], root)
                print(f"{stage:<12}{took.seconds:>10.1f}{took.peak_mib:>10.0f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        took = measure(kedro, clone(Path(folder)))
        print(f"{'whole demo':<12}{took.seconds:>10.1f}{took.peak_mib:>10.0f}")


if __name__ == "__main__":
    main()
