"""On disk: the four sources that are only scored, in their official layouts."""

import ast
import re
from collections import Counter
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pydicom
import pytest
import yaml
from PIL import Image

from unichest_kedro.errors import UnreadableImage
from unichest_kedro.imaging.decode import decode_image
from unichest_kedro.phantoms import PhantomSettings, make, make_phantoms, reports_open_i
from unichest_kedro.phantoms.cohort import truth_table
from unichest_kedro.phantoms.definitions import labels_of
from unichest_kedro.phantoms.differences import profile_of
from unichest_kedro.phantoms.layout_siim_acr import SIDE
from unichest_kedro.phantoms.masks import runs_of
from unichest_kedro.phantoms.reports_padchest import (
    ABSENT_WORDS,
    CLEAR,
    DEVICES,
    EXCLUDED,
    LABELS,
    NORMAL,
    POOR,
    PRESENT_WORDS,
    UNCHANGED,
)
from unichest_kedro.sources.open_i import load_mesh_labels
from unichest_kedro.vocabulary import load_vocabulary

SETTINGS = PhantomSettings(images_per_source=150, scored_images=150, image_size=64, seed=3, n_jobs=1)
SCORED = ("shenzhen", "open_i", "siim_acr", "padchest")


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    return {source: make_phantoms(source, folder / source, SETTINGS) for source in (*SCORED, "chestxray14")}


@pytest.fixture(scope="module")
def plans():
    return {source: make.plan_source(source, SETTINGS) for source in (*SCORED, "chestxray14")}


def test_the_vocabulary_has_every_label_of_the_phantoms(project):
    vocabulary = load_vocabulary(yaml.safe_load((project / "conf/base/vocabulary.yml").read_text()))
    names = {name for label in labels_of("padchest") for name in LABELS.get(label, (label,))}
    names |= {name for labels, _ in DEVICES.values() for name in labels}
    names |= {NORMAL, UNCHANGED, POOR, EXCLUDED}
    names.discard("electrical device")
    assert {name.lower() for name in names} <= set(vocabulary.rules("padchest").labels)
    terms = {term for report in _many_reports() for term in report.major} - {"No Indexing"}
    labels = load_mesh_labels().labels
    stated = {term: [name for name, label in labels.items() if label.matches(term)] for term in terms}
    assert all(stated.values()), [term for term, names in stated.items() if not names]
    assert {name for names in stated.values() for name in names} <= set(vocabulary.rules("open_i").labels)


# Shenzhen


def test_shenzhen_names_say_who_is_ill_and_the_healthy_come_first(roots, plans):
    films = sorted(path.stem for path in (roots["shenzhen"] / "CXR_png").iterdir())
    assert [int(name[7:11]) for name in films] == list(range(1, 151))
    ill = [name.endswith("_1") for name in films]
    assert ill == sorted(ill) and 50 < sum(ill) < 100
    named = [name.endswith("_1.png") for name in make.LAYOUTS["shenzhen"].name_films(plans["shenzhen"], 3)]
    assert named == (truth_table(plans["shenzhen"])["tuberculosis"] > 0).tolist()


def test_shenzhen_readings_begin_with_sex_and_age_and_name_the_disease(roots, plans):
    names = make.LAYOUTS["shenzhen"].name_films(plans["shenzhen"], 3)
    spellings = set()
    for plan, name in zip(plans["shenzhen"], names):
        stem = name.split("/")[1].removesuffix(".png")
        first, *rest = (roots["shenzhen"] / f"ClinicalReadings/{stem}.txt").read_text().splitlines()
        sex, age = re.fullmatch(r"(male|female),? (\d+) ?(?:yrs?|years)", first, re.IGNORECASE).groups()
        assert (sex.lower() == "male") == (plan.sex == "M") and int(age) == plan.age
        assert ("PTB" in rest[0]) == stem.endswith("_1") and rest
        spellings.add(re.sub(r"\d+|fe", "", first.lower()) + str(first[0].isupper()))
    assert len(spellings) >= 4


