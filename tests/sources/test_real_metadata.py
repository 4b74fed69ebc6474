"""The full metadata of the real releases: what the adapters give against what the files say.

What a file says is worked out here with the plain csv and re modules, and with nothing of the package.
"""

import csv
import logging
import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from unichest_kedro.schemas import NATIVE_PREFIX, Studies
from unichest_kedro.sources import IngestionSettings, ingest, list_images
from unichest_kedro.sources.open_i import load_mesh_labels, read_reports_table, read_terms


def rows_of(path):
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream, skipinitialspace=True))


def natives(listing):
    """The native labels by their own names, None where a label is not mentioned."""
    columns = listing.filter(like=NATIVE_PREFIX).rename(columns=lambda name: name.removeprefix(NATIVE_PREFIX))
    return {name: column.astype(object).where(column.notna(), None).tolist() for name, column in columns.items()}


def patients_by_split(listing):
    return listing.groupby("split")["patient_id"].agg(set).to_dict()


def assert_patient_disjoint(listing):
    by_split = patients_by_split(listing)
    assert sum(map(len, by_split.values())) == listing["patient_id"].nunique()


@pytest.fixture(scope="module")
def chestxray14(real):
    folder = real / "chestxray14"
    rows = rows_of(folder / "Data_Entry_2017_v2020.csv")
    lists = {name: set((folder / f"{name}_list.txt").read_text().split()) for name in ("train_val", "test")}
    return folder, rows, lists


def test_chestxray14(chestxray14):
    folder, rows, lists = chestxray14
    listing, boxes, rejected = list_images("chestxray14", folder, IngestionSettings())
    assert rejected.empty
    assert (len(listing), listing["patient_id"].nunique()) == (112_120, 30_805)
    assert listing["image_id"].tolist() == [row["Image Index"] for row in rows]
    for column, native in (("patient_id", "Patient ID"), ("sex", "Patient Gender")):
        assert listing[column].tolist() == [row[native] for row in rows]
    assert listing["age"].tolist() == [float(row["Patient Age"]) for row in rows]
    assert {row["View Position"] for row in rows} == {"PA", "AP"} and set(listing["view"]) == {"frontal"}
    split = dict(zip(listing["image_id"], listing["split"]))
    assert {image for image, name in split.items() if name == "test"} == lists["test"]
    assert {image for image, name in split.items() if name != "test"} == lists["train_val"]
    assert (len(lists["train_val"]), len(lists["test"])) == (86_524, 25_596)
    assert_patient_disjoint(listing)
    by_split = patients_by_split(listing)
    assert len(by_split["val"]) == round(0.1 * (len(by_split["val"]) + len(by_split["train"])))
    said = [set(row["Finding Labels"].split("|")) for row in rows]
    labels = natives(listing)
    assert set(labels) == set().union(*said) and len(labels) == 15
    for label, values in labels.items():
        assert values == [float(label in names) for names in said]
    lines = (folder / "BBox_List_2017.csv").read_text().splitlines()[1:]
    assert len(boxes) == len(lines) == 984
    spelled = {"Infiltrate": "Infiltration"}
    for box, line in zip(boxes.itertuples(), lines):
        image, label, x, y, width, height = line.split(",")[:6]
        assert (box.image_id, box.label) == (image, spelled.get(label, label))
        corners = (float(x), float(y), float(x) + float(width), float(y) + float(height))
        assert (box.x_min, box.y_min, box.x_max, box.y_max) == corners


def test_chestxray14_partly_downloaded(chestxray14, caplog):
    folder, rows, _ = chestxray14
    with caplog.at_level(logging.WARNING):
        studies, boxes, quarantine = ingest("chestxray14", folder, IngestionSettings())
    on_disk = {path.name for path in (folder / "images").iterdir()} & {row["Image Index"] for row in rows}
    assert set(studies["image_id"]) == on_disk and len(studies) == 501
    assert len(quarantine) == 111_619 and set(quarantine["reason"]) == {"listed but not on disk"}
    assert "111,619 of 112,120 listed images are not on disk" in caplog.text
    assert set(boxes["image_id"]) <= on_disk
    Studies.validate(studies)
    listing = list_images("chestxray14", folder, IngestionSettings()).listing.set_index("image_id")
    assert (listing.loc[studies["image_id"], "split"].to_numpy() == studies["split"].to_numpy()).all()


