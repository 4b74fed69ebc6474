import pandas as pd
import pytest

from unichest_kedro.errors import SourceError
from unichest_kedro.sources.base import IngestionSettings
from unichest_kedro.sources.splits import check_patients, cut_validation


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
