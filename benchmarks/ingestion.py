"""Prints time and peak memory of reading each source's full metadata, each in a fresh process.

Seconds are those of the one call, from the folder to the finished tables, without the imports before it. The peak is
the process's largest resident memory, the imports included. `list_images` reads and checks the tables, `ingest` looks
for the films on disk as well. ChestX-ray14, CheXpert, VinBigData, SIIM-ACR and Open-I (half of its reports) are the
real metadata; PadChest is a made-up table of the release's size, with as many rows labelled by a physician and about
as many labels.

Needs the folder of real metadata (`UNICHEST_REAL_DATA`, by default `../shared/real` beside the project); without it,
PadChest alone is measured.
"""

import csv
import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

PROGRAM = """
import sys, time
from pathlib import Path
from unichest_kedro.sources import IngestionSettings, ingest, list_images
from unichest_kedro.sources.open_i import read_reports_table
settings = IngestionSettings()
calls = {"ingest": lambda *which: ingest(*which, settings), "list_images": lambda *which: list_images(*which, settings),
         "read_reports_table": lambda _, root: read_reports_table(root)}
start = time.perf_counter()
calls[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
# VmHWM is this program's own peak; ru_maxrss would include what the parent held before the program started.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(time.perf_counter() - start, int(peak.split()[1]) / 1024)
"""

PADCHEST_ROWS, PADCHEST_BY_HAND = 160_868, 39_053
PADCHEST_LABELS = 193
PADCHEST_FOLDERS = 55
PADCHEST_HEADER = (
    *("", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM"),
    *("Projection", "Report", "MethodLabel", "Labels", "LabelsLocalizationsBySentence"),
)
WORDS = (
    *("silueta", "cardiaca", "tamano", "normal", "senos", "costofrenicos", "libres", "derrame", "pleural", "derecho"),
    *("infiltrado", "base", "cambios", "."),
)


class Case(NamedTuple):
    """One line of the table: which call, which source, in which folder, and of how many rows."""

    call: str
    source: str
    folder: str
    rows: int
    limit: str = ""


REAL = (
    Case("ingest", "chestxray14", "chestxray14", 112_120),
    Case("list_images", "chexpert", "chexpert", 223_414, "5 s, 1024 MiB"),
    Case("list_images", "vindr_cxr", "vinbigdata", 67_914),
    Case("list_images", "siim_acr", "siim_acr", 12_954),
    Case("list_images", "open_i", "open_i", 1_976),
    Case("read_reports_table", "open_i", "open_i", 1_976),
)


def main() -> None:
    """Measure every case and print a line each."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "real"
    real = Path(os.environ.get("UNICHEST_REAL_DATA", beside))
    print(f"{'what':<32}{'rows':>9}{'seconds':>9}{'peak MiB':>10}  limit")
    if real.is_dir():
        for case in REAL:
            measure(case, real / case.folder)
    else:
        print(f"no real metadata at {real}; set UNICHEST_REAL_DATA to its folder")
    with tempfile.TemporaryDirectory() as folder:
        write_padchest(Path(folder))
        measure(Case("list_images", "padchest", "", PADCHEST_ROWS), Path(folder))


def measure(case: Case, root: Path) -> None:
    """Run one case in a process of its own and print its line."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, case.call, case.source, str(root)]
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    seconds, peak = map(float, output.split())
    print(f"{case.call + ' ' + case.source:<32}{case.rows:>9,}{seconds:>9.1f}{peak:>10.0f}  {case.limit}")


def write_padchest(root: Path) -> None:
    """Write a gzipped table of PadChest's size and columns."""
    path = root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8", newline="", compresslevel=1) as stream:
        writer = csv.writer(stream)
        writer.writerow(PADCHEST_HEADER)
        writer.writerows(padchest_rows())


def padchest_rows() -> Iterator[list[object]]:
    """Rows with a third of normal films, and labels as uneven as real ones are."""
    rng = np.random.default_rng(0)
    chance = 1 / np.arange(1, PADCHEST_LABELS + 1)
    chance /= chance.sum()
    for row in range(PADCHEST_ROWS):
        found = rng.choice(PADCHEST_LABELS, size=rng.integers(1, 5), replace=False, p=chance)
        labels = ["normal"] if rng.random() < 1 / 3 else [f" finding number {label}" for label in found]
        report = " ".join(rng.choice(WORDS, size=25))
        method = "Physician" if row < PADCHEST_BY_HAND else "RNN_model"
        image, view = f"{row:040d}.png", ("PA", "L", "AP_horizontal")[row % 3]
        who = [20140915, f"{row // 2:040d}", f"{row // 4:032x}", "1938.0", "MF"[row % 2]]
        yield [row, image, row % PADCHEST_FOLDERS, *who, view, report, method, labels, [[report, *labels]]]


if __name__ == "__main__":
    main()
