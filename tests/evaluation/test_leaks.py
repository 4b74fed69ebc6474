import pandas as pd
import pytest

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.leaks import count_test_films, is_leaked, without_leaked, without_tested

from .conftest import make_leakage_pairs, make_leaked_films


@pytest.fixture
def marked(scores):
    """Scores in which three films of MIMIC-CXR were trained on."""
    return scores.assign(leaked=scores["image_id"].isin(["mimic_cxr_000", "mimic_cxr_001", "mimic_cxr_007"]))


@pytest.mark.parametrize(
    ("trained_on", "expected"),
    [
        (["mimic_cxr"], ["vindr_cxr_001", "vindr_cxr_003"]),
        (["vindr_cxr"], ["mimic_cxr_002", "vindr_cxr_003"]),
        (["chexpert"], []),
        ([], []),
    ],
)
def test_a_film_is_leaked_for_models_trained_where_it_was_seen(scores, trained_on, expected):
    films = scores.drop_duplicates(["source", "image_id"])
    leaked = is_leaked(films, make_leaked_films(), trained_on)
    assert sorted(films["image_id"][leaked]) == expected


def test_the_same_id_in_another_source_is_another_film():
    films = pd.DataFrame({"source": ["a", "b"], "image_id": ["x", "x"]})
    seen = pd.DataFrame([("b", "x", "test", "a", "?")], columns=["source", "image_id", "split", "seen_in", "reason"])
    assert is_leaked(films, seen, ["a"]).tolist() == [False, True]


def test_leaked_films_are_left_out_or_kept(marked):
    kept = without_leaked(marked, leave_out_leaked=True)
    assert len(kept) == len(marked) - 3 * 3 * 3
    assert not kept["leaked"].any() and kept.index.tolist() == list(range(len(kept)))
    pd.testing.assert_frame_equal(without_leaked(marked, leave_out_leaked=False), marked)


def test_nothing_left_to_judge_is_an_error(scores):
    with pytest.raises(UniChestError, match=r"all 80 scored films are in the training data .*leave_out_leaked"):
        without_leaked(scores.assign(leaked=True), leave_out_leaked=True)
    assert len(without_leaked(scores.assign(leaked=True), leave_out_leaked=False)) == len(scores)


def test_test_films_are_counted_by_source(marked):
    table = count_test_films(marked[marked["model"] == "Conquer"])
    assert table.to_numpy().tolist() == [["mimic_cxr", True, 40, 3], ["vindr_cxr", True, 40, 0]]


def test_a_film_that_only_another_model_was_trained_on_is_counted_since_it_is_left_out_for_all(scores):
    of_conquer = (scores["model"] == "Conquer") & (scores["image_id"] == "mimic_cxr_003")
    marked = scores.assign(leaked=of_conquer, trained_on=scores["trained_on"] | (scores["model"] == "Conquer"))
    table = count_test_films(marked)
    assert table.to_numpy().tolist() == [["mimic_cxr", True, 40, 1], ["vindr_cxr", True, 40, 0]]
    assert without_leaked(marked, leave_out_leaked=True)["image_id"].nunique() == 80 - 1


def test_validation_films_that_are_test_films_as_well_are_left_out_and_said(scores, caplog):
    """A film of MIMIC-CXR's validation that VinDr-CXR tests on; the same two names as test films are none."""
    scores["split"] = scores["split"].mask(scores["source"] == "mimic_cxr", "val")
    pairs = make_leakage_pairs().iloc[[0, 0]]
    pairs = pairs.assign(image_a=["mimic_cxr_001", "mimic_cxr_002"], image_b="vindr_cxr_001", split_a=["val", "train"])
    with caplog.at_level("INFO"):
        kept = without_tested(scores, pairs)
    gone = scores[~scores["image_id"].isin(kept["image_id"])]
    assert gone["image_id"].unique().tolist() == ["mimic_cxr_001"]
    assert len(kept) == len(scores) - len(gone) and kept.index.tolist() == list(range(len(kept)))
    assert "1 validation film" in caplog.text and "mimic_cxr" in caplog.text
    pd.testing.assert_frame_equal(without_tested(scores, pairs.iloc[:0]), scores)
