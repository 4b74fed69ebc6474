"""The text stage reads a text once: what a changed prompt costs, and what a stopped run keeps."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.text_encoder import TextEncoder, TextEncoderSettings
from unichest_kedro.pipelines.text.nodes import (
    choose_text_encoder,
    collect_texts,
    embed_prompts,
    embed_texts,
    write_prompts,
    write_training_texts,
)
from unichest_kedro.reports.mentions import distinct_reports, no_mentions, read_mentions
from unichest_kedro.reports.radgraph import RadGraphFiles
from unichest_kedro.reports.training_text import TextSettings

from transformers import BertConfig, BertModel, BertTokenizer  # isort: skip

NAMES = ("edema", "mass", "hernia", "fracture")
TEXTS = pd.DataFrame({"text": ["[ENT] no edema [SEP]", "edema [SEP]", "mass [SEP] edema [SEP]"]})


def vocabulary(**prompts):
    findings = [{"name": name, "prompt": prompts.get(name, f"a {name}"), "synonyms": [f"{name}s"]} for name in NAMES]
    return {"findings": findings, "sources": {}}


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A folder as others save one: an encoder with random weights, without a projection."""
    folder = tmp_path_factory.mktemp("encoder")
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "no", "large", *NAMES)
    BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture
def read(monkeypatch):
    """Every text that an encoder reads, but for the word with which it is tried out."""
    seen = []
    pool = TextEncoder.pool

    def spy(self, texts, max_tokens):
        seen.extend(text for text in texts if text != "normal")
        return pool(self, texts, max_tokens)

    monkeypatch.setattr(TextEncoder, "pool", spy)
    return seen


def run(words, cache, name):
    """The nodes in their order; returns the encoder and both arrays."""
    settings = TextEncoderSettings(name=str(name), steps=20, fitting_batch=8, max_tokens=32)
    encoder = choose_text_encoder(words, TEXTS, cache, settings, 16, 3)
    return (
        encoder,
        embed_texts(encoder, TEXTS, cache, settings),
        embed_prompts(encoder, write_prompts(words), cache, settings),
    )


def test_a_changed_prompt_is_the_one_text_that_is_read(named, read, tmp_path):
    encoder, texts, prompts = run(vocabulary(), tmp_path, named)
    assert set(TEXTS["text"]) <= set(read)
    read.clear()
    changed_encoder, changed_texts, changed = run(vocabulary(mass="a large mass"), tmp_path, named)
    assert read == ["a large mass"]
    assert changed_encoder.fingerprint() == encoder.fingerprint()
    np.testing.assert_array_equal(changed_texts, texts)
    same = [name != "mass" for name in NAMES]
    np.testing.assert_array_equal(changed[same], prompts[same])
    assert not np.allclose(changed[1], prompts[1])
    alone = encoder.encode(["a large mass"], progress=False)[0]
    np.testing.assert_allclose(changed[1], alone, atol=1e-5)


def test_a_new_synonym_fits_the_projection_anew_and_reads_no_text_again(named, read, tmp_path):
    encoder, texts, _ = run(vocabulary(), tmp_path, named)
    read.clear()
    words = vocabulary()
    words["findings"][1]["synonyms"].append("large mass")
    fitted, again, _ = run(words, tmp_path, named)
    assert not set(read) & {*TEXTS["text"], *write_prompts(words)["prompt"]}
    assert fitted.fingerprint() != encoder.fingerprint()
    np.testing.assert_allclose(again, fitted.encode(list(TEXTS["text"]), progress=False), atol=1e-3)
    assert not np.allclose(again, texts)


def test_the_embedded_encoder_is_made_anew_with_a_new_prompt_and_reads_everything_again(read, tmp_path):
    settings = TextEncoderSettings(width=16, heads=2, steps=5, fitting_batch=8, max_tokens=32)
    fingerprints = []
    for words, expected in ((vocabulary(), 3), (vocabulary(), 0), (vocabulary(mass="a large mass"), 3)):
        encoder = choose_text_encoder(words, TEXTS, tmp_path, settings, 16, 3)
        fingerprints.append(encoder.fingerprint())
        read.clear()
        embed_texts(encoder, TEXTS, tmp_path, settings)
        assert len(read) == expected
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_another_width_than_the_models_is_refused(named, tmp_path):
    settings = TextEncoderSettings(name=str(named))
    with pytest.raises(SettingsError, match=r"model\.width is 128, but text encoder '.*' gives vectors of 16 numbers"):
        choose_text_encoder(vocabulary(), TEXTS, tmp_path, settings, 128, 3)


