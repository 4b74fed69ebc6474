"""A user's own table, from its description to the studies table."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.errors import SettingsError, SourceError
from unichest_kedro.imaging.store import ImagingSettings, update_image_store
from unichest_kedro.schemas import Boxes, Quarantine, Studies
from unichest_kedro.sources import Ingested, IngestionSettings, OwnOptions, ingest, list_images, own_rules
from unichest_kedro.vocabulary import SourceRules

COLUMNS = {"path": "file", "patient": "pid"}
LABELS = {"wet": "edema", "ptx": "pneumothorax"}
FILMS = pd.DataFrame(
    {
        "file": ["a.png", "b.png", "c.png", "d.png"],
        "pid": ["007", "007", "8", "9"],
        "wet": ["1", "0", "-1", ""],
        "ptx": ["yes", "False", "PRESENT", "absent"],
    }
)
ALL = IngestionSettings(train_on=("mine",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in FILMS["file"]:
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture
def run(root) -> Callable[..., Ingested]:
    """Ingest a table under a description; keyword arguments replace columns of the table."""

    def ingest_table(description: dict | None = None, settings: IngestionSettings = ALL, **cells: list) -> Ingested:
        FILMS.assign(**cells).to_csv(root / "films.csv", index=False)
        options = {"table": "films.csv", "columns": COLUMNS, "labels": LABELS, **(description or {})}
        return ingest("mine", root, settings, options)

    return ingest_table


def test_columns(run):
    more = {"image_id": "id", "study": "visit", "split": "part", "view": "pos", "sex": "sex", "age": "age"}
    studies, boxes, quarantine = run(
        {
            "columns": {**COLUMNS, **more, "report": "text"},
            "splits": {"tuning": "val", "2": "test"},
            "views": {"PA": "frontal"},
        },
        id=["x1", "x2", "x3", "x4"],
        visit=["v1", "v1", "v2", "v3"],
        part=["train", "train", "tuning", "2"],
        pos=["PA", "lateral", "", "unknown"],
        sex=["F", "male", "", "?"],
        age=["63", "058Y", "", "999"],
        text=["Wet lungs.\nNo ptx.", "", 'Dry, "clear".', ""],
    )
    for schema, table in ((Studies, studies), (Boxes, boxes), (Quarantine, quarantine)):
        schema.validate(table)
    assert quarantine.empty and boxes.empty
    assert studies["image_id"].tolist() == ["x1", "x2", "x3", "x4"]
    assert studies["patient_id"].tolist() == ["007", "007", "8", "9"]
    assert studies["study_id"].tolist() == ["v1", "v1", "v2", "v3"]
    assert studies["split"].tolist() == ["train", "train", "val", "test"]
    assert set(studies["split_origin"]) == {"the table's own split"}
    assert studies["view"].tolist() == ["frontal", "lateral", "unknown", "unknown"]
    assert studies["sex"].tolist() == ["F", "M", "", ""]
    assert studies["age"].tolist()[:2] == [63, 58] and studies["age"].isna().tolist()[2:] == [True, True]
    assert studies["report"].tolist() == ["Wet lungs.\nNo ptx.", "", 'Dry, "clear".', ""]
    assert studies["native:wet"].tolist()[:3] == [1, 0, -1] and np.isnan(studies["native:wet"][3])
    assert studies["native:ptx"].tolist() == [1, 0, 1, 0]


def test_what_is_left_out_has_a_plain_meaning(run, caplog):
    with caplog.at_level(logging.WARNING):
        studies = run({"columns": {"path": "file"}}).studies
    assert studies["image_id"].tolist() == studies["patient_id"].tolist() == studies["study_id"].tolist()
    assert "each of its 4 films counts as a patient of its own: splits cannot be by patient" in caplog.text
    assert set(studies["view"]) == {"unknown"} and "write `view: frontal`" in caplog.text
    assert set(studies["report"]) == {""}
    assert set(run({"view": "frontal"}).studies["view"]) == {"frontal"}


def test_without_splits_it_is_cut_only_when_it_is_trained_on(run):
    assert set(run().studies["split"]) == {"train", "val", "test"}
    assert set(run(settings=IngestionSettings()).studies["split"]) == {"test"}


def test_a_parquet_file_is_read_as_the_same_table(run, root):
    description = {"columns": {**COLUMNS, "age": "age"}}
    from_csv = run(description, age=["63", "", "5", "70"], pid=["7", "7", "8", "9"])
    typed = FILMS.assign(
        pid=pd.array([7, 7, 8, 9], dtype="int64"),
        wet=[1.0, 0.0, -1.0, np.nan],
        ptx=[True, False, True, False],
        age=[63, None, 5, 70],
    )
    typed.to_parquet(root / "films.parquet")
    options = {"table": "films.parquet", "labels": LABELS, **description}
    from_parquet = ingest("mine", root, ALL, options)
    assert from_parquet.studies.equals(from_csv.studies)
    mixed = typed.astype(object)
    mixed["ptx"] = ["yes", "no", "present", None]
    mixed["wet"] = pd.Series([1, 0, -1, None], dtype="Int64")
    mixed.to_parquet(root / "films.parquet")
    again = ingest("mine", root, ALL, options).studies
    assert again["native:wet"].equals(from_csv.studies["native:wet"])
    assert np.isnan(again["native:ptx"][3])


def test_a_gzipped_table_and_one_outside_the_root(run, root, tmp_path):
    plain = run().studies
    FILMS.to_csv(tmp_path / "elsewhere.csv.gz", index=False)
    options = {"table": str(tmp_path / "elsewhere.csv.gz"), "columns": COLUMNS, "labels": LABELS}
    assert ingest("mine", root, ALL, options).studies.equals(plain)


def test_whole_paths_below_the_root_and_backslashes(run, root):
    (root / "deep").mkdir()
    (root / "deep/b.png").write_bytes(b"")
    studies = run(file=[str(root / "a.png"), "deep\\b.png", "./c.png", "deep/../d.png"]).studies
    assert studies["path"].tolist() == ["a.png", "deep/b.png", "c.png", "d.png"]


def test_paths_that_leave_the_root_and_films_that_are_not_there_are_set_aside(run):
    studies, _, quarantine = run(file=["a.png", "../b.png", "/etc/passwd", "gone.png"])
    assert studies["path"].tolist() == ["a.png"]
    assert dict(zip(quarantine["path"], quarantine["reason"])) == {
        "../b.png": "path leaves the root",
        "/etc/passwd": "path leaves the root",
        "gone.png": "listed but not on disk",
    }
    with pytest.raises(SourceError, match=r"not one of 4 listed images .*/mnt/a.png: path leaves the root"):
        run(file=[f"/mnt/{name}" for name in FILMS["file"]])


def test_label_lists(run):
    listed = {"column": "all", "separator": ";", "labels": {"Wet lung": "edema", "Air": "pneumothorax", "junk": []}}
    cells = ["Wet lung; Air", "junk;", "", " ; "]
    studies = run({"labels": {}, "label_list": listed}, all=cells).studies
    wet, air = studies["native:Wet lung"], studies["native:Air"]
    assert wet.tolist()[:2] == [1, 0] and air.tolist()[:2] == [1, 0]
    assert studies["native:junk"].tolist()[:2] == [0, 1]
    assert np.isnan(wet[2]) and wet[3] == 0
    open_list = {**listed, "unlisted": "not_mentioned"}
    beside = run({"label_list": open_list}, all=cells).studies
    assert np.isnan(beside["native:Air"][1]) and beside["native:Air"][0] == 1
    assert beside["native:ptx"].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("description", "cells", "words"),
    [
        (
            {},
            {"wet": ["1", "maybe", "0", "?"]},
            r"row 2: column 'wet' holds 'maybe' \(2 such rows\); it must be 1, 0, -1",
        ),
        ({}, {"wet": ["1", "0", "0", "2"]}, r"films.csv: row 4: column 'wet' holds '2'; it must be"),
        ({}, {"pid": ["1", "", "3", "4"]}, r"row 2: column 'pid' is blank; every row needs it"),
        ({}, {"file": ["a.png", "b.png", "./a.png", "d.png"]}, r"rows 1 and 3 are both of the path 'a.png'"),
        (
            {"columns": {**COLUMNS, "image_id": "id"}},
            {"id": ["1", "2", "3", "2"]},
            r"rows 2 and 4 are both of the image_id '2'",
        ),
        (
            {"columns": {**COLUMNS, "split": "part"}, "splits": {"A": "train"}},
            {"part": ["A", "train", "B", "A"]},
            r"row 3: column 'part' holds 'B'; known are 'A', 'train', 'val', 'test': .*`sources.mine.splits`",
        ),
        (
            {"columns": {**COLUMNS, "split": "part"}},
            {"part": ["train", "train", "", "test"]},
            r"row 3: column 'part' is blank; known are",
        ),
        (
            {"columns": {**COLUMNS, "view": "pos"}},
            {"pos": ["frontal", "PA", "", ""]},
            r"row 2: column 'pos' holds 'PA'; known are 'frontal', 'lateral', 'unknown'.*`sources.mine.views`",
        ),
        (
            {"columns": {**COLUMNS, "split": "part"}},
            {"part": ["train", "test", "val", "test"]},
            r"1 patient\(s\) are in two splits, for example 007 \(test and train\)",
        ),
        (
            {"label_list": {"column": "all", "labels": {"Air": []}}},
            {"all": ["Air", "Air|Bone|Ear", "", "Air"]},
            r"row 2: column 'all' holds 'Air\|Bone\|Ear'; its entry 'Bone' has no line in `sources.mine.label_list",
        ),
        (
            {"labels": {**LABELS, "Ptx.": "pneumothorax"}},
            {},
            r"no column 'Ptx.', which `sources.mine.labels` names. Is it 'ptx'\? Its columns: 'file', 'pid'",
        ),
        (
            {"columns": {"path": "file", "age": "years"}},
            {},
            r"no column 'years', which `sources.mine.columns.age` names",
        ),
    ],
)
def test_a_wrong_table_is_named_with_row_column_and_value(run, description, cells, words):
    with pytest.raises(SourceError, match=words):
        run(description, **cells)


def test_tables_that_are_none(root):
    options = {"table": "films.csv", "columns": COLUMNS, "labels": LABELS}
    (root / "films.csv").write_text("file,pid,wet,ptx\n")
    with pytest.raises(SourceError, match="no rows"):
        ingest("mine", root, ALL, options)
    (root / "films.parquet").write_text("file,pid,wet,ptx\n")
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        ingest("mine", root, ALL, {**options, "table": "films.parquet"})
    FILMS.iloc[:0].to_parquet(root / "films.parquet")
    with pytest.raises(SourceError, match="no rows"):
        ingest("mine", root, ALL, {**options, "table": "films.parquet"})


def test_boxes(run, root, caplog):
    (root / "boxes.csv").write_text("film,what,x1,y1,x2,y2\n./a.png,wet,1,2,30.5,40\nzzz.png,wet,1,2,3,4\n")
    corners = {"x_min": "x1", "y_min": "y1", "x_max": "x2", "y_max": "y2"}
    described = {"table": "boxes.csv", "columns": {"path": "film", "label": "what", **corners}}
    named = {"columns": {**COLUMNS, "image_id": "id"}, "boxes": described}
    with caplog.at_level(logging.WARNING):
        boxes = run(named, id=["i1", "i2", "i3", "i4"]).boxes
    Boxes.validate(boxes)
    assert boxes.drop(columns=["source", "reader"]).values.tolist() == [["i1", "wet", 1, 2, 30.5, 40]]
    assert "mine: 1 boxes are of no listed film, for example zzz.png" in caplog.text
    (root / "boxes.csv").write_text("film,what,x1,y1,x2,y2\ni2,wet,1,2,3,4\n")
    by_id = {"columns": {**COLUMNS, "image_id": "id"}}
    by_id["boxes"] = {"table": "boxes.csv", "columns": {"image_id": "film", "label": "what", **corners}}
    assert run(by_id, id=["i1", "i2", "i3", "i4"]).boxes["image_id"].tolist() == ["i2"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a.png,wet,1,2,x,4", r"boxes.csv: row 1: column 'x2' holds 'x'; it must be a number"),
        ("a.png,wet,1,2,1,4", r"column 'x2' holds '1'; it must be above x_min: corners are read, not sizes"),
        ("a.png,,1,2,3,4", r"column 'what' is blank"),
    ],
)
def test_wrong_boxes(run, root, row, words):
    (root / "boxes.csv").write_text(f"film,what,x1,y1,x2,y2\n{row}\n")
    columns = {"path": "film", "label": "what", "x_min": "x1", "y_min": "y1", "x_max": "x2", "y_max": "y2"}
    with pytest.raises(SourceError, match=words):
        run({"boxes": {"table": "boxes.csv", "columns": columns}})


def test_an_own_source_needs_its_description(root):
    with pytest.raises(SettingsError, match=r"unknown source 'mine'.*a source of your own needs its options"):
        list_images("mine", root, ALL)
    with pytest.raises(SourceError, match="does not exist"):
        list_images("mine", root / "nowhere", ALL, {"table": "t.csv", "columns": COLUMNS, "labels": LABELS})


def test_rules_are_an_entry_of_the_vocabulary():
    options = {
        "table": "t.csv",
        "columns": {**COLUMNS, "report": "text"},
        "labels": {"wet": ["edema", "opacity"], "fine": "No Finding"},
        "label_list": {"column": "all", "labels": {"Air": "pneumothorax", "junk": []}},
        "no_finding_label": "fine",
        "no_finding_exhaustive": True,
        "uncertain": "present",
        "report_labels": "fill",
    }
    rules = SourceRules.model_validate(own_rules(options))
    assert rules == SourceRules.model_validate(own_rules(OwnOptions.checked(options, "sources.mine")))
    assert rules.labels == {
        "wet": ("edema", "opacity"),
        "fine": ("No Finding",),
        "Air": ("pneumothorax",),
        "junk": (),
    }
    assert (rules.uncertain, rules.not_mentioned, rules.no_finding_label) == ("present", "unknown", ("fine",))
    assert (rules.report_labels, rules.own) == ("fill", True)


def test_real_films_without_a_table_need_one_of_names_and_labels(real, tmp_path):
    films = sorted((real / "own_hospital/films").iterdir())
    table = pd.DataFrame({"file": [f"films/{film.name}" for film in films], "pneumonia": 1})
    table.to_csv(tmp_path / "films.csv", index=False)
    options = {
        "table": str(tmp_path / "films.csv"),
        "columns": {"path": "file"},
        "view": "frontal",
        "labels": {"pneumonia": "pneumonia"},
    }
    studies, _, quarantine = ingest("own_hospital", real / "own_hospital", IngestionSettings(), options)
    assert len(studies) == len(films) == 40 and quarantine.empty
    assert set(studies["split"]) == {"test"} and set(studies["native:pneumonia"]) == {1}
    settings = ImagingSettings(image_size=64, n_jobs=1)
    store, unread = update_image_store(studies, real / "own_hospital", tmp_path, settings, description="films")
    assert unread.empty and {min(store[row].shape) for row in range(len(store))} == {64} and len(store) == 40