def test_chexpert(real):
    listing, boxes, rejected = list_images("chexpert", real / "chexpert", IngestionSettings())
    rows = rows_of(real / "chexpert/train.csv")
    assert rejected.empty and boxes.empty
    assert (len(listing), listing["patient_id"].nunique()) == (223_414, 64_540)
    parts = [row["Path"].split("/") for row in rows]
    assert listing["image_id"].tolist() == ["/".join(part[1:]) for part in parts]
    assert listing["patient_id"].tolist() == [part[2] for part in parts]
    assert listing["study_id"].tolist() == [f"{part[2]}/{part[3]}" for part in parts]
    assert listing["view"].tolist() == [row["Frontal/Lateral"].lower() for row in rows]
    assert listing["sex"].tolist() == [{"Female": "F", "Male": "M"}.get(row["Sex"], "") for row in rows]
    assert listing["age"].tolist() == [float(row["Age"]) for row in rows]
    assert_patient_disjoint(listing)
    by_split = patients_by_split(listing)
    assert set(by_split) == {"train", "val"} and len(by_split["val"]) == 6_454
    labels = natives(listing)
    assert list(labels) == list(rows[0])[5:] and len(labels) == 14
    for label, values in labels.items():
        assert values == [None if row[label] == "" else float(row[label]) for row in rows]


def test_vinbigdata(real):
    listing, boxes, rejected = list_images("vindr_cxr", real / "vinbigdata", IngestionSettings())
    rows = rows_of(real / "vinbigdata/train.csv")
    assert rejected.empty and len(rows) == 67_914
    votes, readers = defaultdict(set), defaultdict(set)
    for row in rows:
        votes[row["image_id"], row["class_name"]].add(row["rad_id"])
        readers[row["image_id"]].add(row["rad_id"])
    images = listing["image_id"].tolist()
    assert set(images) == set(readers) and len(images) == 15_000
    assert listing["patient_id"].tolist() == images
    assert listing["readers"].tolist() == [len(readers[image]) for image in images]
    assert set(listing["readers"]) == {3}
    labels = natives(listing)
    assert set(labels) == {row["class_name"] for row in rows} and len(labels) == 15
    for label, values in labels.items():
        assert values == [float(len(votes[image, label])) for image in images]
    with_box = [row for row in rows if row["class_name"] != "No finding"]
    for column, native in (("image_id", "image_id"), ("label", "class_name"), ("reader", "rad_id")):
        assert boxes[column].tolist() == [row[native] for row in with_box]
    for corner in ("x_min", "y_min", "x_max", "y_max"):
        assert boxes[corner].tolist() == [float(row[corner]) for row in with_box]
    assert listing.groupby("split").size().to_dict() == {"train": 13_500, "val": 1_500}


def test_siim_acr(real):
    listing, boxes, rejected = list_images("siim_acr", real / "siim_acr", IngestionSettings())
    rows = rows_of(real / "siim_acr/train-rle.csv")
    assert rejected.empty and len(rows) == 12_954
    masks = defaultdict(list)
    for row in rows:
        masks[row["ImageId"]] += [] if row["EncodedPixels"].strip() == "-1" else [row["EncodedPixels"].split()]
    assert listing["image_id"].tolist() == list(masks) and len(masks) == 12_047
    assert listing["patient_id"].nunique() == 12_047
    labels = natives(listing)
    assert labels == {"Pneumothorax": [float(bool(texts)) for texts in masks.values()]}
    assert sum(labels["Pneumothorax"]) == 2_669
    assert set(listing["split"]) == {"test"}
    assert Counter(boxes["image_id"]) == {image: len(texts) for image, texts in masks.items() if texts}
    assert len(boxes) == 3_576
    place = defaultdict(int)
    for box in boxes.itertuples():
        numbers = list(map(int, masks[box.image_id][place[box.image_id]]))
        place[box.image_id] += 1
        assert (box.x_min, box.y_min, box.x_max, box.y_max) == slow_box(numbers)


