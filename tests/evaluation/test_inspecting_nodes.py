"""The nodes that ask models and look into them, on two small sources and a small real model."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from kedro.io import DataCatalog
from PIL import Image

from unichest_kedro.datasets.calibration_file import CalibrationFileDataset
from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.evaluation.asking import asked_in
from unichest_kedro.evaluation.benchmarks import Benchmarks
from unichest_kedro.evaluation.calibrating import CalibrationSettings
from unichest_kedro.evaluation.heatmaps import HeatmapSettings
from unichest_kedro.evaluation.localisation import CENTRE_PRIOR, MEAN_BOX_PRIOR
from unichest_kedro.evaluation.localisation_targets import TRAINED_ON, LocalisationSettings
from unichest_kedro.evaluation.settings import EvaluationSettings
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.imaging.store import ImagingSettings, update_image_store
from unichest_kedro.models.text_encoder import TextEncoder, TextEncoderSettings, build_text_encoder
from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest
from unichest_kedro.pipelines.evaluation.inspecting_nodes import (
    compare_localisation,
    draw_experts,
    draw_localisation,
    find_box_targets,
    look_for_boxes,
    measure_experts,
)
from unichest_kedro.pipelines.evaluation.scoring_nodes import (
    asked_of_sources,
    calibrate,
    score_conquer,
    score_unichest,
)
from unichest_kedro.pipelines.evaluation.shared import MODELS
from unichest_kedro.schemas import (
    BoxesLeftOut,
    BoxTargets,
    CalibrationTable,
    ExpertAnswers,
    ExpertAurocs,
    ExpertDifferences,
    GateBySource,
    Gates,
    GateSummary,
    LocalisationDifferences,
    LocalisationMetrics,
    Localisations,
    Scores,
)
from unichest_kedro.vocabulary import Vocabulary

from .conftest import make_leakage_pairs

KNOWN = ("pleural effusion", "cardiomegaly")
TAUGHT = (*KNOWN, "edema")
SIDE = 40
SPLITS = ["train"] * 6 + ["val"] * 12 + ["test"] * 12
BENCHMARKS = Benchmarks.model_validate(
    {
        "chestxray14": {
            "title": "ChestX-ray14",
            "source": "chestxray14",
            "findings": ["cardiomegaly", {"finding": "pleural effusion", "query": "effusion"}],
        }
    }
)
EVALUATION = EvaluationSettings(batch_size=7, device="cpu", resamples=20)
LOOKING = LocalisationSettings(raster=32, fewest_films=2, resamples=20, examples_per_source=2)
LEAKED = pd.DataFrame(
    [
        ("chestxray14", "chestxray14_9", "val", "chestxray14", "its patient has films in the training split"),
        ("chestxray14", "chestxray14_20", "test", "chestxray14", "its patient has films in the training split"),
        ("vindr_cxr", "vindr_cxr_21", "test", "vindr_cxr", "not for a model that was not trained there"),
    ],
    columns=["source", "image_id", "split", "seen_in", "reason"],
)
NO_PAIRS = make_leakage_pairs().iloc[:0]


@pytest.fixture(scope="module")
def words(project):
    """The shipped vocabulary."""
    return yaml.safe_load((project / "conf/base/vocabulary.yml").read_text())


def make_model(ratios, seed):
    settings = {"backbone": "test_resnet", "image_size": 32, "width": 16, "layers": 1, "heads": 2, "feedforward": 8}
    embeddings = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    facts = {"trained_on": ["chestxray14"], "findings_asked": list(TAUGHT)}
    model = build_unichest(ModelSettings(**settings), TAUGHT, embeddings, seed, "", facts)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.mixture.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    model.set_ratios(*ratios)
    return model.eval()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The whole model and Conquer, loaded from their folders; there is a text encoder in both."""
    place = tmp_path_factory.mktemp("models")
    names = dict.fromkeys(TAUGHT, ())
    settings = TextEncoderSettings(width=16, layers=1, heads=2, feed_forward=16, steps=2, fitting_batch=4)
    encoder = build_text_encoder(names, dict(zip(names, names)), ["no effusion"], settings, 0)
    for name, ratios, seed in (("unichest", (0.5, 0.5), 3), ("conquer", (1.0, 0.0), 4)):
        make_model(ratios, seed).save_pretrained(place / name)
        encoder.save_pretrained(place / name / "text_encoder")
    return {name: UniChest.from_pretrained(place / name) for name in ("unichest", "conquer")}


