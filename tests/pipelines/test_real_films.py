"""The real films at hand run from raw folder to report, and none of them is lost on the way."""

import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.end_to_end

QUICK = {
    "imaging": {"image_size": 64},
    "text_encoder": {"steps": 20},
    "model": {"image_size": 48, "layers": 1},
    "conquer": {"epochs": 1},
    "divide": {"epochs": 1},
    "evaluation": {"resamples": 50},
}


def test_501_of_112120_listed_films_run_from_raw_folder_to_report(real, clone, kedro, tmp_path):
    root = clone(tmp_path / "project")
    (root / "conf/local/globals.yml").write_text(
        yaml.safe_dump({"sources": {"chestxray14": str(real / "chestxray14")}})
    )
    (root / "conf/local/parameters.yml").write_text(yaml.safe_dump(QUICK))
    present = {path.name for path in (real / "chestxray14" / "images").iterdir()}

    done = kedro(root, "run")

    assert done.returncode == 0, done.stdout[-4000:]
    assert f"{112_120 - len(present):,} of 112,120 listed images are not on disk" in done.stdout
    used = pd.read_parquet(root / "data/05_model_input/examples.parquet")
    assert set(used["image_id"]) == present
    accounting = pd.read_csv(root / "data/08_reporting/accounting.csv").iloc[0]
    assert (accounting["listed"], accounting["missing"]) == (112_120, 112_120 - len(present))
    assert accounting[["train", "val", "test"]].sum() == len(present)
    scores = pd.read_parquet(root / "data/07_model_output/unichest_scores.parquet")
    films = scores.drop_duplicates("image_id")["split"].value_counts()
    assert films.to_dict() == used.loc[used["split"] != "train", "split"].value_counts().to_dict()
    report = (root / "data/08_reporting/report.html").read_text()
    assert "111,619" in report
    assert "PHANTOM" not in report
