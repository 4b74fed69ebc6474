import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

from unichest_kedro.errors import SettingsError
from unichest_kedro.evaluation.benchmarks import (
    Benchmarks,
    benchmark_scores,
    check_benchmarks,
    queries_of,
    too_rare,
    without,
)
from unichest_kedro.sources import SOURCES
from unichest_kedro.vocabulary import Vocabulary

from .conftest import make_scores


@pytest.fixture(scope="module")
def vocabulary(project):
    return Vocabulary.from_yaml(project / "conf/base/vocabulary.yml")


@pytest.fixture(scope="module")
def shipped(project):
    settings = yaml.safe_load((project / "conf/base/parameters_evaluation.yml").read_text())
    return Benchmarks.model_validate(settings["benchmarks"])


def made(**benchmarks):
    return Benchmarks.model_validate({key: {"title": key, **one} for key, one in benchmarks.items()})


def labels_of(vocabulary, **known):
    """`Labels` of two films, of which only some findings are known."""
    columns = {finding: known.get(finding.replace(" ", "_"), [-1, -1]) for finding in vocabulary.findings}
    return pd.DataFrame({"source": "s", "image_id": ["a", "b"], **columns})


def test_shipped_benchmarks_are_those_of_the_field(shipped, vocabulary):
    check_benchmarks(shipped, vocabulary, SOURCES)
    counts = {key: len(settings.questions(vocabulary)) for key, settings in shipped.root.items()}
    annotated = len(vocabulary.annotated("padchest"))
    assert counts == {
        "chestxray14": 14,
        "chexpert": 14,
        "chexpert_5": 5,
        "vindr_cxr": 28,
        "mimic_cxr": 14,
        "shenzhen": 1,
        "open_i": 14,
        "siim_acr": 1,
        "padchest": annotated,
    }
    assert {settings.source for settings in shipped.root.values()} == set(SOURCES)
    assert [key for key, settings in shipped.root.items() if not settings.in_mean] == ["chexpert_5"]
    assert shipped.root["padchest"].fewest_positives == 50
    # Every finding that the publisher names is asked.
    for source in ("chestxray14", "chexpert", "vindr_cxr", "siim_acr"):
        asked = {question.finding for question in shipped.root[source].questions(vocabulary)}
        assert set(vocabulary.annotated(source)) - asked <= {"No Finding"}


def test_a_source_is_asked_in_the_words_of_its_benchmarks(shipped, vocabulary):
    labels = labels_of(vocabulary, pleural_effusion=[1, 0])
    words = queries_of(shipped, "chestxray14", vocabulary, labels)
    assert (words["pleural effusion"], words["pleural thicken"], words["edema"]) == (
        "effusion",
        "pleural thickening",
        "edema",
    )
    assert len(words) == 14  # those that no film knows are asked too: the benchmark names them
    assert queries_of(shipped, "chestxray14", vocabulary, labels_of(vocabulary)) == {}


def test_benchmarks_of_one_source_are_asked_together_each_finding_once(vocabulary):
    two = made(
        small={"source": "chexpert", "findings": ["edema", "fracture"]},
        large={"source": "chexpert", "findings": [{"finding": "edema", "query": "lung edema"}, "opacity"]},
    )
    labels = labels_of(vocabulary, edema=[1, 0])
    expected = {"edema": "lung edema", "fracture": "fracture", "opacity": "opacity"}
    assert queries_of(two, "chexpert", vocabulary, labels) == expected


def test_all_findings_are_those_with_a_known_label(vocabulary):
    labels = labels_of(vocabulary, edema=[1, 0], cardiomegaly=[-1, 0])
    every = made(every={"source": "chexpert", "findings": "all"})
    assert queries_of(every, "chexpert", vocabulary, labels) == {"edema": "edema", "cardiomegaly": "cardiomegaly"}
    # A source without a benchmark is asked the same.
    assert queries_of(made(), "chexpert", vocabulary, labels) == {"edema": "edema", "cardiomegaly": "cardiomegaly"}


