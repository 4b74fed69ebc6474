import csv
import gzip
import logging

import numpy as np
import pytest

from unichest_kedro.errors import SourceError
from unichest_kedro.sources import ingest
from unichest_kedro.sources.labels import CHEXPERT_LABELS


def test_columns(make_chexpert, settings):
    studies = ingest("chexpert", make_chexpert(), settings).studies.set_index("path")
    row = studies.loc["train/patient00001/study2/view2_lateral.jpg"]
    assert (row["image_id"], row["patient_id"], row["study_id"]) == (
        "train/patient00001/study2/view2_lateral.jpg",
        "patient00001",
        "patient00001/study2",
    )
    assert (row["view"], row["sex"], row["age"], row["readers"]) == ("lateral", "F", 60, 1)
    assert (row["native:Edema"], row["native:Pneumonia"], row["native:Fracture"]) == (1, -1, 0)
    assert np.isnan(row["native:Atelectasis"])
    film = studies.loc["train/patient00002/study1/view1_frontal.jpg"]
    assert (film["view"], film["projection"], row["projection"]) == ("frontal", "AP", "")


def splits(studies):
    return {split: set(rows["split_origin"]) for split, rows in studies.groupby("split")}


def test_splits_with_all_tables(make_chexpert, settings):
    studies = ingest("chexpert", make_chexpert(), settings).studies
    assert splits(studies) == {"train": {"official"}, "val": {"official"}, "test": {"official"}}
    assert set(studies.loc[studies["split"] == "val", "patient_id"]) == {"patient64541"}


def test_without_test_table_valid_is_the_test_split(make_chexpert, settings):
    studies = ingest("chexpert", make_chexpert(tables=["train", "valid"]), settings).studies
    assert splits(studies) == {
        "train": {"official"},
        "val": {"cut from train by patient, 20%, seed 7"},
        "test": {"official valid.csv, used as test"},
    }


def test_train_table_alone(make_chexpert, settings, caplog):
    with caplog.at_level(logging.WARNING):
        studies = ingest("chexpert", make_chexpert(tables=["train"]), settings).studies
    assert set(splits(studies)) == {"train", "val"}
    assert "no test split" in caplog.text


