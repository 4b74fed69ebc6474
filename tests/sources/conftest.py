"""Small hand-made folders in each source's official layout; the images are empty files."""

import csv
import gzip
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from unichest_kedro.sources.base import IngestionSettings
from unichest_kedro.sources.labels import CHEXPERT_LABELS, VINDR_LABELS

Rows = Sequence[Sequence[object]]


def write_csv(path: Path, header: Sequence[str], rows: Rows) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerows([header, *rows])
    content = stream.getvalue().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.fixture
def settings() -> IngestionSettings:
    return IngestionSettings(val_fraction=0.2, seed=7)


NIH_HEADER = [
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
]


@pytest.fixture
def chestxray14(tmp_path: Path) -> Path:
    """Ten train patients of one or two films, two test patients; split image folders; boxes."""
    root = tmp_path / "CXR8"
    rows = [[f"{p:08d}_000.png", "No Finding", 0, p, f"{50 + p:03d}Y", "F", "PA"] for p in range(1, 11)]
    rows.append(["00000001_001.png", "Effusion|Pleural_Thickening", 1, 1, "411Y", "M", "AP"])
    rows.append(["00000011_000.png", "Hernia", 0, 11, "006M", "M", "AP"])
    rows.append(["00000012_000.png", "Infiltration|Nodule", 0, 12, "61", "", ""])
    write_csv(root / "Data_Entry_2017.csv", [*NIH_HEADER, ""], [[*row, ""] for row in rows])
    names = [str(row[0]) for row in rows]
    (root / "train_val_list.txt").write_text("\n".join(names[:11]))
    (root / "test_list.txt").write_text("\n".join(names[11:]) + "\n")
    touch(root, *(f"images_001/images/{name}" for name in names[:6]))
    touch(root, *(f"images_002/images/{name}" for name in names[6:]))
    header = ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]", "", "", ""]
    boxes = [
        ["00000012_000.png", "Infiltrate", 10.5, 20, 30, 40.25],
        ["00000099_000.png", "Mass", 1, 2, 3, 4],
    ]
    write_csv(root / "BBox_List_2017.csv", header, boxes)
    return root


CHEXPERT_HEADER = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS]


def chexpert_row(path: str, **labels: object) -> list[object]:
    view = "Frontal" if "frontal" in path else "Lateral"
    answers = [labels.get(label.replace(" ", "_"), "") for label in CHEXPERT_LABELS]
    return [path, "Female", 60, view, "AP" if view == "Frontal" else "", *answers]


MakeChexpert = Callable[..., Path]


@pytest.fixture
def make_chexpert(tmp_path: Path) -> MakeChexpert:
    def make(release: str = "CheXpert-v1.0-small", tables: Sequence[str] = ("train", "valid", "test")) -> Path:
        root = tmp_path / release
        films = {
            "train": [f"train/patient{p:05d}/study1/view1_frontal.jpg" for p in range(1, 11)]
            + ["train/patient00001/study2/view2_lateral.jpg"],
            "valid": ["valid/patient64541/study1/view1_frontal.jpg"],
            "test": [
                "test/patient64741/study1/view1_frontal.jpg",
                "test/patient64741/study1/view2_lateral.jpg",
            ],
        }
        for table in tables:
            touch(root, *films[table])
            rows = [chexpert_row(f"{release}/{film}", Edema=1.0, Pneumonia=-1.0, Fracture=0.0) for film in films[table]]
            write_csv(root / f"{table}.csv", CHEXPERT_HEADER, rows)
        return root

    return make


MIMIC = "mimic-cxr-2.0.0"


@pytest.fixture
def mimic_cxr(tmp_path: Path) -> Path:
    """Four patients over all three official splits, one study with two views, one study without report."""
    root = tmp_path / "mimic-cxr-jpg"
    films = [
        ("aa", 10000032, 50414267, "train", "PA"),
        ("bb", 10000032, 50414267, "train", "LATERAL"),
        ("cc", 10000764, 57375967, "train", "AP"),
        ("dd", 10000898, 50771383, "validate", "AP LLD"),
        ("ee", 11000935, 51178377, "test", ""),
    ]
    write_csv(
        root / f"{MIMIC}-split.csv.gz",
        ["dicom_id", "study_id", "subject_id", "split"],
        [[dicom, study, patient, split] for dicom, patient, study, split, _ in films],
    )
    write_csv(
        root / f"{MIMIC}-metadata.csv.gz",
        ["dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows"],
        [[dicom, patient, study, "CHEST (PA AND LAT)", view, 3056] for dicom, patient, study, _, view in films],
    )
    labels = sorted(CHEXPERT_LABELS)
    answers = {
        50414267: {"No Finding": 1.0},
        57375967: {"Edema": -1.0, "Pneumonia": 1.0},
        50771383: {"Edema": 0.0},
        51178377: {},
    }
    rows = [
        [patient, study, *(answers[study].get(label, "") for label in labels)]
        for patient, study in dict.fromkeys((patient, study) for _, patient, study, _, _ in films)
    ]
    write_csv(root / f"{MIMIC}-chexpert.csv.gz", ["subject_id", "study_id", *labels], rows)
    for dicom, patient, study, _, _ in films:
        touch(root, f"files/p{str(patient)[:2]}/p{patient}/s{study}/{dicom}.jpg")
        if dicom != "ee":
            report = root / f"files/p{str(patient)[:2]}/p{patient}/s{study}.txt"
            report.write_text(f"FINDINGS: study {study}.\n", encoding="utf-8")
    return root