def test_shenzhen_films_are_grey_or_have_three_equal_channels(roots):
    modes = Counter()
    for path in (roots["shenzhen"] / "CXR_png").iterdir():
        with Image.open(path) as image:
            modes[image.mode] += 1
            if image.mode == "RGB":
                pixels = np.asarray(image)
                assert (pixels == pixels[..., :1]).all()
    assert set(modes) == {"L", "RGB"} and modes["RGB"] < 20


# Open-I


def open_i_reports(root):
    return {path.stem: ElementTree.parse(path).getroot() for path in (root / "ecgen-radiology").iterdir()}


def texts_of(report):
    return {one.get("Label"): one.text or "" for one in report.iter("AbstractText")}


def majors_of(report):
    return [term.text for term in report.iter("major")]


def test_open_i_reports_name_their_films(roots):
    root = roots["open_i"]
    reports = open_i_reports(root)
    named = [image.get("id") for report in reports.values() for image in report.iter("parentImage")]
    assert sorted(named) == sorted(path.stem for path in (root / "NLMCXR_png").iterdir())
    for number, report in reports.items():
        assert report.find("uId").get("id") == f"CXR{number}"
        assert [one.get("Label") for one in report.iter("AbstractText")] == [
            "COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION"
        ]  # fmt: skip
        assert texts_of(report)["IMPRESSION"] and majors_of(report)


def test_open_i_structure_is_that_of_a_real_report(roots, real):
    theirs = ElementTree.parse(real / "open_i/ecgen-radiology/2.xml").getroot()
    ours = next(iter(open_i_reports(roots["open_i"]).values()))

    def paths(element, above=""):
        here = f"{above}/{element.tag}"
        return {here}.union(*(paths(child, here) for child in element))

    assert paths(ours) <= paths(theirs)


def test_open_i_headings_are_headings_of_the_real_collection(real):
    known = set()
    for path in (real / "open_i/ecgen-radiology").iterdir():
        known.update(term.split("/")[0] for term in majors_of(ElementTree.parse(path).getroot()))
    written = {label.split("/")[0] for label in labels_of("open_i")}
    written |= {heading.split("/")[0] for heading in reports_open_i.DEVICE_HEADINGS.values()}
    assert written | {"normal", "No Indexing"} <= known


def test_open_i_projections_are_those_of_the_films(roots, plans):
    table = pd.read_csv(roots["open_i"] / "indiana_projections.csv")
    assert list(table) == ["uid", "filename", "projection"]
    names = make.LAYOUTS["open_i"].name_films(plans["open_i"], 3)
    films = ["CXR" + name.removesuffix(".dcm.png") for name in table["filename"]]
    assert films == [name.split("/")[1].removesuffix(".png") for name in names]
    assert (table["projection"] == "Lateral").tolist() == [plan.lateral for plan in plans["open_i"]]
    assert 0.2 < (table["projection"] == "Lateral").mean() < 0.5


OPEN_I_TERMS = {
    "Cardiomegaly": r"cardiomegaly|\bheart size\b|heart (may|is)|enlargement of the heart",
    "Aorta": r"aorta|mediastinal contours",
    "Opacity": r"(?<!reticular )\bopacit",
    "Nodule": r"nodule",
    "Mass": r"\bmass\b",
    "Pulmonary Edema": r"edema",
    "Consolidation": r"consolidation",
    "Infiltrate": r"infiltrate",
    "Pneumonia": r"pneumonia",
    "Pulmonary Atelectasis": r"atelectasis",
    "Pneumothorax": r"pneumothorax",
    "Pleural Effusion": r"effusion",
    "Thickening": r"thickening",
    "Fractures, Bone": r"fracture",
    "Emphysema": r"emphysema",
    "Pulmonary Fibrosis": r"fibrosis",
    "Hernia, Hiatal": r"hernia",
    "Medical Device": r"tube|catheter|\bline\b|pacemaker",
}
OPEN_I_DENIAL = r"\bno\b|normal|negative for"
OPEN_I_DOUBT = r"\bmay\b|possible|probable|questionable|cannot be excluded"


