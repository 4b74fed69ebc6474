import gzip
import logging

import pytest

from unichest_kedro.errors import SourceError
from unichest_kedro.sources import ingest


def test_votes_and_columns(vindr_cxr, settings):
    studies, boxes, _ = ingest("vindr_cxr", vindr_cxr, settings)
    by_id = studies.set_index("image_id")
    votes = [by_id.loc[f"{film:032x}", "native:Cardiomegaly"] for film in range(10)]
    assert votes == [film % 3 + 1 for film in range(10)]
    assert by_id.loc[f"{0:032x}", ["readers", "native:No finding", "native:COPD"]].tolist() == [3, 2, 0]
    assert by_id.loc[f"{100:032x}", ["readers", "native:Tuberculosis", "split", "path"]].tolist() == [
        1,
        1,
        "test",
        f"test/{100:032x}.dicom",
    ]
    assert studies.groupby("split").size().to_dict() == {"test": 2, "train": 8, "val": 2}
    assert studies["patient_id"].equals(studies["image_id"])
    assert boxes[["label", "reader", "x_max"]].values.tolist() == [
        ["Cardiomegaly", "R1", 1653],
        ["Nodule/Mass", "consensus", 3.5],
    ]


def test_other_spellings(vindr_cxr, settings, edit):
    expected = ingest("vindr_cxr", vindr_cxr, settings).studies
    edit(vindr_cxr / "annotations/image_labels_train.csv", "rad_ID", "rad_id")
    edit(vindr_cxr / "annotations/image_labels_test.csv", "Other diseases", "Other disease")
    assert ingest("vindr_cxr", vindr_cxr, settings).studies.equals(expected)


def test_half_a_release(vindr_cxr, settings, caplog):
    (vindr_cxr / "annotations/image_labels_test.csv").unlink()
    (vindr_cxr / "annotations/annotations_train.csv").unlink()
    with caplog.at_level(logging.WARNING):
        studies, boxes, _ = ingest("vindr_cxr", vindr_cxr, settings)
    assert set(studies["split"]) == {"train", "val"} and boxes.empty
    assert "no test split" in caplog.text and "no boxes for train" in caplog.text


def test_one_reader_twice(vindr_cxr, settings, edit):
    edit(vindr_cxr / "annotations/image_labels_train.csv", "R2", "R1")
    with pytest.raises(SourceError, match=r"10 images of a reader are listed more than once, for example 0+ / R1"):
        ingest("vindr_cxr", vindr_cxr, settings)


def test_a_vote_that_is_neither_yes_nor_no(vindr_cxr, settings, edit):
    edit(vindr_cxr / "annotations/image_labels_test.csv", "\r\n", ",x\r\n")
    edit(vindr_cxr / "annotations/image_labels_test.csv", ",0,0,1,0,0,x", ",0,0,2,0,0,x")
    with pytest.raises(SourceError, match=r"holds '2'; it must be one of 0, 1"):
        ingest("vindr_cxr", vindr_cxr, settings)


def test_an_image_in_train_and_test(vindr_cxr, settings, edit):
    edit(vindr_cxr / "annotations/image_labels_test.csv", f"{100:032x}", f"{3:032x}")
    with pytest.raises(SourceError, match="listed more than once"):
        ingest("vindr_cxr", vindr_cxr, settings)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_kaggle_copy_with_films(tmp_path, settings, suffix, caplog):
    rows = [
        "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max",
        "aa,Cardiomegaly,3,R8,691,1375,1653,1831",
        "aa,Cardiomegaly,3,R9,700,1370,1650,1830",
        "aa,No finding,14,R10,,,,",
        "bb,ILD,5,R8,1,2,3,4",
        "bb,ILD,5,R8,5,6,7,8",
        "cc,No finding,14,R8,,,,",
    ]
    content = "\n".join(rows).encode()
    (tmp_path / f"train{suffix}").write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    for folder, film in (("train", "aa"), ("train", "bb"), ("train", "cc"), ("test", "dd")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{film}.dicom").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        studies, boxes, quarantine = ingest("vindr_cxr", tmp_path, settings)
    by_id = studies.set_index("image_id")
    assert quarantine.empty and by_id.loc["aa", "path"] == "train/aa.dicom"
    assert by_id.loc["aa", ["native:Cardiomegaly", "native:No finding", "readers"]].tolist() == [2, 1, 3]
    assert by_id.loc["bb", ["native:ILD", "readers"]].tolist() == [1, 1]  # Two boxes, one reader.
    assert boxes[["label", "reader"]].values.tolist() == [
        ["Cardiomegaly", "R8"],
        ["Cardiomegaly", "R9"],
        ["ILD", "R8"],
        ["ILD", "R8"],
    ]
    assert "Kaggle's copy" in caplog.text


def test_gzipped_tables(vindr_cxr, settings):
    expected = ingest("vindr_cxr", vindr_cxr, settings)
    for path in list(vindr_cxr.glob("annotations/*.csv")):
        path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    tables = ingest("vindr_cxr", vindr_cxr, settings)
    assert tables.studies.equals(expected.studies) and tables.boxes.equals(expected.boxes)
