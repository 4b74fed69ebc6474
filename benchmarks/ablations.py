"""The ablations on phantoms whose sources differ in nothing, in style, in thresholds, in definitions, and in all.

Makes one scratch clone per kind of difference under `benchmarks/out/ablations`, runs `kedro run --pipeline=ablate` in
each, seed by seed, and writes the tables that docs/ablations.md shows to `tables.md`. What is finished is kept: stop it
and run it again. `--search` tries changes to Divide on other seeds than the reported ones.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from small_clone import PROJECT, clone

from unichest_kedro.ablations.figures import DRAWN, is_beyond_noise
from unichest_kedro.ablations.measures import MEAN
from unichest_kedro.ablations.page import Grid, difference_cell, markdown, paper_table
from unichest_kedro.evaluation.style import INK, MARKERS, MUTED, OKABE_ITO, foot, new_figure, source_title, tidy, title

OUT = PROJECT / "benchmarks" / "out" / "ablations"
STYLE = ("response", "noise", "resolution", "collimation", "markers")
KINDS = ("prevalence", "labelled_set", "label_noise", "threshold", "definition")
DIFFERENCES = {
    "none": (),
    "style": STYLE,
    "threshold": ("threshold",),
    "definition": ("definition",),
    "all": (*STYLE, *KINDS),
}
"""Kinds of difference that are switched on (at full strength); all others are off."""

SEARCH = (
    *("gate_sharp", "gate_standardised", "experts_from_main", "encoder_too", "prompts", "oracle"),
    *("from_main_oracle", "from_main_sharp", "from_main_standardised", "from_main_encoder_too"),
)
"""What is tried on the search's seeds: one change each, then one each on top of experts from the main network."""

EPOCHS = 12
"""Of Conquer."""

PREPARE = "--pipelines=ingest,images,reports,harmonise,text,leakage"
PARAMETERS = {
    "imaging": {"image_size": 56, "n_jobs": 1},
    "text_encoder": {"width": 64, "steps": 200},
    "model": {
        "image_size": 48,
        "width": 64,
        "layers": 1,
        "feedforward": 128,
        "backbone_options": {"stem_width": 16, "channels": [32, 64, 128, 256]},
    },
    # No plateau: the rate falls to its minimum, so that Conquer ends where more epochs change nothing.
    "conquer": {"batch_size": 32, "plateau": None},
    "divide": {"epochs": 4, "batch_size": 32, "optimiser": {"learning_rate": 2.0e-3}},
}
PHANTOMS = {"images_per_source": 500, "scored_images": 60, "image_size": 64, "n_jobs": 1}
WIDEST = 62
"""Letters of a line beside the figure."""

TRAINED = ("mimic_cxr", "chestxray14", "chexpert", "vindr_cxr")
RESULTS = ("runs", "scores", "table", "differences", "gates")


