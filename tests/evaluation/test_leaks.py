import pandas as pd
import pytest

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.leaks import count_test_films, is_leaked, judged

from .conftest import make_leaked_films


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
    kept = judged(marked, leave_out_leaked=True)
    assert len(kept) == len(marked) - 3 * 3 * 3
    assert not kept["leaked"].any() and kept.index.tolist() == list(range(len(kept)))
    pd.testing.assert_frame_equal(judged(marked, leave_out_leaked=False), marked)


def test_nothing_left_to_judge_is_an_error(scores):
    with pytest.raises(UniChestError, match=r"all 80 scored films are in the training data .*leave_out_leaked"):
        judged(scores.assign(leaked=True), leave_out_leaked=True)
    assert len(judged(scores.assign(leaked=True), leave_out_leaked=False)) == len(scores)


def test_test_films_are_counted_by_source(marked):
    table = count_test_films(marked[marked["model"] == "Conquer"])
    assert table.to_numpy().tolist() == [["mimic_cxr", True, 40, 3], ["vindr_cxr", True, 40, 0]]