def make_source(source, place, findings):
    """Studies, image store, labels, boxes and examples of one source: half of the films with each known finding."""
    generator = np.random.default_rng(len(source))
    ids = [f"{source}_{k}" for k in range(len(SPLITS))]
    for name in ids:
        Image.fromarray(generator.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)).save(place / f"{name}.png")
    table = {"source": source, "image_id": ids, "path": [f"{name}.png" for name in ids], "view": "frontal"}
    studies = pd.DataFrame(table | {"readers": 1})
    store, _ = update_image_store(
        studies, place, place / "cache", ImagingSettings(image_size=32, n_jobs=1), description="x"
    )
    labels = pd.DataFrame({"source": source, "image_id": ids} | dict.fromkeys(findings, -1))
    for shift, finding in enumerate(KNOWN):
        labels[finding] = [(k + shift) % 2 for k in range(len(ids))]
    native = {"pleural effusion": "Effusion" if source == "chestxray14" else "Pleural effusion"}
    boxes = [
        (source, name, native.get(finding, "Cardiomegaly"), "consensus", 4.0, 4.0, 20.0, 24.0)
        for finding in KNOWN
        for name, present in zip(ids, labels[finding])
        if present
    ]
    columns = ["source", "image_id", "label", "reader", "x_min", "y_min", "x_max", "y_max"]
    rows = {"source": source, "image_id": ids, "patient_id": ids, "split": SPLITS}
    places = {"image_row": store.row_of(ids), "label_row": range(len(ids)), "text_row": -1}
    return {
        f"{source}_root": SourceFolder(source, place, phantom=True),
        f"{source}_studies": studies,
        f"{source}_images": store,
        f"{source}_labels": labels.astype(dict.fromkeys(findings, "int8")),
        f"{source}_boxes": pd.DataFrame(boxes, columns=columns),
    }, pd.DataFrame(rows | places)


@pytest.fixture(scope="module")
def world(words, tmp_path_factory):
    """Tables of every kind of a source trained on and of one that is not; and their examples."""
    findings = Vocabulary.from_mapping(words).findings
    tables, examples = {}, []
    for source in ("chestxray14", "vindr_cxr"):
        of_source, rows = make_source(source, tmp_path_factory.mktemp(source), findings)
        tables |= of_source
        examples.append(rows)
    return pd.concat(examples, ignore_index=True), tables


def of_kinds(tables, *kinds):
    return {name: table for name, table in tables.items() if name.endswith(tuple(f"_{kind}" for kind in kinds))}


@pytest.fixture(scope="module")
def scored(models, world, words):
    """What `score_unichest` gives."""
    examples, tables = world
    films = of_kinds(tables, "images", "labels")
    return score_unichest(models["unichest"], examples, words, LEAKED, BENCHMARKS, EVALUATION, [], **films)


def test_validation_and_test_films_are_scored_once_in_the_benchmarks_words(scored, world):
    scores, gates, answers = scored
    Scores.validate(scores), Gates.validate(gates), ExpertAnswers.validate(answers)
    expected = world[0].query("split != 'train'")
    assert list(gates["image_id"]) == list(expected["image_id"])
    assert not scores.duplicated(["source", "image_id", "finding"]).any()
    assert scores.groupby("finding")["image_id"].nunique().to_dict() == dict.fromkeys(KNOWN, 48)
    assert asked_in(scores) == {
        "chestxray14": {"cardiomegaly": "cardiomegaly", "pleural effusion": "effusion"},
        "vindr_cxr": {"cardiomegaly": "cardiomegaly", "pleural effusion": "pleural effusion"},
    }
    assert set(answers["split"]) == {"test"} and len(answers) == 48
    assert scores.groupby("source")["trained_on"].first().to_dict() == {"chestxray14": True, "vindr_cxr": False}
    assert scores.loc[scores["leaked"], "image_id"].unique().tolist() == ["chestxray14_9", "chestxray14_20"]