@pytest.fixture
def vindr_cxr(tmp_path: Path) -> Path:
    """Ten train films of three readers, two test films of the consensus, and their boxes."""
    root = tmp_path / "vindr-cxr"

    def answers(*present: str) -> list[int]:
        return [int(label in present) for label in VINDR_LABELS]

    rows = []
    for film in range(10):
        for reader in range(3):
            calls = answers("Cardiomegaly", "ILD") if reader <= film % 3 else answers("No finding")
            rows.append([f"{film:032x}", f"R{reader + 1}", *calls])
    write_csv(root / "annotations/image_labels_train.csv", ["image_id", "rad_ID", *VINDR_LABELS], rows)
    test = [[f"{film:032x}", *answers("Tuberculosis")] for film in (100, 101)]
    write_csv(root / "annotations/image_labels_test.csv", ["image_id", *VINDR_LABELS], test)
    corners = ["x_min", "y_min", "x_max", "y_max"]
    boxes = [
        [f"{0:032x}", "R1", "Cardiomegaly", 691, 1375, 1653, 1831],
        [f"{0:032x}", "R2", "No finding", *[""] * 4],
    ]
    write_csv(root / "annotations/annotations_train.csv", ["image_id", "rad_ID", "class_name", *corners], boxes)
    box = [f"{100:032x}", "Nodule/Mass", 1, 2, 3.5, 4]
    write_csv(root / "annotations/annotations_test.csv", ["image_id", "class_name", *corners], [box])
    touch(root, *(f"train/{film:032x}.dicom" for film in range(10)))
    touch(root, *(f"test/{film:032x}.dicom" for film in (100, 101)))
    return root


@pytest.fixture
def shenzhen(tmp_path: Path) -> Path:
    """Four films, two of them of tuberculosis, each with a reading."""
    root = tmp_path / "ChinaSet_AllFiles"
    readings = {
        "CHNCXR_0001_0": "male 45yrs\r\nnormal",
        "CHNCXR_0002_0": "female, 14 yrs\nnormal\n",
        "CHNCXR_0327_1": "Female24yrs\nPTB in the right upper field",
        "CHNCXR_0328_1": "male , 5 months\n1.bilateral PTB\n2.right pleuritis",
    }
    for name, text in readings.items():
        touch(root, f"CXR_png/{name}.png")
        path = root / f"ClinicalReadings/{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
    touch(root, "CXR_png/Thumbs.db", "CXR_png/._CHNCXR_0001_0.png", "README.txt")
    return root


SIIM_UID = "1.2.276.0.7230010.3.1.4.8323329.{}.1517875201.850819"


@pytest.fixture
def siim_acr(tmp_path: Path) -> Path:
    """Three listed films (none, one and two masks) and one that no row lists; the files are empty."""
    root = tmp_path / "siim-acr"
    rows = [
        [SIIM_UID.format(1), "-1"],
        [SIIM_UID.format(2), f"{1024 * 3 + 10} 4 1020 6"],
        [SIIM_UID.format(3), "0 2"],
        [SIIM_UID.format(3), f"{1024 * 1024 - 3} 3"],
    ]
    write_csv(root / "train-rle.csv", ["ImageId", " EncodedPixels"], rows)
    for film in (1, 2, 3):
        touch(root, f"dicom-images-train/study{film}/series{film}/{SIIM_UID.format(film)}.dcm")
    touch(root, f"dicom-images-test/study9/series9/{SIIM_UID.format(9)}.dcm")
    return root


PADCHEST_HEADER = [
    "",
    "ImageID",
    "ImageDir",
    "StudyDate_DICOM",
    "StudyID",
    "PatientID",
    "PatientBirth",
    "PatientSex_DICOM",
    "ViewPosition_DICOM",
    "Projection",
    "MethodProjection",
    "ReportID",
    "Report",
    "MethodLabel",
    "Labels",
]
PADCHEST_TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"


def padchest_row(film: int, projection: str, labels: str, method: str = "Physician") -> list[object]:
    image, study = f"2168401113_{film:02d}.png", f"study{film // 2}"
    report = f"silueta cardiaca normal , hallazgo {film} ."
    who = [20140915, study, f"patient{film // 4}", "1938.0", "MFO"[film % 3]]
    return [film, image, film % 2, *who, "POSTEROANTERIOR", projection, "Manual", 4000 + film, report, method, labels]


