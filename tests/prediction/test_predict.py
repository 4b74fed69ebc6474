"""`UniChest.predict`: any pictures in, one row per picture and finding out, with evaluation's numbers."""

import logging

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from PIL import Image

from unichest_kedro.errors import SettingsError, UniChestError
from unichest_kedro.evaluation.calibration import Calibration, Calibrations, Platt, write_calibrations
from unichest_kedro.evaluation.scoring import score
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.imaging.resize import shorter_side
from unichest_kedro.imaging.store import ImagingSettings, update_image_store
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.prediction.table import Predictions

from .conftest import ASKED, FINDINGS, SIZE, dicom_of, draw, make_model


def test_one_row_per_picture_and_finding(model, films, folder):
    pictures = [folder / "a.png", Image.fromarray(films[1]), films[2], dicom_of(films[3])]
    table = Predictions.validate(model.predict(pictures))
    assert list(table["finding"]) == list(ASKED) * 4
    names = [str(folder / "a.png"), "image 1", "image 2", "image 3"]
    assert list(table["film"]) == list(np.repeat(names, 3))
    assert table["probability"].between(0, 1).all()
    weights = table[["expert_1", "expert_2", "expert_3"]].to_numpy()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert table["trained"].all()
    assert (table["warning"] == "").all()
    alone = model.predict(films[2], ASKED[1], precision="float32")
    assert len(alone) == 1
    assert alone["film"].iloc[0] == "image 0"


def test_answers_are_those_of_a_plain_forward_pass(model, films):
    # The shorter side first, as in the image store, then the square.
    square = torch.from_numpy(np.array(resize_square(shorter_side(films[0], SIZE), SIZE)))
    expected = model.predict_probabilities(square[None, None], FINDINGS)[0].numpy()
    table = model.predict(films[0], FINDINGS, precision="float32", together=False)
    np.testing.assert_allclose(table["probability"], expected, atol=1e-6)
    with torch.inference_mode():
        gate = model(square[None, None], model.queries_for(FINDINGS)).image.gate[0].numpy()
    np.testing.assert_allclose(table[["expert_1", "expert_2", "expert_3"]].iloc[0], gate, atol=1e-6)


@pytest.mark.parametrize("stored", [SIZE, 48])
def test_answers_are_evaluations_for_films_of_an_image_store(tmp_path, folder, stored):
    """To the last bit where the model says at what size films were stored, or they were stored at the model's own."""
    model = make_model()
    if stored != SIZE:
        model.facts["stored_image_size"] = stored
    names = ["a.png", "deep/b.JPG", "deep/c.png"]
    studies = pd.DataFrame({"source": "chexpert", "image_id": names, "path": names, "view": "frontal"})
    store, _ = update_image_store(
        studies, folder, tmp_path / "store", ImagingSettings(image_size=stored, n_jobs=1), description="x"
    )
    examples = pd.DataFrame(
        {
            "source": "chexpert",
            "split": "test",
            "image_id": names,
            "patient_id": names,
            "image_row": [0, 1, 2],
            "label_row": [0, 1, 2],
        }
    )
    labels = pd.DataFrame({name: np.zeros(3, np.int8) for name in ASKED})
    leaked = pd.DataFrame({name: [] for name in ("source", "image_id", "split", "seen_in", "reason")}, dtype=str)
    scores, gates = score(
        model,
        "x",
        examples,
        {"chexpert": store},
        {"chexpert": labels},
        {"chexpert": ASKED},
        (),
        leaked,
        image_size=SIZE,
        batch_size=3,
        resize=resize_square,
    )
    table = model.predict([folder / name for name in names], precision="float32", batch_size=3)
    np.testing.assert_array_equal(table["probability"], scores["score"])
    np.testing.assert_array_equal(table["expert_1"].iloc[::3], gates["expert_1"])


def test_an_answer_does_not_depend_on_what_else_is_asked(model, films):
    every = model.predict(films, precision="float32").set_index(["film", "finding"])["probability"]
    for findings in (["ptx"], ["broken wire", "pneumothorax"], ["hernia", "No Finding", "ptx"]):
        some = model.predict(films, findings, precision="float32").set_index(["film", "finding"])["probability"]
        known = [pair for pair in some.index if pair in every.index]
        np.testing.assert_allclose(some[known], every[known], atol=1e-6)
    alone = model.predict(films, ["ptx"], precision="float32", together=False)["probability"]
    assert np.abs(alone.to_numpy() - every.xs("pneumothorax", level=1).to_numpy()).max() > 1e-3


def test_untaught_findings_are_asked_beside_those_of_training(model, films):
    square = torch.from_numpy(np.array(resize_square(shorter_side(films[0], SIZE), SIZE)))
    expected = model.predict_probabilities(square[None, None], ["hernia", *ASKED])[0, 0].item()
    assert model.predict(films[0], ["hernia", "ptx"], precision="float32")["probability"][0] == pytest.approx(expected)


