import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import precision_recall_fscore_support

from unichest_kedro.errors import SourceError, VocabularyError
from unichest_kedro.reports.page import render_page
from unichest_kedro.reports.scoring import (
    MICRO,
    Comparison,
    ScoreSettings,
    compare,
    expected_labels,
    list_disagreements,
    score,
)
from unichest_kedro.reports.settings import LabelSettings
from unichest_kedro.schemas import ExtractorDisagreements, ExtractorScores
from unichest_kedro.sources import open_i

FINDINGS = ("mass", "nodule", "edema")
SETTINGS = ScoreSettings(findings=FINDINGS, resamples=300, disagreements=50)


def comparison_of(expected, found):
    return Comparison(
        pd.DataFrame({"report_id": [f"r{number}" for number in range(len(expected))], "report": "", "terms": ""}),
        pd.DataFrame(np.asarray(expected, bool), columns=list(FINDINGS)),
        pd.DataFrame(np.asarray(found, "float32"), columns=list(FINDINGS)),
        pd.DataFrame(),
        0,
    )


def small(vocabulary, **settings):
    reports = pd.DataFrame(
        {
            "report_id": ["CXR1", "CXR2", "CXR3", "CXR4", "CXR5"],
            "report": ["Mass.", "No mass. Possible edema.", "Likely nodule.", "Clear lungs.", "Mass."],
            "majors": [
                ("Mass/lung",),
                ("Mass/lung", "Pulmonary Edema"),
                ("normal",),
                ("Nodule/lung",),
                ("No Indexing",),
            ],
        }
    )
    indexed = [open_i.Report(row.report_id, {}, row.majors, ()) for row in reports.itertuples()]
    native = open_i.label_terms(indexed, open_i.load_mesh_labels()).reset_index(drop=True)
    return compare(reports, native, vocabulary, LabelSettings(), SETTINGS.model_copy(update=settings))


def test_rates_agree_with_scikit_learn():
    rng = np.random.default_rng(1)
    expected = rng.random((200, 3)) < 0.3
    found = np.where(rng.random((200, 3)) < 0.8, expected, ~expected)
    labels = np.where(found, 1.0, rng.choice([0.0, -1.0, np.nan], size=(200, 3)))
    table = ExtractorScores.validate(score(comparison_of(expected, labels), SETTINGS, seed=0)).set_index("finding")
    each = precision_recall_fscore_support(expected, found, average=None)
    micro = precision_recall_fscore_support(expected, found, average="micro")
    for number, name in enumerate(("precision", "recall", "f1")):
        np.testing.assert_allclose(table.loc[list(FINDINGS), name], each[number])
        np.testing.assert_allclose(table.loc[MICRO, name], micro[number])
    assert (table["agreed"] + table["missed"] == table["expected"]).all()
    assert (table["agreed"] + table["invented"] == table["found"]).all()
    assert table.loc[MICRO, "uncertain"] == (labels == -1).sum()


def test_intervals_agree_with_a_slow_bootstrap():
    rng = np.random.default_rng(2)
    expected = rng.random((150, 3)) < 0.4
    found = np.where(rng.random((150, 3)) < 0.85, expected, ~expected)
    table = score(comparison_of(expected, found), ScoreSettings(findings=FINDINGS, resamples=2000), seed=0)
    slow = []
    for _ in range(2000):
        drawn = rng.integers(150, size=150)
        slow.append(precision_recall_fscore_support(expected[drawn], found[drawn], average="micro")[2])
    low, high = np.percentile(slow, [2.5, 97.5])
    assert table.iloc[-1]["f1_low"] == pytest.approx(low, abs=0.01)
    assert table.iloc[-1]["f1_high"] == pytest.approx(high, abs=0.01)


def test_scores_are_repeatable_and_depend_on_nothing_else():
    expected, found = [[1, 0, 0], [0, 1, 0]] * 10, [[1, 0, 1], [0, 0, -1]] * 10
    first, again = (score(comparison_of(expected, found), SETTINGS, seed=5) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)


