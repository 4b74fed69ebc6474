import logging
import tarfile

import numpy as np
import pytest

from unichest_kedro.errors import SourceError, VocabularyError
from unichest_kedro.reports.sections import parse_sections
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources import ingest, list_images
from unichest_kedro.sources.open_i import (
    MeshLabel,
    load_mesh_labels,
    read_reports_table,
    read_terms,
)


def test_columns(open_i, settings, caplog):
    with caplog.at_level(logging.WARNING):
        studies, boxes, quarantine = ingest("open_i", open_i, settings)
    assert boxes.empty and quarantine.empty
    assert studies["image_id"].tolist() == [
        "CXR1_1_IM-0001-3001",
        "CXR1_1_IM-0001-4001",
        "CXR2_IM-0652-1001",
        "CXR2_IM-0652-2001",
        "CXR10_IM-0002-1001",
    ]
    by_id = studies.set_index("image_id")
    row = by_id.loc["CXR1_1_IM-0001-3001"]
    assert row[["path", "patient_id", "study_id", "view", "sex", "readers"]].tolist() == [
        "NLMCXR_png/CXR1_1_IM-0001-3001.png",
        "CXR1",
        "CXR1",
        "unknown",
        "",
        1,
    ]
    assert row["report"] == "FINDINGS: Clear lungs.\n\nIMPRESSION: Normal."
    assert by_id.loc["CXR2_IM-0652-1001", "report"] == "IMPRESSION: Borderline heart & XXXX."
    assert by_id.loc["CXR10_IM-0002-1001", "report"] == ""
    assert "indiana_projections.csv is not in" in caplog.text and "1 of 3 studies have no report" in caplog.text


def test_native_labels_are_the_headings_of_the_report(open_i, settings):
    studies = ingest("open_i", open_i, settings).studies.set_index("image_id")
    natives = studies.filter(like=NATIVE_PREFIX).rename(columns=lambda name: name.removeprefix(NATIVE_PREFIX))
    assert natives.columns.tolist() == list(load_mesh_labels().labels)
    assert set(natives.columns[natives.loc["CXR1_1_IM-0001-3001"] == 1]) == {"Normal"}
    assert set(natives.columns[natives.loc["CXR2_IM-0652-2001"] == 1]) == {"Cardiomegaly", "Pleural Effusion"}
    assert natives.drop("CXR10_IM-0002-1001").notna().all(axis=None)
    assert natives.loc["CXR10_IM-0002-1001"].isna().all()  # "No Indexing" is not "nothing found".


def test_the_shared_section_parser_reads_the_report(open_i):
    report = read_reports_table(open_i)["report"].iloc[0]
    assert parse_sections(report) == {"findings": "Clear lungs.", "impression": "Normal."}


def test_reports_and_terms_without_a_single_image(open_i):
    for path in (open_i / "NLMCXR_png").iterdir():
        path.unlink()
    frame = read_reports_table(open_i)
    assert frame["report_id"].tolist() == ["CXR1", "CXR2", "CXR10", "CXR11"]
    assert frame.columns.tolist() == [
        "report_id",
        "report",
        "indication",
        "comparison",
        "findings",
        "impression",
        "majors",
        "images",
    ]
    assert frame["indication"].tolist() == ["Cough.", "", "", ""] and frame["comparison"].iloc[2] == "None."
    assert frame["findings"].iloc[3] == "Opacity at the left base."
    assert frame["majors"].tolist()[1:] == [
        ("Cardiomegaly/borderline", "Pleural Effusion/right/small"),
        ("No Indexing",),
        ("Opacity/lung/base/left",),
    ]
    assert frame["images"].iloc[3] == ()
    assert read_terms(open_i).values.tolist() == [
        ["CXR1", "normal"],
        ["CXR2", "Cardiomegaly/borderline"],
        ["CXR2", "Pleural Effusion/right/small"],
        ["CXR10", "No Indexing"],
        ["CXR11", "Opacity/lung/base/left"],
    ]


