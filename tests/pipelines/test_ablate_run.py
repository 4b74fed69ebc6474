"""The ablations as a user runs them: a few variants on tiny phantoms, in a copy of the project."""

import json

import pandas as pd
import pytest
import yaml

SETTINGS = {
    "imaging": {"image_size": 48, "n_jobs": 1},
    "text_encoder": {"steps": 20},
    "model": {"image_size": 48, "layers": 1},
    "conquer": {"epochs": 1, "batch_size": 16},
    "divide": {"epochs": 1, "batch_size": 16},
    "ablation": {
        "seeds": [1],
        "resamples": 20,
        "variants": [
            {"name": "conquer", "title": "Conquer", "stage": "conquer"},
            {"name": "divide", "title": "Divide", "stage": "divide", "start": "conquer", "against": ["conquer"]},
            {
                "name": "oracle",
                "title": "Oracle gate",
                "stage": "divide",
                "start": "conquer",
                "source_prompts": True,
                "against": ["divide"],
                "change": {"divide": {"gate": "oracle"}},
            },
        ],
    },
}
PHANTOMS = {"images_per_source": 40, "scored_images": 24, "image_size": 56, "seed": 3, "n_jobs": 1}
PREPARE = "--pipelines=ingest,images,reports,harmonise,text,leakage"


@pytest.fixture(scope="module")
def root(clone, tmp_path_factory):
    root = clone(tmp_path_factory.mktemp("ablate") / "project")
    (root / "conf/local/parameters.yml").write_text(yaml.safe_dump(SETTINGS))
    (root / "conf/local/globals.yml").write_text(yaml.safe_dump({"phantoms": PHANTOMS}))
    return root


@pytest.mark.end_to_end
def test_ablations_end_with_tables_a_page_and_parts_that_are_not_trained_again(root, kedro):
    told = kedro(root, "run", "--pipeline=ablate")
    assert told.returncode == 1
    assert "not there yet: run `kedro run --pipeline=" in told.stdout  # what has to be run first
    assert kedro(root, "run", PREPARE).returncode == 0
    done = kedro(root, "run", "--pipeline=ablate")
    assert done.returncode == 0, done.stdout[-3000:]

    reporting = root / "data/08_reporting"
    table = pd.read_csv(reporting / "ablation_table.csv")
    means = table[(table["source"] == "mean") & (table["measure"] == "auroc")].set_index("variant")["value"]
    assert set(means.index) == {"conquer", "divide", "oracle"}
    assert means.between(0, 1).all()
    differences = pd.read_csv(reporting / "ablation_differences.csv")
    row = differences.query("variant == 'divide' and source == 'mean' and measure == 'auroc'").iloc[0]
    assert row["difference"] == pytest.approx(means["divide"] - means["conquer"], abs=1e-6)
    # The oracle gate is not judged on a source that was not trained on.
    assert "open_i" in set(table.query("variant == 'divide'")["source"])
    assert "open_i" not in set(table.query("variant == 'oracle'")["source"])
    gates = pd.read_csv(reporting / "ablation_gates.csv").set_index("variant")
    assert gates.loc["oracle", "experts"] == 4
    assert gates.loc["oracle", "sharpness"] == pytest.approx(1)
    assert gates.loc["oracle", "mutual_information"] == pytest.approx(2)
    page = (reporting / "ablations.html").read_text()
    assert "Divide − Conquer" in page
    assert "say nothing about real patients" in page
    assert (reporting / "ablation.png").stat().st_size > 10_000

    parts = root / "data/07_model_output/ablations"
    outcome = parts / "divide/seed_1/outcome.json"
    before = outcome.stat().st_mtime_ns
    assert json.loads(outcome.read_text())["steps"] > 0
    assert kedro(root, "run", "--pipeline=ablate", "--params=ablation.resamples=10").returncode == 0
    assert outcome.stat().st_mtime_ns == before


@pytest.mark.end_to_end
def test_a_wrong_variant_stops_before_any_work(root, kedro):
    done = kedro(root, "run", "--pipeline=ablate", "--params=ablation.only=[nothing]")
    assert done.returncode == 1
    assert "there is no variant 'nothing'" in done.stdout