def test_a_finding_that_never_occurs_has_no_rates():
    table = score(comparison_of([[1, 0, 0]] * 4, [[1, np.nan, 0]] * 4), SETTINGS, seed=0).set_index("finding")
    ExtractorScores.validate(table.reset_index())
    assert table.loc["nodule", ["precision", "recall", "f1", "f1_low", "f1_high"]].isna().all()
    assert table.loc["mass", "f1"] == table.loc["mass", "f1_low"] == 1


def test_comparison_reads_reports_and_headings(vocabulary):
    comparison = small(vocabulary)
    assert comparison.unindexed == 1
    assert comparison.reports["report_id"].tolist() == ["CXR1", "CXR2", "CXR3", "CXR4"]
    assert comparison.expected["mass"].tolist() == [True, True, False, False]
    assert comparison.expected["edema"].tolist() == [False, True, False, False]
    assert comparison.found["mass"].tolist()[:2] == [1, 0]
    assert comparison.found["edema"].tolist()[1] == -1
    assert comparison.found["nodule"].tolist()[2:] == [1, 0]


def test_the_plainest_disagreements_come_first(vocabulary):
    table = ExtractorDisagreements.validate(list_disagreements(small(vocabulary), SETTINGS))
    rows = table[["report_id", "finding", "kind", "said", "sentences"]].to_numpy().tolist()
    assert rows[0] == ["CXR2", "mass", "missed", "denied", "No mass."]
    assert ["CXR3", "nodule", "invented", "called likely, or one of several", "Likely nodule."] in rows
    assert ["CXR2", "edema", "missed", "left open", "Possible edema."] in rows
    assert len(rows) == 4
    assert len(list_disagreements(small(vocabulary), SETTINGS.model_copy(update={"disagreements": 1}))) == 1


def test_the_page_shows_scores_and_sentences(vocabulary):
    comparison = small(vocabulary)
    scores, disagreements = score(comparison, SETTINGS, 0), list_disagreements(comparison, SETTINGS)
    page = render_page(scores, disagreements.assign(sentences="<b>No mass.</b>"))
    assert "all findings (micro)" in page
    assert "&lt;b&gt;No mass.&lt;/b&gt;" in page
    assert page.count("<article>") == len(disagreements)
    assert "CXR2" in page


def test_no_disagreement_is_an_empty_table(vocabulary):
    comparison = small(vocabulary)
    agreed = comparison._replace(found=comparison.expected.astype("float32"))
    table = ExtractorDisagreements.validate(list_disagreements(agreed, SETTINGS))
    assert table.empty


def test_mistakes_are_named(vocabulary):
    native = pd.DataFrame({"Mass": [1.0]})
    with pytest.raises(VocabularyError, match="'masss' is no finding"):
        expected_labels(native, vocabulary, ["masss"])
    with pytest.raises(VocabularyError, match="no native label of open_i states 'tip'"):
        expected_labels(native, vocabulary, ["tip"])
    reports = pd.DataFrame({"report_id": ["a"], "report": ["Mass."], "majors": [()]})
    with pytest.raises(SourceError, match="none of 1 reports has a MeSH heading"):
        compare(reports, pd.DataFrame({"Mass": [np.nan]}), vocabulary, LabelSettings(), SETTINGS)
    with pytest.raises(ValidationError, match="resamples"):
        ScoreSettings(resamples=0)


def test_real_reports_reach_the_goal(real, vocabulary):
    """Micro F1 over the thirteen findings is at least 0.90."""
    table = open_i.read_reports_table(real / "open_i")
    indexed = [open_i.Report(row.report_id, {}, row.majors, row.images) for row in table.itertuples()]
    native = open_i.label_terms(indexed, open_i.load_mesh_labels()).reset_index(drop=True)
    settings = ScoreSettings(resamples=50)
    scores = score(compare(table, native, vocabulary, LabelSettings(), settings), settings, seed=0)
    assert scores.iloc[-1]["f1"] >= 0.90
    assert scores.iloc[-1]["reports"] == native.notna().any(axis=1).sum()