def test_published_test_labels(make_chexpert, settings):
    root = make_chexpert(tables=["train", "valid", "test"])
    (root / "test.csv").unlink()
    films = ["test/patient64741/study1/view1_frontal.jpg", "test/patient64741/study1/view2_lateral.jpg"]
    with (root / "test_labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["Path", *CHEXPERT_LABELS])
        writer.writerows([film, *["1.0"] * 14] for film in films)
    studies = ingest("chexpert", root, settings).studies
    test = studies[studies["split"] == "test"]
    assert test["path"].tolist() == films and test["view"].tolist() == ["frontal", "lateral"]
    assert test["sex"].tolist() == ["", ""] and test["age"].isna().all()
    assert set(studies.loc[studies["split"] == "val", "split_origin"]) == {"official"}


def test_published_test_labels_are_found_from_the_folder_above(make_chexpert, settings):
    root = make_chexpert()
    (root / "test.csv").rename(root / "test_labels.csv")
    table = (root / "test_labels.csv").read_text().replace(f"{root.name}/test/", "test/")
    (root / "test_labels.csv").write_text(table)
    studies, _, quarantine = ingest("chexpert", root.parent, settings)
    assert quarantine.empty
    assert studies.loc[studies["split"] == "test", "path"].str.startswith(f"{root.name}/test/").all()
    assert (studies["split"] == "test").sum() == 2


@pytest.mark.parametrize("release", ["CheXpert-v1.0-small", "CheXpert-v1.0"])
def test_release_folder_inside_or_above_the_root(make_chexpert, settings, release):
    inside = ingest("chexpert", make_chexpert(release), settings).studies
    above = ingest("chexpert", make_chexpert(release).parent, settings).studies
    assert above["path"].tolist() == [f"{release}/{path}" for path in inside["path"]]
    assert above.drop(columns="path").equals(inside.drop(columns="path"))


def test_root_folder_of_another_name(make_chexpert, settings):
    root = make_chexpert()
    renamed = root.rename(root.with_name("my_films"))
    assert ingest("chexpert", renamed, settings).studies["path"].str.startswith("train/").sum() == 11


def test_tables_beside_the_release_folder(make_chexpert, settings):
    root = make_chexpert()
    for name in ("train.csv", "valid.csv", "test.csv"):
        (root / name).rename(root.parent / name)
    assert ingest("chexpert", root.parent, settings).studies["path"].str.startswith(root.name).all()


def in_batches(root):
    """The folders into which the four archives of the full release unpack, beside each other."""
    above = root.parent / "chexpertchestxrays-u20210408"
    first = above / "CheXpert-v1.0 batch 1 (validate & csv)"
    first.mkdir(parents=True)
    for name in ("train.csv", "valid.csv"):
        (root / name).rename(first / name)
    (root / "valid").rename(first / "valid")
    for number, patient in enumerate(sorted((root / "train").iterdir())):
        batch = above / ("CheXpert-v1.0 batch 2 (train 1)" if number < 6 else "CheXpert-v1.0 batch 3 (train 2)")
        batch.mkdir(exist_ok=True)
        patient.rename(batch / patient.name)
    return above


def test_full_release_in_batches(make_chexpert, settings):
    root = make_chexpert("CheXpert-v1.0", tables=["train", "valid"])
    merged = ingest("chexpert", root, settings).studies
    above = in_batches(root)
    studies, _, quarantine = ingest("chexpert", above, settings)
    assert quarantine.empty
    assert studies.drop(columns="path").equals(merged.drop(columns="path"))
    paths = studies.set_index("image_id")["path"]
    film = "study1/view1_frontal.jpg"
    assert paths[f"train/patient00001/{film}"] == f"CheXpert-v1.0 batch 2 (train 1)/patient00001/{film}"
    assert paths[f"train/patient00009/{film}"] == f"CheXpert-v1.0 batch 3 (train 2)/patient00009/{film}"
    assert paths[f"valid/patient64541/{film}"] == f"CheXpert-v1.0 batch 1 (validate & csv)/valid/patient64541/{film}"


def test_a_batch_that_was_not_downloaded(make_chexpert, settings):
    above = in_batches(make_chexpert("CheXpert-v1.0", tables=["train", "valid"]))
    (above / "CheXpert-v1.0 batch 3 (train 2)").rename(above.parent / "elsewhere")
    studies, _, quarantine = ingest("chexpert", above, settings)
    assert len(studies) == 8 and set(quarantine["reason"]) == {"listed but not on disk"}
    assert quarantine["path"].str.startswith("train/patient000").all() and len(quarantine) == 4


@pytest.mark.parametrize("release", ["CheXpert-v1.0-small", "CheXpert-v1.0"])
def test_gzipped_tables(make_chexpert, settings, release):
    root = make_chexpert(release)
    plain = ingest("chexpert", root, settings).studies
    for path in list(root.glob("*.csv")):
        path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert ingest("chexpert", root, settings).studies.equals(plain)


def test_paths_that_cannot_be_used(make_chexpert, settings, edit):
    root = make_chexpert()
    edit(root / "train.csv", "CheXpert-v1.0-small/train/patient00003/", "../../patient00003/")
    edit(root / "train.csv", "train/patient00004/", "train/nobody/")
    quarantine = ingest("chexpert", root, settings).quarantine
    assert quarantine["reason"].tolist() == [
        "path is not <split>/patient<number>/study<number>/<file>",
        "path leaves the root",
    ]


def test_value_that_is_no_label(make_chexpert, settings, edit):
    root = make_chexpert()
    edit(root / "valid.csv", "-1.0", "maybe")
    with pytest.raises(SourceError, match=r"valid.csv: line 2: column 'Pneumonia' holds 'maybe'"):
        ingest("chexpert", root, settings)


def test_patient_in_two_tables(make_chexpert, settings, edit):
    root = make_chexpert()
    edit(root / "valid.csv", "patient64541", "patient00002")
    with pytest.raises(SourceError, match=r"1 patient\(s\) are in two splits, for example patient00002"):
        ingest("chexpert", root, settings)


def test_same_image_twice(make_chexpert, settings, edit):
    root = make_chexpert()
    edit(root / "train.csv", "patient00003", "patient00002")
    with pytest.raises(SourceError, match=r"listed more than once, for example train/patient00002/study1"):
        ingest("chexpert", root, settings)
