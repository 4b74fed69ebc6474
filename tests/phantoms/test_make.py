"""On disk: official layouts, the same bytes every time, nothing half-written, nothing foreign replaced."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from unichest_kedro.errors import SettingsError
from unichest_kedro.phantoms import SOURCES, Differences, PhantomSettings, make, make_phantoms
from unichest_kedro.phantoms.acquisition import take_film
from unichest_kedro.phantoms.cohort import plan_films
from unichest_kedro.phantoms.differences import profile_of
from unichest_kedro.sources.base import TRAINED_ON

SETTINGS = PhantomSettings(images_per_source=120, image_size=64, seed=3, n_jobs=1)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    return {source: make_phantoms(source, folder / source, SETTINGS) for source in SOURCES}


def digest(folder):
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("source", SOURCES)
def test_only_official_files_are_there(roots, source):
    official = {
        "mimic_cxr": r"files/p1\d/p1\d{7}/s5\d{7}(\.txt|/([0-9a-f]{8}-){4}[0-9a-f]{8}\.jpg)"
        r"|mimic-cxr-2\.0\.0-(split|metadata|chexpert|negbio)\.csv\.gz",
        "chestxray14": r"images_00[12]/images/\d{8}_\d{3}\.png|Data_Entry_2017_v2020\.csv|BBox_List_2017\.csv"
        r"|train_val_list\.txt|test_list\.txt",
        "chexpert": r"(train|valid|test)(\.csv|/patient\d{5}/study\d+/view\d_(frontal|lateral)\.jpg)",
        "vindr_cxr": r"(train|test)/[0-9a-f]{32}\.dicom"
        r"|annotations/(image_labels|annotations)_(train|test)\.csv",
        "shenzhen": r"CXR_png/CHNCXR_\d{4}_[01]\.png|ClinicalReadings/CHNCXR_\d{4}_[01]\.txt",
        "open_i": r"NLMCXR_png/CXR\d+_IM-\d{4}-[12]001\.png|ecgen-radiology/\d+\.xml|indiana_projections\.csv",
        "siim_acr": r"dicom-images-train/[\d.]+/[\d.]+/[\d.]+\.dcm|train-rle\.csv",
        "padchest": r"[012]/\d{38}_[a-z0-9]{6}\.png|PADCHEST_chest_x_ray_images_labels_160K_01\.02\.19\.csv\.gz",
    }[source]
    names = list(digest(roots[source]))
    strangers = [name for name in names if not re.fullmatch(official, name)]
    assert strangers == []
    films = sum(name.endswith((".jpg", ".png", ".dicom", ".dcm")) for name in names)
    assert films == SETTINGS.images_of(source) == (120 if source in TRAINED_ON else 40)


def test_mimic_tables_have_the_official_columns_and_keys(roots):
    root = roots["mimic_cxr"]
    tables = {
        name: pd.read_csv(root / f"mimic-cxr-2.0.0-{name}.csv.gz")
        for name in ("split", "metadata", "chexpert", "negbio")
    }
    assert list(tables["split"]) == ["dicom_id", "study_id", "subject_id", "split"]
    assert list(tables["metadata"])[:8] == [
        "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows",
        "Columns", "StudyDate",
    ]  # fmt: skip
    assert list(tables["chexpert"])[:3] == ["subject_id", "study_id", "Atelectasis"]
    assert list(tables["chexpert"]) == list(tables["negbio"]) and tables["chexpert"].shape[1] == 16
    assert tables["split"]["split"].value_counts().to_dict() == {"train": 78, "validate": 12, "test": 30}
    assert set(tables["metadata"]["ViewPosition"]) >= {"AP", "PA"}
    assert tables["metadata"]["ViewPosition"].isin(["LL", "LATERAL"]).any()
    assert tables["chexpert"]["study_id"].is_unique
    values = tables["chexpert"].iloc[:, 2:].to_numpy()
    assert set(np.unique(values[~np.isnan(values)])) == {-1.0, 0.0, 1.0}
    row = tables["metadata"].merge(tables["split"]).iloc[0]
    patient = root / f"files/p{str(row.subject_id)[:2]}/p{row.subject_id}"
    with Image.open(patient / f"s{row.study_id}" / f"{row.dicom_id}.jpg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "L", (row.Columns, row.Rows))
    assert (
        "IMPRESSION:" in (patient / f"s{row.study_id}.txt").read_text()
        or "FINDINGS:" in (patient / f"s{row.study_id}.txt").read_text()
    )


def test_gzip_carries_no_time_stamp(roots):
    raw = (roots["mimic_cxr"] / "mimic-cxr-2.0.0-split.csv.gz").read_bytes()
    assert raw[4:8] == b"\0\0\0\0" and gzip.decompress(raw).startswith(b"dicom_id,")


def test_chestxray14_tables_match_the_real_headers(roots, real):
    root = roots["chestxray14"]
    for name in ("Data_Entry_2017_v2020.csv", "BBox_List_2017.csv"):
        with (root / name).open() as ours, (real / "chestxray14" / name).open() as theirs:
            assert ours.readline() == theirs.readline()


def test_chestxray14_lists_images_and_labels(roots):
    root = roots["chestxray14"]
    entries = pd.read_csv(root / "Data_Entry_2017_v2020.csv", index_col=False)
    lists = [(root / name).read_text().split("\n") for name in ("train_val_list.txt", "test_list.txt")]
    assert [len(one) for one in lists] == [90, 30]
    assert set(lists[0]) | set(lists[1]) == set(entries["Image Index"])
    labels = set(entries["Finding Labels"].str.split("|").explode())
    assert labels <= {
        "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia",
        "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
        "No Finding",
    }  # fmt: skip
    modes = []
    for path in root.glob("images_*/images/*.png"):
        with Image.open(path) as image:
            assert image.format == "PNG" and image.width == image.height == 64
            modes.append(image.mode)
    assert 0 < modes.count("RGBA") < 6 and modes.count("L") + modes.count("RGBA") == 120
    boxes = pd.read_csv(root / "BBox_List_2017.csv")
    assert len(boxes) > 10 and boxes.iloc[:, 6:].isna().all(axis=None)
    assert set(boxes["Image Index"]) <= set(lists[1])
    x, y, width, height = (boxes.iloc[:, i] for i in range(2, 6))
    assert (x >= 0).all() and (y >= 0).all() and (x + width <= 64).all() and (y + height <= 64).all()


def test_chexpert_tables_match_the_real_header(roots, real):
    root = roots["chexpert"]
    with (real / "chexpert" / "train.csv").open() as theirs:
        header = theirs.readline()
    for name in ("train.csv", "valid.csv", "test.csv"):
        assert (root / name).open().readline() == header


def test_chexpert_paths_and_values(roots):
    root = roots["chexpert"]
    assert root.name == "CheXpert-v1.0-small"
    tables = {name: pd.read_csv(root / f"{name}.csv") for name in ("train", "valid", "test")}
    for name, table in tables.items():
        assert table["Path"].str.startswith(f"CheXpert-v1.0-small/{name}/patient").all()
        assert all((root.parent / path).is_file() for path in table["Path"])
        values = table.iloc[:, 5:].to_numpy()
        found = set(np.unique(values[~np.isnan(values)]))
        assert found == ({-1.0, 0.0, 1.0} if name == "train" else {0.0, 1.0})
        assert np.isnan(values).any() == (name == "train")
    everything = pd.concat(tables.values())
    lateral = everything["Frontal/Lateral"] == "Lateral"
    assert 0 < lateral.mean() < 0.3
    assert (lateral == everything["Path"].str.contains("_lateral")).all()
    assert everything.loc[lateral, "AP/PA"].isna().all()


def test_vindr_tables(roots):
    folder = roots["vindr_cxr"] / "annotations"
    train, test = (pd.read_csv(folder / f"image_labels_{split}.csv") for split in ("train", "test"))
    assert list(train)[:3] == ["image_id", "rad_ID", "Aortic enlargement"] and list(train)[-1] == "No finding"
    assert train.shape == (270, 30) and test.shape == (30, 29)
    assert train.groupby("image_id")["rad_ID"].nunique().eq(3).all()
    assert set(train["rad_ID"]) <= {f"R{i}" for i in range(1, 18)}
    votes = train.drop(columns="rad_ID").groupby("image_id").sum()
    assert ((votes > 0) & (votes < 3)).any(axis=1).mean() > 0.05, "readers disagree sometimes"
    boxes = pd.read_csv(folder / "annotations_train.csv")
    assert list(boxes) == ["image_id", "rad_ID", "class_name", "x_min", "y_min", "x_max", "y_max"]
    empty = boxes["class_name"] == "No finding"
    assert boxes.loc[empty].iloc[:, 3:].isna().all(axis=None) and boxes.loc[~empty].notna().all(axis=None)
    assert list(pd.read_csv(folder / "annotations_test.csv")) == [name for name in boxes if name != "rad_ID"]
    drawn = boxes[~empty]
    assert (drawn["x_min"] < drawn["x_max"]).all() and (drawn["y_min"] < drawn["y_max"]).all()
    assert (drawn[["x_min", "y_min"]] >= 0).all(axis=None)


def test_vindr_dicoms_show_the_drawn_film(roots):
    profile = profile_of("vindr_cxr", SETTINGS.differences)
    layout = make.LAYOUTS["vindr_cxr"]
    plans = plan_films("vindr_cxr", 120, 3, layout.COHORT, profile)
    seen = []
    for plan, name in list(zip(plans, layout.name_films(plans, 3)))[:40]:
        dataset = pydicom.dcmread(roots["vindr_cxr"] / name)
        stored = dataset.pixel_array
        assert stored.dtype == np.uint16 and stored.max() < 2**dataset.BitsStored
        film, boxes = take_film(plan, 64, profile)
        shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(float)
        low, high = (
            dataset.WindowCenter - dataset.WindowWidth / 2,
            dataset.WindowCenter + dataset.WindowWidth / 2,
        )
        real_units = apply_modality_lut(stored, dataset).astype(float)
        grey = (real_units - low) / (high - low)
        inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
        assert np.abs((1 - grey if inverted else grey) - film).max() < 2e-3
        assert np.corrcoef(shown.ravel(), film.ravel())[0, 1] * (-1 if inverted else 1) > 0.99
        assert all(box.x_max <= dataset.Columns and box.y_max <= dataset.Rows for box in boxes)
        seen.append((dataset.BitsStored, inverted, dataset.file_meta.TransferSyntaxUID.name, dataset.RescaleSlope))
    bits, inversions, syntaxes, slopes = (set(column) for column in zip(*seen))
    assert bits == {12, 14, 16} and inversions == {True, False} and slopes == {1.0, 2.0}
    assert any("JPEG 2000" in name for name in syntaxes) and any("Lossless" in name for name in syntaxes)
    assert any("Process 14" in name for name in syntaxes) and "Explicit VR Little Endian" in syntaxes


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_processes(roots, source, tmp_path, monkeypatch):
    if source == "mimic_cxr":
        monkeypatch.setattr(make, "SMALL", 0)
        monkeypatch.setattr(make, "CHUNK", 17)
    again = make_phantoms(source, tmp_path / "again", SETTINGS.model_copy(update={"n_jobs": 2}))
    assert digest(again) == digest(roots[source])


def test_another_seed_gives_other_films(roots, tmp_path):
    other = make_phantoms("chestxray14", tmp_path / "other", SETTINGS.model_copy(update={"seed": 4}))
    first = {key: value for key, value in digest(other).items() if key.endswith(".png")}
    assert not set(first.values()) & set(digest(roots["chestxray14"]).values())


def small(**changes):
    return PhantomSettings(images_per_source=24, image_size=48, n_jobs=1, **changes)


def test_unchanged_settings_are_not_drawn_again_and_changed_ones_are(tmp_path):
    root = make_phantoms("chestxray14", tmp_path / "nih", small())
    stamp = (root / "test_list.txt").stat().st_mtime_ns
    assert make_phantoms("chestxray14", tmp_path / "nih", small()) == root
    assert (root / "test_list.txt").stat().st_mtime_ns == stamp
    before = digest(root)
    make_phantoms("chestxray14", tmp_path / "nih", small(differences=Differences.none()))
    assert digest(root) != before
    assert json.loads((tmp_path / "nih.json").read_text())["differences"]["noise"]["on"] is False


def test_the_number_of_scored_films_redraws_the_scored_sources_only(tmp_path):
    for source in ("chexpert", "shenzhen"):
        make_phantoms(source, tmp_path / source, small(scored_images=24))
    stamps = {source: (tmp_path / source).stat().st_mtime_ns for source in ("chexpert", "shenzhen")}
    for source in stamps:
        make_phantoms(source, tmp_path / source, small(scored_images=25))
    assert (tmp_path / "chexpert").stat().st_mtime_ns == stamps["chexpert"]
    assert len(list((tmp_path / "shenzhen/CXR_png").iterdir())) == 25


def test_an_interrupted_run_leaves_nothing_that_looks_whole(tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(make.LAYOUTS["chexpert"], "write_tables", stop)
    with pytest.raises(KeyboardInterrupt):
        make_phantoms("chexpert", tmp_path / "chexpert", small())
    assert not (tmp_path / "chexpert").exists()
    monkeypatch.undo()
    root = make_phantoms("chexpert", tmp_path / "chexpert", small())
    assert (root / "train.csv").is_file()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["chexpert", "chexpert.json"]


def test_a_folder_of_other_origin_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match="was not made as a phantom"):
        make_phantoms("chexpert", tmp_path / "mine", small())
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_an_unknown_source_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"'brax'.*mimic_cxr, chestxray14, .*, padchest"):
        make_phantoms("brax", tmp_path / "x", small())