def prepare(out: Path, setting: str) -> Path:
    """Make the clone of one kind of difference and its data, where they are not there yet; returns the clone."""
    root = out / setting
    if not (root / "conf").exists():
        root.mkdir(parents=True, exist_ok=True)
        clone(root)
    on = DIFFERENCES[setting]
    differences = {name: float(name in on) for name in (*STYLE, *KINDS)}
    settings = {"phantoms": PHANTOMS | {"differences": differences}}
    (root / "conf/local/globals.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    if not (root / ".prepared").exists():
        _write_parameters(root, {})
        _kedro(root, PREPARE)
        (root / ".prepared").touch()
    return root


def ablate(root: Path, seeds: Sequence[int], only: Sequence[str], target: Path, epochs: int) -> None:
    """Run the ablations of one clone with some seeds and variants, and copy their tables to `target`."""
    _write_parameters(root, {"seeds": list(seeds), "only": list(only)}, epochs)
    started = time.time()
    _kedro(root, "--pipeline=ablate")
    target.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:
        folder = "07_model_output" if name == "runs" else "08_reporting"
        shutil.copy(root / f"data/{folder}/ablation_{name}.csv", target)
    shutil.copy(root / "data/08_reporting/ablation.png", target)
    shutil.copy(root / "data/08_reporting/ablations.html", target)
    (target / "last_run.json").write_text(json.dumps({"seeds": list(seeds), "seconds": time.time() - started}))


def _write_parameters(root: Path, ablation: dict, epochs: int = EPOCHS) -> None:
    alone = {"conquer": {"batch_size": 16}}
    base = yaml.safe_load((root / "conf/base/parameters_ablation.yml").read_text(encoding="utf-8"))["ablation"]
    for variant in base["variants"]:
        if variant["name"] == "alone":  # a quarter of the films: smaller batches, so that it has its steps too
            variant["change"] = alone
    conquer = {"conquer": PARAMETERS["conquer"] | {"epochs": epochs}}
    text = yaml.safe_dump(PARAMETERS | conquer | {"ablation": base | ablation}, sort_keys=False)
    (root / "conf/local/parameters.yml").write_text(text, encoding="utf-8")


def _kedro(root: Path, *arguments: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root / "src")}
    log = root / "log.txt"
    with log.open("a") as file:
        command = [sys.executable, "-m", "kedro", "run", *arguments]
        done = subprocess.run(command, cwd=root, env=environment, stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"{root}: kedro run {' '.join(arguments)} failed; see {log}")


