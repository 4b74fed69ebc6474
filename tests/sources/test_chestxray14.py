import gzip

import numpy as np
import pytest

from unichest_kedro.errors import SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources import ingest


def test_columns(chestxray14, settings):
    studies, boxes, _ = ingest("chestxray14", chestxray14, settings)
    by_id = studies.set_index("image_id")
    row = by_id.loc["00000001_001.png"]
    assert row["path"] == "images_002/images/00000001_001.png"
    assert (row["patient_id"], row["study_id"], row["view"], row["sex"]) == (
        "1",
        "00000001_001",
        "frontal",
        "M",
    )
    assert np.isnan(row["age"])
    assert by_id.loc["00000002_000.png", "age"] == 52
    assert by_id.loc["00000011_000.png", "age"] == pytest.approx(0.5)
    assert by_id.loc["00000012_000.png", ["view", "projection", "sex"]].tolist() == ["unknown", "", ""]
    assert (row["projection"], by_id.loc["00000002_000.png", "projection"]) == ("AP", "PA")
    assert by_id.loc["00000012_000.png", "age"] == 61
    native = row.filter(like=NATIVE_PREFIX)
    assert set(native.index[native == 1]) == {"native:Effusion", "native:Pleural_Thickening"}
    assert (native == 0).sum() == 13
    assert by_id.loc["00000003_000.png", "native:No Finding"] == 1
    assert boxes.drop(columns="source").values.tolist() == [
        ["00000012_000.png", "Infiltration", "radiologist", 10.5, 20, 40.5, 60.25]
    ]


def test_flat_folder_and_table_of_2020(chestxray14, settings):
    split_root = ingest("chestxray14", chestxray14, settings).studies
    (chestxray14 / "images").mkdir()
    for path in split_root["path"]:
        (chestxray14 / path).rename(chestxray14 / "images" / path.rpartition("/")[2])
    (chestxray14 / "Data_Entry_2017.csv").rename(chestxray14 / "Data_Entry_2017_v2020.csv")
    flat = ingest("chestxray14", chestxray14, settings).studies
    assert flat["path"].tolist() == ["images/" + image for image in flat["image_id"]]
    assert flat.drop(columns="path").equals(split_root.drop(columns="path"))


@pytest.mark.parametrize("table", ["Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv"])
def test_gzipped_tables_and_folders_without_an_inner_one(chestxray14, settings, table):
    expected = ingest("chestxray14", chestxray14, settings)
    for old, new in (("Data_Entry_2017.csv", table), ("BBox_List_2017.csv", "BBox_List_2017.csv")):
        content = (chestxray14 / old).read_bytes()
        (chestxray14 / old).unlink()
        (chestxray14 / f"{new}.gz").write_bytes(gzip.compress(content))
    for path in list(chestxray14.glob("images_*/images/*.png")):
        path.rename(path.parents[1] / path.name)
    studies, boxes, quarantine = ingest("chestxray14", chestxray14, settings)
    assert studies["path"].iloc[0] == "images_001/00000001_000.png" and quarantine.empty
    assert studies.drop(columns="path").equals(expected.studies.drop(columns="path")) and boxes.equals(expected.boxes)


def test_images_that_table_and_lists_do_not_share(chestxray14, settings):
    lists = chestxray14 / "train_val_list.txt"
    lists.write_text(lists.read_text().replace("00000005_000.png\n", "00000077_000.png\n"))
    _, _, quarantine = ingest("chestxray14", chestxray14, settings)
    assert dict(zip(quarantine["image_id"], quarantine["reason"])) == {
        "00000005_000.png": "in neither train_val_list.txt nor test_list.txt",
        "00000077_000.png": "in the split lists, but not in Data_Entry_2017.csv",
    }


def test_path_that_leaves_the_root(chestxray14, settings, edit):
    edit(chestxray14 / "Data_Entry_2017.csv", "00000004_000.png", "../../secret.png")
    edit(chestxray14 / "train_val_list.txt", "00000004_000.png", "../../secret.png")
    (chestxray14.parent / "secret.png").write_bytes(b"")
    studies, _, quarantine = ingest("chestxray14", chestxray14, settings)
    assert quarantine[["image_id", "reason"]].values.tolist() == [["../../secret.png", "path leaves the root"]]
    assert "../../secret.png" not in set(studies["image_id"])


def test_unknown_native_label_gets_a_column(chestxray14, settings, edit):
    edit(chestxray14 / "Data_Entry_2017.csv", "Hernia", "Hernya")
    studies = ingest("chestxray14", chestxray14, settings).studies
    assert studies["native:Hernya"].sum() == 1


def test_contradicting_tables(chestxray14, settings, edit):
    with (chestxray14 / "test_list.txt").open("a") as stream:
        stream.write("00000002_000.png\n")
    with pytest.raises(SourceError, match=r"1 images are in both train_val_list.txt and test_list.txt.*00000002_000"):
        ingest("chestxray14", chestxray14, settings)
    (chestxray14 / "test_list.txt").unlink()
    with pytest.raises(SourceError, match=r"test_list.txt: the official split list is missing"):
        ingest("chestxray14", chestxray14, settings)


def test_same_image_twice(chestxray14, settings, edit):
    edit(chestxray14 / "Data_Entry_2017.csv", "00000003_000.png", "00000002_000.png")
    with pytest.raises(SourceError, match=r"images are listed more than once, for example 00000002_000.png"):
        ingest("chestxray14", chestxray14, settings)


def test_blank_cell(chestxray14, settings, edit):
    edit(chestxray14 / "Data_Entry_2017.csv", "Infiltration|Nodule", "")
    with pytest.raises(SourceError, match=r"line 14: column 'Finding Labels' is blank"):
        ingest("chestxray14", chestxray14, settings)


def test_patient_in_two_splits(chestxray14, settings, edit):
    edit(chestxray14 / "Data_Entry_2017.csv", "Hernia,0,11", "Hernia,0,2")
    with pytest.raises(SourceError, match=r"1 patient\(s\) are in two splits, for example 2 \(test and train\)"):
        ingest("chestxray14", chestxray14, settings)
