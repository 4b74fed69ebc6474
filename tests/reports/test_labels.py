import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from unichest_kedro.errors import SettingsError
from unichest_kedro.reports.entities import EntityExtractor
from unichest_kedro.reports.labels import label_report, label_reports, labels_of_mentions
from unichest_kedro.reports.mentions import distinct_reports, no_mentions, read_mentions, report_rows
from unichest_kedro.reports.rules import load_rules
from unichest_kedro.reports.sections import parse_sections
from unichest_kedro.reports.settings import LabelSettings, ReportSettings
from unichest_kedro.schemas import Mentions

REPORTS = [
    "FINDINGS: The heart is enlarged. Possible small effusion.\n\nIMPRESSION: Cardiomegaly. No pneumonia.",
    "INDICATION: Effusion?\n\nFINDINGS: Lungs are clear. No effusion.\n\nIMPRESSION: No acute cardiopulmonary disease.",
    "",
    "Left rib fracture. Pulmonary fibrosis. Left lower lobe infiltrate versus atelectasis.",
    "FINDINGS: Right effusion.\n\nIMPRESSION: No effusion.",
    "Normal chest.",
    "History of pneumonia. Recommend CT to exclude a nodule.",
]


def said(vocabulary, text, **settings):
    return label_report(text, vocabulary, LabelSettings(**settings))


def test_labels_of_one_report(vocabulary):
    labels = said(vocabulary, REPORTS[0])
    assert labels["cardiomegaly"] == 1
    assert labels["pleural effusion"] == -1
    assert labels["pneumonia"] == 0
    assert "mass" not in labels


def test_one_row_per_text_and_one_column_per_finding(vocabulary):
    texts = pd.Series(REPORTS, index=list("abcdefg"))
    labels = label_reports(texts, vocabulary, progress=False)
    assert labels.index.tolist() == list("abcdefg")
    assert tuple(labels.columns) == vocabulary.findings
    assert (labels.dtypes == "float32").all()
    assert labels.loc["c"].isna().all()
    from_generator = label_reports(iter(REPORTS), vocabulary, progress=False)
    pd.testing.assert_frame_equal(from_generator, labels.reset_index(drop=True))
    assert label_reports([], vocabulary, progress=False).shape == (0, len(vocabulary.findings))
    assert label_reports(["", ""], vocabulary, progress=False).isna().all(axis=None)


def test_normal_parts_deny_what_would_show_in_them(vocabulary):
    labels = said(vocabulary, "The lungs are clear.")
    assert {labels[name] for name in ("consolidation", "pneumonia", "nodule", "atelectasis")} == {0}
    assert "cardiomegaly" not in labels
    assert "normal" not in labels
    assert said(vocabulary, "Lungs are clear. Left lower lobe atelectasis.")["atelectasis"] == 1
    assert said(vocabulary, "Heart size is at the upper limits of normal.") == {"cardiomegaly": 0}


def test_only_films_without_disease_are_normal(vocabulary):
    assert said(vocabulary, "Normal chest.")["normal"] == 1
    assert said(vocabulary, "No acute cardiopulmonary disease.")["No Finding"] == 1
    ill = said(vocabulary, "Mass in the left lung. No acute cardiopulmonary disease.")
    assert ill["No Finding"] == 0
    doubtful = said(vocabulary, "Possible mass. No acute cardiopulmonary disease.")
    assert doubtful["No Finding"] == 0
    with_line = said(vocabulary, "PICC line in place. No acute cardiopulmonary disease.")
    assert with_line["No Finding"] == 1


def test_what_is_past_or_asked_for_is_not_mentioned(vocabulary):
    assert said(vocabulary, REPORTS[6]) == {}


def test_the_indication_is_not_read(vocabulary):
    assert said(vocabulary, "INDICATION: Pneumothorax.\n\nFINDINGS: Mass.\n\nIMPRESSION: Mass.")["mass"] == 1
    assert "pneumothorax" not in said(vocabulary, "INDICATION: Pneumothorax.\n\nFINDINGS: Mass.")


def test_a_finding_states_what_it_implies(vocabulary):
    labels = said(vocabulary, REPORTS[3])
    assert labels["fracture"] == labels["Rib fracture"] == 1
    assert labels["fibrosis"] == labels["Pulmonary fibrosis"] == 1
    assert "fracture" not in said(vocabulary, "No clavicle fracture.")


def test_likely_readings_are_a_setting(vocabulary):
    assert said(vocabulary, REPORTS[3])["atelectasis"] == 1
    assert said(vocabulary, REPORTS[3], likely="uncertain")["atelectasis"] == -1
    assert said(vocabulary, "Probable mass. Mass.", likely="uncertain")["mass"] == 1


def test_what_counts_in_a_contradiction_is_a_setting(vocabulary):
    assert said(vocabulary, REPORTS[4])["pleural effusion"] == 1
    assert said(vocabulary, REPORTS[4], contradiction="impression")["pleural effusion"] == 0
    assert said(vocabulary, "FINDINGS: Mass.\n\nIMPRESSION: Scar.", contradiction="impression")["mass"] == 1


def test_what_may_be_seen_on_a_normal_film_leaves_it_normal(vocabulary):
    assert said(vocabulary, "Normal chest. Calcified granuloma. Old scar.")["normal"] == 1
    assert said(vocabulary, "No acute cardiopulmonary disease. Pacemaker.")["No Finding"] == 1
    assert said(vocabulary, "Normal chest. Small nodule.")["normal"] == 0
    assert "normal" not in said(vocabulary, "Calcified granuloma.")