def pack(root, name="NLMCXR_reports.tgz"):
    with tarfile.open(root / name, "w:gz") as archive:
        archive.add(root / "ecgen-radiology", "ecgen-radiology")
    for path in (root / "ecgen-radiology").iterdir():
        path.unlink()
    (root / "ecgen-radiology").rmdir()


@pytest.mark.parametrize("name", ["NLMCXR_reports.tgz", "NLMCXR_reports.tar.gz"])
def test_reports_in_their_archive(open_i, settings, name):
    expected = ingest("open_i", open_i, settings).studies
    pack(open_i, name)
    assert ingest("open_i", open_i, settings).studies.equals(expected)
    assert not (open_i / "ecgen-radiology").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_broken_archive(open_i, settings, content):
    pack(open_i)
    path = open_i / "NLMCXR_reports.tgz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(SourceError, match="cannot be read as an archive of reports"):
        ingest("open_i", open_i, settings)


@pytest.mark.parametrize("folder", ["", "NLMCXR_reports/ecgen-radiology"])
def test_reports_in_other_folders(open_i, settings, folder):
    expected = ingest("open_i", open_i, settings).studies
    (open_i / folder).mkdir(parents=True, exist_ok=True)
    for path in (open_i / "ecgen-radiology").iterdir():
        path.rename(open_i / folder / path.name)
    assert ingest("open_i", open_i, settings).studies.equals(expected)


@pytest.mark.parametrize("content", ["<eCitation><uId", "", "plain words", "<other/>", "\x00"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_report_that_is_no_xml_is_named(open_i, settings, content, packed, caplog):
    (open_i / "ecgen-radiology/2.xml").write_text(content)
    if packed:
        pack(open_i)
    studies, _, quarantine = ingest("open_i", open_i, settings)
    assert len(studies) == 3
    prefix = "NLMCXR_reports.tgz/" if packed else ""
    assert quarantine[["image_id", "path"]].values.tolist() == [["2", f"{prefix}ecgen-radiology/2.xml"]]
    assert quarantine["reason"].iloc[0].startswith("cannot be read as an XML report:")
    with caplog.at_level(logging.WARNING):
        assert len(read_reports_table(open_i)) == 3
    assert "1 reports cannot be read, for example" in caplog.text


def test_all_reports_broken(open_i, settings):
    for path in (open_i / "ecgen-radiology").iterdir():
        path.write_text("<")
    with pytest.raises(SourceError, match="not one of 4 reports can be read"):
        ingest("open_i", open_i, settings)


def test_a_report_twice(open_i, settings):
    (open_i / "ecgen-radiology/3.xml").write_text((open_i / "ecgen-radiology/2.xml").read_text())
    with pytest.raises(SourceError, match="1 reports are listed more than once, for example CXR2"):
        ingest("open_i", open_i, settings)


def test_kaggle_copy_says_the_same_and_knows_the_views(open_i, open_i_kaggle, settings):
    xml = ingest("open_i", open_i, settings).studies
    studies, _, quarantine = ingest("open_i", open_i_kaggle, settings)
    assert quarantine.empty
    assert studies["path"].iloc[0] == "images/images_normalized/1_IM-0001-3001.dcm.png"
    assert studies["image_id"].iloc[0] == "CXR1_IM-0001-3001"
    assert studies["view"].tolist() == ["lateral", "frontal", "frontal", "lateral", "frontal"]
    differing = ["image_id", "path", "view"]
    assert studies.drop(columns=differing).equals(xml.drop(columns=differing))
    assert read_terms(open_i_kaggle).equals(read_terms(open_i).iloc[:4])


def test_projections_beside_the_xml_reports(open_i, open_i_kaggle, settings):
    (open_i_kaggle / "indiana_projections.csv").rename(open_i / "indiana_projections.csv")
    studies = ingest("open_i", open_i, settings).studies
    assert studies["view"].tolist() == ["lateral", "frontal", "frontal", "lateral", "frontal"]
    assert studies["path"].str.startswith("NLMCXR_png/").all()


def test_kaggle_films_of_no_report(open_i_kaggle, settings, edit):
    edit(open_i_kaggle / "indiana_reports.csv", "10,No Indexing", "77,No Indexing")
    _, _, quarantine = ingest("open_i", open_i_kaggle, settings)
    assert quarantine[["image_id", "reason"]].values.tolist() == [
        ["CXR10_IM-0002-1001", "its report is in no row of indiana_reports.csv"]
    ]


def test_kaggle_reports_without_the_other_table_can_still_be_read(open_i_kaggle):
    (open_i_kaggle / "indiana_projections.csv").unlink()
    assert len(read_reports_table(open_i_kaggle)) == 3


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("", "CXR2_IM-0652-1001.png"),
        ("images", "CXR2_IM-0652-1001.png"),
        ("images/images_normalized", "2_IM-0652-1001.dcm.png"),
        ("NLMCXR_dcm/2", "2_IM-0652-1001.dcm"),
    ],
)
def test_where_a_film_may_be(open_i, settings, folder, name):
    (open_i / folder).mkdir(parents=True, exist_ok=True)
    (open_i / "NLMCXR_png/CXR2_IM-0652-1001.png").rename(open_i / folder / name)
    studies = ingest("open_i", open_i, settings).studies.set_index("image_id")
    assert studies.loc["CXR2_IM-0652-1001", "path"] == f"{folder}/{name}".lstrip("/")


