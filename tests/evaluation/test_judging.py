import numpy as np
import pandas as pd
import pytest

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.benchmarks import Benchmarks
from unichest_kedro.evaluation.judging import benchmark_table, judge
from unichest_kedro.evaluation.other_models import OtherModels
from unichest_kedro.schemas import BenchmarkTable
from unichest_kedro.vocabulary import Vocabulary

from .conftest import FINDINGS

BENCHMARKS = Benchmarks.model_validate(
    {
        "mimic_cxr": {"title": "MIMIC-CXR", "source": "mimic_cxr", "findings": FINDINGS["mimic_cxr"]},
        "vindr_cxr": {
            "title": "VinDr-CXR",
            "source": "vindr_cxr",
            "findings": FINDINGS["vindr_cxr"],
            "views": ["frontal"],
            "unknown": "absent",
        },
    }
).root
NO_OTHERS = OtherModels({})


@pytest.fixture(scope="module")
def vocabulary(project):
    return Vocabulary.from_yaml(project / "conf/base/vocabulary.yml")


def studies_of(scores, origin="official"):
    films = scores.drop_duplicates(["source", "image_id"]).assign(view="frontal", split_origin=origin)
    return {source: part.reset_index(drop=True) for source, part in films.groupby("source")}


def judged(scores, vocabulary, benchmarks=BENCHMARKS, others=NO_OTHERS, leave_out=True, origin="official"):
    studies = studies_of(scores, origin)
    given = judge(scores, benchmarks, others, studies, vocabulary, leave_out)
    table = benchmark_table(given, benchmarks, studies, frozenset(["mimic_cxr"]))
    BenchmarkTable.validate(table)
    return given, table.set_index("benchmark")


def test_everything_is_judged_where_nothing_speaks_against_it(scores, vocabulary):
    given, table = judged(scores, vocabulary)
    assert len(given.scores) == len(scores) and given.leaked == {"mimic_cxr": 0, "vindr_cxr": 0}
    row = table.loc["vindr_cxr"]
    assert (row["films"], row["patients"], row["findings"], row["films_left_out_leaked"]) == (40, 20, 2, 0)
    assert (row["views"], row["unknown"], row["trained_on"], row["notes"]) == ("frontal", "absent", False, "")
    assert table["views"]["mimic_cxr"] == "all" and table["trained_on"]["mimic_cxr"]


def test_films_that_one_model_was_trained_on_are_left_out_for_all_and_counted(scores, vocabulary):
    films = scores["image_id"].isin(["vindr_cxr_001", "vindr_cxr_002"])
    scores["leaked"] = films & (scores["model"] == "Conquer")
    given, table = judged(scores, vocabulary)
    assert table["films_left_out_leaked"].to_dict() == {"mimic_cxr": 0, "vindr_cxr": 2}
    assert table["films"]["vindr_cxr"] == 38
    assert (
        given.scores.groupby(["model", "benchmark"])["image_id"].nunique().unstack()["vindr_cxr"].tolist() == [38] * 3
    )
    kept, table = judged(scores, vocabulary, leave_out=False)
    assert len(kept.scores) == len(scores) and (table["films_left_out_leaked"] == 0).all()


def test_a_benchmark_of_leaked_films_only_is_shown_as_not_judged(scores, vocabulary):
    _, table = judged(scores.assign(leaked=scores["source"] == "vindr_cxr"), vocabulary)
    row = table.loc["vindr_cxr"]
    assert (row["films"], row["films_left_out_leaked"]) == (0, 40)
    assert row["notes"] == "Not judged: every film was trained on"
    with pytest.raises(UniChestError, match="nothing is left to judge the model by"):
        judged(scores.assign(leaked=True), vocabulary)


def test_rare_findings_and_splits_that_nobody_published_are_noted(scores, vocabulary):
    few = dict(BENCHMARKS)
    few["mimic_cxr"] = few["mimic_cxr"].model_copy(update={"fewest_positives": 30})
    given, table = judged(scores, vocabulary, few, origin="no published split: all scored, not trained on")
    assert "mimic_cxr" not in set(given.scores["benchmark"])
    assert table["notes"]["vindr_cxr"] == "No published split: all scored, not trained on (40 of 40 films on disk)"
    assert (
        "3 findings with fewer than 30 positive films left out: cardiomegaly, edema, No Finding"
        in (table["notes"]["mimic_cxr"])
    )
    assert table["notes"]["mimic_cxr"].endswith("Not judged: nothing is left")


def test_models_are_judged_by_the_films_of_all_where_one_may_lack_some(scores, vocabulary):
    other = scores[(scores["model"] == "Conquer") & (scores["source"] == "vindr_cxr") & (scores["finding"] == "ILD")]
    other = other[other["image_id"] != "vindr_cxr_005"].assign(model="KAD")
    everything = pd.concat([scores, other], ignore_index=True)
    others = OtherModels.model_validate({"KAD": {"predictions": "x.csv", "trained_on": [], "allow_missing": True}})
    given, table = judged(everything, vocabulary, others=others)
    of_source = given.scores[given.scores["source"] == "vindr_cxr"]
    assert "vindr_cxr_005" not in set(of_source["image_id"])
    assert of_source.groupby("model")["image_id"].nunique().tolist() == [39] * 4
    assert "1 film left out, because a model has no prediction of them: KAD (1)" in table["notes"]["vindr_cxr"]
    assert "KAD does not answer cardiomegaly" in table["notes"]["vindr_cxr"]
    assert table["notes"]["mimic_cxr"] == "KAD gives no prediction"
    assert (given.scores["source"] == "mimic_cxr").sum() == (scores["source"] == "mimic_cxr").sum()


def test_a_benchmark_without_films_is_shown(scores, vocabulary):
    _, table = judged(scores.assign(split=np.where(scores["source"] == "vindr_cxr", "val", "test")), vocabulary)
    assert table["films"]["vindr_cxr"] == 0
    assert "no film of the split test with these views was scored" in table["notes"]["vindr_cxr"]