def study_tables(reports):
    studies = pd.DataFrame({"source": "mimic_cxr", "study_id": ["7", "7", "8", "9"], "report": reports})
    studies["image_id"] = [f"film{number}" for number in range(len(reports))]
    labels = studies[["source", "image_id"]].assign(edema=np.int8(1), mass=np.int8([1, 0, 0, -1]))
    return studies, labels


def written(reports, mentions=None, radgraph=None):
    studies, labels = study_tables(reports)
    if mentions is None:
        mentions = read_mentions(distinct_reports(studies["report"]).items(), {"edema": (), "mass": ()}, progress=False)
    table = write_training_texts(studies, mentions, labels, TextSettings(), radgraph)
    assert table["image_id"].tolist() == studies["image_id"].tolist()
    return table["text"].tolist()


def test_a_report_is_written_from_its_mentions_and_labels_by_their_names():
    reports = ["FINDINGS: No edema.", "FINDINGS: No edema.", "", "FINDINGS: Masses."]
    assert written(reports) == ["[ENT] no edema [SEP]"] * 2 + ["edema [SEP]", "[ENT] masses [SEP]"]
    # Reports in another language are not read.
    assert written(reports, no_mentions()) == ["edema [SEP] mass [SEP]", *["edema [SEP]"] * 3]


def test_radgraph_stands_before_our_own_reading_where_it_has_the_study(tmp_path):
    marked = {"1": {"tokens": "effusion", "label": "OBS-DA", "start_ix": 1, "end_ix": 1, "relations": []}}
    graphs = {"p1/p7/s7.txt": {"text": "No effusion", "entities": marked}, "s8": {"text": "", "entities": {}}}
    (tmp_path / "graphs.json").write_text(json.dumps(graphs))
    radgraph = RadGraphFiles({"mimic_cxr": tmp_path / "graphs.json"})
    reports = ["FINDINGS: No edema."] * 2 + ["FINDINGS: Mass."] * 2
    expected = ["[ENT] no effusion [SEP]"] * 2 + ["[ENT] mass [SEP]"] * 2
    assert written(reports, radgraph=radgraph) == expected
    other = RadGraphFiles({"chexpert": tmp_path / "gone.json"})
    assert written(reports, radgraph=other)[0] == "[ENT] no edema [SEP]"


def test_radgraph_of_an_unknown_source_is_named():
    radgraph = RadGraphFiles({"mimic": "graphs.json"})
    with pytest.raises(SettingsError, match=r"radgraph: unknown source 'mimic'\. There are .*mimic_cxr"):
        collect_texts([], radgraph, chexpert_texts=TEXTS)
    assert len(collect_texts(["chexpert"], RadGraphFiles({"mimic_cxr": "graphs.json"}), chexpert_texts=TEXTS)) == 3


def test_texts_of_sources_that_are_only_scored_are_not_collected():
    tables = {
        "chexpert_texts": pd.DataFrame({"text": ["b", "", "a", "b"]}),
        "open_i_texts": pd.DataFrame({"text": ["c"]}),
        "padchest_texts": pd.DataFrame({"text": ["d", "a"]}),
    }
    assert collect_texts(["chexpert", "padchest", "vindr_cxr"], None, **tables)["text"].tolist() == ["a", "b", "d"]
    assert collect_texts(["vindr_cxr"], None, **tables)["text"].tolist() == []


def test_no_text_at_all_is_no_mistake(named, tmp_path):
    settings = TextEncoderSettings(name=str(named), steps=1)
    nothing = collect_texts([], None, chexpert_texts=TEXTS)
    encoder = choose_text_encoder(vocabulary(), nothing, tmp_path, settings, 16, 3)
    assert embed_texts(encoder, nothing, tmp_path, settings).shape == (0, 16)
