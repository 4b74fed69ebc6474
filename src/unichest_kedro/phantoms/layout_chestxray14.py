"""NIH ChestX-ray14 as its publisher ships it: PNG films in numbered folders, tables and lists."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from unichest_kedro.phantoms.cohort import Cohort, Plan, seed_of, truth_table
from unichest_kedro.phantoms.definitions import judge, shows, with_mistakes
from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import DrawnBox
from unichest_kedro.phantoms.grid import Field

SOURCE = "chestxray14"
ROOT = ""
COHORT = Cohort(lateral=0.0, another_study=0.55, splits={"train": 0.75, "test": 0.25}, added={"hernia": 0.05})
FOLDERS = 2
RGBA_EVERY = 50
"""One PNG in so many has four channels, as a few of the release have."""

BOXED = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
)
BOX_NAMES = {"Infiltration": "Infiltrate"}
"""Labels that the box table spells differently."""


def name_films(plans: list[Plan], seed: int) -> list[str]:
    """Return each film's path below the root."""
    per_folder = -(-len(plans) // FOLDERS)
    return [f"images_{i // per_folder + 1:03d}/images/{_file_name(plan)}" for i, plan in enumerate(plans)]


def write_film(film: Field, plan: Plan, path: Path, index: int) -> None:
    """Write a film (H, W) in [0, 1] as an 8-bit greyscale PNG, a few as RGBA."""
    image = Image.fromarray(np.round(film * 255).astype(np.uint8))
    (image.convert("RGBA") if index % RGBA_EVERY == 7 else image).save(path)


def write_tables(
    root: Path, plans: list[Plan], names: list[str], boxes: list[list[DrawnBox]], profile: Profile, seed: int
) -> None:
    """Write the entry table, the two official lists and the boxes."""
    rng = np.random.default_rng(seed_of(SOURCE, seed, 2))
    opinion = judge(truth_table(plans), SOURCE, profile, rng)
    care = np.array([0.3 if plan.split == "test" else 1.0 for plan in plans])
    present = with_mistakes(opinion.present, profile, rng, care[:, None])
    present = present.drop(columns=list(profile.unlabelled))
    _entries(plans, present).to_csv(root / "Data_Entry_2017_v2020.csv", index=False)
    for name, split in (("train_val_list.txt", "train"), ("test_list.txt", "test")):
        listed = [_file_name(plan) for plan in plans if plan.split == split]
        (root / name).write_text("\n".join(listed), encoding="utf-8")
    _write_boxes(root / "BBox_List_2017.csv", plans, present, boxes, profile.threshold)


def _file_name(plan: Plan) -> str:
    return f"{plan.patient:08d}_{plan.study - 1:03d}.png"


class Record(NamedTuple):
    """What the source notes of a film beside its findings; SIIM-ACR took these over with the films."""

    age: int
    view: str
    width: int
    height: int
    spacing: float


def record_of(plan: Plan) -> Record:
    """Return age, view, original size and pixel spacing of a film."""
    rng = np.random.default_rng([plan.seed, 8])
    width, height = (int(side) for side in rng.integers(2000, 3057, 2))
    spacing = round(float(rng.choice((0.143, 0.139, 0.168, 0.194))), 6)
    view = "PA" if rng.random() < 0.6 else "AP"
    return Record(plan.age + (plan.study - 1) // 2, view, width, height, spacing)


def _entries(plans: list[Plan], present: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for plan, row in zip(plans, present.to_numpy()):
        record = record_of(plan)
        labels = [label for label, there in zip(present.columns, row) if there]
        rows.append(
            (
                _file_name(plan), "|".join(sorted(labels)) or "No Finding", plan.study - 1, plan.patient,
                record.age, plan.sex, record.view, record.width, record.height, record.spacing, record.spacing,
            )
        )  # fmt: skip
    # Two of the release's headings contain a comma without quotes, so each names two columns.
    columns = [
        "Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender",
        "View Position", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _write_boxes(
    path: Path, plans: list[Plan], present: pd.DataFrame, boxes: list[list[DrawnBox]], threshold: float
) -> None:
    """Boxes (x, y, width, height) of labels that the table too calls present, in films of the test list."""
    lines = ["Image Index,Finding Label,Bbox [x,y,w,h],,,"]
    for plan, row, drawn in zip(plans, present.to_dict("records"), boxes):
        if plan.split != "test":
            continue
        for label in (label for label in BOXED if row.get(label)):
            for box in drawn:
                if shows(SOURCE, label, box.kind, box.severity, threshold):
                    corner = f"{box.x_min},{box.y_min},{box.x_max - box.x_min},{box.y_max - box.y_min}"
                    lines.append(f"{_file_name(plan)},{BOX_NAMES.get(label, label)},{corner}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