def test_wrong_settings_are_named():
    with pytest.raises(ValidationError, match="likely"):
        LabelSettings(likely="maybe")
    with pytest.raises(ValidationError, match="spanish"):
        ReportSettings(spanish=["padchest"])


def test_a_report_that_is_no_text_is_named(vocabulary):
    with pytest.raises(SettingsError, match="Report 2 is nan, not text"):
        label_reports(["Mass.", float("nan")], vocabulary, progress=False)


def test_which_sources_are_read():
    settings = ReportSettings(english=("mimic_cxr",))
    assert settings.reads("mimic_cxr")
    assert not settings.reads("open_i")
    assert settings.reads("own_hospital")


def slow_labels(report, vocabulary, settings):
    """What a report says, mention by mention, with a dictionary."""
    rules, levels = load_rules(), {}
    extractor = EntityExtractor(vocabulary.synonyms)
    sections = parse_sections(report)
    for section in ("findings", "impression"):
        for sentence in extractor.read(sections.get(section, "")):
            for entity in sentence.entities:
                marks = []
                rule = rules.normality.get(entity.statement)
                partial = rule is not None and rule.states is None
                if entity.finding and not partial and not entity.historical and not entity.asked:
                    doubtful = entity.uncertain or (entity.likely and settings.likely == "uncertain")
                    marks.append((entity.finding, 1 if entity.negated else 2 if doubtful else 3))
                if rule is not None:
                    marks += [(name, 1) for name in rule.denies]
                for name, level in marks:
                    levels[name] = max(levels.get(name, 0), level)
    for name in [name for name, level in levels.items() if level == 3]:
        for other in vocabulary.relations().implies[name]:
            if other not in vocabulary.normal_findings:
                levels[other] = 3
    for normal in vocabulary.normal_findings:
        against = [name for name, excluded in vocabulary.relations().excludes.items() if normal in excluded]
        if any(levels.get(name, 0) >= 2 for name in against):
            levels[normal] = 1
    return {name: {1: 0.0, 2: -1.0, 3: 1.0}[level] for name, level in levels.items()}


@pytest.mark.parametrize("likely", ["present", "uncertain"])
def test_labels_agree_with_a_slow_loop(vocabulary, likely):
    settings = LabelSettings(likely=likely)
    labels = label_reports(REPORTS, vocabulary, settings, progress=False)
    for row, report in enumerate(REPORTS):
        assert labels.iloc[row].dropna().to_dict() == slow_labels(report, vocabulary, settings), report


def test_mentions_are_kept_once_per_distinct_report(vocabulary):
    reports = pd.Series(["Mass.", " ", "No edema.", "Mass.", ""], index=[9, 8, 7, 6, 5], dtype="str")
    distinct = distinct_reports(reports)
    assert distinct.to_dict() == {0: "Mass.", 2: "No edema."}
    assert report_rows(reports).tolist() == [0, -1, 2, 0, -1]
    mentions = read_mentions(distinct.items(), vocabulary.synonyms, progress=False)
    Mentions.validate(mentions)
    assert mentions["report_row"].tolist() == [0, 2]
    labels = labels_of_mentions(mentions, report_rows(reports), vocabulary)
    assert labels["mass"].tolist()[0] == labels["mass"].tolist()[3] == 1
    assert labels["edema"].tolist()[2] == 0
    assert labels.iloc[[1, 4]].isna().all(axis=None)


def test_mentions_keep_every_sentence_and_its_section(vocabulary):
    report = "FINDINGS: Big aorta. Mass and no edema.\n\nIMPRESSION: Mass."
    mentions = read_mentions([(5, report)], vocabulary.synonyms, progress=False)
    rows = mentions[["sentence", "section", "sentence_text", "finding", "words", "negated"]].astype("object")
    assert rows.to_numpy().tolist() == [
        [0, "findings", "Big aorta.", "", "", False],
        [1, "findings", "Mass and no edema.", "mass", "Mass", False],
        [1, "findings", "Mass and no edema.", "edema", "edema", True],
        [2, "impression", "Mass.", "mass", "Mass", False],
    ]
    assert (mentions["report_row"] == 5).all()


def test_a_report_that_says_nothing_has_no_labels(vocabulary):
    mentions = read_mentions([(0, "INDICATION: Mass.")], vocabulary.synonyms, progress=False)
    assert labels_of_mentions(mentions, np.array([0, -1]), vocabulary).isna().all(axis=None)
    Mentions.validate(no_mentions())
    assert labels_of_mentions(no_mentions(), np.array([-1, -1]), vocabulary).isna().all(axis=None)


def test_mentions_survive_a_parquet_file(vocabulary, tmp_path):
    mentions = read_mentions(enumerate(REPORTS), vocabulary.synonyms, progress=False)
    mentions.to_parquet(tmp_path / "mentions.parquet")
    again = Mentions.validate(pd.read_parquet(tmp_path / "mentions.parquet"))
    rows = np.arange(len(REPORTS))
    pd.testing.assert_frame_equal(
        labels_of_mentions(again, rows, vocabulary), labels_of_mentions(mentions, rows, vocabulary)
    )
