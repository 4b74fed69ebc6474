"""PadChest as BIMCV ships it: 16-bit PNG films in numbered folders and one table of all films.

Three quarters of the studies were labelled by physicians, the others by a model from their reports. One film is cut
short, as some of the release are.
"""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from unichest_kedro.phantoms import reports_padchest
from unichest_kedro.phantoms.cohort import Cohort, Plan, seed_of, truth_table
from unichest_kedro.phantoms.definitions import judge, with_mistakes
from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import DrawnBox
from unichest_kedro.phantoms.grid import Field
from unichest_kedro.phantoms.reports_padchest import CONCEPTS, Sentence, labels_of_sentences
from unichest_kedro.phantoms.wording import mentions

SOURCE = "padchest"
ROOT = ""
COHORT = Cohort(lateral=0.35, another_study=0.35, splits={"": 1.0}, added={"hernia": 0.06, "tuberculosis": 0.06})
TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
FOLDERS = 3
PHYSICIAN, MODEL = "Physician", "RNN_model"
BY_PHYSICIANS = 0.75
POSITIONS = {"PA": "POSTEROANTERIOR", "AP": "ANTEROPOSTERIOR", "AP_horizontal": "ANTEROPOSTERIOR", "L": "LATERAL"}
COLUMNS = (
    "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM",
    "ViewPosition_DICOM", "Projection", "MethodProjection", "Pediatric", "Modality_DICOM", "Manufacturer_DICOM",
    "PhotometricInterpretation_DICOM", "PixelRepresentation_DICOM", "PixelAspectRatio_DICOM",
    "SpatialResolution_DICOM", "BitsStored_DICOM", "WindowCenter_DICOM", "WindowWidth_DICOM", "Rows_DICOM",
    "Columns_DICOM", "XRayTubeCurrent_DICOM", "Exposure_DICOM", "ExposureInuAs_DICOM", "ExposureTime",
    "RelativeXRayExposure_DICOM", "ReportID", "Report", "MethodLabel", "Labels", "Localizations",
    "LabelsLocalizationsBySentence", "labelCUIS", "LocalizationsCUIS",
)  # fmt: skip


