"""Prints time and peak memory of reading the full metadata of ChestX-ray14 and CheXpert, each in a fresh process.

Needs the folder of real metadata (`UNICHEST_REAL_DATA`, by default `../shared/real` beside the project).
"""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import resource, sys, time
from pathlib import Path
from unichest_kedro.sources import IngestionSettings, ingest, list_images
call = {"ingest": ingest, "list_images": list_images}[sys.argv[1]]
start = time.perf_counter()
call(sys.argv[2], Path(sys.argv[3]), IngestionSettings())
# VmHWM is this program's own peak; ru_maxrss would include what the parent held before the program started.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(time.perf_counter() - start, int(peak.split()[1]) / 1024)
"""
CASES = (("ingest", "chestxray14", 112_120), ("list_images", "chexpert", 223_414))


def main() -> None:
    """Measure both and print a line each."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "real"
    real = Path(os.environ.get("UNICHEST_REAL_DATA", beside))
    if not real.is_dir():
        raise SystemExit(f"no real metadata at {real}; set UNICHEST_REAL_DATA to its folder")
    print(f"{'what':<26}{'rows':>9}{'seconds':>9}{'peak MiB':>10}")
    for call, source, rows in CASES:
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM, call, source, str(real / source)]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        seconds, peak = map(float, output.split())
        print(f"{call + ' ' + source:<26}{rows:>9,}{seconds:>9.1f}{peak:>10.0f}")


if __name__ == "__main__":
    main()
