"""The two pipelines with their own catalog and parameters, run as Kedro runs them."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.cli import user_error
from unichest_kedro.datasets.model_folder import ModelFolderDataset
from unichest_kedro.errors import MissingArtefact, SettingsError
from unichest_kedro.pipelines import export, prediction
from unichest_kedro.prediction.settings import ExportSettings, PredictSettings
from unichest_kedro.prediction.table import PredictedFilms, Predictions


def test_shipped_parameters_are_the_defaults(configured):
    parameters = configured["parameters"]
    assert PredictSettings.model_validate(parameters["predict"]) == PredictSettings()
    assert ExportSettings.model_validate(parameters["export"]) == ExportSettings()


def test_findings_on_the_command_line_are_parted_by_semicolons():
    assert PredictSettings(findings="rib fracture; hiatal hernia;").findings == ("rib fracture", "hiatal hernia")
    assert PredictSettings(findings=["a", "b"]).findings == ("a", "b")


def test_films_in_tables_out_with_the_numbers_of_python(run, folder, lateral, model, model_folder):
    from PIL import Image

    Image.fromarray(lateral).save(folder / "side.png")
    (folder / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"x" * 9)
    catalog = run(prediction, images=folder, model=model_folder, findings="ptx;broken wire")
    table = Predictions.validate(catalog.load("predictions"))
    films = PredictedFilms.validate(catalog.load("predicted_films"))
    assert films["status"].tolist() == ["answered", "unreadable", "answered", "answered", "answered", "warned"]
    assert "broken DICOM" in films["reason"].iloc[1] or "DICOM without" in films["reason"].iloc[1]
    python = model.predict(folder, ["ptx", "broken wire"])
    pd.testing.assert_frame_equal(table, python, atol=1e-6)
    written = catalog.load("predictions_csv")
    np.testing.assert_allclose(written["probability"], table["probability"], atol=1e-6)
    assert len(written) == 12


def test_pictures_are_drawn_on_request_only(run, folder, model_folder, tmp_path):
    place = tmp_path / "data" / "08_reporting" / "predictions"
    run(prediction, images=folder, model=model_folder)
    assert not list(place.rglob("*.png"))
    run(prediction, images=folder, model=model_folder, heatmaps=True, top_findings=1)
    assert len(list(place.rglob("*.png"))) == 4
    assert (place / "contact_sheet.html").is_file()


def test_the_projects_own_model_is_the_default(run, folder, model, tmp_path, caplog):
    with pytest.raises(MissingArtefact, match=r"--pipeline=pretrain.*predict.model"):
        run(prediction, images=folder)
    ModelFolderDataset(filepath=str(tmp_path / "data/06_models/unichest")).save(model)
    with caplog.at_level(logging.WARNING):
        assert len(run(prediction, images=folder).load("predictions")) == 12
    assert "no calibration.json" in caplog.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "predict.images is not set"),
        ({"images": Path("/nowhere")}, "there is nothing at /nowhere"),
        ({"model": Path("/nowhere")}, "no model folder"),
    ],
)
def test_what_is_missing_is_said(run, folder, model_folder, changes, words):
    given = {"model": model_folder} | ({"images": folder} if "model" in changes else {}) | changes
    with pytest.raises((SettingsError, MissingArtefact), match=words) as caught:
        run(prediction, **given)
    assert user_error(caught.value) is not None


def test_export_writes_a_checked_file_and_what_it_is_asked_with(run, model_folder, model):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="the extra [export] is not installed")
    import onnxruntime

    catalog = run(export, model=model_folder)
    described = catalog.load("onnx_findings")
    assert described["findings"] == list(model.findings)
    session = onnxruntime.InferenceSession(catalog.load("onnx_model"), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 32, 32)).astype(np.uint8)
    queries = np.array(described["embeddings"], dtype=np.float32)
    given = session.run(["probabilities"], {"images": images, "queries": queries})[0]
    import torch

    expected = model.predict_probabilities(torch.from_numpy(images), model.findings).numpy()
    np.testing.assert_allclose(given, expected, atol=1e-4)
    json.dumps(described)


def test_every_node_explains_itself_and_every_artefact_has_a_layer(configured):
    nodes = [*prediction.create_pipeline().nodes, *export.create_pipeline().nodes]
    assert all((node.func.__doc__ or "").strip() for node in nodes)
    names = set().union(*(node.inputs + node.outputs for node in nodes)) - {"prediction_results"}
    catalog = configured["catalog"]
    for name in names:
        assert name.startswith("params:") or catalog[name]["metadata"]["kedro-viz"]["layer"]
