import pandas as pd
import pytest

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.accounting import FATES, account, quarantine_summary, quarantine_totals

KEY = ["source", "image_id"]


@pytest.fixture
def tables():
    """One source with an image of every fate, and one of which nothing is on disk."""
    studies = pd.DataFrame(
        [
            ("a", name, "lateral" if name == "side" else "frontal")
            for name in ("t1", "t2", "v", "e", "side", "bad", "bare")
        ],
        columns=[*KEY, "view"],
    )
    examples = pd.DataFrame(
        [("a", "t1", "train"), ("a", "t2", "train"), ("a", "v", "val"), ("a", "e", "test")],
        columns=[*KEY, "split"],
    )
    quarantine = pd.DataFrame(
        [
            ("a", "gone", "gone.png", "ingestion", "listed but not on disk"),
            ("a", "out", "../out.png", "ingestion", "path leaves the root"),
            ("a", "bad", "bad.png", "imaging", "the file is truncated"),
            ("a", "bare", "bare.png", "harmonisation", "no label"),
            ("b", "x", "x.png", "ingestion", "listed but not on disk"),
        ],
        columns=[*KEY, "path", "stage", "reason"],
    )
    return {"studies": studies, "examples": examples, "quarantine": quarantine}


def test_every_listed_image_lands_in_one_column(tables):
    table = account(**tables, views=("frontal",)).set_index("source")
    expected = {"listed": 9, "missing": 1, "rejected": 1, "unreadable": 1, "unlabelled": 1, "other_view": 1}
    assert table.loc["a"].to_dict() == expected | {"train": 2, "val": 1, "test": 1}
    assert table.loc["b", "listed"] == table.loc["b", "missing"] == 1
    assert (table["listed"] == table[list(FATES)].sum(axis=1)).all()


def test_without_quarantine(tables):
    tables["studies"] = tables["studies"].iloc[:5]
    table = account(**tables | {"quarantine": tables["quarantine"].iloc[:0]}, views=("frontal",))
    assert table["listed"].to_list() == [5]


def test_an_image_that_got_lost_is_an_error(tables):
    tables["examples"] = tables["examples"].iloc[1:]
    with pytest.raises(UniChestError, match=r"1 images are neither used, nor in quarantine.*'t1' of 'a'"):
        account(**tables, views=("frontal",))


def test_an_image_both_used_and_unreadable_is_an_error(tables):
    tables["quarantine"].loc[2, "image_id"] = "t2"
    with pytest.raises(UniChestError, match=r"1 images are both used and in quarantine.*'t2'"):
        account(**tables, views=("frontal",))


def test_stray_and_double_examples_are_errors(tables):
    stray = pd.concat([tables["examples"], pd.DataFrame([("a", "z", "test")], columns=[*KEY, "split"])])
    with pytest.raises(UniChestError, match=r"stand in the examples but not in the studies.*'z'"):
        account(tables["studies"], stray, tables["quarantine"], views=("frontal",))
    twice = pd.concat([tables["examples"], tables["examples"].iloc[:1]])
    with pytest.raises(UniChestError, match="stand in the examples twice"):
        account(tables["studies"], twice, tables["quarantine"], views=("frontal",))


def test_quarantine_reasons_of_one_kind_are_counted_together(tables):
    rows = [("a", f"i{k}", f"i{k}.png", "imaging", f"cut at byte {k} of 'i{k}.png'") for k in range(5)]
    more = pd.DataFrame(rows, columns=tables["quarantine"].columns)
    table = quarantine_summary(pd.concat([tables["quarantine"], more], ignore_index=True))
    assert table.iloc[0].to_list() == [
        "a",
        "imaging",
        "cut at byte 0 of 'i0.png'",
        5,
        "i0.png, i1.png, i2.png",
    ]
    assert table["images"].sum() == 10
    assert table["source"].to_list()[-1] == "b"


def test_empty_quarantine_gives_an_empty_summary(tables):
    assert len(quarantine_summary(tables["quarantine"].iloc[:0])) == 0


def test_quarantine_totals_add_up_over_stages_and_sources(tables):
    table = quarantine_totals(tables["quarantine"])
    assert table.columns.tolist() == ["source", "ingestion", "imaging", "harmonisation", "total"]
    assert table.to_numpy().tolist() == [["a", 2, 1, 1, 4], ["b", 1, 0, 0, 1], ["total", 3, 1, 1, 5]]
    only = tables["quarantine"][tables["quarantine"]["stage"] == "imaging"]
    assert quarantine_totals(only).columns.tolist() == ["source", "imaging", "total"]
    assert len(quarantine_totals(only.iloc[:0])) == 0
