"""Prints the demo's table over several seeds: mean and spread of the test AUROC of each model.

The phantoms stay the same films; the seed changes the validation cut, the text encoder, the initial weights, the
order of the batches and the augmentations.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from small_clone import clone


def run(root: Path, seed: int) -> pd.DataFrame:
    """Run everything with one seed and return the headline table."""
    command = [sys.executable, "-m", "kedro", "run", f"--params=seed={seed}"]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-4000:])
    outcome = json.loads((root / "data/06_models/conquer_outcome.json").read_text())
    print(f"seed {seed}: Conquer ended by {outcome['stopped']} after {outcome['epochs']} epochs", flush=True)
    print((root / "data/08_reporting/summary.txt").read_text(), flush=True)
    return pd.read_csv(root / "data/08_reporting/headline.csv").assign(seed=seed)


def main() -> None:
    """Run the demo once per seed and print means and spreads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = clone(Path(folder))
        every = pd.concat([run(root, seed) for seed in arguments.seeds])
    table = every.groupby(["model", "source"], sort=False)["auroc"].agg(["mean", "std"]).round(4)
    print(f"\nmean and standard deviation over seeds {arguments.seeds}\n{table.to_string()}")


if __name__ == "__main__":
    main()