def read_again(text):
    """A slow, plain reading of a report: label -> the states that its sentences give it."""
    states = {}
    for sentence in re.split(r"(?<=\.)\s+", re.sub(r"\b\d\.\s", " ", text)):
        for label, term in OPEN_I_TERMS.items():
            if re.search(term, sentence, re.IGNORECASE):
                state = 0.0 if re.search(OPEN_I_DENIAL, sentence, re.IGNORECASE) else 1.0
                doubtful = re.search(OPEN_I_DOUBT, sentence, re.IGNORECASE)
                states.setdefault(label, set()).add(-1.0 if doubtful else state)
    return states


def test_open_i_reports_and_headings_say_what_is_said():
    labels = labels_of("open_i")
    assert list(OPEN_I_TERMS) == list(labels)
    settings = SETTINGS.model_copy(update={"scored_images": 900})
    rng = np.random.default_rng(1)
    states, texts, indexed, doubtful = set(), [], 0, Counter()
    for plan in make.plan_source("open_i", settings):
        said = {label: float(rng.choice([1, 0, -1, np.nan], p=[0.15, 0.2, 0.05, 0.6])) for label in labels}
        said = {
            label: np.nan if state == 0 and not reports_open_i.DENIED[label] else state for label, state in said.items()
        }
        report = reports_open_i.write_report(said, plan.findings, plan.sex, np.random.default_rng(plan.seed))
        expected = {label: {state} for label, state in said.items() if not np.isnan(state)}
        text = f"{report.findings} {report.impression}"
        assert read_again(text) == expected, text
        texts.append(text)
        states.update(*expected.values())
        if report.major == ("No Indexing",):
            continue
        indexed += 1
        devices = {"Implanted Medical Device", "Tube, Inserted", "Catheters, Indwelling"}
        headings = [term.split("/")[0] for term in report.major]
        headings = {"Medical Device" if heading in devices else heading for heading in headings}
        present = {label for label, state in said.items() if state == 1}
        assert present <= headings
        if headings != {"normal"}:
            extra = headings - present
            assert all(said[label] == -1 for label in extra)
            doubtful.update(extra)
        else:
            assert not present
    assert states == {1.0, 0.0, -1.0} and len(set(texts)) > 0.95 * len(texts)
    assert doubtful and 0.9 < indexed / len(texts) < 1
    assert any("XXXX" in text for text in texts)


def test_open_i_headings_name_side_and_place():
    terms = [term for report in _many_reports() for term in report.major if "/" in term and not term.startswith("Tube")]
    assert {"Fractures, Bone/ribs/left", "Hernia, Hiatal/small", "Aorta/tortuous"} <= set(terms)
    assert any(re.fullmatch(r"Opacity/lung/(upper|lower) lobe/(left|right)", term) for term in terms)
    assert any(re.fullmatch(r"Pleural Effusion/(left|right)/(small|moderate|large)", term) for term in terms)


def _many_reports():
    labels = dict.fromkeys(labels_of("open_i"), 1.0)
    for plan in make.plan_source("open_i", SETTINGS.model_copy(update={"scored_images": 600})):
        yield reports_open_i.write_report(labels, plan.findings, plan.sex, np.random.default_rng(plan.seed))


# SIIM-ACR


def decoded(text):
    """A slow, plain reading of a mask: start, length, start, length, down the columns."""
    pixels = np.zeros(SIDE * SIDE, dtype=bool)
    numbers = [int(number) for number in text.split()]
    position = 0
    for start, length in zip(numbers[::2], numbers[1::2]):
        position += start
        pixels[position : position + length] = True
        position += length
    return pixels.reshape(SIDE, SIDE).T


def siim_films(root):
    return {path.stem: path for path in root.glob("dicom-images-train/*/*/*.dcm")}


def test_siim_table_has_the_real_header_and_lists_every_film(roots, real):
    ours, theirs = roots["siim_acr"] / "train-rle.csv", real / "siim_acr/train-rle.csv"
    with ours.open() as mine, theirs.open() as other:
        assert mine.readline() == other.readline() == "ImageId, EncodedPixels\n"
    assert set(pd.read_csv(ours)["ImageId"]) == set(siim_films(roots["siim_acr"]))