def test_no_reports_at_all(open_i, settings):
    (open_i / "ecgen-radiology").rename(open_i / "elsewhere")
    with pytest.raises(SourceError, match="looked for ecgen-radiology"):
        list_images("open_i", open_i, settings)
    with pytest.raises(SourceError, match=r"neither ecgen-radiology/<number>.xml nor NLMCXR_reports.tgz"):
        read_reports_table(open_i)


@pytest.mark.parametrize(
    ("heading", "term", "matches"),
    [
        ("Cardiomegaly", "Cardiomegaly/mild", True),
        ("cardiomegaly", " CARDIOMEGALY ", True),
        ("Cardiomegaly", "Cardiomegaly of the left", False),
        ("Cardiac Shadow/enlarged", "Cardiac Shadow/mild/enlarged", True),
        ("Cardiac Shadow/enlarged", "Cardiac Shadow", False),
        ("Opacity/lung/left", "Opacity/left/lung/base", True),
        ("Opacity/lung/left", "Opacity/lung/right", False),
        ("lung", "Opacity/lung", False),
    ],
)
def test_headings(heading, term, matches):
    assert MeshLabel(headings=(heading,), why="said so").matches(term) is matches


def test_labels_of_a_file(tmp_path):
    path = tmp_path / "mesh.yml"
    path.write_text("labels:\n  Hernia:\n    headings: [Hernia, Hernia/hiatal]\n    why: by name\n")
    assert load_mesh_labels(path).labels["Hernia"].headings == ("Hernia", "Hernia/hiatal")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("labels: {}", "labels: "),
        ("labels:\n  Hernia:\n    headings: []\n    why: x", "labels.Hernia.headings"),
        ("labels:\n  Hernia:\n    headings: [Hernia]", "labels.Hernia.why"),
        ("labels:\n  Hernia:\n    headings: ['Hernia/']\n    why: x", "'Hernia/' has an empty part"),
        ("labels:\n  Hernia:\n    heading: [Hernia]\n    why: x", "labels.Hernia.headings"),
        ("[1, 2", "Cannot read the MeSH headings"),
    ],
)
def test_a_file_of_headings_that_is_wrong(tmp_path, text, words):
    path = tmp_path / "mesh.yml"
    path.write_text(text)
    with pytest.raises(VocabularyError, match="MeSH headings") as error:
        load_mesh_labels(path)
    assert words in str(error.value) and str(path) in str(error.value)


def test_missing_file_of_headings(tmp_path):
    with pytest.raises(VocabularyError, match="Cannot read the MeSH headings"):
        load_mesh_labels(tmp_path / "nowhere.yml")


def test_a_report_on_which_nothing_is_stated_has_no_labels(open_i, settings, edit):
    edit(open_i / "ecgen-radiology/1.xml", "<major>normal</major>", "")
    natives = ingest("open_i", open_i, settings).studies.iloc[0].filter(like=NATIVE_PREFIX)
    assert np.isnan(natives.astype(float)).all()