def test_pictures_that_are_no_films_or_cannot_be_read_have_rows_that_say_so(model, films, lateral):
    table = model.predict([lateral, "/nowhere.png", films[0], np.zeros(3)], ["ptx"])
    assert table["probability"].isna().tolist() == [True, True, False, True]
    assert table["expert_1"].isna().tolist() == [True, True, False, True]
    assert "lateral" in table["warning"].iloc[0]
    assert table["warning"].iloc[1] == "cannot be read: file is not there"
    assert table["warning"].iloc[3].startswith("cannot be read: array of shape (3,)")
    anyway = model.predict([lateral, "/nowhere.png"], ["ptx"], answer_anyway=True)
    assert anyway["probability"].isna().tolist() == [False, True]
    assert "lateral" in anyway["warning"].iloc[0]


def test_a_folder_is_searched_and_one_film_given_twice_has_two_names(model, folder):
    assert model.predict(folder, ["ptx"])["film"].tolist() == ["a.png", "deep/b.JPG", "deep/c.png", "deep/er/IM0001"]
    path = str(folder / "a.png")
    assert model.predict([path, path], ["ptx"])["film"].tolist() == [path, f"{path} (2)"]


def test_untaught_and_unknown_findings_are_answered_and_marked(model, films, caplog):
    table = model.predict(films[0], ["effusion", "hiatus hernia", "broken wire"])
    assert table["finding"].tolist() == ["pleural effusion", "hernia", "broken wire"]
    assert table["asked_as"].tolist() == ["effusion", "hiatus hernia", "broken wire"]
    assert table["trained"].tolist() == [True, False, False]
    assert table["probability"].notna().all()
    assert "Not asked in training" in caplog.text


def test_without_calibration_it_is_said_once_and_left_empty(model, films, caplog):
    with caplog.at_level(logging.WARNING):
        table = model.predict(films[:3])
    assert caplog.text.count("no calibration.json") == 1
    assert table[["calibrated", "threshold", "above"]].isna().all().all()


def test_with_calibration_answers_are_calibrated_and_called(tmp_path, model, films, lateral):
    model.save_pretrained(tmp_path)
    probability = model.predict(films[0], ["ptx"], precision="float32")["probability"].iloc[0]
    one = Calibration(threshold=probability, curve=Platt(slope=2, intercept=-1), positives=5, negatives=5)
    write_calibrations(tmp_path, Calibrations(origin="validation of x", criterion="f1", findings={"pneumothorax": one}))
    table = UniChest.from_pretrained(tmp_path).predict(
        [films[0], lateral], ["ptx", "pleural effusion"], precision="float32"
    )
    first = table.iloc[0]
    expected = 1 / (1 + np.exp(-(2 * np.log(probability / (1 - probability)) - 1)))
    assert first["calibrated"] == pytest.approx(expected)
    assert first["threshold"] == probability
    assert first["above"] is np.True_ or first["above"] is True
    assert table["above"].isna().tolist() == [False, True, True, True]
    assert table["calibrated"].isna().tolist() == [False, True, True, True]


def test_a_model_without_experts_has_no_weights(films):
    model = make_model()
    model.set_ratios(1, 0)
    assert model.predict(films[0], ["ptx"])["expert_1"].isna().all()


def test_the_model_keeps_its_mode(model, films):
    model.train()
    model.predict(films[0])
    assert model.training


def test_no_picture_and_a_diverged_model_are_refused(model, films):
    with pytest.raises(SettingsError, match="the list is empty"):
        model.predict([])
    with torch.no_grad():
        model.mixture.main.head.bias.fill_(float("nan"))
    with pytest.raises(UniChestError, match="no probability"):
        model.predict(films[0])


def test_real_films_of_every_kind_are_answered_or_warned_about(model, real):
    pictures = sorted((real / "own_hospital" / "films").iterdir())[:6] + sorted((real / "dicom").iterdir())
    datasets = [pydicom.dcmread(path) for path in sorted((real / "dicom").iterdir())]
    table = model.predict([*pictures, *datasets], ["ptx"], precision="float32")
    assert len(table) == 10
    assert not table["warning"].str.startswith("cannot be read").any()
    # A dataset is the same film as its file.
    pd.testing.assert_frame_equal(
        table[["probability", "warning"]].iloc[6:8].reset_index(drop=True),
        table[["probability", "warning"]].iloc[8:].reset_index(drop=True),
    )


def test_films_wider_than_high_are_not_cut(model):
    film = draw(1, source="mimic_cxr")[0]
    wide = np.concatenate([film, np.zeros((film.shape[0], film.shape[0] // 8), np.uint8)], axis=1)
    assert len(model.predict(wide, ["ptx"], answer_anyway=True)) == 1
