"""RadGraph's annotations become training texts; whatever cannot be read is named."""

import json

import pandas as pd
import pytest

from unichest_kedro.errors import SettingsError
from unichest_kedro.reports.radgraph import RadGraph, read_radgraph, study_key

TEXT = (
    "FINAL REPORT FINDINGS : There is a small left pleural effusion . No focal consolidation or pneumothorax . "
    "IMPRESSION : Possible early pneumonia at the right lung base ."
)


def entity(tokens, label, start, *relations):
    last = start + len(tokens.split()) - 1
    return {"tokens": tokens, "label": label, "start_ix": start, "end_ix": last, "relations": list(relations)}


def entities():
    """Annotation of `TEXT`, the ids in no particular order."""
    words = TEXT.split()
    place = {word: number for number, word in enumerate(words)}
    return {
        "3": entity("effusion", "OBS-DP", place["effusion"], ["located_at", "2"]),
        "1": entity("left", "ANAT-DP", place["left"], ["modify", "2"]),
        "2": entity("pleural", "ANAT-DP", place["pleural"]),
        "4": entity("small", "OBS-DP", place["small"], ["modify", "3"]),
        "5": entity("focal", "OBS-DA", place["focal"], ["modify", "6"]),
        "6": entity("consolidation", "OBS-DA", place["consolidation"]),
        "7": entity("pneumothorax", "OBS-DA", place["pneumothorax"]),
        "8": entity("early", "OBS-U", place["early"], ["modify", "9"]),
        "9": entity("pneumonia", "OBS-U", place["pneumonia"], ["located_at", "12"], ["suggestive_of", "3"]),
        "10": entity("right", "ANAT-DP", place["right"], ["modify", "12"]),
        "11": entity("lung", "ANAT-DP", place["lung"], ["modify", "12"]),
        "12": entity("base", "ANAT-DP", place["base"]),
    }


WRITTEN = (
    "[ENT] small left pleural effusion [SEP] [ENT] no focal consolidation [ENT] no pneumothorax [SEP] "
    "[ENT] possible early pneumonia right lung base [SEP]"
)


def write(folder, content):
    path = folder / "graphs.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def texts_of(folder, content):
    return dict(read_radgraph(write(folder, content)).texts)


def one(folder, found, text=TEXT):
    return texts_of(folder, {"a": {"text": text, "entities": found}})["a"]


def test_the_released_form(tmp_path):
    content = {
        "p10/p10000032/s50414267.txt": {"text": TEXT, "entities": entities(), "data_split": "train"},
        "p10/p10000032/s50414268.txt": {"text": "Clear .", "entities": {}},
    }
    assert texts_of(tmp_path, content) == {"50414267": WRITTEN, "50414268": ""}


def test_two_labelers_the_first_is_read(tmp_path):
    report = {"text": TEXT, "labeler_1": {"entities": entities()}, "labeler_2": {"entities": {}}}
    assert texts_of(tmp_path, {"s7.txt": report}) == {"7": WRITTEN}


def dygie(kind):
    marked = entities()
    ends = {key: (found["start_ix"], found["end_ix"]) for key, found in marked.items()}
    return {
        "doc_key": "s50414267.txt",
        "sentences": [TEXT.split()],
        f"{kind}ner": [[[*ends[key], found["label"], 9.1, 0.99] for key, found in marked.items()]],
        f"{kind}relations": [
            [[*ends[key], *ends[other], name] for key, found in marked.items() for name, other in found["relations"]]
        ],
    }


@pytest.mark.parametrize("kind", ["", "predicted_"])
def test_what_dygie_writes(tmp_path, kind):
    other = dygie(kind) | {"doc_key": "s2.txt"}
    expected = {"50414267": WRITTEN, "2": WRITTEN}
    assert texts_of(tmp_path, [dygie(kind), other]) == expected
    assert texts_of(tmp_path, f"{json.dumps(dygie(kind))}\n{json.dumps(other)}\n") == expected
    assert texts_of(tmp_path, json.dumps(dygie(kind))) == {"50414267": WRITTEN}


def test_labels_of_radgraph_xl(tmp_path):
    found = {
        "1": entity("effusion", "Observation::definitely absent", 1, ["located_at", "2"]),
        "2": entity("pleural", "Anatomy::definitely present", 0),
    }
    assert one(tmp_path, found, "pleural effusion") == "[ENT] no pleural effusion [SEP]"


