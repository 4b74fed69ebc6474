"""Prints how fast heat maps are held against boxes and experts are judged, with peak memory, each in a fresh process.

Heat maps: the paper's model (ResNet-50 at 512 px, untrained weights cost the same), 28 findings asked, films of which
each has three boxed regions, the raster of the defaults. Experts: as many films and findings as ChestX-ray14's test
split has (25,596 and 14, 2,797 patients), three experts, 1,000 resamples; the peak counts the table that is given.
"""

import subprocess
import sys

COMMON = """
import sys, time
import numpy as np, pandas as pd

def memory(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) / 2**20

random = np.random.default_rng(1)

def report(words, count, unit, start):
    took, busy = time.perf_counter() - start[0], time.process_time() - start[1]
    print(f"{words}: {took:.1f} s ({busy:.1f} s of processor time), {count / busy:.1f} {unit} per second of one core; "
          f"peak {memory('VmHWM'):.2f} GiB")
"""

FILMS = """
import torch
from unichest_kedro.evaluation.localisation_targets import LocalisationSettings

films, regions = int(sys.argv[1]), 3
findings = [f"finding {k}" for k in range(28)]
left, top = random.uniform(0, 0.6, (2, films * regions))
targets = pd.DataFrame({
    "source": "vindr_cxr", "split": "test", "image_id": np.repeat([f"{n}" for n in range(films)], regions),
    "patient_id": np.repeat([f"{n}" for n in range(films)], regions), "image_row": np.repeat(range(films), regions),
    "finding": [findings[k % 28] for k in range(films * regions)], "reader": "consensus",
    "left": left, "top": top, "right": left + 0.3, "bottom": top + 0.3, "needed": 1, "height": 3000.0, "width": 2500.0,
})
settings = LocalisationSettings()
"""

MAPS = """
from unichest_kedro.evaluation.heatmaps import look_with
from unichest_kedro.evaluation.localisation import localise
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.models.unichest import ModelSettings, build_unichest

shape = ModelSettings()
model = build_unichest(shape, findings, np.random.default_rng(0).normal(size=(28, shape.width)).astype("f4"), 1)
store = {"vindr_cxr": random.integers(0, 256, (8, 614, 512), dtype=np.uint8)[np.arange(films) % 8]}
before = memory("VmRSS")
start = time.perf_counter(), time.process_time()
localise(look_with(model), "model", targets, store, {"vindr_cxr": findings}, settings, image_size=shape.image_size,
         batch_size=8, resize=resize_square)
report(f"heat maps of {films} films, {torch.get_num_threads()} threads", films, "films", start)
print(f"  (before: {before:.2f} GiB)")
"""

PRIORS = """
from unichest_kedro.evaluation.localisation import localise_priors

start = time.perf_counter(), time.process_time()
localise_priors(pd.concat([targets.assign(split="train"), targets]), settings)
report(f"priors, {len(targets):,} regions and as many to learn from", len(targets), "regions", start)
"""

EXPERTS = """
from unichest_kedro.evaluation.expert_measures import judge_experts
from unichest_kedro.evaluation.gates import gate_by_source

FILMS, FINDINGS, PEOPLE, EXPERTS = 25_596, 14, 2_797, 3
rows = FILMS * FINDINGS
patients = np.concatenate([np.arange(PEOPLE), random.integers(0, PEOPLE, FILMS - PEOPLE)]).astype(str)
label = (random.random(rows) < 0.07).astype(int)
gate = random.dirichlet(np.ones(EXPERTS), FILMS).repeat(FINDINGS, axis=0)
said = lambda: (1 / (1 + np.exp(2 - 2 * label - random.normal(size=rows)))).astype("float32").astype(float)
answers = pd.DataFrame({
    "model": "model", "source": "chestxray14", "split": "test",
    "image_id": np.repeat([f"{n:08d}.png" for n in range(FILMS)], FINDINGS), "patient_id": patients.repeat(FINDINGS),
    "finding": [f"finding {k}" for k in range(FINDINGS)] * FILMS, "label": label, "main": said(),
    **{f"expert_{k}": said() for k in range(1, EXPERTS + 1)},
    **{f"gate_{k}": gate[:, k - 1] for k in range(1, EXPERTS + 1)}, "trained_on": True, "leaked": False,
})
before = memory("VmRSS")
start = time.perf_counter(), time.process_time()
judge_experts(answers, (0.5, 0.5))
variants = 3 + 2 * EXPERTS
report(f"experts, {FILMS:,} films and {FINDINGS} findings, {variants} variants", variants, "variants", start)
start = time.perf_counter(), time.process_time()
gate_by_source(answers)
report("gate of the same films", FILMS, "films", start)
print(f"  (before: {before:.2f} GiB)")
"""


def main() -> None:
    """Run each case in a process of its own."""
    for program, arguments in (
        (FILMS + MAPS, ("16",)),
        (FILMS + MAPS, ("48",)),
        (FILMS + PRIORS, ("1000",)),
        (EXPERTS, ()),
    ):
        subprocess.run([sys.executable, "-c", COMMON + program, *arguments], check=True)


if __name__ == "__main__":
    main()
