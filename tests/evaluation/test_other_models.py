import hashlib
import logging

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from unichest_kedro.errors import SettingsError, UniChestError
from unichest_kedro.evaluation.other_models import OtherModel, OtherModels, check_other_models, read_predictions
from unichest_kedro.schemas import Scores
from unichest_kedro.vocabulary import Vocabulary

from .conftest import make_leaked_films, make_scores


@pytest.fixture(scope="module")
def vocabulary(project):
    return Vocabulary.from_yaml(project / "conf/base/vocabulary.yml")


@pytest.fixture
def ours():
    """One of our models; the first four films of each source validate."""
    scores = make_scores(models=("Conquer + Divide",))
    validation = scores["image_id"].str[-3:].astype(int) < 4
    return scores.assign(split=np.where(validation, "val", "test"))


@pytest.fixture
def predictions(ours):
    """What another model says of VinDr-CXR, films in another order."""
    part = ours[ours["source"] == "vindr_cxr"].sample(frac=1, random_state=1)
    score = np.round(np.linspace(0, 1, len(part)), 3)
    return pd.DataFrame({"image": part["image_id"], "finding": part["finding"], "score": score})


@pytest.fixture
def read(tmp_path, ours, vocabulary):
    """Write a table as CSV and read it as the predictions of KAD."""

    def reader(table, trained_on=("mimic_cxr",), leaked=None, **options):
        path = tmp_path / "kad.csv"
        path.write_text(table) if isinstance(table, str) else table.to_csv(path, index=False)
        model = OtherModel(predictions=path, trained_on=trained_on, **options)
        leaked = make_leaked_films().iloc[:0] if leaked is None else leaked
        scores = read_predictions("KAD", model, ours, leaked, vocabulary)
        Scores.validate(scores)
        return scores

    return reader


def test_predictions_stand_beside_ours_film_by_film(read, predictions, ours, tmp_path):
    scores = read(predictions)
    of_source = ours[ours["source"] == "vindr_cxr"]
    keys = ["source", "split", "image_id", "patient_id", "finding", "query", "label"]
    expected = of_source.merge(
        predictions.rename(columns={"image": "image_id"}), on=["image_id", "finding"], suffixes=("_ours", "")
    )
    pd.testing.assert_frame_equal(scores[[*keys, "score"]], expected[[*keys, "score"]], check_dtype=False)
    assert set(scores["split"]) == {"val", "test"} and list(scores.columns) == list(ours.columns)
    assert set(scores["model"]) == {"KAD"} and not scores["trained_on"].any()
    digest = hashlib.sha256((tmp_path / "kad.csv").read_bytes()).hexdigest()
    assert set(scores["fingerprint"]) == {digest}


def test_what_it_was_trained_on_marks_sources_and_leaked_films(read, predictions):
    leaked = make_leaked_films()
    scores = read(predictions, trained_on=("vindr_cxr", "mimic_cxr"), leaked=leaked)
    assert scores["trained_on"].all()
    assert set(scores.loc[scores["leaked"], "image_id"]) == {"vindr_cxr_001", "vindr_cxr_003"}
    assert not read(predictions, trained_on=(), leaked=leaked)["leaked"].any()


def test_findings_may_be_named_in_the_benchmarks_words_in_any_case(read, predictions, ours):
    plain = read(predictions)
    ours["query"] = ours["query"].replace({"ILD": "interstitial lung"})
    spelled = predictions.replace({"finding": {"ILD": "Interstitial_Lung", "cardiomegaly": "CARDIOMEGALY"}})
    columns = ["image_id", "finding", "score"]
    pd.testing.assert_frame_equal(read(spelled)[columns], plain[columns])


def test_columns_may_come_in_any_order_and_case_and_beside_others(read, predictions):
    table = predictions.rename(columns=str.upper).assign(Comment="-", Source="vindr_cxr")
    assert len(read(table[["Comment", "SCORE", "IMAGE", "Source", "FINDING"]])) == len(predictions)


def test_what_is_not_asked_is_passed_over_and_counted(read, predictions, caplog):
    more = pd.DataFrame({"image": ["train_1", "vindr_cxr_005"], "finding": ["ILD", "hernia"], "score": [0.1, 0.2]})
    with caplog.at_level(logging.WARNING):
        assert len(read(pd.concat([predictions, more]))) == len(predictions)
    assert "KAD: 2 predictions are of no film and finding that is scored: passed over." in caplog.text


