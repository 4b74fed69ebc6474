"""Prints time and peak memory of harmonising 700,000 films to 60 findings, each source in a fresh process.

The tables are random, with every native label that a source's rules map as a column. The peak counts the table that is
given, whose own size stands beside it.
"""

import subprocess
import sys
from pathlib import Path

ROWS = 700_000
CASES = ("chexpert", "mimic_cxr", "vindr_cxr", "open_i", "padchest")

PROGRAM = """
import logging, sys, time
import numpy as np, pandas as pd
from unichest_kedro.vocabulary import Vocabulary, coverage, harmonise

def memory(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) / 2**20

logging.disable(logging.WARNING)
source, file, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
vocabulary = Vocabulary.from_yaml(file)
rules = vocabulary.rules(source)
random = np.random.default_rng(1)
values = [1.0, 0.0, -1.0, np.nan] if source in ("chexpert", "mimic_cxr") else [1.0, 0.0, 0.0, 0.0]
def column():
    return random.choice(values, rows, p=[0.02, 0.08, 0.05, 0.85])
said = None
table = {"native:" + label: column() for label in rules.labels}
keys = {"source": source, "image_id": [f"i{n}" for n in range(rows)], "split": "train", "report": "words", "readers": 1}
studies = pd.DataFrame({**keys, **table})
if rules.report_labels != "none":
    values = [1.0, 0.0, -1.0, np.nan]
    said = pd.DataFrame({"report:" + finding: column().astype("float32") for finding in vocabulary.findings})
del table
before = memory("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
start = time.perf_counter()
labels, contradictions = harmonise(studies, vocabulary, report_labels=said)
taken = time.perf_counter() - start
peak = memory("VmHWM")
start = time.perf_counter()
coverage(studies, labels)
print(taken, time.perf_counter() - start, before, peak, len(contradictions))
"""


def main() -> None:
    """Measure each source and print a line each."""
    file = Path(__file__).resolve().parents[1] / "conf/base/vocabulary.yml"
    print(f"{ROWS:,} films")
    print(f"{'source':<12}{'harmonise s':>12}{'coverage s':>12}{'given GiB':>11}{'peak GiB':>10}{'contradictions':>16}")
    for source in CASES:
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM, source, str(file), str(ROWS)]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        taken, counted, before, peak, contradictions = map(float, output.split())
        print(f"{source:<12}{taken:>12.1f}{counted:>12.1f}{before:>11.2f}{peak:>10.2f}{contradictions:>16,.0f}")


if __name__ == "__main__":
    main()
