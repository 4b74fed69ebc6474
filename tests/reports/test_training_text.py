import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from unichest_kedro.errors import SettingsError, VocabularyError
from unichest_kedro.reports.entities import BESIDES, Entity, EntityExtractor, Sentence
from unichest_kedro.reports.mentions import distinct_reports, no_mentions, read_mentions
from unichest_kedro.reports.sections import parse_sections
from unichest_kedro.reports.training_text import TextSettings, label_texts, report_text, training_texts
from unichest_kedro.sources.open_i import read_reports_table

SYNONYMS = {"pleural effusion": ("effusion",), "pneumonia": (), "COPD": ()}
PROMPTS = {"pleural effusion": "pleural effusion", "pneumonia": "pneumonia", "COPD": "chronic lung disease"}


def labels_of(rows):
    return pd.DataFrame(rows, columns=list(SYNONYMS), dtype="int8")


def mentions_of(reports, synonyms=SYNONYMS):
    return read_mentions(distinct_reports(pd.Series(reports, dtype="str")).items(), synonyms, progress=False)


def texts_of(reports, rows, **settings):
    texts = pd.Series(reports, dtype="str")
    return training_texts(texts, mentions_of(texts), labels_of(rows), PROMPTS, TextSettings(**settings)).tolist()


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


def test_reports_that_are_not_read_give_the_present_findings():
    texts = training_texts(
        pd.Series(["Derrame pleural."], dtype="str"), no_mentions(), labels_of([[1, 0, 0]]), PROMPTS, TextSettings()
    )
    assert texts.tolist() == ["pleural effusion [SEP]"]


def test_report_text_of_sentences():
    sentence = Sentence("x", (Entity("pneumonia", "Pneumonia", False, False), Entity("COPD", "COPD", True, False)))
    assert report_text([sentence, Sentence("y", ())]) == "[ENT] pneumonia [ENT] no copd [SEP]"
    assert report_text([]) == ""


def test_what_is_said_of_an_entity_is_written_as_a_word():
    entities = (
        Entity("a", "a", True, False),
        Entity("b", "b", False, True),
        Entity("c", "c", False, False, likely=True),
        Entity("d", "d", False, False, historical=True),
        Entity("e", "e", False, False, asked=True),
        Entity("normal", "lungs are clear", False, False, statement="lungs"),
        Entity("", "heart is normal", False, False, statement="heart"),
        Entity("f", "c", False, False, statement=BESIDES),
    )
    assert report_text([Sentence("x", entities)]) == (
        "[ENT] no a [ENT] possible b [ENT] possible c [ENT] history of d [ENT] lungs are clear [SEP]"
    )


def test_a_report_shared_by_images_is_written_for_each():
    texts = texts_of(["Effusion.", "Pneumonia.", "Effusion.", ""], [[0, 0, 0]] * 4)
    assert texts == ["[ENT] effusion [SEP]", "[ENT] pneumonia [SEP]", "[ENT] effusion [SEP]", ""]


def test_texts_are_those_of_the_sentences_as_read():
    reports = ["FINDINGS: No effusion. Old ribs.\n\nIMPRESSION: COPD, possible pneumonia.", "Big aorta.", "Pneumonia."]
    extractor = EntityExtractor(SYNONYMS)
    expected = []
    for report in reports:
        sections = parse_sections(report)
        expected.append(report_text([one for text in sections.values() for one in extractor.read(text)]))
    assert texts_of(reports, [[0, 0, 0]] * 3) == expected


def test_index_order_and_inputs_are_kept():
    reports = pd.Series(["", "Effusion."], index=[7, 3], dtype="str")
    labels = labels_of([[0, 1, 0], [0, 0, 0]]).assign(source="a", image_id=["x", "y"])
    before = labels.copy()
    texts = training_texts(reports, mentions_of(reports), labels, PROMPTS, TextSettings())
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
    with pytest.raises(SettingsError, match="a report in row 1, where the studies have none"):
        reports = pd.Series(["", ""], dtype="str")
        training_texts(reports, mentions_of(["", "COPD."]), labels_of([[0, 0, 0]] * 2), PROMPTS, TextSettings())
    with pytest.raises(SettingsError, match="1 reports but 2 label rows"):
        texts_of([""], [[0, 0, 0]] * 2)
    with pytest.raises(VocabularyError, match=r"No prompt for the label column\(s\) COPD"):
        label_texts(labels_of([[0, 0, 0]]), {"pleural effusion": "", "pneumonia": ""})
    with pytest.raises(ValidationError, match="findings and impression, each at most once"):
        TextSettings(sections=("findings", "findings"))
    with pytest.raises(ValidationError, match="sections"):
        TextSettings(sections=("history",))


def test_real_open_i_reports(real):
    reports = read_reports_table(real / "open_i")["report"].head(300)
    texts = pd.Series(texts_of(reports, np.zeros((len(reports), 3))))
    assert (texts != "").mean() > 0.97
    assert texts.str.contains("[ENT] no effusion", regex=False).any()
    assert not texts.str.contains("xxxx").any()
