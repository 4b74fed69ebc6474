"""A folder made from a published checkpoint, of any kind, is asked like every other; no data or training is needed."""

import json
import string

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
import yaml
from PIL import Image

from unichest_kedro.app.bars import bars_of, experts_line
from unichest_kedro.app.settings import AppSettings
from unichest_kedro.app.viewer import Row, load_viewer, read_film
from unichest_kedro.datasets.model_folder import ModelFolderDataset
from unichest_kedro.errors import SettingsError
from unichest_kedro.evaluation.calibration import Calibrations, fit_calibration, write_calibrations
from unichest_kedro.models.official import OfficialSettings
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.pipelines import export, prediction
from unichest_kedro.pipelines.import_official.nodes import import_model, import_text_encoder
from unichest_kedro.prediction.table import PredictedFilms, Predictions

from ..models.conftest import SMALL_SIZES, image_shapes, model_shapes, random_section, text_shapes, without_experts
from .conftest import FINDINGS, VOCABULARY, dicom_of, save_dicom

DIVIDE, UNTRAINED, ALONE = "Divide", "Conquer, untrained experts", "Conquer, no experts"
ASKED = {"findings_asked": ["pleural effusion", "pneumothorax", "No Finding"]}
EXPERTS = ["expert_1", "expert_2"]


def _checkpoint(kind):
    shapes = {"model": model_shapes, "image_encoder": image_shapes, "text_encoder": text_shapes}
    sizes = SMALL_SIZES | {"text_encoder": SMALL_SIZES["text_encoder"] | {"tokens": 57}}
    checkpoint = {name: random_section(shapes[name](**sizes[name]), seed) for seed, name in enumerate(shapes)}
    if kind == ALONE:
        checkpoint["model"] = without_experts(checkpoint["model"])
    if kind == UNTRAINED:
        for name, value in checkpoint["model"].items():
            if name.startswith("decoderV1_") and ".layers." in name and ".norm" in name:
                checkpoint["model"][name] = torch.full_like(value, float(name.endswith("weight")))
    return checkpoint | {"config": {"image_res": 64, "lam": [1.0, 0.4]}, "epoch": 3}


@pytest.fixture(scope="module", params=[DIVIDE, UNTRAINED, ALONE])
def imported(request, tmp_path_factory):
    """The kind of a checkpoint, and the folder that the import makes of it."""
    place = tmp_path_factory.mktemp("published")
    torch.save(_checkpoint(request.param), place / "best_valid.pt")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase]
    (place / "vocab.txt").write_text("\n".join([*tokens, *(f"##{letter}" for letter in string.ascii_lowercase)]))
    (place / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 24, "num_attention_heads": 3}))
    settings = OfficialSettings(checkpoint=place / "best_valid.pt", tokenizer=str(place), heads=3, **ASKED)
    encoder = import_text_encoder(settings)
    encoder.save_pretrained(place / "encoder")
    model = import_model(encoder, yaml.safe_load(VOCABULARY), settings)
    folder = place / "models" / "official"
    ModelFolderDataset(filepath=str(folder), text_encoder={"filepath": str(place / "encoder")}).save(model)
    return request.param, folder


def _check_experts(table, kind):
    """Weights of a Divide checkpoint's experts; of Conquer alone there are none."""
    names = [name for name in table.columns if name.startswith("expert")]
    assert names == (EXPERTS[:1] if kind == ALONE else EXPERTS)
    answered = table[table["probability"].notna()]
    assert len(answered)
    if kind == DIVIDE:
        np.testing.assert_allclose(answered[names].sum(axis=1), 1, atol=1e-6)
    else:
        assert table[names].isna().all(axis=None)


def test_its_films_go_through_the_pipeline(imported, run, folder, lateral, tmp_path, caplog):
    kind, place = imported
    Image.fromarray(lateral).save(folder / "side.png")
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:90])
    asked = {"findings": "effusion; broken sternal wire", "heatmaps": True, "top_findings": 1}
    catalog = run(prediction, images=folder, model=place, **asked)
    films = PredictedFilms.validate(catalog.load("predicted_films"))
    assert dict(zip(films["film"], films["status"])) == {
        "a.png": "answered",
        "broken.png": "unreadable",
        "deep/b.JPG": "answered",
        "deep/c.png": "answered",
        "deep/er/IM0001": "answered",
        "side.png": "warned",
    }
    table = Predictions.validate(catalog.load("predictions"))
    assert table["finding"].tolist() == ["pleural effusion", "broken sternal wire"] * 6
    assert table["trained"].tolist() == [True, False] * 6
    assert table[["calibrated", "threshold", "above"]].isna().all(axis=None)
    assert "no calibration.json" in caplog.text
    assert "Not asked in training: broken sternal wire" in caplog.text
    _check_experts(table, kind)
    pictures = tmp_path / "data" / "08_reporting" / "predictions"
    assert len(list(pictures.rglob("*.png"))) == 4
    assert "no calibration" in (pictures / "contact_sheet.html").read_text()


