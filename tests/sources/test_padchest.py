import gzip
import logging

import numpy as np
import pytest

from unichest_kedro.errors import SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources import ingest, list_images
from unichest_kedro.sources.padchest import parse_labels

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"


def image(number):
    return f"2168401113_{number:02d}.png"


def test_columns(padchest, settings, caplog):
    with caplog.at_level(logging.WARNING):
        studies, boxes, quarantine = ingest("padchest", padchest, settings)
    assert boxes.empty
    by_id = studies.set_index("image_id")
    row = by_id.loc[image(2)]
    assert row[["path", "patient_id", "study_id", "sex", "age", "readers"]].tolist() == [
        f"0/{image(2)}",
        "patient0",
        "study1",
        "",
        76,
        1,
    ]
    assert row["report"] == "silueta cardiaca normal , hallazgo 2 ."
    assert by_id["view"].tolist() == ["frontal", "lateral", "frontal", "frontal", "unknown", "unknown"]
    assert by_id["sex"].tolist() == ["M", "F", "", "M", "F", ""]
    natives = by_id.filter(like=NATIVE_PREFIX).rename(columns=lambda name: name.removeprefix(NATIVE_PREFIX))
    assert natives.columns.tolist() == [
        "cardiomegaly",
        "copd signs",
        "exclude",
        "normal",
        "pleural effusion",
        "suboptimal study",
        "unchanged",
    ]
    assert set(natives.columns[natives.loc[image(1)] == 1]) == {"copd signs", "pleural effusion"}
    assert (natives.loc[image(1)] == 0).sum() == 5
    assert natives.loc[image(4)].isna().all() and natives.drop(image(4)).notna().all(axis=None)
    assert "1 rows have an empty list of labels" in caplog.text
    assert set(quarantine["reason"]) == {"labelled by a model, not by a physician"}
    assert quarantine["image_id"].tolist() == [image(6), image(7)]


def test_films_that_a_model_labelled_are_not_strangers(padchest, settings, caplog):
    (padchest / f"0/{image(6)}").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        quarantine = ingest("padchest", padchest, settings).quarantine
    assert quarantine["path"].iloc[0] == f"0/{image(6)}" and "belong to no listed image" not in caplog.text


def test_plain_table_and_other_folders(padchest, settings):
    expected = ingest("padchest", padchest, settings).studies
    (padchest / TABLE).write_bytes(gzip.decompress((padchest / f"{TABLE}.gz").read_bytes()))
    (padchest / f"{TABLE}.gz").unlink()
    (padchest / "images").mkdir()
    (padchest / "0").rename(padchest / "images/0")
    for path in (padchest / "1").iterdir():
        path.rename(padchest / path.name)
    studies = ingest("padchest", padchest, settings).studies
    assert studies["path"].tolist() == [f"images/0/{image(n)}" if n % 2 == 0 else image(n) for n in range(6)]
    assert studies.drop(columns="path").equals(expected.drop(columns="path"))


def test_the_latest_table_is_read(padchest, settings, edit):
    older = padchest / "PADCHEST_chest_x_ray_images_labels_160K.csv"
    older.write_text("ImageID\nx\n")
    assert len(list_images("padchest", padchest, settings).listing) == 6


@pytest.mark.parametrize(
    ("old", "new", "film", "reason"),
    [
        ("\"['cardiomegaly', 'pleural  effusion']\"", "", 2, "Labels are blank"),
        ("\"['cardiomegaly', 'pleural  effusion']\"", "nan", 2, "Labels are blank"),
        ("\"['cardiomegaly', 'pleural  effusion']\"", "[nan]", 2, "Labels hold [nan], not a list of words"),
        ("\"['cardiomegaly', 'pleural  effusion']\"", "['normal'", 2, "Labels hold ['normal', not a list of words"),
        ("\"['cardiomegaly', 'pleural  effusion']\"", "normal", 2, "Labels hold normal, not a list of words"),
        (",patient0,1938.0,O,", ",,1938.0,O,", 2, "PatientID is blank"),
        ('hallazgo 2 .",Physician', 'hallazgo 2 .",Nobody', 2, "MethodLabel is neither Physician nor RNN_model"),
        ('hallazgo 2 .",Physician', 'hallazgo 2 .",', 2, "MethodLabel is neither Physician nor RNN_model"),
    ],
)
def test_rows_that_cannot_be_used_are_named(padchest, settings, edit, old, new, film, reason):
    edit(padchest / f"{TABLE}.gz", old, new)
    studies, _, quarantine = ingest("padchest", padchest, settings)
    assert len(studies) == 5
    row = quarantine.set_index("image_id").loc[image(film)]
    assert (row["reason"], row["path"]) == (reason, f"0/{image(film)}")


def test_a_row_without_image_id_is_named_by_its_line(padchest, settings, edit):
    edit(padchest / f"{TABLE}.gz", f"2,{image(2)},", "2,,")
    quarantine = ingest("padchest", padchest, settings).quarantine.set_index("reason")
    assert quarantine.loc["ImageID is blank", "image_id"] == "line 4"


def test_whole_numbers_written_by_a_spreadsheet(padchest, settings, edit):
    edit(padchest / f"{TABLE}.gz", f"{image(2)},0,20140915", f"{image(2)},0.0,20140915")
    (padchest / f"0/{image(2)}").unlink()
    quarantine = ingest("padchest", padchest, settings).quarantine.set_index("image_id")
    assert quarantine.loc[image(2), "path"] == f"0/{image(2)}"


def test_ages_that_are_not_known(padchest, settings, edit):
    edit(padchest / f"{TABLE}.gz", "20140915,study1,patient0,1938.0,O", "20140915,study1,patient0,,O")
    edit(padchest / f"{TABLE}.gz", "20140915,study0,patient0,1938.0,M", "nan,study0,patient0,1938.0,M")
    ages = list_images("padchest", padchest, settings).listing["age"]
    assert ages.tolist() == pytest.approx([np.nan, 76, np.nan, 76, 76, 76], nan_ok=True)


def test_tables_without_details(padchest, settings, edit):
    for column in ("Report", "PatientBirth", "PatientSex_DICOM"):
        edit(padchest / f"{TABLE}.gz", f",{column},", f",{column}_2,")
    studies = ingest("padchest", padchest, settings).studies
    assert (studies["report"] == "").all() and (studies["sex"] == "").all() and studies["age"].isna().all()


def test_path_that_leaves_the_root(padchest, settings, edit):
    edit(padchest / f"{TABLE}.gz", f"2,{image(2)},0,", "2,../../secret.png,0,")
    quarantine = ingest("padchest", padchest, settings).quarantine.set_index("image_id")
    assert quarantine.loc["../../secret.png", "reason"] == "path leaves the root"


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("['normal']", ["normal"]),
        ("[' Pleural   effusion ', '', ' ']", ["pleural effusion"]),
        ("[]", []),
        ("nan", None),
        ("", None),
        ("('normal',)", None),
        ("['normal', 3]", None),
        ("['normal', nan]", None),
        ("__import__('os').system('true')", None),
        ("[" * 5000 + "]" * 5000, None),
    ],
)
def test_label_cells(text, labels):
    assert parse_labels(text) == labels


def test_missing_table(padchest, settings):
    (padchest / f"{TABLE}.gz").unlink()
    with pytest.raises(SourceError, match=r"looked for PADCHEST_chest_x_ray_images_labels_160K\*.csv"):
        ingest("padchest", padchest, settings)
