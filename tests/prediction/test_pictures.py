"""Heat maps as files, and a contact sheet that stands alone."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from unichest_kedro.evaluation.calibration import Calibration, Calibrations, Platt
from unichest_kedro.evaluation.heatmaps import attention_maps, overlay
from unichest_kedro.prediction import pictures as pictures_module
from unichest_kedro.prediction.answers import as_square
from unichest_kedro.prediction.inputs import list_films
from unichest_kedro.prediction.pictures import draw_pictures, map_name, top_findings
from unichest_kedro.prediction.questions import ask
from unichest_kedro.prediction.results import predict_films
from unichest_kedro.prediction.settings import PredictSettings

from .conftest import ASKED, SIZE

SETTINGS = PredictSettings(num_workers=0, top_findings=2, heatmaps=True, precision="float32")


@pytest.fixture
def results(model, folder, lateral, tmp_path):
    Image.fromarray(lateral).save(folder / "side <b>.png")
    (folder / "empty.png").write_bytes(b"")
    return predict_films(model, ask(model), list_films(folder), SETTINGS, tmp_path / "parts")


def test_every_answered_film_has_the_maps_of_its_top_findings(model, results, films, folder, tmp_path):
    draw_pictures(model, results, SETTINGS, tmp_path / "pictures")
    maps = sorted((tmp_path / "pictures" / results.folder.name).iterdir())
    assert len(maps) == 4 * 2
    key = results.films.set_index("film")["key"]["a.png"]
    path = maps[0].parent / map_name("a.png", key, "pneumothorax")
    if not path.exists():
        path = maps[0].parent / map_name("a.png", key, "pleural effusion")
    finding = "pneumothorax" if "pneumothorax" in path.name else "pleural effusion"
    square = torch.from_numpy(as_square(films[0], SIZE, SIZE))[None, None]
    heat = attention_maps(model, square, ASKED)[0, ASKED.index(finding)].numpy()
    np.testing.assert_array_equal(np.asarray(Image.open(path)), overlay(films[0], heat))


def test_maps_that_are_there_are_not_drawn_again(model, results, tmp_path, monkeypatch):
    draw_pictures(model, results, SETTINGS, tmp_path / "pictures")
    victim = next((tmp_path / "pictures" / results.folder.name).iterdir())
    victim.unlink()
    drawn = []
    real = pictures_module._draw
    monkeypatch.setattr(pictures_module, "_draw", lambda *args: (drawn.extend(args[2]), real(*args)))
    draw_pictures(model, results, SETTINGS, tmp_path / "pictures")
    assert len(drawn) == 1
    assert victim.is_file()


def test_large_films_are_shrunk(model, films, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures_module, "LARGEST", 100)
    Image.fromarray(films[0]).save(tmp_path / "x.png")
    results = predict_films(model, ask(model), list_films(tmp_path / "x.png"), SETTINGS, tmp_path / "parts")
    draw_pictures(model, results, SETTINGS, tmp_path / "pictures")
    path = next((tmp_path / "pictures" / results.folder.name).iterdir())
    assert max(Image.open(path).size) == 100


class Links(HTMLParser):
    """Everything that a page would fetch, and its text."""

    def __init__(self):
        super().__init__()
        self.sources, self.words, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


def read(path):
    page = Links()
    page.feed(path.read_text())
    return page, " ".join(" ".join(page.words).split())


def test_the_sheet_stands_alone_and_names_what_was_not_answered(model, results, tmp_path):
    page, words = read(draw_pictures(model, results, SETTINGS, tmp_path / "pictures"))
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert len(page.sources) == 4 * 3
    assert not {"script", "link", "b"} & set(page.tags)
    assert "4 films answered, 1 with a warning, 1 unreadable" in words
    assert "side <b>.png looks like a lateral film" in words
    assert "empty.png file is empty (0 bytes)" in words
    assert "Not a medical device" in words
    assert "no calibration" in words


def test_the_sheet_shows_the_first_films_and_counts_the_rest(model, results, tmp_path):
    few = SETTINGS.model_copy(update={"sheet_films": 1})
    page, words = read(draw_pictures(model, results, few, tmp_path / "pictures"))
    assert page.tags.count("article") == 1
    assert "3 more films are answered" in words


def test_calibrated_and_called_findings_are_marked(model, folder, tmp_path):
    one = Calibration(threshold=0.0, curve=Platt(slope=0, intercept=0), positives=1, negatives=1)
    calibrations = Calibrations(origin="validation of <x>", criterion="f1", findings=dict.fromkeys(ASKED, one))
    results = predict_films(
        model, ask(model), list_films(folder), SETTINGS, tmp_path / "parts", calibrations=calibrations
    )
    _, words = read(draw_pictures(model, results, SETTINGS, tmp_path / "pictures"))
    assert words.count("50%") == 8
    assert len(re.findall("above threshold(?!”)", words)) == 8
    assert "fitted on validation of <x>" in words


def test_a_film_that_is_gone_has_no_picture(model, results, folder, tmp_path):
    (folder / "a.png").unlink()
    page, _ = read(draw_pictures(model, results, SETTINGS, tmp_path / "pictures"))
    assert len(page.sources) == 3 * 3


def test_nothing_found_is_shown_only_where_nothing_else_is_asked():
    findings = ["No Finding", "mass", "normal", "edema"]
    answers = np.array([0.9, 0.1, 0.8, 0.2])
    assert top_findings(findings, answers, 3) == ["edema", "mass"]
    assert top_findings(["No Finding", "normal"], np.array([0.1, 0.2]), 1) == ["normal"]


def test_names_of_maps_are_safe_and_differ():
    assert map_name("/data/x y/å.png", "abcdef99", "rib / fracture") == "data_x_y_å.png-abcdef__rib_fracture.png"
    assert map_name("a/b.png", "111111", "x") != map_name("a_b.png", "222222", "x")
    assert len(map_name("x" * 500, "abcdef", "y" * 500)) < 255


def test_no_answered_film_gives_a_sheet_that_says_so(model, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    results = predict_films(model, ask(model), list_films(tmp_path / "empty.png"), SETTINGS, tmp_path / "parts")
    _, words = read(draw_pictures(model, results, SETTINGS, tmp_path / "pictures"))
    assert "No film was answered" in words
