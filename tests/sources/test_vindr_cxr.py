import csv
import logging
from collections import defaultdict

import pytest

from unichest_kedro.errors import SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources import IngestionSettings, ingest, list_images
from unichest_kedro.sources.labels import VINBIGDATA_LABELS


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


def test_kaggle_copy(real):
    listing, boxes, rejected = list_images("vindr_cxr", real / "vinbigdata", IngestionSettings())
    assert len(listing) == 15_000 and rejected.empty
    with (real / "vinbigdata/train.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    votes, readers = defaultdict(set), defaultdict(set)
    for row in rows:
        votes[row["image_id"], row["class_name"]].add(row["rad_id"])
        readers[row["image_id"]].add(row["rad_id"])
    assert listing["readers"].tolist() == [len(readers[image]) for image in listing["image_id"]]
    for label in VINBIGDATA_LABELS:
        expected = [float(len(votes[image, label])) for image in listing["image_id"]]
        assert listing[NATIVE_PREFIX + label].tolist() == expected
    assert sum(column.startswith(NATIVE_PREFIX) for column in listing) == 15
    with_box = [row for row in rows if row["class_name"] != "No finding"]
    assert boxes["label"].tolist() == [row["class_name"] for row in with_box]
    assert boxes["y_max"].tolist() == [float(row["y_max"]) for row in with_box]
    assert listing.groupby("split").size().to_dict() == {"train": 13_500, "val": 1_500}
