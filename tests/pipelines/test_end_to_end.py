"""The commands of the README, in the order a new user gives them, on a small copy of the project."""

import json

import pandas as pd
import pytest

from unichest_kedro.sources import SOURCES

pytestmark = pytest.mark.end_to_end
STAGES = ("ingest", "images", "harmonise", "text", "conquer", "divide", "pretrain", "evaluate", "__default__")


@pytest.fixture(scope="module")
def before(small_project, kedro):
    """What `evaluate` says before anything was trained."""
    return kedro(small_project, "run", "--pipeline=evaluate")


@pytest.fixture(scope="module")
def pretrained(before, small_project, kedro):
    result = kedro(small_project, "run", "--pipeline=pretrain")
    assert result.returncode == 0, result.stdout[-4000:]
    return small_project


@pytest.fixture(scope="module")
def evaluated(pretrained, kedro):
    result = kedro(pretrained, "run", "--pipeline=evaluate")
    assert result.returncode == 0, result.stdout[-4000:]
    return pretrained, result.stdout


def test_evaluate_before_pretrain_says_in_one_sentence_what_to_run(before):
    assert before.returncode == 1
    assert "run `kedro run --pipeline=pretrain` first" in before.stdout
    assert "Traceback" not in before.stdout


def test_registry_lists_every_pipeline(small_project, kedro):
    listed = kedro(small_project, "registry", "list").stdout
    assert all(f"- {name}" in listed for name in STAGES)


def test_every_test_film_is_scored_once_by_every_model(evaluated):
    root, _ = evaluated
    examples = pd.read_parquet(root / "data/05_model_input/examples.parquet")
    expected = examples.query("split == 'test'").groupby("source")["image_id"].agg(set)
    for stage in ("conquer", "continued", "unichest"):
        scores = pd.read_parquet(root / f"data/07_model_output/{stage}_scores.parquet")
        assert not scores.duplicated(["source", "image_id", "finding"]).any()
        assert scores.groupby("source")["image_id"].agg(set).to_dict() == expected.to_dict()


def test_nothing_listed_is_lost(evaluated):
    root, _ = evaluated
    accounting = pd.read_csv(root / "data/08_reporting/accounting.csv").set_index("source")
    assert set(accounting.index) >= set(SOURCES)
    for source in SOURCES:
        studies = pd.read_parquet(root / f"data/02_intermediate/{source}/studies.parquet")
        assert accounting.loc[source, "listed"] == len(studies)


def test_the_run_ends_with_the_table_and_the_reports_place(evaluated):
    root, printed = evaluated
    summary = (root / "data/08_reporting/summary.txt").read_text()
    assert [row in summary for row in ("Conquer", "Conquer continued", "Conquer + Divide")] == [True] * 3
    assert summary.strip() in printed
    assert "report.html" in printed


def test_the_report_stands_alone(evaluated):
    html = (evaluated[0] / "data/08_reporting/report.html").read_text()
    assert "phantom" in html.lower()
    assert 'src="http' not in html
    assert len(html) < 8_000_000


def test_patients_stay_in_one_split(evaluated):
    examples = pd.read_parquet(evaluated[0] / "data/05_model_input/examples.parquet")
    assert examples.groupby(["source", "patient_id"])["split"].nunique().max() == 1


def test_only_missing_outputs_redoes_only_what_is_missing(evaluated, kedro):
    root, _ = evaluated
    kept = (root / "data/06_models/unichest/model.safetensors").stat().st_mtime_ns
    (root / "data/08_reporting/summary.txt").unlink()
    result = kedro(root, "run", "--only-missing-outputs")
    assert result.returncode == 0, result.stdout[-3000:]
    assert (root / "data/08_reporting/summary.txt").is_file()
    assert (root / "data/06_models/unichest/model.safetensors").stat().st_mtime_ns == kept


def test_one_namespace_runs_one_source(evaluated, kedro):
    root, _ = evaluated
    folder = root / "data/02_intermediate"
    before = {s: (folder / s / "studies.parquet").stat().st_mtime_ns for s in SOURCES}
    result = kedro(root, "run", "--pipelines=ingest,images", "--namespaces=chexpert")
    assert result.returncode == 0, result.stdout[-3000:]
    changed = [s for s in SOURCES if (folder / s / "studies.parquet").stat().st_mtime_ns != before[s]]
    assert changed == ["chexpert"]


def test_model_folder_says_what_it_is(evaluated):
    folder = evaluated[0] / "data/06_models/unichest"
    names = {p.name for p in folder.iterdir()}
    assert {"model.safetensors", "config.json", "vocabulary.yml", "README.md", "text_encoder"} <= names
    assert json.loads((folder / "config.json").read_text())["settings"]["image_size"] == 48
    assert "phantoms of mimic_cxr" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("conquer.epochs=-3", ["conquer", "epochs", "-3"]),
        ("model.backbone=resnet5000", ["backbone", "resnet5000"]),
    ],
)
def test_a_broken_parameter_stops_before_any_work(small_project, kedro, argument, words):
    result = kedro(small_project, "run", f"--params={argument}")
    assert result.returncode == 1
    assert all(word in result.stdout for word in words)
    assert "Traceback" not in result.stdout


def test_phantom_artefacts_do_not_pass_for_real_ones(evaluated, kedro, tmp_path):
    root, _ = evaluated
    (tmp_path / "films").mkdir()
    settings = root / "conf/local/globals.yml"
    kept = settings.read_text()
    settings.write_text(f"sources: {{chestxray14: {tmp_path / 'films'}}}\n")
    try:
        result = kedro(root, "run", "--pipeline=evaluate")
    finally:
        settings.write_text(kept)
    assert result.returncode == 1
    assert "was made from" in result.stdout
    assert "Traceback" not in result.stdout