@torch.no_grad()
def test_a_benchmarks_own_words_are_read_by_the_text_encoder(scored, models, world):
    model, store = models["unichest"], world[1]["chestxray14_images"]
    word = torch.from_numpy(TextEncoder.from_pretrained(model.folder / "text_encoder").encode(["effusion"]))
    queries = torch.cat([model.queries_for(["cardiomegaly"]), word])
    film = torch.from_numpy(resize_square(store[int(store.row_of(["chestxray14_25"])[0])], 32).copy())[None, None]
    expected = model(film, queries).image.probabilities[0]
    got = scored[0].query("image_id == 'chestxray14_25'").set_index("finding")["score"]
    assert got[["cardiomegaly", "pleural effusion"]].tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    by_name = model(film, model.queries_for(["cardiomegaly", "pleural effusion"])).image.probabilities[0]
    assert abs(by_name[1] - expected[1]) > 1e-3


def test_a_source_without_any_known_label_is_named_and_not_asked(words, world, caplog):
    labels = {source: world[1][f"{source}_labels"] for source in ("chestxray14", "vindr_cxr")}
    labels["vindr_cxr"] = labels["vindr_cxr"].assign(**dict.fromkeys(KNOWN, np.int8(-1)))
    assert list(asked_of_sources(BENCHMARKS, Vocabulary.from_mapping(words), labels)) == ["chestxray14"]
    assert "vindr_cxr is not scored: not one of its films has a known label" in caplog.text


def test_calibration_reaches_predictions(models, world, tmp_path):
    """From validation films to what a user sees: the calibrated probability and the threshold of the folder."""
    examples, tables = world
    unichest = models["unichest"]
    films = of_kinds(tables, "images", "labels")
    fitted, table = calibrate(
        unichest, examples, LEAKED, NO_PAIRS, EVALUATION, CalibrationSettings(fewest_films=2), [], **films
    )
    CalibrationTable.validate(table)
    rows = table.set_index("finding")
    assert list(rows.index) == list(TAUGHT) and set(fitted.findings) == set(KNOWN)
    assert (rows.loc[list(KNOWN), ["positives", "negatives"]].sum(axis=1) == 11).all()  # 12 films, one of them leaked
    assert rows.loc["edema", "left_out"] and fitted.origin == "validation of chestxray14"

    folder = tmp_path / "unichest"
    unichest.save_pretrained(folder)
    model = UniChest.from_pretrained(folder)
    pictures = sorted(Path(tables["chestxray14_root"].root).glob("*.png"))[:3]
    options = {"answer_anyway": True, "precision": "float32"}
    before = model.predict(pictures, **options)
    assert before["calibrated"].isna().all() and before["threshold"].isna().all()
    CalibrationFileDataset(filepath=str(folder / "calibration.json")).save(fitted)
    after = model.predict(pictures, **options)
    for row in after.to_dict("records"):
        if row["finding"] == "edema":
            assert np.isnan(row["calibrated"]) and np.isnan(row["threshold"])
            continue
        one = rows.loc[row["finding"]]
        logit = np.log(row["probability"] / (1 - row["probability"]))
        assert row["calibrated"] == pytest.approx(1 / (1 + np.exp(-one["slope"] * logit - one["intercept"])), abs=1e-5)
        assert row["threshold"] == one["threshold"] and row["above"] == (row["probability"] >= one["threshold"])