def test_python_takes_pictures_of_every_kind(imported, films, tmp_path):
    kind, place = imported
    model = UniChest.from_pretrained(place)
    Image.fromarray(films[0]).save(tmp_path / "a.png")
    header = dicom_of(films[0])
    path = save_dicom(tmp_path / "a.dcm", header)
    pictures = [tmp_path / "a.png", str(path), Image.fromarray(films[0]), films[0], pydicom.dcmread(path)]
    table = Predictions.validate(model.predict(pictures))
    assert table["finding"].tolist() == ASKED["findings_asked"] * len(pictures)
    assert table["probability"].between(0, 1).all()
    assert table["trained"].all()
    for number in range(1, len(pictures)):
        np.testing.assert_array_equal(table["probability"][:3], table["probability"][3 * number : 3 * number + 3])
    _check_experts(table, kind)
    alone = model.predict(films[0], ["ptx"])
    assert alone["probability"].tolist() == [table["probability"][1]], "what else is asked changes nothing"


def test_the_page_says_what_it_is(imported, films, tmp_path):
    kind, place = imported
    viewer = load_viewer(AppSettings(model=place, device="cpu"))
    words = " ".join(viewer.about())
    assert "Imported from best_valid.pt" in words
    assert ("answers with the main network alone" in words) == (kind != DIVIDE)
    assert "no calibration" in words
    Image.fromarray(films[0]).save(tmp_path / "a.png")
    film = read_film("a.png", (tmp_path / "a.png").read_bytes())
    questions = viewer.questions(("broken sternal wire",))
    answers = viewer.answer(film, questions)
    table = viewer.table([Row(film.name, film.seen, answers.answered)], questions)
    bars = {bar.finding: bar for bar in bars_of(table, viewer.calibrations)}
    assert [name for name, bar in bars.items() if bar.trained is False] == ["broken sternal wire"]
    assert all(bar.threshold is None and not bar.calibrated for bar in bars.values())
    assert answers.maps.shape[0] == len(bars) == 4
    assert bool(experts_line(table)) == (kind == DIVIDE)
    expected = UniChest.from_pretrained(place).predict(films[0], questions.findings)
    np.testing.assert_array_equal(table["probability"], expected["probability"])


def test_it_becomes_an_onnx_file(imported, run, tmp_path):
    kind, place = imported
    if kind != ALONE:
        pytest.skip("an export takes long, and the kinds differ by nothing but their ratios and number of experts")
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="the extra [export] is not installed")
    catalog = run(export, model=place)
    about = catalog.load("onnx_findings")
    assert about["findings"] == list(FINDINGS)
    assert about["trained"] == [True, True, False, True]
    assert "do not use them" in about["outputs"]["gate"]
    session = pytest.importorskip("onnxruntime").InferenceSession(catalog.load("onnx_model"))
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 64, 64), dtype=np.uint8)
    given = {"images": images, "queries": np.array(about["embeddings"], dtype=np.float32)}
    expected = UniChest.from_pretrained(place).predict_probabilities(torch.from_numpy(images), FINDINGS)
    np.testing.assert_allclose(session.run(["probabilities"], given)[0], expected, atol=1e-5)


def test_it_is_calibrated_as_the_documentation_says(imported, films, tmp_path):
    _, place = imported
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in place.iterdir():
        (copy / path.name).symlink_to(path)
    model = UniChest.from_pretrained(copy)
    scores = model.predict(films, "pneumothorax")["probability"]
    calibration = fit_calibration(scores.to_numpy(), np.array([0, 1, 0, 1, 1, 0]))
    write_calibrations(
        copy, Calibrations(origin="our films", criterion="youden", findings={"pneumothorax": calibration})
    )
    table = model.predict(films, ["pneumothorax", "effusion"])
    assert table["calibrated"].notna().tolist() == [True, False] * 6
    asked = table[table["finding"] == "pneumothorax"]
    assert (asked["above"] == (asked["probability"] >= calibration.threshold)).all()


def test_words_need_its_text_encoder(imported, films, tmp_path):
    _, place = imported
    UniChest.from_pretrained(place).save_pretrained(tmp_path / "bare")
    bare = UniChest.from_pretrained(tmp_path / "bare")
    pd.testing.assert_frame_equal(
        bare.predict(films[0], "ptx"), UniChest.from_pretrained(place).predict(films[0], "ptx")
    )
    with pytest.raises(SettingsError, match="no text encoder"):
        bare.predict(films[0], ["broken wire"])


def test_where_nothing_was_trained_it_is_named(imported, run, folder, tmp_path):
    _, place = imported
    beside = tmp_path / "data" / "06_models" / "official"
    beside.parent.mkdir(parents=True)
    beside.symlink_to(place)
    with pytest.raises(Exception, match=rf"no trained model.*predict\.model=/folder.*There is a model in {beside}"):
        run(prediction, images=folder)
