import html
import re

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from unichest_kedro.errors import SettingsError, VocabularyError
from unichest_kedro.reports import training_text
from unichest_kedro.reports.entities import Entity, Sentence
from unichest_kedro.reports.training_text import (
    TextSettings,
    label_texts,
    report_text,
    training_texts,
)

SYNONYMS = {"pleural effusion": ("effusion",), "pneumonia": (), "COPD": ()}
PROMPTS = {"pleural effusion": "pleural effusion", "pneumonia": "pneumonia", "COPD": "chronic lung disease"}


def labels_of(rows):
    return pd.DataFrame(rows, columns=list(SYNONYMS), dtype="int8")


def texts_of(reports, rows, **settings):
    return training_texts(
        pd.Series(reports, dtype="str"), labels_of(rows), SYNONYMS, PROMPTS, TextSettings(**settings)
    ).tolist()


def test_with_a_report_its_entities_are_written():
    report = "FINDINGS: No effusion. Heart is big. Possible Pneumonia and COPD.\n\nIMPRESSION: Effusion."
    assert texts_of([report], [[1, 1, 1]]) == [
        "[ENT] no effusion [SEP] [ENT] possible pneumonia [ENT] possible copd [SEP] [ENT] effusion [SEP]"
    ]
    assert texts_of([report], [[1, 1, 1]], sections=("impression",)) == ["[ENT] effusion [SEP]"]


def test_without_entities_the_sentences_are_written():
    assert texts_of(["The aorta is big.  Spine is\nold."], [[1, 0, 0]]) == [
        "the aorta is big. [SEP] spine is old. [SEP]"
    ]


def test_without_a_report_the_present_findings_are_written():
    rows = [[1, 0, 1], [-1, -1, -1], [0, 1, -1]]
    assert texts_of(["", "", "INDICATION: Effusion?"], rows) == [
        "pleural effusion [SEP] chronic lung disease [SEP]",
        "",
        "pneumonia [SEP]",
    ]


def test_report_text_of_sentences():
    sentence = Sentence("x", (Entity("pneumonia", "Pneumonia", False, False), Entity("COPD", "COPD", True, False)))
    assert report_text([sentence, Sentence("y", ())]) == "[ENT] pneumonia [ENT] no copd [SEP]"
    assert report_text([]) == ""


def test_each_distinct_report_is_read_once(monkeypatch):
    read = []
    parse = training_text.parse_sections
    monkeypatch.setattr(training_text, "parse_sections", lambda report: read.append(report) or parse(report))
    texts = texts_of(["Effusion.", "Pneumonia.", "Effusion.", ""], [[0, 0, 0]] * 4)
    assert texts == ["[ENT] effusion [SEP]", "[ENT] pneumonia [SEP]", "[ENT] effusion [SEP]", ""]
    assert sorted(read) == ["", "Effusion.", "Pneumonia."]


def test_index_order_and_inputs_are_kept():
    reports = pd.Series(["", "Effusion."], index=[7, 3], dtype="str")
    labels = labels_of([[0, 1, 0], [0, 0, 0]]).assign(source="a", image_id=["x", "y"])
    before = labels.copy()
    texts = training_texts(reports, labels, SYNONYMS, PROMPTS, TextSettings())
    assert texts.to_dict() == {7: "pneumonia [SEP]", 3: "[ENT] effusion [SEP]"}
    assert texts.dtype == "str"
    pd.testing.assert_frame_equal(labels, before)


def test_label_texts_agree_with_a_slow_loop():
    rng = np.random.default_rng(0)
    labels = labels_of(rng.integers(-1, 2, size=(200, 3)))
    slow = [
        " ".join(f"{PROMPTS[name]} [SEP]" for name, value in row.items() if value == 1)
        for row in labels.to_dict("records")
    ]
    assert label_texts(labels, PROMPTS).tolist() == slow


def test_no_rows_at_all():
    assert texts_of([], np.zeros((0, 3))) == []


def test_mistakes_are_named():
    with pytest.raises(SettingsError, match="1 reports but 2 label rows"):
        texts_of([""], [[0, 0, 0]] * 2)
    with pytest.raises(VocabularyError, match=r"No prompt for the label column\(s\) COPD"):
        label_texts(labels_of([[0, 0, 0]]), {"pleural effusion": "", "pneumonia": ""})
    with pytest.raises(ValidationError, match="findings and impression, each at most once"):
        TextSettings(sections=("findings", "findings"))
    with pytest.raises(ValidationError, match="batch_size"):
        TextSettings(batch_size=0)
    with pytest.raises(ValidationError, match="sections"):
        TextSettings(sections=("history",))


def test_real_open_i_reports(real):
    pattern = re.compile(r'<AbstractText Label="(\w+)">(.*?)</AbstractText>', re.DOTALL)
    files = sorted((real / "open_i" / "ecgen-radiology").glob("*.xml"))[:300]
    reports = [
        "\n\n".join(f"{name}: {html.unescape(text)}" for name, text in pattern.findall(path.read_text("utf-8")))
        for path in files
    ]
    texts = pd.Series(texts_of(reports, np.zeros((len(reports), 3))))
    assert (texts != "").mean() > 0.97
    assert texts.str.contains("[ENT] no effusion", regex=False).any()
    assert not texts.str.contains("xxxx").any()