@pytest.fixture
def padchest(tmp_path: Path) -> Path:
    """Six films labelled by a physician, two by a model, in two folders; a gzipped table."""
    root = tmp_path / "padchest"
    rows = [
        padchest_row(0, "PA", "['normal']"),
        padchest_row(1, "L", "['pleural effusion ', ' COPD signs', '']"),
        padchest_row(2, "AP_horizontal", "['cardiomegaly', 'pleural  effusion']"),
        padchest_row(3, "AP", "['exclude']"),
        padchest_row(4, "COSTAL", "['']"),
        padchest_row(5, "EXCLUDE", "['suboptimal study', 'unchanged']"),
        padchest_row(6, "PA", "['normal']", "RNN_model"),
        padchest_row(7, "PA", "['pneumonia']", "RNN_model"),
    ]
    write_csv(root / f"{PADCHEST_TABLE}.gz", PADCHEST_HEADER, rows)
    touch(root, *(f"{row[2]}/{row[1]}" for row in rows if row[-2] == "Physician"))
    return root


def open_i_xml(number: int, images: Sequence[str], majors: Sequence[str] = (), **sections: str) -> str:
    texts = "".join(f'<AbstractText Label="{name}">{text}</AbstractText>\n' for name, text in sections.items())
    terms = "".join(f"<major>{term}</major>\n" for term in majors)
    films = "".join(f'<parentImage id="{image}"><caption>PA and lateral</caption></parentImage>' for image in images)
    return (
        f'<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR{number}"/><MedlineCitation><Article><Abstract>'
        f"{texts}</Abstract></Article></MedlineCitation><MeSH>{terms}<automatic>lung</automatic></MeSH>{films}</eCitation>"
    )


OPEN_I_FILMS = {
    1: ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"],
    2: ["CXR2_IM-0652-1001", "CXR2_IM-0652-2001"],
    10: ["CXR10_IM-0002-1001"],
    11: [],
}


@pytest.fixture
def open_i(tmp_path: Path) -> Path:
    """Four reports, one of them not indexed and one without images; five films."""
    root = tmp_path / "open-i"
    reports = {
        1: open_i_xml(
            1, OPEN_I_FILMS[1], ["normal"], INDICATION="Cough.", FINDINGS="Clear  lungs.", IMPRESSION="Normal."
        ),
        2: open_i_xml(
            2,
            OPEN_I_FILMS[2],
            ["Cardiomegaly/borderline", "Pleural Effusion/right/small "],
            FINDINGS="",
            IMPRESSION="Borderline heart &amp; XXXX.",
        ),
        10: open_i_xml(10, OPEN_I_FILMS[10], ["No Indexing"], COMPARISON="None."),
        11: open_i_xml(11, [], ["Opacity/lung/base/left"], FINDINGS="Opacity at the left base."),
    }
    for number, text in reports.items():
        path = root / f"ecgen-radiology/{number}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    touch(root, *(f"NLMCXR_png/{image}.png" for images in OPEN_I_FILMS.values() for image in images))
    return root


@pytest.fixture
def open_i_kaggle(tmp_path: Path) -> Path:
    """The reports of `open_i` that have images, as Kaggle's copy has them."""
    root = tmp_path / "indiana"
    header = ["uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression"]
    reports = [
        [1, "normal", "normal", "PA and lateral", "Cough.", "", "Clear  lungs.", "Normal."],
        [2, "Cardiomegaly/borderline;Pleural Effusion/right/small", "", "", "", "", "", "Borderline heart & XXXX."],
        [10, "No Indexing", "No Indexing", "", "", "None.", "", ""],
    ]
    write_csv(root / "indiana_reports.csv", header, reports)
    films = [
        [1, "1_IM-0001-3001.dcm.png", "Lateral"],
        [1, "1_IM-0001-4001.dcm.png", "Frontal"],
        [2, "2_IM-0652-1001.dcm.png", "Frontal"],
        [2, "2_IM-0652-2001.dcm.png", "Lateral"],
        [10, "10_IM-0002-1001.dcm.png", "Frontal"],
    ]
    write_csv(root / "indiana_projections.csv", ["uid", "filename", "projection"], films)
    touch(root, *(f"images/images_normalized/{name}" for _, name, _ in films))
    return root


@pytest.fixture
def edit() -> Callable[[Path, str, str], None]:
    """Replace text in a table, gzipped or not; the text must be there."""

    def replace(path: Path, old: str, new: str) -> None:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        assert old in text
        changed = text.replace(old, new).encode()
        path.write_bytes(gzip.compress(changed) if path.suffix == ".gz" else changed)

    return replace
