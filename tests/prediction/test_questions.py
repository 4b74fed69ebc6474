"""Findings by name, synonym or prompt; any words through the text encoder; what was not taught is said."""

import logging

import pytest
import torch

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.unichest import ModelSettings, build_unichest
from unichest_kedro.prediction.questions import ask

from .conftest import ASKED, FINDINGS, make_model


def test_nothing_said_asks_what_was_asked_in_training(model):
    asked = ask(model)
    assert asked.findings == ASKED
    assert asked.trained == (True, True, True)
    assert torch.equal(asked.queries, model.queries_for(ASKED))


def test_a_folder_that_does_not_say_is_asked_all_it_knows():
    model = make_model()
    model.facts = {}
    asked = ask(model)
    assert asked.findings == FINDINGS
    assert asked.trained == (None,) * 4


@pytest.mark.parametrize("words", ["pleural effusion", "Effusion", " pleural   FLUID ", "pleural effusion seen"])
def test_names_synonyms_and_prompts_mean_the_finding(model, words):
    asked = ask(model, [words])
    assert asked.findings == ("pleural effusion",)
    assert asked.asked_as == (words,)
    assert torch.equal(asked.queries, model.queries_for(["pleural effusion"]))


def test_unknown_words_go_through_the_folders_text_encoder(model, model_folder, encoder, caplog):
    with caplog.at_level(logging.WARNING):
        asked = ask(model, ["ptx", "Broken  wire", "hiatal hernia"], model_folder)
    assert asked.findings == ("pneumothorax", "Broken wire", "hernia")
    assert asked.trained == (True, False, False)
    torch.testing.assert_close(asked.queries[1], torch.from_numpy(encoder.encode(["Broken wire"], progress=False))[0])
    assert torch.equal(asked.queries[2], model.queries_for(["hernia"])[0])
    assert "Not asked in training: Broken wire, hernia" in caplog.text


def test_a_finding_asked_twice_is_asked_once(model, caplog):
    assert ask(model, ["ptx", "pneumothorax"]).findings == ("pneumothorax",)
    assert "asked for twice" in caplog.text


def test_unknown_words_without_a_text_encoder_are_named_with_what_is_known(model, tmp_path):
    with pytest.raises(SettingsError, match=r"'pnemothorax' is close to pneumothorax.*no text encoder.*hernia"):
        ask(model, ["pnemothorax"], tmp_path)
    with pytest.raises(SettingsError, match="no text encoder"):
        ask(make_model(), ["strange"])


def test_a_text_encoder_of_another_width_is_refused(model_folder):
    with pytest.raises(SettingsError, match="has width 16, the model has 32"):
        ask(wide(), ["strange"], model_folder)


def wide():
    settings = ModelSettings(backbone="test_resnet", image_size=32, width=32, layers=1, heads=2, feedforward=8)
    return build_unichest(settings, ("mass",), torch.zeros(1, 32), 0)


def test_empty_words_and_a_model_that_knows_nothing_are_refused(model):
    with pytest.raises(SettingsError, match="a finding is empty"):
        ask(model, ["  "])
    nameless = wide()
    nameless.findings = ()
    with pytest.raises(SettingsError, match="knows no finding by name"):
        ask(nameless)
