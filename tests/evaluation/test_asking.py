"""Findings are asked by the names the model was trained with, or in any words."""

import numpy as np
import pandas as pd
import pytest
import torch

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.asking import Asker, asked_in, taught_findings, words_of
from unichest_kedro.models.text_encoder import TextEncoder, TextEncoderSettings, build_text_encoder
from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest

FINDINGS = ("pleural effusion", "edema")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder with a text encoder."""
    settings = {"backbone": "test_resnet", "image_size": 32, "width": 16, "layers": 1, "heads": 2, "feedforward": 8}
    model = build_unichest(ModelSettings(**settings), FINDINGS, np.eye(2, 16, dtype="f4"), 1)
    place = tmp_path_factory.mktemp("model")
    model.save_pretrained(place)
    words = {"pleural effusion": ("effusion",), "edema": ()}
    encoder = TextEncoderSettings(width=16, layers=1, heads=2, feed_forward=16, steps=2, fitting_batch=4)
    build_text_encoder(words, {name: name for name in words}, ["no effusion"], encoder, 0).save_pretrained(
        place / "text_encoder"
    )
    return place


def test_names_are_asked_as_trained_and_other_words_as_they_are_read(folder):
    model = UniChest.from_pretrained(folder)
    queries = Asker(model)(["edema", "effusion", "pleural effusion", "effusion"])
    torch.testing.assert_close(queries[[0, 2]], model.queries_for(["edema", "pleural effusion"]))
    read = TextEncoder.from_pretrained(folder / "text_encoder").encode(["effusion"], progress=False)
    torch.testing.assert_close(queries[[1, 3]], torch.from_numpy(read).expand(2, -1))


def test_words_are_read_once(folder, monkeypatch):
    read = []
    encode = TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda self, words, **o: read.append(words) or encode(self, words, **o))
    asker = Asker(UniChest.from_pretrained(folder))
    asker(["edema"])
    assert not read
    first = asker(["effusion", "oedema"])
    torch.testing.assert_close(asker(["oedema", "wire", "effusion"])[[2, 0]], first)
    assert read == [["effusion", "oedema"], ["wire"]]


def test_other_words_need_the_folders_text_encoder(folder):
    model = UniChest.from_pretrained(folder)
    model.folder = folder / "text_encoder"  # a folder without one
    assert len(Asker(model)(["edema"])) == 1
    with pytest.raises(UniChestError, match=r"'effusion' cannot be asked: .* no `text_encoder`"):
        Asker(model)(["edema", "effusion"])


def test_names_are_words_where_none_are_given():
    assert words_of(["edema", "mass"]) == {"edema": "edema", "mass": "mass"}
    assert words_of({"pleural effusion": "effusion"}) == {"pleural effusion": "effusion"}


def test_what_was_asked_is_read_off_the_scores():
    table = pd.DataFrame(
        [("b", "mass", "a mass"), ("b", "edema", "edema"), ("a", "mass", "mass"), ("b", "mass", "a mass")],
        columns=["source", "finding", "query"],
    )
    assert asked_in(table) == {"a": {"mass": "mass"}, "b": {"mass": "a mass", "edema": "edema"}}


def test_what_was_taught_is_what_the_facts_say_and_the_model_knows(folder):
    model = UniChest.from_pretrained(folder)
    assert taught_findings(model) == list(FINDINGS)
    model.facts = {"findings_asked": ["edema", "gout"]}
    assert taught_findings(model) == ["edema"]
