import numpy as np
import pandas as pd
import pytest

from unichest_kedro.evaluation.benchmarks import Benchmarks
from unichest_kedro.evaluation.thresholds import choose_thresholds
from unichest_kedro.schemas import Thresholds
from unichest_kedro.vocabulary import Vocabulary

from .conftest import make_scores

FINDINGS = {
    "mimic_cxr": ["edema", "fracture"],
    "chexpert": ["edema", "fracture"],
    "open_i": ["edema", "fracture", "hernia"],
}
TRAINED_ON = ("mimic_cxr", "chexpert")


@pytest.fixture(scope="module")
def vocabulary(project):
    return Vocabulary.from_yaml(project / "conf/base/vocabulary.yml")


@pytest.fixture
def scores():
    """Of the two sources trained on the first 20 films validate; Open-I has test films only."""
    table = make_scores(models=("Conquer",), findings=FINDINGS, trained_on=TRAINED_ON)
    number = table["image_id"].str[-3:].astype(int)
    return table.assign(split=np.where((number < 20) & table["trained_on"], "val", "test"))


def settings_of(**more):
    return {
        source: {"title": source, "source": source, "findings": names, **more.get(source, {})}
        for source, names in FINDINGS.items()
    }


def chosen(scores, vocabulary, criterion="youden", **more):
    benchmarks = Benchmarks.model_validate(settings_of(**more)).root
    ids = scores[["source", "image_id"]].drop_duplicates()
    studies = {source: part.assign(view="frontal") for source, part in ids.groupby("source")}
    asked = scores[scores["split"] == "test"].assign(benchmark=scores["source"])
    table = choose_thresholds(scores, asked, benchmarks, studies, vocabulary, criterion)
    Thresholds.validate(table)
    return table.set_index(["benchmark", "finding"])


def slow_best(films, quality):
    """Of the distinct scores the highest that is best."""
    films = films[films["label"] != -1]
    found = []
    for threshold in sorted(set(films["score"]), reverse=True):
        called, present = films["score"] >= threshold, films["label"] == 1
        found.append(
            (quality((called & present).sum(), (called & ~present).sum(), present.sum(), len(films)), threshold)
        )
    best = max(value for value, _ in found)
    return next(threshold for value, threshold in found if value >= best - 1e-12)


def youden(tp, fp, present, films):
    return tp / present - fp / (films - present)


def f1(tp, fp, present, films):
    return 2 * tp / (tp + fp + present)


@pytest.mark.parametrize(("criterion", "quality"), [("youden", youden), ("f1", f1)])
def test_thresholds_come_from_the_benchmarks_own_validation_films(scores, vocabulary, criterion, quality):
    table = chosen(scores, vocabulary, criterion)
    for source in TRAINED_ON:
        for finding in FINDINGS[source]:
            films = scores[(scores["source"] == source) & (scores["split"] == "val") & (scores["finding"] == finding)]
            row = table.loc[(source, finding)]
            assert row["threshold"] == slow_best(films, quality)
            assert (row["threshold_from"], row["criterion"]) == (f"validation of {source}", criterion)
            assert (row["positives"], row["negatives"]) == ((films["label"] == 1).sum(), (films["label"] == 0).sum())


def test_test_films_change_no_threshold(scores, vocabulary):
    before = chosen(scores, vocabulary)
    test = scores["split"] == "test"
    turned = scores.assign(
        score=scores["score"].where(~test, 1 - scores["score"]), label=scores["label"].where(~test, 1)
    )
    pd.testing.assert_frame_equal(before, chosen(turned, vocabulary))


def test_without_validation_films_they_come_from_all_training_sources_together(scores, vocabulary):
    row = chosen(scores, vocabulary).loc[("open_i", "edema")]
    films = scores[(scores["split"] == "val") & (scores["finding"] == "edema")]
    assert row["threshold"] == slow_best(films, youden)
    assert row["threshold_from"] == "validation of mimic_cxr, chexpert (training sources)"
    assert row["positives"] == (films["label"] == 1).sum()


def test_sources_that_the_model_was_not_trained_on_give_none(scores, vocabulary):
    table = chosen(scores.assign(trained_on=scores["source"] == "chexpert"), vocabulary)
    assert table.loc[("open_i", "edema"), "threshold_from"] == "validation of chexpert (training sources)"
    assert table.loc[("mimic_cxr", "edema"), "threshold_from"] == "validation of mimic_cxr"


def test_a_finding_that_validation_knows_nothing_of_has_no_threshold(scores, vocabulary):
    table = chosen(scores, vocabulary)
    row = table.loc[("open_i", "hernia")]
    assert np.isnan(row["threshold"]) and row["threshold_from"].startswith("nowhere")
    assert (row["positives"], row["negatives"]) == (0, 0)
    one_class = scores.assign(label=scores["label"].where((scores["split"] == "test") | (scores["label"] != 1), 0))
    one_class = chosen(one_class, vocabulary)
    assert one_class["threshold"].isna().all()
    row = one_class.loc[("mimic_cxr", "edema")]
    assert row["negatives"] > 0 and "do not both have it and lack it" in row["threshold_from"]


def test_a_class_that_its_own_validation_lacks_comes_from_the_training_sources(scores, vocabulary):
    lacking = (scores["source"] == "chexpert") & (scores["split"] == "val") & (scores["finding"] == "edema")
    scores["label"] = scores["label"].where(~lacking | (scores["label"] != 1), 0)
    row = chosen(scores, vocabulary).loc[("chexpert", "edema")]
    assert row["threshold_from"] == "validation of mimic_cxr, chexpert (training sources)"


def test_a_benchmark_that_judges_validation_films_takes_its_thresholds_elsewhere(scores, vocabulary):
    table = chosen(scores, vocabulary, chexpert={"split": "val"})
    assert table.loc[("chexpert", "edema"), "threshold_from"] == "validation of mimic_cxr (training sources)"


def test_the_label_policy_holds_for_validation_films_too(scores, vocabulary):
    films = scores[(scores["source"] == "chexpert") & (scores["split"] == "val") & (scores["finding"] == "edema")]
    assert (films["label"] == -1).any()
    row = chosen(scores, vocabulary, chexpert={"unknown": "absent"}).loc[("chexpert", "edema")]
    assert row["negatives"] == (films["label"] != 1).sum()