def test_calibration_is_fitted_to_what_prediction_answers(models, world):
    """All that was taught is asked at once, as prediction asks: the threshold is one of its answers."""
    examples, tables = world
    films = of_kinds(tables, "images", "labels")
    _, table = calibrate(models["unichest"], examples, LEAKED, NO_PAIRS, EVALUATION, CalibrationSettings(), [], **films)
    threshold = table.set_index("finding").loc["cardiomegaly", "threshold"]
    paths = [tables["chestxray14_root"].root / f"chestxray14_{k}.png" for k in range(6, 18)]
    answers = models["unichest"].predict(paths, answer_anyway=True, precision="float32")
    said = answers.loc[answers["finding"] == "cardiomegaly", "probability"]
    assert np.abs(said - threshold).min() < 1e-5


def test_a_film_that_another_source_tests_on_is_not_calibrated_with(models, world):
    examples, tables = world
    films = of_kinds(tables, "images", "labels")
    film = {"source_a": "chestxray14", "image_a": "chestxray14_10", "split_a": "val", "split_b": "test"}
    pairs = make_leakage_pairs().iloc[:1].assign(**film)
    asked = (EVALUATION, CalibrationSettings(fewest_films=2), [])
    _, table = calibrate(models["unichest"], examples, LEAKED, pairs, *asked, **films)
    rows = table.set_index("finding").loc[list(KNOWN), ["positives", "negatives"]]
    assert (rows.sum(axis=1) == 10).all()  # 12 films, one of them leaked, one tested on


def test_no_validation_film_makes_an_empty_calibration(models, world, caplog):
    examples, tables = world
    films = of_kinds(tables, "images", "labels")
    test = examples[examples["split"] == "test"]
    fitted, table = calibrate(
        models["unichest"], test, LEAKED, NO_PAIRS, EVALUATION, CalibrationSettings(), [], **films
    )
    assert not fitted.findings and table.empty and "not calibrated" in caplog.text


def inspect(models, world, words, scored, evaluation=EVALUATION):
    """All that the inspecting stage makes."""
    examples, tables = world
    scores, _, answers = scored
    kinds = ("root", "studies", "images", "labels", "boxes")
    targets, left_out = find_box_targets(examples, scores, words, evaluation, LOOKING, **of_kinds(tables, *kinds))
    images = of_kinds(tables, "images")
    how = (evaluation, LOOKING, HeatmapSettings())
    records = look_for_boxes(models["unichest"], models["conquer"], targets, scores, *how, **images)
    table, comparison = compare_localisation(records, LOOKING, 1)
    figures = draw_localisation(models["unichest"], table, records, targets, scores, *how, 1, **images)
    experts = measure_experts(models["unichest"], answers, evaluation, 1)
    made = {"box_targets": targets, "boxes_left_out": left_out, "localisations": records, "localisation": table}
    made |= {"localisation_comparison": comparison, "expert_answers": answers}
    names = ("expert_aurocs", "expert_comparison", "gate_by_source", "gate_summary")
    return made | dict(zip(names, experts)), (*figures, *draw_experts(*experts))


SCHEMAS = {
    "box_targets": BoxTargets,
    "boxes_left_out": BoxesLeftOut,
    "localisations": Localisations,
    "localisation": LocalisationMetrics,
    "localisation_comparison": LocalisationDifferences,
    "expert_answers": ExpertAnswers,
    "expert_aurocs": ExpertAurocs,
    "expert_comparison": ExpertDifferences,
    "gate_by_source": GateBySource,
    "gate_summary": GateSummary,
    "calibration_table": CalibrationTable,
}


@pytest.fixture(scope="module")
def inspected(models, world, words, scored):
    return inspect(models, world, words, scored)


