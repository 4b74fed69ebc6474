import gzip
import logging

import numpy as np
import pytest

from unichest_kedro.errors import SourceError
from unichest_kedro.sources import ingest


def test_columns(mimic_cxr, settings, caplog):
    with caplog.at_level(logging.WARNING):
        studies = ingest("mimic_cxr", mimic_cxr, settings).studies.set_index("image_id")
    row = studies.loc["bb"]
    assert row["path"] == "files/p10/p10000032/s50414267/bb.jpg"
    assert (row["patient_id"], row["study_id"], row["sex"]) == ("10000032", "50414267", "")
    assert np.isnan(row["age"])
    assert studies["split"].to_dict() == {
        "aa": "train",
        "bb": "train",
        "cc": "train",
        "dd": "val",
        "ee": "test",
    }
    assert set(studies["split_origin"]) == {"official"}
    assert studies["view"].to_dict() == {
        "aa": "frontal",
        "bb": "lateral",
        "cc": "frontal",
        "dd": "unknown",
        "ee": "unknown",
    }
    assert studies["native:No Finding"].tolist()[:2] == [1, 1]
    assert studies.loc["cc", ["native:Edema", "native:Pneumonia"]].tolist() == [-1, 1]
    assert studies.loc["ee"].filter(like="native:").isna().all()
    assert studies.loc["bb", "report"] == "FINDINGS: study 50414267.\n"
    assert studies.loc["ee", "report"] == ""
    assert "1 of 4 studies have no report" in caplog.text


def test_plain_tables_and_reports_in_their_own_folder(mimic_cxr, settings):
    zipped = ingest("mimic_cxr", mimic_cxr, settings).studies
    for path in list(mimic_cxr.glob("*.csv.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    for path in list(mimic_cxr.glob("files/*/*/*.txt")):
        moved = mimic_cxr / "mimic-cxr-reports" / path.relative_to(mimic_cxr)
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)
    assert ingest("mimic_cxr", mimic_cxr, settings).studies.equals(zipped)


def test_report_that_is_not_utf8(mimic_cxr, settings):
    (mimic_cxr / "files/p11/p11000935/s51178377.txt").write_bytes(b"caf\xe9")
    studies = ingest("mimic_cxr", mimic_cxr, settings).studies.set_index("image_id")
    assert studies.loc["ee", "report"] == "caf\ufffd"


def test_image_without_a_split(mimic_cxr, settings, edit):
    edit(mimic_cxr / "mimic-cxr-2.0.0-split.csv.gz", "cc,57375967,10000764,train\r\n", "")
    studies, _, quarantine = ingest("mimic_cxr", mimic_cxr, settings)
    assert len(studies) == 4
    assert quarantine[["image_id", "path"]].values.tolist() == [["cc", "files/p10/p10000764/s57375967/cc.jpg"]]
    assert "without a split" in quarantine["reason"].iloc[0]


def test_a_study_without_a_row_of_labels_is_unknown_and_not_negative(mimic_cxr, settings, edit):
    edit(mimic_cxr / "mimic-cxr-2.0.0-chexpert.csv.gz", "11000935,51178377,,,,,,,,,,,,,,\r\n", "")
    studies, _, quarantine = ingest("mimic_cxr", mimic_cxr, settings)
    assert "ee" not in set(studies["image_id"])
    assert quarantine["image_id"].tolist() == ["ee"]
    assert "in no row of mimic-cxr-2.0.0-chexpert.csv" in quarantine["reason"].iloc[0]


def test_tables_that_disagree(mimic_cxr, settings, edit):
    edit(mimic_cxr / "mimic-cxr-2.0.0-split.csv.gz", "cc,57375967,10000764", "cc,57375967,10000765")
    with pytest.raises(SourceError, match=r"metadata.csv.gz: 1 images of another patient .* for example cc"):
        ingest("mimic_cxr", mimic_cxr, settings)


def test_unknown_split_name(mimic_cxr, settings, edit):
    edit(mimic_cxr / "mimic-cxr-2.0.0-split.csv.gz", "validate", "dev")
    with pytest.raises(SourceError, match=r"column 'split' holds 'dev'; it must be one of train, validate, test"):
        ingest("mimic_cxr", mimic_cxr, settings)


def test_missing_table(mimic_cxr, settings):
    (mimic_cxr / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    with pytest.raises(SourceError, match=r"neither mimic-cxr-2.0.0-chexpert.csv.gz nor .* is there"):
        ingest("mimic_cxr", mimic_cxr, settings)


def test_path_that_leaves_the_root(mimic_cxr, settings, edit):
    for table in ("split", "metadata"):
        edit(mimic_cxr / f"mimic-cxr-2.0.0-{table}.csv.gz", "cc,", "../../../../../cc,")
    quarantine = ingest("mimic_cxr", mimic_cxr, settings).quarantine
    assert quarantine["reason"].tolist() == ["path leaves the root"]


def move_reports(images, folder):
    for path in list(images.glob("files/*/*/*.txt")):
        moved = folder / path.relative_to(images)
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)


@pytest.mark.parametrize("inner", ["", "mimic-cxr-reports"])
def test_reports_under_another_root(mimic_cxr, settings, tmp_path, inner):
    together = ingest("mimic_cxr", mimic_cxr, settings).studies
    reports = tmp_path / "mimic-cxr"
    move_reports(mimic_cxr, reports / inner)
    assert (ingest("mimic_cxr", mimic_cxr, settings).studies["report"] == "").all()
    assert ingest("mimic_cxr", mimic_cxr, settings, {"reports": str(reports)}).studies.equals(together)


def test_a_folder_that_holds_no_reports(mimic_cxr, settings, tmp_path):
    (tmp_path / "mimic-cxr").mkdir()
    with pytest.raises(SourceError, match=r"`reports` names, holds neither files/ nor mimic-cxr-reports/files/"):
        ingest("mimic_cxr", mimic_cxr, settings, {"reports": tmp_path / "mimic-cxr"})


def test_the_other_labelers_table(mimic_cxr, settings, edit):
    table = mimic_cxr / "mimic-cxr-2.0.0-chexpert.csv.gz"
    with pytest.raises(SourceError, match=r"neither mimic-cxr-2.0.0-negbio.csv.gz nor"):
        ingest("mimic_cxr", mimic_cxr, settings, {"labels": "negbio"})
    (mimic_cxr / "mimic-cxr-2.0.0-negbio.csv.gz").write_bytes(table.read_bytes())
    edit(mimic_cxr / "mimic-cxr-2.0.0-negbio.csv.gz", "-1.0", "0.0")
    edit(mimic_cxr / "mimic-cxr-2.0.0-negbio.csv.gz", "11000935,51178377,,,,,,,,,,,,,,\r\n", "")
    studies, _, quarantine = ingest("mimic_cxr", mimic_cxr, settings, {"labels": "negbio"})
    assert studies.set_index("image_id").loc["cc", "native:Edema"] == 0
    assert quarantine["reason"].tolist() == ["its study is in no row of mimic-cxr-2.0.0-negbio.csv"]
    assert ingest("mimic_cxr", mimic_cxr, settings).studies.set_index("image_id").loc["cc", "native:Edema"] == -1