def test_films_of_several_sources_by_one_name_need_the_source(read, predictions, ours):
    ours["image_id"] = ours["image_id"].str[-3:]
    short = predictions.assign(image=predictions["image"].str[-3:])
    with pytest.raises(UniChestError, match=r"40 names are films of several sources.*add a column source"):
        read(short)
    assert len(read(short.assign(source="vindr_cxr"))) == len(predictions)
    with pytest.raises(
        UniChestError, match=r"the column source says 'vindr' \(\d+ rows name no source\). Known sources: "
    ):
        read(short.assign(source="vindr"))


@pytest.mark.parametrize("missing", ["films", "finding"])
def test_missing_predictions_are_an_error_unless_allowed(read, predictions, missing):
    if missing == "films":
        short = predictions[~predictions["image"].isin(["vindr_cxr_007", "vindr_cxr_009"])]
        words = "of the test films of vindr_cxr it lacks scores of 2 of 36 films, for example vindr_cxr_007"
    else:
        short = predictions[predictions["finding"] != "ILD"]
        words = "it lacks the findings ILD"
    with pytest.raises(UniChestError, match=f"{words}.*allow_missing: true"):
        read(short)
    assert len(read(short, allow_missing=True)) == len(short)


def test_a_film_without_all_findings_is_missing(read, predictions):
    short = predictions[(predictions["image"] != "vindr_cxr_007") | (predictions["finding"] != "ILD")]
    with pytest.raises(UniChestError, match="scores of 1 of 36 films"):
        read(short)
    assert "vindr_cxr_007" not in set(read(short, allow_missing=True)["image_id"])


def test_without_validation_films_there_are_none(read, predictions):
    test_only = predictions[~predictions["image"].isin([f"vindr_cxr_00{k}" for k in range(4)])]
    assert set(read(test_only)["split"]) == {"test"}
    others = predictions[predictions["image"].isin([f"vindr_cxr_00{k}" for k in range(4)])]
    with pytest.raises(UniChestError, match="no test film of vindr_cxr is in it"):
        read(others)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename(columns={"score": "probability"}), "there is no column score; needed are image, finding"),
        (lambda t: t.iloc[:0], "the file has no row"),
        (lambda t: t.assign(score=t["score"] * 4 - 2), "scores are no probabilities from 0 to 1, for example '-2.0'"),
        (lambda t: t.assign(score=t["score"].astype(object).where(t["score"] > 0.1, "")), "for example ''"),
        (lambda t: t.assign(score="high"), "for example 'high', 'high', 'high'"),
        (lambda t: pd.concat([t, t.iloc[:3]]), "3 films and findings stand twice, for example vindr_cxr_0"),
        (lambda t: t.replace({"finding": {"ILD": "gout"}}), "1 findings are unknown, for example 'gout'; rename them"),
        (lambda t: t.assign(image="x" + t["image"]), "not one prediction is of a film"),
    ],
)
def test_files_that_are_wrong_say_how(read, predictions, change, message):
    with pytest.raises(UniChestError, match=message) as failure:
        read(change(predictions))
    assert "other_models: KAD: " in str(failure.value)


def test_a_file_that_is_no_table_is_refused(read):
    with pytest.raises(UniChestError, match="cannot be read as a CSV file"):
        read("")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give `predictions` .* or `folder`"),
        ({"predictions": "a.csv", "folder": "b", "trained_on": []}, "one of the two"),
        ({"predictions": "a.csv"}, "`trained_on` is missing"),
        ({"predictions": "a.csv", "trained_on": [], "path": "b"}, "path"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        OtherModels.model_validate({"KAD": settings})


def test_settings_are_checked_before_anything_runs(tmp_path):
    (tmp_path / "kad.csv").write_text("image,finding,score\n")

    def check(title="KAD", **settings):
        check_other_models(OtherModels.model_validate({title: settings}), ["Conquer"], ["mimic_cxr", "open_i"])

    good = {"predictions": tmp_path / "kad.csv", "trained_on": ["mimic_cxr"]}
    check(**good)
    check(folder=tmp_path)
    with pytest.raises(SettingsError, match=r"KAD: .*nowhere\.csv is not there"):
        check(**good | {"predictions": tmp_path / "nowhere.csv"})
    with pytest.raises(SettingsError, match=r"KAD: .* is not there"):
        check(folder=tmp_path / "kad.csv")
    with pytest.raises(SettingsError, match=r"unknown source 'mimic'\. Known sources: mimic_cxr, open_i"):
        check(**good | {"trained_on": ["mimic"]})
    with pytest.raises(SettingsError, match="Conquer: this is the title of one of our models"):
        check("Conquer", **good)