def test_one_finding_asked_in_two_ways_is_refused(vocabulary):
    two = made(
        one={"source": "chexpert", "findings": [{"finding": "edema", "query": "lung edema"}]},
        other={"source": "chexpert", "findings": [{"finding": "edema", "query": "pulmonary oedema"}]},
    )
    with pytest.raises(SettingsError, match="asked for 'edema' in two ways, as 'lung edema' and as 'pulmonary oedema'"):
        check_benchmarks(two, vocabulary, SOURCES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "chexprt"}, "benchmarks: mine: unknown source 'chexprt'. Known sources: mimic_cxr, "),
        ({"source": "siim_acr", "findings": ["pneumothoraks"]}, "does not know the finding 'pneumothoraks'"),
        ({"source": "siim_acr", "findings": ["edema"]}, "siim_acr does not annotate 'edema'.*annotates: pneumothorax"),
    ],
)
def test_what_the_vocabulary_does_not_know_is_refused(vocabulary, settings, message):
    with pytest.raises(SettingsError, match=message):
        check_benchmarks(made(mine=settings), vocabulary, SOURCES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mine": {"title": "x", "source": "open_i", "findings": ["edema", "edema"]}}, "'edema' stands twice"),
        ({"mine": {"title": "x", "source": "open_i", "findings": []}}, "findings"),
        ({"mine": {"title": "x", "source": "open_i", "views": ["sideways"]}}, "views"),
        ({"mine": {"title": "x", "source": "open_i", "unknown": "present"}}, "unknown"),
        ({"mine": {"title": "x", "source": "open_i", "split": "train"}}, "split"),
        ({"mine": {"title": "x", "source": "open_i", "fewest_positives": 0}}, "fewest_positives"),
        ({"mean": {"title": "x", "source": "open_i"}}, "the key 'mean' is the name of a mean"),
        ({"a": {"title": "x", "source": "open_i"}, "b": {"title": "x", "source": "open_i"}}, "title 'x' stands twice"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Benchmarks.model_validate(settings)


def test_active_benchmarks(shipped):
    active = shipped.of_sources(["mine", "chexpert", "open_i"])
    assert list(active) == ["chexpert", "chexpert_5", "open_i", "mine"]
    assert (active["mine"].source, active["mine"].findings, active["mine"].in_mean) == ("mine", "all", True)


@pytest.fixture
def studies():
    """Of VinDr-CXR every fourth film is lateral."""
    ids = [f"vindr_cxr_{n:03d}" for n in range(40)]
    view = ["lateral" if n % 4 == 0 else "frontal" for n in range(40)]
    return {"vindr_cxr": pd.DataFrame({"image_id": ids, "view": view})}


def test_benchmark_scores_are_chosen_by_split_finding_view_and_policy(studies, vocabulary):
    scores = make_scores(models=("Conquer",))
    scores.loc[scores["image_id"] == "vindr_cxr_001", "split"] = "val"
    chosen = made(
        plain={"source": "vindr_cxr", "findings": ["cardiomegaly"]},
        frontal={"source": "vindr_cxr", "findings": ["ILD"], "views": ["frontal"], "unknown": "absent"},
    )
    table = benchmark_scores(scores, chosen.root, studies, vocabulary)
    plain, frontal = table[table["benchmark"] == "plain"], table[table["benchmark"] == "frontal"]
    of_source = scores[scores["source"] == "vindr_cxr"]
    pd.testing.assert_frame_equal(
        plain.drop(columns="benchmark").reset_index(drop=True),
        of_source[(of_source["finding"] == "cardiomegaly") & (of_source["split"] == "test")].reset_index(drop=True),
    )
    assert len(frontal) == 29 and set(frontal["finding"]) == {"ILD"}
    assert not frontal["image_id"].isin(["vindr_cxr_000", "vindr_cxr_001", "vindr_cxr_004"]).any()
    before = of_source[of_source["finding"] == "ILD"].set_index("image_id")["label"]
    assert frontal["label"].tolist() == [max(before[image], 0) for image in frontal["image_id"]]
    assert (before == -1).any()
    validation = benchmark_scores(scores, chosen.root, studies, vocabulary, "val")
    assert validation[["benchmark", "image_id"]].to_numpy().tolist() == [
        ["plain", "vindr_cxr_001"],
        ["frontal", "vindr_cxr_001"],
    ]


def test_a_row_stands_in_every_benchmark_that_it_belongs_to(studies, vocabulary):
    scores = make_scores(models=("Conquer",))
    two = made(
        one={"source": "vindr_cxr", "findings": ["ILD"]}, two={"source": "vindr_cxr", "findings": ["ILD", "opacity"]}
    )
    counts = benchmark_scores(scores, two.root, studies, vocabulary)["benchmark"].value_counts()
    assert counts.to_dict() == {"one": 40, "two": 40}


def test_rare_findings_are_counted_by_films_and_left_out(studies, vocabulary):
    scores = make_scores()
    asked = {"source": "vindr_cxr", "findings": ["cardiomegaly", "ILD"]}
    positive = scores[(scores["model"] == "Conquer") & (scores["label"] == 1) & (scores["source"] == "vindr_cxr")]
    counts = positive["finding"].value_counts()
    limit = int(counts.max())
    assert counts.min() < limit
    some = made(many={**asked, "fewest_positives": limit}, any={**asked}).root
    table = benchmark_scores(scores, some, studies, vocabulary)
    rare = too_rare(table, some)
    assert rare == {"many": (counts.idxmin(),)}
    kept = without(table, rare)
    assert set(kept.loc[kept["benchmark"] == "many", "finding"]) == {counts.idxmax()}
    assert set(kept.loc[kept["benchmark"] == "any", "finding"]) == {"cardiomegaly", "ILD"}


def test_a_finding_without_any_positive_stays_where_one_is_asked_for(studies, vocabulary):
    scores = make_scores(models=("Conquer",))
    scores["label"] = scores["label"].where(scores["finding"] != "ILD", 0)
    one = made(one={"source": "vindr_cxr", "findings": ["cardiomegaly", "ILD"]}).root
    assert too_rare(benchmark_scores(scores, one, studies, vocabulary), one) == {}