def name_films(plans: list[Plan], seed: int) -> list[str]:
    """Return each film's path below the root."""
    per_folder = -(-len(plans) // FOLDERS)
    return [f"{i // per_folder}/{_study_id(plan, seed)}_{_tail(plan)}.png" for i, plan in enumerate(plans)]


def write_film(film: Field, plan: Plan, path: Path, index: int) -> None:
    """Write a film (H, W) in [0, 1] as a 16-bit greyscale PNG of 12 or of 16 bits' range."""
    top = 4095 if index % 3 == 1 else 65535
    stored = np.round((0.02 + 0.95 * film) * top).astype(np.uint16)
    Image.fromarray(stored).save(path, compress_level=3)


def write_tables(
    root: Path, plans: list[Plan], names: list[str], boxes: list[list[DrawnBox]], profile: Profile, seed: int
) -> None:
    """Write the table, one row per film, and cut one film short."""
    rng = np.random.default_rng(seed_of(SOURCE, seed, 2))
    studies = pd.factorize(pd.Series([(plan.patient, plan.study) for plan in plans]))[0]
    first = [plans[i] for i in pd.Series(range(len(plans))).groupby(studies).first()]
    readings = _readings(first, profile, rng)
    methods = np.where(rng.random(len(first)) < BY_PHYSICIANS, PHYSICIAN, MODEL)
    rows = [
        {**_film_columns(plan, name, seed), **_report_columns(readings[study], methods[study], plan, seed)}
        for plan, name, study in zip(plans, names, studies)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    # A fixed time stamp keeps the file the same, byte for byte, from run to run. The first column has no name.
    (root / TABLE).write_bytes(gzip.compress(table.to_csv().encode(), mtime=0))
    _cut_short(root, table)


def _readings(plans: list[Plan], profile: Profile, rng: np.random.Generator) -> list[list[Sentence]]:
    """What is read on each study's films."""
    opinion = judge(truth_table(plans), SOURCE, profile, rng)
    mistaken = with_mistakes(opinion.present, profile, rng)
    doubt = opinion.doubt.mask(mistaken != opinion.present, 1.0)
    said = mentions(opinion._replace(present=mistaken, doubt=doubt), profile, rng, reports_padchest.denials())
    return [
        reports_padchest.read_film(row, plan.findings, plan.study > 1, np.random.default_rng([plan.seed, 7]))
        for row, plan in zip(said.to_dict("records"), plans)
    ]


def _film_columns(plan: Plan, name: str, seed: int) -> dict[str, object]:
    """What the table says of the film itself; blank columns are blank in most rows of the release too."""
    rng = np.random.default_rng([plan.seed, 8])
    folder, image = name.split("/")
    year = 2009 + plan.study
    projection = "L" if plan.lateral else str(rng.choice(["PA", "AP", "AP_horizontal"], p=[0.7, 0.1, 0.2]))
    digital = bool(rng.random() < 0.5)
    return {
        "ImageID": image,
        "ImageDir": folder,
        "StudyDate_DICOM": 10_000 * year + 100 * int(rng.integers(1, 13)) + int(rng.integers(1, 29)),
        "StudyID": _study_id(plan, seed),
        "PatientID": _patient_id(plan, seed),
        "PatientBirth": float(2010 - plan.age),
        "PatientSex_DICOM": plan.sex,
        "ViewPosition_DICOM": POSITIONS[projection],
        "Projection": projection,
        "MethodProjection": "Manual review of DICOM fields",
        "Pediatric": "No",
        "Modality_DICOM": "DX" if digital else "CR",
        "Manufacturer_DICOM": "PhantomMedicalSystems" if digital else "PhantomDynamicsCompanyLtd",
        "PhotometricInterpretation_DICOM": "MONOCHROME2",
        "PixelRepresentation_DICOM": 0.0,
        "SpatialResolution_DICOM": float(rng.choice((0.139, 0.143, 0.16))),
        "BitsStored_DICOM": 12.0,
        "WindowCenter_DICOM": 2048.0,
        "WindowWidth_DICOM": 4096.0,
        "Rows_DICOM": int(rng.integers(2200, 3500)),
        "Columns_DICOM": int(rng.integers(2200, 3500)),
        "ExposureTime": float(rng.integers(4, 60)),
    }


def _report_columns(reading: list[Sentence], method: str, plan: Plan, seed: int) -> dict[str, object]:
    """What the table says of the study: the reading, its labels and places as list literals."""
    labels = labels_of_sentences(reading)
    places = list(dict.fromkeys(place for one in reading for place in one.places))
    by_sentence = [part for one in reading for part in (*one.labels, *one.places)]
    # Some lists of the release hold an empty entry.
    untidy = [*labels, ""] if (plan.patient * 8 + plan.study) % 40 == 7 else labels
    concepts = " ".join(repr(CONCEPTS[label]) for label in labels if label in CONCEPTS)
    return {
        "ReportID": 4_000_000 + (plan.patient * 8 + plan.study + seed) % 999_983,
        "Report": " . ".join([*(one.words for one in reading), ""]).strip(),
        "MethodLabel": method,
        "Labels": repr(untidy),
        "Localizations": repr(places),
        "LabelsLocalizationsBySentence": repr(by_sentence),
        "labelCUIS": f"[{concepts}]",
        "LocalizationsCUIS": "[]",
    }


def _cut_short(root: Path, table: pd.DataFrame) -> None:
    """Leave the first three fifths of one frontal film that physicians labelled."""
    chosen = table[(table["MethodLabel"] == PHYSICIAN) & (table["Projection"] != "L")]
    if len(chosen):
        path = root / chosen["ImageDir"].iloc[0] / chosen["ImageID"].iloc[0]
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 3 // 5])


def _patient_id(plan: Plan, seed: int) -> str:
    """Far more digits than a 64-bit number holds."""
    return _digits(36, 11, seed, plan.patient)


def _study_id(plan: Plan, seed: int) -> str:
    return _digits(38, 12, seed, plan.patient, plan.study)


def _digits(count: int, *key: int) -> str:
    """A number of `count` (up to 55) digits, the same for the same key."""
    words = np.random.SeedSequence(list(key)).generate_state(3, np.uint64)
    return "1" + "".join(f"{int(word) % 10**18:018d}" for word in words)[: count - 1]


def _tail(plan: Plan) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(letters[i] for i in np.random.default_rng([plan.seed, 9]).integers(len(letters), size=6))
