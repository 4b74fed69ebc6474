"""Prints time and peak memory of all measures of one model on ChestX-ray14's test split, in a fresh process.

25,596 films and 14 findings with the official numbers of positives and random scores: every measure with intervals from
1,000 resamples, of all films and by sex, age band and view, thresholds from as many validation films as the split has;
then the same with each film of a patient of its own, and with three models, which adds their paired differences. The
peak counts the table that is given.
"""

import subprocess
import sys
from pathlib import Path

CASES = {
    "2,797 patients, as published": (1, 2_797),
    "each film a patient": (1, 25_596),
    "2,797 patients, three models": (3, 2_797),
}

PROGRAM = """
import sys, time
import numpy as np, pandas as pd
from unichest_kedro.evaluation.benchmarks import Benchmarks, BenchmarkSettings
from unichest_kedro.evaluation.judging import judge
from unichest_kedro.evaluation.other_models import OtherModels
from unichest_kedro.evaluation.tables import measure_tables
from unichest_kedro.evaluation.thresholds import choose_thresholds
from unichest_kedro.vocabulary import Vocabulary

def memory(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) / 2**20

models, people, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
POSITIVE = {
    "atelectasis": 3279, "cardiomegaly": 1069, "pleural effusion": 4658, "infiltration": 6112, "mass": 1748,
    "nodule": 1623, "pneumonia": 555, "pneumothorax": 2665, "consolidation": 1815, "edema": 925, "emphysema": 1093,
    "fibrosis": 435, "pleural thicken": 1143, "hernia": 86,
}
TEST, VALIDATION = 25_596, 8_600
random = np.random.default_rng(1)
films = TEST + VALIDATION
names = np.array([f"{n:08d}.png" for n in range(films)])
tested = np.concatenate([np.arange(people), random.integers(0, people, TEST - people)])
patients = np.concatenate([tested, people + np.arange(VALIDATION)])
split = np.repeat(["test", "val"], [TEST, VALIDATION])
studies = pd.DataFrame({
    "source": "chestxray14", "image_id": names, "split": split, "split_origin": "official",
    "view": random.choice(["frontal", "lateral"], films), "sex": random.choice(["F", "M"], films),
    "age": random.integers(0, 95, films).astype(float),
})
labels = np.stack([random.random(films) < count / TEST for count in POSITIVE.values()], axis=1)
rows = pd.DataFrame({
    "model": "", "source": "chestxray14", "split": np.repeat(split, len(POSITIVE)),
    "image_id": np.repeat(names, len(POSITIVE)), "patient_id": np.repeat(patients.astype(str), len(POSITIVE)),
    "finding": list(POSITIVE) * films, "label": labels.ravel().astype(int), "trained_on": True, "leaked": False,
})
def scored(k):
    score = 1 / (1 + np.exp(2 - 2 * labels - random.normal(size=labels.shape)))
    return rows.assign(model=f"model {k}", score=score.ravel().astype("float32").astype(float))
scores = pd.concat([scored(k) for k in range(models)], ignore_index=True)
vocabulary = Vocabulary.from_yaml(file)
findings = [{"finding": finding} for finding in POSITIVE]
active = {"chestxray14": BenchmarkSettings(title="x", source="chestxray14", findings=findings)}
tables = {"chestxray14": studies}
before = memory("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
start, processor = time.perf_counter(), time.process_time()
given = judge(scores, active, OtherModels({}), tables, vocabulary, True)
thresholds = choose_thresholds(scores, given.scores, active, tables, vocabulary)
own = list(scores["model"].unique())
made = measure_tables(
    given.scores, active, tables, thresholds, models=own, own=own, compared="model 0", age_bands=(18, 40, 60, 80),
)
taken, processor = time.perf_counter() - start, time.process_time() - processor
print(taken, processor, before, memory("VmHWM"), len(made.measures))
"""


def main() -> None:
    """Measure each case and print a line each."""
    file = Path(__file__).resolve().parents[1] / "conf/base/vocabulary.yml"
    print("25,596 films x 14 findings, 9 measures, 10 groups of films, 1,000 resamples by patient")
    print(f"{'':<32}{'seconds':>9}{'processor s':>13}{'given GiB':>11}{'peak GiB':>10}{'rows':>8}")
    for case, (models, patients) in CASES.items():
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(models), str(patients), str(file)]
        output = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        ).stdout
        taken, processor, before, peak, rows = map(float, output.split())
        print(f"{case:<32}{taken:>9.1f}{processor:>13.1f}{before:>11.2f}{peak:>10.2f}{rows:>8,.0f}")


if __name__ == "__main__":
    main()