def slow_box(numbers):
    """The box of a mask of 1024 x 1024 pixels, run by run."""
    position, columns, rows = 0, [], []
    for offset, length in zip(numbers[::2], numbers[1::2]):
        first = position + offset
        last = position = first + length
        columns += [first // 1024, (last - 1) // 1024]
        crosses = first // 1024 != (last - 1) // 1024
        rows += [0, 1023] if crosses else [first % 1024, (last - 1) % 1024]
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


@pytest.fixture(scope="module")
def open_i_texts(real):
    """Each report's XML as text, by its number."""
    paths = (real / "open_i/ecgen-radiology").glob("*.xml")
    return {int(path.stem): path.read_text(encoding="utf-8") for path in paths}


def unescaped(text):
    for entity, letter in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        text = text.replace(entity, letter)
    return " ".join(text.split())


def test_open_i_reports(real, open_i_texts):
    frame = read_reports_table(real / "open_i")
    assert len(frame) == len(open_i_texts) == 1_976
    numbers = sorted(open_i_texts)
    assert frame["report_id"].tolist() == [f"CXR{number}" for number in numbers]
    for section in ("indication", "comparison", "findings", "impression"):
        pattern = re.compile(rf'<AbstractText Label="{section.upper()}"(?:/>|>(.*?)</AbstractText>)', re.DOTALL)
        said = [unescaped(pattern.search(open_i_texts[number]).group(1) or "") for number in numbers]
        assert frame[section].tolist() == said
    majors = [
        [unescaped(term) for term in re.findall(r"<major>(.*?)</major>", open_i_texts[number], re.DOTALL)]
        for number in numbers
    ]
    assert [list(terms) for terms in frame["majors"]] == majors
    assert sum(map(len, majors)) == 4_140
    terms = read_terms(real / "open_i")
    assert terms["term"].tolist() == [term for found in majors for term in found]
    assert terms["report_id"].nunique() == 1_976
    assert (frame["report"] == "").sum() == sum(
        not findings and not impression for findings, impression in zip(frame["findings"], frame["impression"])
    )


def test_open_i_images_and_labels(real, open_i_texts):
    listing, boxes, rejected = list_images("open_i", real / "open_i", IngestionSettings())
    assert rejected.empty and boxes.empty
    numbers = sorted(open_i_texts)
    images = [
        (f"CXR{number}", image)
        for number in numbers
        for image in re.findall(r'<parentImage id="([^"]+)"', open_i_texts[number])
    ]
    assert list(zip(listing["patient_id"], listing["image_id"])) == images and len(images) == 3_761
    assert listing["patient_id"].nunique() == sum(1 for number in numbers if "<parentImage" in open_i_texts[number])
    assert set(listing["split"]) == {"test"} and set(listing["view"]) == {"unknown"}
    labels = natives(listing)
    mesh = load_mesh_labels().labels
    assert list(labels) == list(mesh)
    for label, values in labels.items():
        stated = {number: says(open_i_texts[number], mesh[label].headings) for number in numbers}
        assert values == [stated[int(report.removeprefix("CXR"))] for report, _ in images]
    assert sum(value is None for value in labels["Normal"]) == sum(
        len(re.findall("<parentImage ", text)) for text in open_i_texts.values() if "<major>No Indexing</major>" in text
    )


def says(text, headings):
    """1.0 or 0.0 as a report's headings say, None where it has none."""
    terms = [unescaped(term).lower().split("/") for term in re.findall(r"<major>(.*?)</major>", text, re.DOTALL)]
    terms = [term for term in terms if term != ["no indexing"]]
    if not terms:
        return None
    wanted = [[part.strip().lower() for part in heading.split("/")] for heading in headings]
    return float(
        any(
            term[0].strip() == first and all(q in [part.strip() for part in term[1:]] for q in rest)
            for term in terms
            for first, *rest in wanted
        )
    )


def test_what_a_few_published_counts_are(real):
    """Figures that the publishers' papers give, so that a slip in both ways of counting would show."""
    chest = list_images("chestxray14", real / "chestxray14", IngestionSettings()).listing
    counts = {name: int(np.nansum(np.array(values, float))) for name, values in natives(chest).items()}
    assert (counts["No Finding"], counts["Infiltration"], counts["Hernia"]) == (60_361, 19_894, 227)
