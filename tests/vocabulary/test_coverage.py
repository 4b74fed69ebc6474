import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from unichest_kedro.errors import VocabularyError
from unichest_kedro.evaluation.coverage_figure import coverage_figure
from unichest_kedro.pipelines.harmonisation import nodes
from unichest_kedro.schemas import Contradictions, Coverage, Teachers
from unichest_kedro.vocabulary import coverage, no_contradictions, teachers

FINDINGS = ["z", "a", "No Finding"]


def tables(count=500):
    rng = np.random.default_rng(1)
    ids = [f"i{n}" for n in range(count)]
    source = rng.choice(["chexpert", "vindr_cxr"], count)
    studies = pd.DataFrame({"source": source, "image_id": ids, "split": rng.choice(["train", "val", "test"], count)})
    states = {finding: rng.choice([1, 0, -1], count).astype("int8") for finding in FINDINGS}
    return studies, pd.DataFrame({"source": source, "image_id": ids, **states})


def test_counts_against_a_loop():
    studies, labels = tables()
    table = coverage(studies, labels)
    Coverage.validate(table)
    expected = [
        {
            "source": source,
            "split": split,
            "finding": finding,
            **{
                name: sum(
                    s == source and p == split and state == value
                    for s, p, state in zip(labels["source"], studies["split"], labels[finding])
                )
                for name, value in (("positive", 1), ("negative", 0), ("unknown", -1))
            },
        }
        for source in ("chexpert", "vindr_cxr")
        for split in ("train", "val", "test")
        for finding in FINDINGS
    ]
    assert table.drop(columns="prevalence").to_dict("records") == expected
    for row in table.to_dict("records"):
        assert row["prevalence"] == row["positive"] / (row["positive"] + row["negative"])


def test_prevalence_of_what_is_never_known():
    studies, labels = tables(30)
    table = coverage(studies, labels.assign(a=np.int8(-1)))
    assert table.loc[table["finding"] == "a", "prevalence"].isna().all()
    Coverage.validate(table)


def test_no_images():
    studies, labels = tables(0)
    table = coverage(studies, labels)
    assert table.empty and "prevalence" in table
    Coverage.validate(table)


def test_who_can_teach_what():
    rows = [
        # source, split, finding, positive, negative
        ("one", "train", "both", 2, 5),
        ("two", "train", "both", 1, 1),
        ("one", "train", "alone", 3, 4),
        ("two", "train", "alone", 0, 9),
        ("scored", "train", "alone", 5, 5),  # not trained on
        ("one", "train", "only up", 3, 0),
        ("two", "test", "only up", 2, 2),  # not in training
        ("one", "train", "nobody", 0, 0),
    ]
    table = pd.DataFrame(rows, columns=["source", "split", "finding", "positive", "negative"])
    taught = teachers(table.assign(unknown=0, prevalence=np.nan), ("one", "two"))
    Teachers.validate(taught)
    columns = ["finding", "teachers", "taught_by", "only_positive", "only_negative", "verdict"]
    assert taught[columns].to_numpy().tolist() == [
        ["both", 2, "one, two", "", "", "several"],
        ["alone", 1, "one", "", "two", "one source"],
        ["only up", 0, "", "one", "", "one-sided"],
        ["nobody", 0, "", "", "", "untaught"],
    ]


def test_a_split_that_a_source_lacks_has_no_rows():
    studies, labels = tables()
    studies["split"] = "train"
    assert set(coverage(studies, labels)["split"]) == {"train"}


def test_tables_of_different_images():
    studies, labels = tables(20)
    with pytest.raises(VocabularyError, match=r"studies \(20 rows\) and the labels \(19 rows\)"):
        coverage(studies, labels.iloc[1:])


def test_the_figure_marks_what_is_known_one_way_and_who_can_teach():
    studies, labels = tables(60)
    labels = labels.assign(a=np.where(labels["source"] == "chexpert", labels["a"].clip(lower=1), -1).astype("int8"))
    table = coverage(studies, labels)
    words = {text.get_text() for text in coverage_figure(table, teachers(table, ["chexpert"])).figure.findobj(Text)}
    positive = (labels["a"] == 1).sum()
    assert {"Can teach it", f"{positive} ▲", "CheXpert", "none"} <= words
    alone = {text.get_text() for text in coverage_figure(table).figure.findobj(Text)}
    assert "Can teach it" not in alone and f"{positive} ▲" in alone
    both = coverage_figure(table, teachers(table, ["chexpert", "vindr_cxr"])).figure.findobj(Text)
    assert "2 sources" in {text.get_text() for text in both}


def test_the_node_functions():
    studies, labels = tables(40)
    named = {f"{source}_{kind}": part[part["source"] == source] for source in ("chexpert", "vindr_cxr")
             for kind, part in (("studies", studies), ("labels", labels))}  # fmt: skip
    table = nodes.count_coverage(**named)
    assert table.to_dict("list") == coverage(studies, labels).to_dict("list")
    assert nodes.find_teachers(table, ["chexpert"]).equals(teachers(table, ["chexpert"]))
    figure, numbers = nodes.draw_coverage(table, teachers(table, []))
    assert isinstance(figure, Figure) and len(numbers) == 6
    empty = nodes.join_contradictions(chexpert_contradictions=no_contradictions())
    Contradictions.validate(empty)
    assert empty.empty