def test_siim_masks_lie_on_the_drawn_pneumothorax(roots, plans):
    table = pd.read_csv(roots["siim_acr"] / "train-rle.csv")
    rows = dict(list(table.groupby("ImageId")[" EncodedPixels"]))
    severity = truth_table(plans["siim_acr"])["pneumothorax"]
    names = make.LAYOUTS["siim_acr"].name_films(plans["siim_acr"], 3)
    threshold = profile_of("siim_acr", SETTINGS.differences).threshold
    several = masked = 0
    for plan, name, severe in zip(plans["siim_acr"], names, severity):
        masks = rows[name.split("/")[-1].removesuffix(".dcm")].tolist()
        if masks == ["-1"]:
            continue
        assert severe >= threshold
        side = next(finding.side for finding in plan.findings if finding.kind == "pneumothorax")
        parts = [decoded(mask) for mask in masks]
        assert [" ".join(map(str, runs_of(part))) for part in parts] == masks
        assert sum(part.sum() for part in parts) == np.any(parts, axis=0).sum(), "the parts do not overlap"
        half = slice(None, SIDE // 2) if side == "right" else slice(SIDE // 2, None)
        whole = np.any(parts, axis=0)
        assert whole[:, half].sum() > 0.95 * whole.sum() and 0.005 < whole.mean() < 0.2
        several += len(parts) > 1
        masked += 1
    assert 0 < several < masked / 2 and 0.1 < masked / len(plans["siim_acr"]) < 0.4
    assert masked >= 0.85 * (severity >= threshold).sum(), "few are overlooked"


def test_siim_headers_are_those_of_a_real_film(roots, real):
    theirs = pydicom.dcmread(real / "dicom/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm")
    for path in list(siim_films(roots["siim_acr"]).values())[:5]:
        ours = pydicom.dcmread(path)
        for keyword in ("Rows", "Columns", "BitsStored", "Modality", "PhotometricInterpretation", "BodyPartExamined"):
            assert ours[keyword].value == theirs[keyword].value, keyword
        assert ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID
        assert {element.keyword for element in ours} <= {element.keyword for element in theirs}
        assert re.fullmatch(r"\d+", str(ours.PatientAge)) and ours.PatientSex in ("F", "M")
        assert ours.ViewPosition in ("PA", "AP") and ours.SeriesDescription == f"view: {ours.ViewPosition}"
        study, series, image = path.parts[-3], path.parts[-2], path.stem
        assert (ours.StudyInstanceUID, ours.SeriesInstanceUID, ours.SOPInstanceUID) == (study, series, image)
        assert ours.pixel_array.shape == (SIDE, SIDE)


def test_a_fifth_of_siim_films_are_films_of_chestxray14(roots, plans):
    siim = make.LAYOUTS["siim_acr"].name_films(plans["siim_acr"], 3)
    nih = make.LAYOUTS["chestxray14"].name_films(plans["chestxray14"], 3)
    by_seed = {plan.seed: (plan, name) for plan, name in zip(plans["chestxray14"], nih)}
    copies = [(plan, name) for plan, name in zip(plans["siim_acr"], siim) if plan.origin]
    assert len(copies) == 30 and {plan.origin for plan, _ in copies} == {"chestxray14"}
    entries = pd.read_csv(roots["chestxray14"] / "Data_Entry_2017_v2020.csv", index_col=False)
    entries = entries.set_index("Image Index")
    patients = {}
    for plan, name in copies:
        dataset = pydicom.dcmread(roots["siim_acr"] / name)
        other, file = by_seed[plan.seed]
        with Image.open(roots["chestxray14"] / file) as image:
            film = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=float)
        assert np.abs(dataset.pixel_array - film).mean() < 2
        row = entries.loc[file.split("/")[-1]]
        assert (dataset.PatientSex, int(str(dataset.PatientAge))) == (row["Patient Gender"], row["Patient Age"])
        assert dataset.ViewPosition == row["View Position"]
        patients.setdefault(other.patient, set()).add(dataset.PatientID)
    assert all(len(names) == 1 for names in patients.values())
    own = {plan.seed for plan in plans["siim_acr"] if not plan.origin}
    assert not own & set(by_seed)
    places = [i for i, plan in enumerate(plans["siim_acr"]) if plan.origin]
    assert max(after - before for before, after in pairwise(places)) < 40, "they lie among the others"


