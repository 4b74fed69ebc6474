import logging
import math

import pytest

from unichest_kedro.sources import ingest, list_images
from unichest_kedro.sources.shenzhen import parse_reading


def test_columns(shenzhen, settings):
    studies, boxes, quarantine = ingest("shenzhen", shenzhen, settings)
    assert boxes.empty and quarantine.empty
    by_id = studies.set_index("image_id")
    row = by_id.loc["CHNCXR_0328_1"]
    assert row[["path", "patient_id", "view", "sex", "readers"]].tolist() == [
        "CXR_png/CHNCXR_0328_1.png",
        "CHNCXR_0328",
        "frontal",
        "M",
        1,
    ]
    assert row["age"] == pytest.approx(5 / 12)
    assert row["report"] == "1.bilateral PTB\n2.right pleuritis"
    assert by_id["native:Tuberculosis"].tolist() == [0, 0, 1, 1]
    assert by_id["native:Normal"].tolist() == [1, 1, 0, 0]
    assert by_id["age"].tolist()[:3] == [45, 14, 24] and by_id["sex"].tolist()[:3] == ["M", "F", "F"]
    assert by_id["report"].tolist()[:2] == ["normal", "normal"]
    assert set(studies["split"]) == {"test"} and set(studies["split_origin"]) == {
        "no published split: all scored, not trained on"
    }


def test_trained_on_it_is_cut_by_patient(shenzhen, settings):
    listing = list_images("shenzhen", shenzhen, settings.model_copy(update={"train_on": ("shenzhen",)})).listing
    assert set(listing["split"]) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("male 45yrs\nnormal", ("M", 45, "normal")),
        ("male 45yrs", ("M", 45, "")),
        ("female, 14 yrs\n\nnormal\n", ("F", 14, "normal")),
        ("Female24yrs\nPTB", ("F", 24, "PTB")),
        ("femal 32yrs\nnormal", ("F", 32, "normal")),
        ("  Male ,42 years.\n1.STB\n2.pleuritis", ("M", 42, "1.STB\n2.pleuritis")),
        ("male 42\nnormal", ("M", 42, "normal")),
        ("male, 5 months\nmiliary TB", ("M", 5 / 12, "miliary TB")),
        ("Female 21days\nnormal", ("F", 21 / 365.25, "normal")),
        ("male 3 weeks, normal", ("M", 21 / 365.25, "normal")),
        ("male 45yrs, PTB in the left", ("M", 45, "PTB in the left")),
        ("m 30y\nnormal", ("M", 30, "normal")),
        ("male\nnormal", ("M", math.nan, "normal")),
        ("male 24yxs\nnormal", ("M", math.nan, "24yxs\nnormal")),
        ("male 42 diffuse shadows", ("M", 42, "diffuse shadows")),
        ("fibrosis of the left apex", ("", math.nan, "fibrosis of the left apex")),
        ("females are 30", ("", math.nan, "females are 30")),
        ("", ("", math.nan, "")),
    ],
)
def test_readings(text, expected):
    reading = parse_reading(text)
    assert (reading.sex, reading.text) == (expected[0], expected[2])
    assert reading.age == pytest.approx(expected[1], nan_ok=True)


@pytest.mark.parametrize("above", ["", "ChinaSet_AllFiles"])
def test_folder_of_the_archive_inside_the_root(shenzhen, settings, above):
    expected = ingest("shenzhen", shenzhen, settings).studies
    root = shenzhen.parent
    if above:
        shenzhen.rename(root / "moved")
        (root / above).mkdir()
        (root / "moved").rename(root / above / above)
    studies = ingest("shenzhen", root, settings).studies
    assert studies.drop(columns="path").equals(expected.drop(columns="path"))
    assert all((root / path).is_file() for path in studies["path"])


def test_flat_films(shenzhen, settings, caplog):
    for path in (*shenzhen.glob("CXR_png/CHN*.png"), *shenzhen.glob("ClinicalReadings/*_1.txt")):
        path.rename(shenzhen / path.name)
    for folder in ("CXR_png", "ClinicalReadings"):
        for path in (shenzhen / folder).iterdir():
            path.unlink()
        (shenzhen / folder).rmdir()
    with caplog.at_level(logging.WARNING):
        studies, _, quarantine = ingest("shenzhen", shenzhen, settings)
    assert studies["path"].tolist() == [f"{image}.png" for image in studies["image_id"]] and len(studies) == 4
    assert quarantine.empty  # README.txt beside the films is no reading.
    assert studies["report"].ne("").sum() == 2
    assert "sex or age of 2 of 4 films is not known" in caplog.text


def test_a_film_without_reading_and_a_reading_without_film(shenzhen, settings):
    (shenzhen / "ClinicalReadings/CHNCXR_0001_0.txt").unlink()
    (shenzhen / "CXR_png/CHNCXR_0327_1.png").unlink()
    studies, _, quarantine = ingest("shenzhen", shenzhen, settings)
    row = studies.set_index("image_id").loc["CHNCXR_0001_0"]
    assert (row["sex"], row["report"], row["native:Normal"]) == ("", "", 1) and math.isnan(row["age"])
    assert quarantine[["image_id", "path", "reason"]].values.tolist() == [
        ["CHNCXR_0327_1", "CXR_png/CHNCXR_0327_1.png", "listed but not on disk"]
    ]


def test_other_file_names_are_named(shenzhen, settings):
    (shenzhen / "CXR_png/CHNCXR_0002_0.png").rename(shenzhen / "CXR_png/CHNCXR_0002_0 copy.png")
    (shenzhen / "ClinicalReadings/CHNCXR_0002_0.txt").rename(shenzhen / "ClinicalReadings/CHNCXR_0002_2.txt")
    studies, _, quarantine = ingest("shenzhen", shenzhen, settings)
    assert len(studies) == 3
    assert quarantine[["image_id", "path"]].values.tolist() == [
        ["CHNCXR_0002_0 copy", "CXR_png/CHNCXR_0002_0 copy.png"],
        ["CHNCXR_0002_2", "ClinicalReadings/CHNCXR_0002_2.txt"],
    ]
    assert set(quarantine["reason"]) == {"the file name is not CHNCXR_<four digits>_<0 or 1>"}


def test_a_reading_that_is_not_utf8(shenzhen, settings):
    (shenzhen / "ClinicalReadings/CHNCXR_0001_0.txt").write_bytes(b"\xef\xbb\xbfmale 45yrs\n\xa1normal")
    row = ingest("shenzhen", shenzhen, settings).studies.iloc[0]
    assert (row["sex"], row["age"], row["report"]) == ("M", 45, "\ufffdnormal")