def write_tables(out: Path, kind: str) -> None:
    """Write `tables.md` and `differences.png` of what is finished: differences, then each setting's."""
    done = [setting for setting in DIFFERENCES if (out / kind / setting / "ablation_table.csv").exists()]
    read = {
        setting: {name: pd.read_csv(out / kind / setting / f"ablation_{name}.csv") for name in RESULTS}
        for setting in done
    }
    parts = [f"## {words}\n\n{markdown(_by_setting(read, name))}" for name, words in DRAWN.items()]
    parts.append(f"## Where Conquer ended\n\n{markdown(_plateaus(out, read))}")
    for setting, tables in read.items():
        trained = [source for source in TRAINED if source in set(tables["table"]["source"])]
        seeds = ", ".join(map(str, sorted(tables["runs"]["seed"].unique())))
        grid = markdown(paper_table(tables["table"], tables["gates"], trained))
        parts.append(f"## Differences: {setting} (seeds {seeds})\n\n{grid}")
        single = tables["differences"].query("source in @trained")
        parts.append(f"### AUROC differences by source\n\n{markdown(_by_source(single, tables['table'], trained))}")
    (out / kind / "tables.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    _figure(read).savefig(out / kind / "differences.png")


def _pairs(read: dict[str, dict[str, pd.DataFrame]]) -> dict[tuple[str, str], str]:
    """Variant and control, and how the difference is called, in order of appearance."""
    pairs = {}
    for tables in read.values():
        titles = dict(zip(tables["table"]["variant"], tables["table"]["title"]))
        for variant, control in tables["differences"][["variant", "against"]].drop_duplicates().itertuples(index=False):
            pairs[(variant, control)] = f"{titles[variant]} − {titles[control]}"
    return pairs


def _row(tables: dict[str, pd.DataFrame], pair: tuple[str, str], measure: str, source: str = MEAN) -> pd.Series | None:
    table = tables["differences"]
    chosen = table[
        (table["variant"] == pair[0])
        & (table["against"] == pair[1])
        & (table["measure"] == measure)
        & (table["source"] == source)
    ]
    return chosen.assign(beyond=is_beyond_noise(chosen)).iloc[0] if len(chosen) else None


def _by_setting(read: dict[str, dict[str, pd.DataFrame]], measure: str) -> Grid:
    """One row per comparison, one column per kind of difference."""
    rows = []
    for pair, words in _pairs(read).items():
        cells = [_row(tables, pair, measure) for tables in read.values()]
        rows.append((words, *("–" if row is None else difference_cell(row) for row in cells)))
    return Grid(("Difference", *read), tuple(rows))


def _by_source(differences: pd.DataFrame, table: pd.DataFrame, trained: Sequence[str]) -> Grid:
    tables = {"differences": differences, "table": table}
    rows = []
    for pair, words in _pairs({"": tables}).items():
        cells = [_row(tables, pair, "auroc", source) for source in trained]
        rows.append((words, *("–" if row is None else difference_cell(row) for row in cells)))
    return Grid(("Difference", *map(source_title, trained)), tuple(rows))


def _plateaus(out: Path, read: dict[str, dict[str, pd.DataFrame]]) -> Grid:
    """Validation AUROC of Conquer at its beginning, in its last epochs and at its end, mean over seeds."""
    rows, epochs = [], EPOCHS
    for setting, tables in read.items():
        seeds = sorted(tables["runs"]["seed"].unique())
        files = [out / setting / f"data/07_model_output/ablations/conquer/seed_{seed}/history.csv" for seed in seeds]
        curves = np.stack([pd.read_csv(file)["val_auroc"].to_numpy() for file in files])
        epochs = curves.shape[1]
        rows.append((setting, *(f"{value:.3f}" for value in curves.mean(axis=0)[[0, -5, -3, -1]])))
    return Grid(("Differences", *(f"epoch {epoch}" for epoch in (1, epochs - 4, epochs - 2, epochs))), tuple(rows))


def _figure(read: dict[str, dict[str, pd.DataFrame]]) -> Figure:
    """AUROC and F1 differences of all comparisons, one panel per kind of difference."""
    pairs = _pairs(read)
    figure = new_figure(4.4 + 2.1 * len(read), 2.6 + 0.72 * len(pairs))
    panels = figure.subplots(2, len(read), sharey=True, sharex="row", squeeze=False)
    for line, measure in zip(panels, ("auroc", "f1")):
        for axes, (setting, tables) in zip(line, read.items()):
            for place, pair in enumerate(pairs):
                row = _row(tables, pair, measure)
                if row is not None:
                    axes.plot([row["low"], row["high"]], [place, place], color=MUTED, linewidth=1.2)
                    colour = OKABE_ITO[0 if measure == "auroc" else 1]
                    face = colour if row["beyond"] else "white"
                    marker = MARKERS[0 if measure == "auroc" else 1]
                    axes.plot(row["difference"], place, marker, markersize=5.5, mec=colour, mfc=face)
            axes.axvline(0, color=INK, linewidth=0.9)
            title(tidy(axes, "x"), f"{DRAWN[measure]}: {setting}")
        names = [textwrap.fill(words, WIDEST) for words in pairs.values()]
        line[0].set_yticks(range(len(pairs)), names, fontsize=8)
        line[0].locator_params(axis="x", nbins=3)
    panels[0, 0].invert_yaxis()
    foot(
        figure,
        "Mean over sources trained on and seeds; 95 % intervals by resampling patients.",
        "Filled: the interval leaves 0 out and all seeds agree in sign.",
    )
    return figure


def main() -> None:
    """Run what is asked for, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--settings", nargs="+", choices=list(DIFFERENCES), default=list(DIFFERENCES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="*", default=[], help="variants; none for all")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of Conquer; others need another --out")
    parser.add_argument("--tables-only", action="store_true", help="write the tables of what is finished")
    parser.add_argument("--search", action="store_true", help="try changes to Divide, on other seeds")
    arguments = parser.parse_args()
    kind = "search" if arguments.search else "reported"
    if arguments.tables_only:
        write_tables(arguments.out, kind)
        return
    for count in range(1, len(arguments.seeds) + 1):
        for setting in arguments.settings:
            root = prepare(arguments.out, setting)
            only = arguments.only or (SEARCH if arguments.search else [])
            ablate(root, arguments.seeds[:count], only, arguments.out / kind / setting, arguments.epochs)
            write_tables(arguments.out, kind)
            print(f"{time.strftime('%H:%M:%S')} {kind} {setting}: seeds {arguments.seeds[:count]} done", flush=True)


if __name__ == "__main__":
    main()
