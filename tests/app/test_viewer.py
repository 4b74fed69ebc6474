"""What the page shows is what `predict` says."""

import base64
import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from unichest_kedro.app.settings import AppSettings
from unichest_kedro.app.viewer import Row, Viewer, load_viewer, picture, read_film, unique_name, unread
from unichest_kedro.errors import MissingArtefact, SettingsError, UnreadableImage
from unichest_kedro.evaluation.heatmaps import attention_maps
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.prediction.answers import as_square
from unichest_kedro.prediction.table import Predictions

from ..models.conftest import SMALL_SIZES, image_shapes, model_shapes, random_section
from ..prediction.conftest import ASKED, FINDINGS, make_model


def _film(dropped, name):
    return read_film(name, dropped[name].read_bytes())


@pytest.mark.parametrize("name", ["a.png", "b.dcm"])
def test_the_numbers_are_those_of_predict(viewer, dropped, name):
    questions = viewer.questions(("rib fracture", "hernia"))
    film = _film(dropped, name)
    table = viewer.table([Row(name, film.seen, viewer.answer(film, questions).answered)], questions)
    Predictions.validate(table)
    expected = viewer.model.predict(dropped[name], [*ASKED, "rib fracture", "hernia"])
    columns = [column for column in table if column not in ("film", "path")]
    pd.testing.assert_frame_equal(table[columns], expected[columns])
    assert table["trained"].tolist() == [True, True, True, False, False]


def test_the_maps_are_those_of_the_company_in_which_a_finding_is_answered(viewer, dropped):
    film = _film(dropped, "a.png")
    questions = viewer.questions(("hernia",))
    maps = viewer.answer(film, questions).maps
    square = torch.from_numpy(as_square(film.grey, 128, 128))[None, None]
    within = attention_maps(viewer.model, square, list(ASKED))[0].numpy()
    beside = attention_maps(viewer.model, square, ["hernia", *ASKED])[0, :1].numpy()
    np.testing.assert_allclose(maps, np.concatenate([within, beside]), atol=1e-6)


def test_a_warned_film_and_an_unreadable_file_keep_their_rows(viewer, dropped):
    film = _film(dropped, "side <b>.png")
    assert "lateral" in film.check.warning
    questions = viewer.questions()
    rows = [unread("notes.png", "file is empty"), Row(film.name, film.seen, None)]
    table = viewer.table(rows, questions)
    assert table["film"].tolist() == ["notes.png"] * 3 + [film.name] * 3
    assert table["probability"].isna().all()
    assert table["warning"].tolist() == ["cannot be read: file is empty"] * 3 + [film.check.warning] * 3
    answered = viewer.table([Row(film.name, film.seen, viewer.answer(film, questions).answered)], questions)
    assert answered["probability"].notna().all()
    assert (answered["warning"] == film.check.warning).all()


def test_a_dropped_file_is_not_kept_on_disk(dropped, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _film(dropped, "b.dcm")
    with pytest.raises(UnreadableImage, match="not a DICOM, PNG or JPEG"):
        _film(dropped, "notes.png")
    assert not list(tmp_path.iterdir())


def test_words_are_named_as_the_model_names_them(viewer):
    assert viewer.names(("ptx", "rib fracture")) == ("pneumothorax", "rib fracture")
    assert viewer.questions().findings == ASKED


def test_words_that_cannot_be_embedded_are_refused(tmp_path):
    make_model().save_pretrained(tmp_path / "bare")
    bare = load_viewer(AppSettings(model=tmp_path / "bare", device="cpu"))
    with pytest.raises(SettingsError, match="no text encoder"):
        bare.questions(("broken wire",))
    assert bare.names(("hernia",)) == ("hernia",)
    assert any("no calibration" in line for line in bare.about())


def test_the_model_is_described(viewer):
    lines = " ".join(viewer.about())
    assert "Trained on: phantoms." in lines
    assert "calibrated on validation of phantoms" in lines
    untold = make_model()
    untold.facts = {"phantoms": True}
    lines = " ".join(Viewer(untold).about())
    assert "does not say which findings it was asked" in lines
    assert "mean nothing" in lines


def test_an_imported_checkpoint_is_answered_with_its_maps(dropped):
    shapes = {"model": model_shapes, "image_encoder": image_shapes}
    checkpoint = {name: random_section(shapes[name](**SMALL_SIZES[name]), seed) for seed, name in enumerate(shapes)}
    checkpoint["config"] = {"image_res": 64, "lam": [1.0, 0.4]}
    embeddings = np.random.default_rng(0).normal(size=(len(FINDINGS), 24))
    viewer = Viewer(UniChest.from_official(checkpoint, FINDINGS, embeddings, image_size=64))
    questions = viewer.questions()
    answers = viewer.answer(_film(dropped, "a.png"), questions)
    assert questions.findings == FINDINGS
    assert np.isfinite(answers.answered.probabilities).all()
    assert answers.maps.shape[0] == len(FINDINGS)
    assert answers.maps.max() == 1


def test_a_backbone_whose_attention_cannot_be_drawn_is_still_answered(viewer, dropped, monkeypatch):
    def no_grid(*_):
        raise SettingsError("no grid")

    monkeypatch.setattr("unichest_kedro.app.viewer.heat_maps", no_grid)
    answers = viewer.answer(_film(dropped, "a.png"), viewer.questions())
    assert answers.maps is None
    assert answers.no_maps == "no grid"
    assert np.isfinite(answers.answered.probabilities).all()


def test_a_missing_model_says_how_it_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingArtefact, match=r"make demo.*MODEL=/folder make app"):
        load_viewer(AppSettings())
    with pytest.raises(MissingArtefact, match="no model folder here"):
        load_viewer(AppSettings(model=Path("nowhere")))


def test_pictures_are_data_uris_of_the_film_with_and_without_its_map(dropped):
    film = _film(dropped, "a.png")

    def pixels(uri):
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))

    plain, mapped = pixels(picture(film)), pixels(picture(film, np.eye(4, dtype=np.float32)))
    assert plain.shape == film.grey.shape
    assert np.abs(plain.astype(int) - film.grey).mean() < 3
    assert mapped.shape == (*film.grey.shape, 3)
    assert max(pixels(picture(film, None, 64)).shape) == 64


def test_names_are_unique():
    assert unique_name("a.png", []) == "a.png"
    assert unique_name("a.png", ["a.png", "a.png (2)"]) == "a.png (3)"
