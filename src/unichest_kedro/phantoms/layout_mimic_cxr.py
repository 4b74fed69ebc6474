"""MIMIC-CXR-JPG 2.x as PhysioNet ships it: JPEG films, gzipped tables, reports beside the films."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from unichest_kedro.phantoms import reports
from unichest_kedro.phantoms.cohort import Cohort, Plan, seed_of, truth_table
from unichest_kedro.phantoms.definitions import Opinion, judge, with_mistakes
from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import DrawnBox
from unichest_kedro.phantoms.grid import Field

SOURCE = "mimic_cxr"
ROOT = ""
COHORT = Cohort(lateral=0.12, another_study=0.45, splits={"train": 0.65, "validate": 0.10, "test": 0.25})
LABEL_COLUMNS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)


def name_films(plans: list[Plan], seed: int) -> list[str]:
    """Return each film's path below the root."""
    names = []
    for plan in plans:
        subject, study = _subject(plan, seed), _study(plan, seed)
        names.append(f"files/p{str(subject)[:2]}/p{subject}/s{study}/{_dicom_id(plan)}.jpg")
    return names


def write_film(film: Field, plan: Plan, path: Path, index: int) -> None:
    """Write a film (H, W) in [0, 1] as an 8-bit JPEG."""
    Image.fromarray(np.round(film * 255).astype(np.uint8)).save(path, quality=92)


def write_tables(
    root: Path, plans: list[Plan], names: list[str], boxes: list[list[DrawnBox]], profile: Profile, seed: int
) -> None:
    """Write split, metadata and label tables and one report per study."""
    films = _films(plans, names, seed)
    studies = films.drop_duplicates("study_id").reset_index(drop=True)
    study_plans = [plans[i] for i in studies["row"]]
    said, reported = _labels_and_reports(study_plans, profile, seed)
    keys = studies[["subject_id", "study_id"]]
    _write_gzip(root / "mimic-cxr-2.0.0-chexpert.csv.gz", pd.concat([keys, said[list(LABEL_COLUMNS)]], axis=1))
    second = _second_labeler(said, np.random.default_rng(seed_of(SOURCE, seed, 5)))
    _write_gzip(root / "mimic-cxr-2.0.0-negbio.csv.gz", pd.concat([keys, second[list(LABEL_COLUMNS)]], axis=1))
    _write_gzip(root / "mimic-cxr-2.0.0-split.csv.gz", films[["dicom_id", "study_id", "subject_id", "split"]])
    _write_gzip(root / "mimic-cxr-2.0.0-metadata.csv.gz", _metadata(films, plans, root))
    for name, text in zip(studies["name"], reported):
        (root / name).parent.with_suffix(".txt").write_text(text, encoding="utf-8")


def _labels_and_reports(plans: list[Plan], profile: Profile, seed: int) -> tuple[pd.DataFrame, list[str]]:
    """What is said about each label of each study (with `No Finding`), and the report that says it."""
    rng = np.random.default_rng(seed_of(SOURCE, seed, 2))
    opinion = judge(truth_table(plans), SOURCE, profile, rng)
    care = np.array([0.3 if plan.split == "test" else 1.0 for plan in plans])
    mistaken = with_mistakes(opinion.present, profile, rng, care[:, None])
    # A mistake is made with confidence: it is not borderline.
    doubt = opinion.doubt.mask(mistaken != opinion.present, 1.0)
    said = reports.mentions(Opinion(mistaken, doubt), profile, rng)
    texts = [
        reports.write_report(row, plan.findings, profile.threshold, plan.sex, np.random.default_rng([plan.seed, 7]))
        for row, plan in zip(said.to_dict("records"), plans)
    ]
    others = [reports.has_unlabelled(plan.findings, profile.threshold) for plan in plans]
    return said.assign(**{"No Finding": reports.no_finding(said, others)}), texts


def _second_labeler(said: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """NegBio: the same reports read by another program, to which a few uncertain mentions are present."""
    firm = (said == reports.UNCERTAIN) & (rng.random(said.shape) < 0.1)
    return said.mask(firm, reports.PRESENT)


def _films(plans: list[Plan], names: list[str], seed: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "dicom_id": [Path(name).stem for name in names],
            "study_id": [_study(plan, seed) for plan in plans],
            "subject_id": [_subject(plan, seed) for plan in plans],
            "split": [plan.split for plan in plans],
            "name": names,
            "row": range(len(plans)),
        }
    )


def _metadata(films: pd.DataFrame, plans: list[Plan], root: Path) -> pd.DataFrame:
    rows = []
    for film, plan in zip(films.itertuples(index=False), plans):
        rng = np.random.default_rng([plan.seed, 8])
        with Image.open(root / film.name) as image:
            width, height = image.size
        portable = bool(rng.random() < 0.6)
        view = ("LATERAL" if rng.random() < 0.4 else "LL") if plan.lateral else ("AP" if portable else "PA")
        step = "CHEST (PORTABLE AP)" if view == "AP" else "CHEST (PA AND LAT)"
        meaning = {
            "AP": "antero-posterior",
            "PA": "postero-anterior",
            "LL": "left lateral",
            "LATERAL": "lateral",
        }
        rows.append(
            (
                film.dicom_id, film.subject_id, film.study_id, step, view, height, width,
                21_000_000 + 10_000 * plan.study + 100 * int(rng.integers(1, 13)) + int(rng.integers(1, 29)),
                f"{rng.integers(24):02d}{rng.integers(60):02d}{rng.integers(60):02d}.{rng.integers(1000):03d}",
                step, meaning[view], "Recumbent" if portable and rng.random() < 0.3 else "Erect",
            )
        )  # fmt: skip
    columns = [
        "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows",
        "Columns", "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning",
        "ViewCodeSequence_CodeMeaning", "PatientOrientationCodeSequence_CodeMeaning",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _subject(plan: Plan, seed: int) -> int:
    """An eight-digit number that starts with 10 to 19, different for every patient."""
    return 10_000_000 + (plan.patient * 7_919_003 + seed * 17) % 9_999_991


def _study(plan: Plan, seed: int) -> int:
    """An eight-digit number that starts with 5, different for every study of up to a million patients."""
    return 50_000_000 + ((plan.patient * 8 + plan.study) * 5_915_587 + seed * 31) % 9_999_973


def _dicom_id(plan: Plan) -> str:
    words = np.random.SeedSequence([plan.seed, 9]).generate_state(5)
    return "-".join(f"{int(word):08x}" for word in words)


def _write_gzip(path: Path, table: pd.DataFrame) -> None:
    # A fixed time stamp keeps the file the same, byte for byte, from run to run.
    path.write_bytes(gzip.compress(table.to_csv(index=False).encode(), mtime=0))
