import gzip
import logging

import numpy as np
import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from unichest_kedro.errors import SourceError
from unichest_kedro.sources import ingest, list_images

UID = "1.2.276.0.7230010.3.1.4.8323329.{}.1517875201.850819"
ONE, TWO, THREE = (UID.format(film) for film in (1, 2, 3))


def write_header(path, patient, sex="F", age="062Y", view="PA"):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientID, dataset.PatientSex, dataset.PatientAge, dataset.ViewPosition = patient, sex, age, view
    dataset.save_as(path, enforce_file_format=True)


def film(root, uid):
    return next(root.rglob(f"{uid}.dcm"))


def test_columns(siim_acr, settings, caplog):
    write_header(film(siim_acr, ONE), "aa")
    write_header(film(siim_acr, TWO), "bb", sex="O", age="011M", view="AP")
    with caplog.at_level(logging.WARNING):
        studies, boxes, quarantine = ingest("siim_acr", siim_acr, settings)
    assert quarantine.empty
    assert studies["image_id"].tolist() == [ONE, TWO, THREE]
    assert studies["patient_id"].tolist() == [ONE, TWO, THREE]
    assert studies["path"].iloc[0] == f"dicom-images-train/study1/series1/{ONE}.dcm"
    assert studies["native:Pneumothorax"].tolist() == [0, 1, 1]
    assert studies["sex"].tolist() == ["F", "", ""] and studies["view"].tolist() == ["frontal"] * 3
    assert studies["age"].tolist() == pytest.approx([62, 11 / 12, np.nan], nan_ok=True)
    assert set(studies["split"]) == {"test"}
    assert boxes[["image_id", "label", "reader"]].drop_duplicates().values.tolist() == [
        [TWO, "Pneumothorax", "radiologist"],
        [THREE, "Pneumothorax", "radiologist"],
    ]
    assert boxes[["x_min", "y_min", "x_max", "y_max"]].values.tolist() == [
        [3, 10, 5, 16],
        [0, 0, 1, 2],
        [1023, 1021, 1024, 1024],
    ]
    assert "1 images" in caplog.text and "in no row of train-rle.csv" in caplog.text
    assert "the headers of 1 films cannot be read" in caplog.text


def test_images_of_one_patient_stay_together(siim_acr, settings):
    write_header(film(siim_acr, THREE), "aa", view="LL")
    write_header(film(siim_acr, ONE), "aa")
    studies = ingest("siim_acr", siim_acr, settings).studies
    assert studies["patient_id"].tolist() == [ONE, TWO, ONE]
    assert studies["view"].tolist() == ["frontal", "frontal", "lateral"]


def test_stage_two_table_and_flat_films(siim_acr, settings):
    expected, boxes, _ = ingest("siim_acr", siim_acr, settings)
    table = (siim_acr / "train-rle.csv").read_text().replace("ImageId, Enc", "ImageId,Enc")
    (siim_acr / "stage_2_train.csv.gz").write_bytes(gzip.compress(table.encode()))
    (siim_acr / "train-rle.csv").unlink()
    film(siim_acr, ONE).rename(siim_acr / f"{ONE}.dcm")
    film(siim_acr, TWO).rename(siim_acr / f"dicom-images-test/{TWO}.dcm")
    (siim_acr / "png").mkdir()
    film(siim_acr, THREE).rename(siim_acr / f"png/{THREE}.png")
    studies, same_boxes, _ = ingest("siim_acr", siim_acr, settings)
    assert studies["path"].tolist() == [f"{ONE}.dcm", f"dicom-images-test/{TWO}.dcm", f"png/{THREE}.png"]
    assert studies.drop(columns="path").equals(expected.drop(columns="path")) and same_boxes.equals(boxes)


def test_the_table_of_stage_two_goes_first(siim_acr, settings):
    (siim_acr / "stage_2_train.csv").write_text(f"ImageId,EncodedPixels\n{ONE},-1\n")
    assert list_images("siim_acr", siim_acr, settings).listing["image_id"].tolist() == [ONE]


def test_a_film_as_released_goes_before_its_copy(siim_acr, settings):
    (siim_acr / "a").mkdir()
    (siim_acr / f"a/{ONE}.png").write_bytes(b"")
    assert ingest("siim_acr", siim_acr, settings).studies["path"].iloc[0].endswith(".dcm")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("3082 4 1020 6", "3082 4 1020", "train-rle.csv: line 3: column 'EncodedPixels' holds 3 numbers"),
        ("3082 4 1020 6", "3082 x", "line 3: column 'EncodedPixels' holds '3082 x', not whole numbers"),
        ("3082 4 1020 6", "3082 4 1048576 6", "leaves the image of 1024 x 1024"),
        ("3082 4 1020 6", "", "line 3: column 'EncodedPixels' holds 0 numbers"),
    ],
)
def test_a_mask_that_cannot_be_decoded(siim_acr, settings, edit, old, new, reason):
    edit(siim_acr / "train-rle.csv", old, new)
    studies, boxes, quarantine = ingest("siim_acr", siim_acr, settings)
    assert TWO not in set(studies["image_id"]) | set(boxes["image_id"])
    assert quarantine["image_id"].tolist() == [TWO] and reason in quarantine["reason"].iloc[0]
    assert quarantine["path"].iloc[0] == f"dicom-images-train/study2/series2/{TWO}.dcm"


def test_one_broken_mask_of_several_sets_the_image_aside(siim_acr, settings, edit):
    edit(siim_acr / "train-rle.csv", "0 2\r\n", "0 0\r\n")
    _, boxes, quarantine = ingest("siim_acr", siim_acr, settings)
    assert quarantine["image_id"].tolist() == [THREE] and THREE not in set(boxes["image_id"])


def test_an_image_with_and_without_mask(siim_acr, settings, edit):
    edit(siim_acr / "train-rle.csv", "0 2\r\n", "-1\r\n")
    quarantine = ingest("siim_acr", siim_acr, settings).quarantine
    assert quarantine["reason"].tolist() == ["train-rle.csv: listed both with a mask and without one"]


def test_table_without_masks(siim_acr, settings, edit):
    (siim_acr / "train-rle.csv").write_text(f"ImageId, EncodedPixels\n{ONE}, -1\n")
    studies, boxes, _ = ingest("siim_acr", siim_acr, settings)
    assert studies["native:Pneumothorax"].tolist() == [0] and boxes.empty


def test_blank_id(siim_acr, settings, edit):
    edit(siim_acr / "train-rle.csv", f"{ONE},-1", ",-1")
    with pytest.raises(SourceError, match=r"line 2: column 'ImageId' is blank"):
        ingest("siim_acr", siim_acr, settings)


def test_header_of_a_real_film(siim_acr, settings, real):
    source = real / "dicom" / f"{UID.format(6904)}.dcm"
    (siim_acr / "dicom-images-train" / source.name).write_bytes(source.read_bytes())
    (siim_acr / "train-rle.csv").write_text(f"ImageId, EncodedPixels\n{source.stem},-1\n")
    row = ingest("siim_acr", siim_acr, settings).studies.iloc[0]
    assert row[["sex", "age", "view"]].tolist() == ["M", 62, "frontal"]