def test_heat_maps_of_both_models_stand_beside_the_priors(inspected):
    tables, figures = inspected
    for name, table in tables.items():
        SCHEMAS[name].validate(table)
    final, conquer = MODELS["unichest"], MODELS["conquer"]
    assert list(tables["localisations"]["model"].unique()) == [final, conquer, CENTRE_PRIOR, MEAN_BOX_PRIOR]
    table = tables["localisation"]
    assert set(table["source"]) == {"chestxray14", "vindr_cxr"}
    assert set(table["threshold_from"]) == {"chestxray14, vindr_cxr"}
    comparison = tables["localisation_comparison"]
    assert list(comparison["against"].unique()) == [CENTRE_PRIOR, MEAN_BOX_PRIOR, conquer]
    values = table.set_index(["model", "source", "finding"])["pointing"]
    for row in comparison.itertuples():
        key = (row.source, row.finding)
        assert row.pointing == pytest.approx(values[(final, *key)] - values[(row.against, *key)])
        assert 0 < row.pointing_p <= 1
    assert all(drawn.figure.get_axes() for drawn in figures)


def test_boxes_of_leaked_films_are_left_out_and_counted(inspected, models, world, words, scored):
    left_out = inspected[0]["boxes_left_out"]
    assert left_out[["source", "reason", "films"]].values.tolist() == [
        ["chestxray14", TRAINED_ON, 1],  # each of the two films has one finding
        ["chestxray14", TRAINED_ON, 1],
    ]
    kept, _ = inspect(models, world, words, scored, EVALUATION.model_copy(update={"leave_out_leaked": False}))
    assert kept["boxes_left_out"].empty
    assert len(kept["expert_answers"]) == len(scored[2])


def test_experts_are_judged_on_films_that_training_has_not_seen(inspected, models, scored):
    answers = scored[2]
    again = measure_experts(models["unichest"], answers[~answers["leaked"]], EVALUATION, 1)
    pd.testing.assert_frame_equal(inspected[0]["expert_aurocs"], again[0])
    assert inspected[0]["gate_by_source"].set_index("source")["images"].to_dict() == {
        "chestxray14": 11,
        "vindr_cxr": 12,
    }


@pytest.fixture(scope="module")
def inspected_without(models, world, words):
    """No source has boxes, and the model does not use its experts."""
    examples, tables = world
    tables = {name: table.iloc[:0] if name.endswith("_boxes") else table for name, table in tables.items()}
    conquer = models["conquer"]
    films = of_kinds(tables, "images", "labels")
    scored = score_unichest(conquer, examples, words, LEAKED, BENCHMARKS, EVALUATION, [], **films)
    same, _ = score_conquer(conquer, examples, words, LEAKED, BENCHMARKS, EVALUATION, [], **films)
    pd.testing.assert_frame_equal(scored[0].drop(columns="model"), same.drop(columns="model"))
    return inspect({"unichest": conquer, "conquer": conquer}, (examples, tables), words, scored)


def test_without_boxes_and_experts_everything_is_there_and_empty(inspected_without):
    tables, figures = inspected_without
    for name, table in tables.items():
        SCHEMAS[name].validate(table)
        assert table.empty, name
    said = [" ".join(text.get_text() for text in drawn.figure.texts) for drawn in figures]
    assert said[0].startswith("No film with boxes") and said[2].startswith("No model with experts")


@pytest.mark.parametrize("which", ["inspected", "inspected_without"])
def test_the_catalog_takes_and_gives_back_every_table(which, request, project, tmp_path, models, world):
    tables, _ = request.getfixturevalue(which)
    examples, kinds = world
    films = of_kinds(kinds, "images", "labels")
    chosen = examples if which == "inspected" else examples[examples["split"] == "test"]
    fitted, table = calibrate(
        models["unichest"], chosen, LEAKED, NO_PAIRS, EVALUATION, CalibrationSettings(), [], **films
    )
    text = (project / "conf/base/catalog_inspection.yml").read_text().replace("${globals:data}", str(tmp_path))
    catalog = DataCatalog.from_config(yaml.safe_load(text))
    made = tables | {"calibration_table": table}
    assert set(catalog.keys()) == {*made, "calibration"}
    catalog.save("calibration", fitted)
    assert catalog.load("calibration") == fitted
    for name, saved in made.items():
        catalog.save(name, saved)
        loaded = SCHEMAS[name].validate(catalog.load(name))
        pd.testing.assert_frame_equal(loaded, saved.reset_index(drop=True), check_dtype=len(saved) > 0)