def test_fewer_films_to_copy_than_wanted_leaves_the_number_of_films(plans):
    settings = SETTINGS.model_copy(update={"images_per_source": 24, "scored_images": 200})
    planned = make.plan_source("siim_acr", settings)
    assert len(planned) == 200 and sum(plan.origin != "" for plan in planned) == 24


# PadChest


@pytest.fixture(scope="module")
def padchest(roots):
    table = pd.read_csv(next(roots["padchest"].glob("*.csv.gz")), dtype="str", index_col=0)
    return table.assign(labels=table["Labels"].map(ast.literal_eval))


def test_padchest_columns_and_files(roots, padchest):
    assert list(padchest)[:-1] == list(make.LAYOUTS["padchest"].COLUMNS)
    files = {str(path.relative_to(roots["padchest"])) for path in roots["padchest"].glob("*/*.png")}
    assert set(padchest["ImageDir"] + "/" + padchest["ImageID"]) == files and len(files) == 150
    assert set(padchest["ImageDir"]) == {"0", "1", "2"}
    assert padchest["StudyID"].str.len().eq(38).all() and padchest["PatientID"].str.len().eq(36).all()
    assert set(padchest["MethodLabel"]) == {"Physician", "RNN_model"}
    assert 0.6 < (padchest["MethodLabel"] == "Physician").mean() < 0.9
    assert {"PA", "L"} <= set(padchest["Projection"]) <= {"PA", "L", "AP", "AP_horizontal"}


def test_padchest_films_of_a_study_share_their_report(padchest):
    per_study = padchest.groupby("StudyID")[["PatientID", "Report", "Labels", "MethodLabel"]].nunique()
    assert (per_study == 1).all(axis=None)
    assert padchest["StudyID"].nunique() < len(padchest)
    assert padchest.groupby("PatientID")["StudyID"].nunique().max() > 1


def test_padchest_words_are_those_of_the_labels(padchest):
    """A slow, plain reading: each sentence is one of the templates of its label, in doubt or not."""
    words = [(re.sub(r"\{\w+\}", r"\\w+", one), label, pick) for label, group in PRESENT_WORDS.items()
             for pick, one in enumerate(group)]  # fmt: skip
    devices = {sentence: labels for labels, sentence in DEVICES.values()}
    silent = {one for group in ABSENT_WORDS.values() for one in group} | set(CLEAR)
    extra = {"normal", "unchanged", "suboptimal study", "exclude", ""}
    seen = Counter()
    for report, labels in zip(padchest["Report"], padchest["labels"]):
        expected = set()
        for sentence in report.removesuffix(" .").split(" . "):
            sure = re.sub(r"^(posible|probable|no se puede descartar) ", "", sentence)
            found = [LABELS[label][pick] if label in LABELS else label
                     for pattern, label, pick in words if re.fullmatch(pattern, sure)]  # fmt: skip
            expected.update(found, devices.get(sure, ()))
            assert len(found) <= 1 and report == report.lower()
            assert not (found and sentence in silent)
        assert expected == set(labels) - extra, report
        assert ("normal" in labels) == (not expected and "exclude" not in labels)
        seen.update(labels)
    assert {"normal", "cardiomegaly", "pneumothorax", "pleural effusion", "nodule"} <= set(seen)


def test_padchest_films_are_16_bit_and_one_is_cut_short(roots, padchest):
    broken, tops = [], set()
    for path in sorted(roots["padchest"].glob("*/*.png")):
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image)
        except OSError:
            broken.append(path.name)
            with pytest.raises(UnreadableImage, match="truncated PNG"):
                decode_image(path)
            continue
        assert pixels.dtype == np.uint16 and pixels.ndim == 2
        tops.add(bool(pixels.max() > 4095))
    assert tops == {True, False}
    row = padchest.set_index("ImageID").loc[broken]
    assert len(broken) == 1 and row["MethodLabel"].tolist() == ["Physician"] and row["Projection"].tolist() != ["L"]
