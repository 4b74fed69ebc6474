import logging

import pytest

from unichest_kedro.errors import SettingsError, SourceError
from unichest_kedro.phantoms import PhantomSettings, make_phantoms
from unichest_kedro.schemas import Boxes, Quarantine, Studies
from unichest_kedro.sources import SOURCES, TRAINED_ON, IngestionSettings, ingest, list_images

SCORED_ONLY = tuple(source for source in SOURCES if source not in TRAINED_ON)
BY_A_MODEL = "labelled by a model, not by a physician"


@pytest.fixture
def roots(mimic_cxr, chestxray14, make_chexpert, vindr_cxr, shenzhen, open_i, siim_acr, padchest):
    folders = (mimic_cxr, chestxray14, make_chexpert(), vindr_cxr, shenzhen, open_i, siim_acr, padchest)
    return dict(zip(SOURCES, folders, strict=True))


@pytest.mark.parametrize("source", SOURCES)
def test_tables_fit_the_schemas_and_nothing_is_set_aside(source, roots, settings):
    studies, boxes, quarantine = ingest(source, roots[source], settings)
    Studies.validate(studies)
    Boxes.validate(boxes)
    Quarantine.validate(quarantine)
    assert set(quarantine["reason"]) == ({BY_A_MODEL} if source == "padchest" else set())
    assert set(studies["split"]) == ({"train", "val", "test"} if source in TRAINED_ON else {"test"})
    assert all((roots[source] / path).is_file() for path in studies["path"])
    assert (studies["source"] == source).all()


@pytest.mark.parametrize("source", SCORED_ONLY)
def test_a_source_without_published_split_is_cut_when_it_is_trained_on(source, roots):
    settings = IngestionSettings(train_on=(source,), test_fraction=0.3)
    studies = ingest(source, roots[source], settings).studies
    assert {"train", "test"} <= set(studies["split"])
    assert studies.groupby("patient_id")["split"].nunique().max() == 1
    assert studies["split_origin"].str.contains("cut").all()


@pytest.mark.parametrize("source", SOURCES)
def test_a_missing_file_goes_to_quarantine_and_moves_no_split(source, roots, settings, caplog):
    before = ingest(source, roots[source], settings).studies.set_index("image_id")
    lost = before.index[0]
    (roots[source] / before.loc[lost, "path"]).unlink()
    with caplog.at_level(logging.WARNING):
        studies, _, quarantine = ingest(source, roots[source], settings)
    quarantine = quarantine[quarantine["reason"] != BY_A_MODEL]
    row = quarantine.iloc[0]
    assert (len(quarantine), row["source"], row["image_id"], row["stage"]) == (1, source, lost, "ingestion")
    assert row["path"].rpartition("/")[2] == before.loc[lost, "path"].rpartition("/")[2]
    assert row["reason"] == "listed but not on disk"
    Quarantine.validate(quarantine)
    assert studies.set_index("image_id").equals(before.drop(lost))
    assert f"1 of {len(before)} listed images are not on disk" in caplog.text


@pytest.mark.parametrize("source", SOURCES)
def test_no_image_at_all_is_an_error(source, roots, settings):
    for path in ingest(source, roots[source], settings).studies["path"]:
        (roots[source] / path).unlink()
    assert len(list_images(source, roots[source], settings).listing)
    with pytest.raises(SourceError, match=f"{source}: none of the .* listed images is on disk under"):
        ingest(source, roots[source], settings)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("other", SOURCES)
def test_the_folder_of_another_source_is_recognised(source, other, roots, settings):
    if source == other:
        return
    with pytest.raises(SourceError, match=f"It looks like {other}") as error:
        ingest(source, roots[other], settings)
    assert str(roots[other]) in str(error.value) and "looked for" in str(error.value)


@pytest.mark.parametrize("source", SOURCES)
def test_roots_that_are_no_dataset(source, tmp_path, settings):
    with pytest.raises(SourceError, match="does not exist"):
        ingest(source, tmp_path / "nowhere", settings)
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="is a file, not a folder"):
        ingest(source, tmp_path / "file", settings)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"looked for .*\.(csv|png|xml)"):
        ingest(source, tmp_path / "empty", settings)


def test_unknown_source(tmp_path, settings):
    with pytest.raises(SettingsError, match=r"unknown source 'chexprt'. Known sources: mimic_cxr"):
        ingest("chexprt", tmp_path, settings)


@pytest.mark.parametrize(
    ("source", "table", "column"),
    [
        ("mimic_cxr", "mimic-cxr-2.0.0-metadata.csv.gz", "ViewPosition"),
        ("mimic_cxr", "mimic-cxr-2.0.0-split.csv.gz", "subject_id"),
        ("mimic_cxr", "mimic-cxr-2.0.0-chexpert.csv.gz", "Pleural Other"),
        ("chestxray14", "Data_Entry_2017.csv", "Finding Labels"),
        ("chestxray14", "BBox_List_2017.csv", "Bbox [x"),
        ("chexpert", "train.csv", "Path"),
        ("chexpert", "valid.csv", "Lung Opacity"),
        ("vindr_cxr", "annotations/image_labels_train.csv", "rad_ID"),
        ("vindr_cxr", "annotations/image_labels_test.csv", "COPD"),
        ("vindr_cxr", "annotations/annotations_train.csv", "x_min"),
    ],
)
def test_a_renamed_column_is_named(source, table, column, roots, settings, edit):
    edit(roots[source] / table, column, f"{column}_2")
    with pytest.raises(SourceError) as error:
        ingest(source, roots[source], settings)
    message = str(error.value)
    assert table in message and f"column '{column}'" in message and f"'{column}_2'" in message


def test_files_that_no_table_lists_are_counted(roots, settings, caplog):
    (roots["chestxray14"] / "images_001/images/99999999_000.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        ingest("chestxray14", roots["chestxray14"], settings)
    assert "1 image files" in caplog.text


@pytest.mark.parametrize("source", SOURCES)
def test_phantoms_are_ingested_completely(source, tmp_path, settings):
    phantoms = PhantomSettings(images_per_source=40, image_size=48, n_jobs=1)
    root = make_phantoms(source, tmp_path / source, phantoms)
    studies, boxes, quarantine = ingest(source, root, settings)
    Studies.validate(studies)
    Boxes.validate(boxes)
    films = {path for path in root.rglob("*") if path.suffix in (".png", ".jpg", ".dicom", ".dcm")}
    listed = {root / path for path in studies["path"]}
    set_aside = {root / path for path in quarantine["path"]}
    assert listed | set_aside == films and not listed & set_aside
    assert set(quarantine["reason"]) == ({BY_A_MODEL} if source == "padchest" else set())
    assert set(studies["split"]) == ({"train", "val", "test"} if source in TRAINED_ON else {"test"})
    assert (studies["report"] != "").all() == (source in ("mimic_cxr", "open_i", "shenzhen", "padchest"))
    assert boxes.empty != (source in ("chestxray14", "vindr_cxr", "siim_acr"))
