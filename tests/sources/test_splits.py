import hashlib
import logging

import pandas as pd
import pytest

from unichest_kedro.errors import SourceError
from unichest_kedro.sources.base import IngestionSettings
from unichest_kedro.sources.splits import assign_splits, check_patients, cut_test, cut_validation


def listing(patients: int = 50, films: int = 3) -> pd.DataFrame:
    ids = [f"p{n}" for n in range(patients) for _ in range(films)] + ["t1", "t2"]
    split = ["train"] * patients * films + ["test"] * 2
    return pd.DataFrame({"patient_id": ids, "split": split, "split_origin": "official"})


def test_cut_goes_by_patient_and_says_so():
    cut = cut_validation(listing(), IngestionSettings(val_fraction=0.1, seed=3), "chexpert")
    val = cut[cut["split"] == "val"]
    assert val["patient_id"].nunique() == 5 and len(val) == 15
    assert set(val["split_origin"]) == {"cut from train by patient, 10%, seed 3"}
    assert set(cut.loc[cut["split"] != "val", "split_origin"]) == {"official"}
    assert (cut["split"] == "test").sum() == 2
    check_patients(cut, "chexpert")


def test_cut_does_not_depend_on_row_order_and_does_on_seed_and_source():
    settings = IngestionSettings()

    def chosen(table, settings=settings, source="chexpert"):
        cut = cut_validation(table, settings, source)
        return set(cut.loc[cut["split"] == "val", "patient_id"])

    table = listing()
    assert chosen(table) == chosen(table.sample(frac=1, random_state=0))
    assert chosen(table) != chosen(table, IngestionSettings(seed=43))
    assert chosen(table) != chosen(table, source="mimic_cxr")


def test_an_official_validation_split_is_left_alone():
    table = listing()
    table.loc[0:2, "split"] = "val"
    assert cut_validation(table, IngestionSettings(), "chexpert").equals(table)


def test_few_patients():
    settings = IngestionSettings()
    assert (cut_validation(listing(2), settings, "chexpert")["split"] == "val").sum() == 3
    assert "val" not in set(cut_validation(listing(1), settings, "chexpert")["split"])


def test_patient_in_two_splits():
    table = listing()
    table.loc[0, "split"] = "test"
    table.loc[4, "split"] = "val"
    with pytest.raises(SourceError, match=r"chexpert: 2 patient\(s\) are in two splits, .*p0 \(test and train\)"):
        check_patients(table, "chexpert")


@pytest.mark.parametrize("fraction", [0, 0.5, -1, 2])
def test_val_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match="val_fraction"):
        IngestionSettings(val_fraction=fraction)


def unsplit(patients: int = 50, films: int = 3) -> pd.DataFrame:
    ids = [f"p{n}" for n in range(patients) for _ in range(films)]
    return pd.DataFrame({"patient_id": ids, "split": "", "split_origin": "official"})


def cut_slowly(table: pd.DataFrame, settings: IngestionSettings, source: str) -> list[str]:
    """The same cut, patient by patient."""

    def rank(patient):
        return hashlib.blake2b(f"{settings.seed}/{source}/{patient}".encode(), digest_size=16).digest()

    ranked = sorted(set(table["patient_id"]), key=rank)
    tested = round(settings.test_fraction * len(ranked))
    validated = round(settings.val_fraction * (len(ranked) - tested))
    where = dict.fromkeys(ranked, "train")
    where |= dict.fromkeys(ranked[:tested], "test") | dict.fromkeys(ranked[tested : tested + validated], "val")
    return [where[patient] for patient in table["patient_id"]]


def test_no_published_split_and_not_trained_on_is_all_test():
    done = assign_splits(unsplit(), IngestionSettings(), "open_i")
    assert set(done["split"]) == {"test"}
    assert set(done["split_origin"]) == {"no published split: all scored, not trained on"}


def test_no_published_split_and_trained_on_is_cut_by_patient():
    settings = IngestionSettings(train_on=("open_i",), val_fraction=0.125, test_fraction=0.2, seed=3)
    table = unsplit()
    done = assign_splits(table, settings, "open_i")
    assert done["split"].tolist() == cut_slowly(table, settings, "open_i")
    assert done.groupby("split")["patient_id"].nunique().to_dict() == {"test": 10, "train": 35, "val": 5}
    check_patients(done, "open_i")
    assert set(done.loc[done["split"] == "test", "split_origin"]) == {
        "no published split: 20% of the patients cut off as test, seed 3"
    }
    assert set(done.loc[done["split"] == "val", "split_origin"]) == {"cut from train by patient, 12.5%, seed 3"}
    mixed = assign_splits(table.sample(frac=1, random_state=1), settings, "open_i").sort_index()
    assert mixed.equals(done)


def test_published_splits_stand_whether_or_not_they_are_trained_on():
    table = listing()
    trained = assign_splits(table, IngestionSettings(train_on=("chexpert",)), "chexpert")
    assert trained.equals(cut_validation(table, IngestionSettings(), "chexpert"))
    assert (trained["split"] == "val").any()
    assert assign_splits(table, IngestionSettings(train_on=("open_i",)), "chexpert").equals(table)


def test_only_films_without_a_published_split_are_cut():
    table = pd.concat([listing(10), unsplit(10).assign(patient_id=lambda t: "u" + t["patient_id"])], ignore_index=True)
    settings = IngestionSettings(train_on=("mine",))
    done = assign_splits(table, settings, "mine")
    published = table["split"] != ""
    assert (done.loc[published & (table["split"] == "test"), "split"] == "test").all()
    assert set(done.loc[published & (table["split"] == "train"), "split"]) == {"train", "val"}
    assert done.loc[~published & (done["split"] == "test"), "patient_id"].nunique() == 2


def test_a_source_that_is_neither_trained_on_nor_tested_is_named(caplog):
    table = listing()
    with caplog.at_level(logging.WARNING):
        assign_splits(table[table["split"] == "train"], IngestionSettings(train_on=("open_i",)), "vindr_cxr")
    assert "vindr_cxr: no test split is published and train_on does not name it: its 150 images" in caplog.text


@pytest.mark.parametrize(("patients", "tested"), [(1, 0), (2, 1), (3, 1), (4, 1), (20, 4)])
def test_few_patients_without_a_split(patients, tested):
    done = cut_test(unsplit(patients), IngestionSettings(train_on=("mine",)), "mine")
    assert done.loc[done["split"] == "test", "patient_id"].nunique() == tested
    assert "" not in set(done["split"])


def test_no_films_at_all():
    assert assign_splits(unsplit(0), IngestionSettings(train_on=("mine",)), "mine").empty


def test_a_patient_with_and_without_a_split():
    table = unsplit(2)
    table.loc[0, "split"] = "train"
    with pytest.raises(SourceError, match=r"p0 \(no split and train\)"):
        check_patients(table, "mine")


@pytest.mark.parametrize("fraction", [0, 0.9, -1, 2])
def test_test_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match="test_fraction"):
        IngestionSettings(test_fraction=fraction)
