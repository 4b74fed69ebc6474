"""The commands of the README, in the order a new user gives them, on a small copy of the project."""

import json

import pandas as pd
import pytest

from unichest_kedro.reports.scoring import MICRO
from unichest_kedro.sources import SOURCES, TRAINED_ON

pytestmark = pytest.mark.end_to_end
STAGES = (
    *("ingest", "images", "reports", "harmonise", "text", "leakage", "conquer", "divide", "pretrain"),
    *("score", "measure", "inspect", "report", "evaluate"),
    *("score_extractor", "import_official", "__default__"),
)


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
        assert scores["fingerprint"].nunique() == 1
        judged = scores[scores["split"] == "test"]
        assert judged.groupby("source")["image_id"].agg(set).to_dict() == expected.to_dict()


def test_nothing_listed_is_lost(evaluated):
    root, _ = evaluated
    accounting = pd.read_csv(root / "data/08_reporting/accounting.csv").set_index("source")
    assert set(accounting.index) >= set(SOURCES)
    for source in SOURCES:
        studies = pd.read_parquet(root / f"data/02_intermediate/{source}/studies.parquet")
        quarantine = pd.read_parquet(root / f"data/02_intermediate/{source}/ingestion_quarantine.parquet")
        assert accounting.loc[source, "listed"] == len(studies) + len(quarantine)


def test_the_run_ends_with_the_table_and_the_reports_place(evaluated):
    root, printed = evaluated
    summary = (root / "data/08_reporting/summary.txt").read_text()
    assert [row in summary for row in ("Conquer", "Conquer continued", "Conquer + Divide")] == [True] * 3
    assert summary.strip() in printed
    assert "report.html" in printed


def test_sources_that_were_not_trained_on_are_scored_apart_and_without_leaked_films(evaluated):
    root, printed = evaluated
    headline = pd.read_csv(root / "data/08_reporting/headline.csv")
    assert "Zero-shot AUROC" in printed
    scores = pd.read_parquet(root / "data/07_model_output/unichest_scores.parquet")
    trained = scores.groupby("source")["trained_on"].unique().map(list)
    assert {source: kind for source, (kind,) in trained.items()} == {source: source in TRAINED_ON for source in SOURCES}
    leaked = pd.read_parquet(root / "data/03_primary/leaked_films.parquet")
    seen = set(leaked.loc[leaked["seen_in"].isin(TRAINED_ON) & (leaked["split"] == "test"), "image_id"])
    assert seen, "the phantom of SIIM-ACR repeats films of ChestX-ray14"
    assert set(scores.loc[scores["leaked"] & (scores["split"] == "test"), "image_id"]) == seen
    assert f"{len(seen)} of" in printed
    assert {"mean", "mean_zero_shot"} <= set(headline["benchmark"])


def test_the_report_stands_alone(evaluated):
    html = (evaluated[0] / "data/08_reporting/report.html").read_text()
    assert "phantom" in html.lower()
    assert 'src="http' not in html
    assert len(html.encode()) < 8_000_000


def test_every_figure_lies_beside_its_numbers(evaluated):
    tables = evaluated[0] / "data/08_reporting"
    figures = {path.stem for path in tables.glob("*.png")}
    assert {"forest", "roc", "precision_recall", "calibration", "subgroups", "examples", "localisation"} <= figures
    assert {path.stem for path in tables.glob("*.csv")} >= figures


def test_the_model_card_has_the_numbers_of_the_tables(evaluated):
    root, _ = evaluated
    card = (root / "data/06_models/unichest/README.md").read_text()
    headline = pd.read_csv(root / "data/08_reporting/headline.csv")
    for row in headline[headline["auroc"].notna()].itertuples():
        assert f"{row.auroc:.3f}" in card
    digests = pd.read_csv(root / "data/08_reporting/data_fingerprints.csv")
    assert all(digest in card for digest in digests["digest"]) and "**Never asked in training**" in card


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
    assert "phantoms of MIMIC-CXR" in (folder / "README.md").read_text()


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


def test_the_report_reader_is_scored_on_open_i(evaluated, kedro):
    root, _ = evaluated
    result = kedro(root, "run", "--pipeline=score_extractor")
    assert result.returncode == 0, result.stdout[-3000:]
    scores = pd.read_csv(root / "data/08_reporting/extractor_scores.csv").set_index("finding")
    assert scores.loc[MICRO, "f1"] > 0.9
    assert (root / "data/08_reporting/extractor.html").is_file()


def test_the_open_environment_trains_on_chestxray14_and_open_i(evaluated, kedro):
    root, _ = evaluated
    small = "imaging.image_size=48,text_encoder.steps=20,model.image_size=48,model.layers=1,evaluation.resamples=20"
    result = kedro(root, "run", "--env=open", f"--params={small},conquer.epochs=1,divide.epochs=1")
    assert result.returncode == 0, result.stdout[-4000:]
    scores = pd.read_parquet(root / "data/open/07_model_output/unichest_scores.parquet")
    assert set(scores.loc[scores["trained_on"], "source"]) == {"chestxray14", "open_i"}
    assert set(scores["source"]) == set(SOURCES)
    facts = json.loads((root / "data/open/06_models/unichest/facts.json").read_text())
    assert facts["trained_on"] == ["chestxray14", "open_i"]


def test_importing_a_published_checkpoint_asks_for_it_in_one_sentence(small_project, kedro):
    result = kedro(small_project, "run", "--pipeline=import_official")
    assert result.returncode == 1
    assert "official.checkpoint" in result.stdout
    assert "Traceback" not in result.stdout


def test_heat_maps_experts_and_gate_are_looked_into(evaluated):
    tables = evaluated[0] / "data/08_reporting"
    localisation = pd.read_csv(tables / "localisation.csv")
    assert set(localisation["source"]) == {"chestxray14", "vindr_cxr", "siim_acr"}
    assert {"Conquer + Divide", "Conquer", "Centre prior"} <= set(localisation["model"])
    for name in ("localisation_comparison", "expert_aurocs", "expert_comparison", "gate_by_source", "gate_summary"):
        assert len(pd.read_csv(tables / f"{name}.csv")), name
    for name in ("localisation", "localisation_examples", "experts", "gates"):
        assert (tables / f"{name}.png").stat().st_size > 10_000


def test_predictions_carry_the_calibration_that_evaluation_fitted(evaluated, kedro):
    root, _ = evaluated
    fitted = pd.read_csv(root / "data/08_reporting/calibration_table.csv").set_index("finding")["threshold"].dropna()
    assert len(fitted)
    films = next((root / "data/01_raw/phantoms/chestxray14").rglob("*.png")).parent
    result = kedro(root, "run", "--pipeline=predict", f"--params=predict.images={films},predict.answer_anyway=true")
    assert result.returncode == 0, result.stdout[-3000:]
    table = pd.read_parquet(root / "data/07_model_output/predictions.parquet").dropna(subset="probability")
    known = table["finding"].isin(fitted.index)
    assert known.any() and table.loc[known, ["calibrated", "threshold"]].notna().all(axis=None)
    assert table.loc[~known, ["calibrated", "threshold"]].isna().all(axis=None)
    assert table.loc[known, "threshold"].to_numpy() == pytest.approx(fitted[table.loc[known, "finding"]].to_numpy())