def test_a_modifier_of_another_status_stands_for_itself(tmp_path):
    found = {
        "1": entity("effusion", "OBS-DP", 0),
        "2": entity("increased", "OBS-DA", 3, ["modify", "1"]),
    }
    assert one(tmp_path, found, "effusion is not increased .") == "[ENT] effusion [ENT] no increased [SEP]"


def test_anatomy_alone_says_nothing(tmp_path):
    assert one(tmp_path, {"1": entity("heart", "ANAT-DP", 0)}, "heart") == ""


def test_anatomy_shared_by_two_observations_joins_both_and_brings_in_neither(tmp_path):
    found = {
        "1": entity("lungs", "ANAT-DP", 0),
        "2": entity("clear", "OBS-DP", 2, ["located_at", "1"]),
        "3": entity("inflated", "OBS-DP", 4, ["modify", "1"], ["located_at", "99"]),
    }
    assert one(tmp_path, found, "lungs are clear and inflated") == "[ENT] lungs clear [ENT] lungs inflated [SEP]"


def test_a_circle_of_modifiers_is_one_phrase(tmp_path):
    found = {
        "1": entity("patchy", "OBS-DP", 0, ["modify", "2"]),
        "2": entity("opacity", "OBS-DP", 1, ["modify", "1"]),
    }
    assert one(tmp_path, found, "patchy opacity") == "[ENT] patchy opacity [SEP]"


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ({"text": "a", "entities": {"1": entity("a", "OBS-XX", 0)}}, r"label 'OBS-XX'; allowed are OBS-DP"),
        (
            {"text": "a", "entities": {"1": entity("a", "OBS-DP", 0) | {"start_ix": "0"}}},
            "without words, place or relations",
        ),
        ({"text": "a", "entities": {"1": entity("a", "OBS-DP", 0, ["modify"])}}, r"relations \[\['modify'\]\]"),
        ({"text": "a", "entities": {"1": {"tokens": "a"}}}, "an entity is"),
        ({"text": "a"}, "no text or no entities"),
        ({"entities": {}}, "no text or no entities"),
        ("x", "no text or no entities"),
        (None, "no text or no entities"),
    ],
)
def test_a_report_that_cannot_be_read_is_named_and_the_rest_is_kept(tmp_path, report, reason):
    content = {"s1.txt": report, "s2.txt": {"text": TEXT, "entities": entities()}}
    graph = read_radgraph(write(tmp_path, content))
    assert graph.texts["2"] == WRITTEN
    assert list(graph.texts) == ["2"]
    assert pd.Series(dict(graph.unusable)).str.contains(reason).tolist() == [True]


def test_a_dygie_document_that_cannot_be_read_is_named(tmp_path):
    bad = dygie("") | {"ner": [[[0, 0, "OBS-XX"]]]}
    graph = read_radgraph(write(tmp_path, [bad]))
    assert "KeyError: 'OBS-XX'" in graph.unusable["50414267"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{not json", r"is not JSON .*Check `radgraph`"),
        ([{"text": "a"}], "an entry that has no `doc_key`"),
        ("3", "an entry that has no `doc_key`"),
        (
            {"p10/s1.txt": {"text": "", "entities": {}}, "s1": {"text": "", "entities": {}}},
            "the study '1' is there twice",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, content, words):
    with pytest.raises(SettingsError, match=words):
        read_radgraph(write(tmp_path, content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"gone\.json cannot be read .*Check `radgraph`"):
        read_radgraph(tmp_path / "gone.json")


def test_studies_are_looked_up_by_their_id_however_it_is_written(caplog):
    assert {study_key(key) for key in ("p10/p10000032/s50414267.txt", "s50414267", " 50414267")} == {"50414267"}
    assert study_key("patient00001/study1") == "patient00001/study1"
    graph = RadGraph({"1": "[ENT] a [SEP]", "2": ""}, {"3": "label 'X'"})
    studies = pd.Series(["2", "s1", "9", "1", "3"], index=[4, 5, 6, 7, 8])
    caplog.set_level("INFO")
    assert graph.texts_of(studies).to_dict() == {4: "", 5: "[ENT] a [SEP]", 6: "", 7: "[ENT] a [SEP]", 8: ""}
    counted = (
        "2 of 5 studies are written from its annotations; 1 are not in its file, 1 have no observation there, 1 cannot"
    )
    assert counted in caplog.text
    assert "(e.g. 3: label 'X')" in caplog.text


def test_a_file_without_any_of_the_studies_is_a_warning(caplog):
    assert RadGraph({"1": "[ENT] a [SEP]"}).texts_of(pd.Series(["7"])).tolist() == [""]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
