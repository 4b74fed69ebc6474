"""The Shenzhen Hospital set as its publisher ships it: PNG films whose names say who is ill, a reading of each.

The last digit of a name is 1 where tuberculosis was proven, whatever the film shows; a reading says what was seen.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from unichest_kedro.phantoms.cohort import Cohort, Plan, seed_of, truth_table
from unichest_kedro.phantoms.definitions import judge
from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import CAVITY, DrawnBox
from unichest_kedro.phantoms.grid import Field
from unichest_kedro.phantoms.wording import choose

SOURCE = "shenzhen"
ROOT = ""
COHORT = Cohort(lateral=0.0, another_study=0.0, splits={"": 1.0}, healthy=1.0, added={"tuberculosis": 0.5})
COLOUR_EVERY = 15
"""One PNG in so many has three equal channels."""

PATIENT_LINES = (
    "{sex} {age}yrs",
    "{sex} {age}yrs",
    "{sex}, {age} yrs",
    "{Sex}, {age}yrs",
    "{sex} {age} years",
    "{Sex} {age}yr",
)
NORMAL = ("normal", "normal", "normal", "Normal chest film", "no abnormality seen", "heart and lungs are normal")
SEEN = (
    "{where} PTB",
    "{where} PTB",
    "secondary PTB of the {where} field",
    "PTB, {where} field",
    "{where} infiltrates, PTB",
    "fibrous streaks and patches of the {where} field, PTB",
)
FAINT = ("{where} field: a few small spots, PTB?", "suspected {where} PTB", "old {where} PTB, little to see")
CAVITIES = (" with cavity", " with a thick-walled cavity", ", cavity formation")
COMPANIONS = {
    "effusion": ("{side} pleural effusion", "fluid in the {side} pleura"),
    "thickening": ("{side} pleural thickening", "adhesion of the {side} pleura"),
}


def name_films(plans: list[Plan], seed: int) -> list[str]:
    """Return each film's path below the root: numbered, the healthy first."""
    ill = np.array([_is_ill(plan) for plan in plans])
    number = np.empty(len(plans), dtype=int)
    number[np.argsort(ill, kind="stable")] = np.arange(1, len(plans) + 1)
    return [f"CXR_png/CHNCXR_{n:04d}_{int(sick)}.png" for n, sick in zip(number, ill)]


def write_film(film: Field, plan: Plan, path: Path, index: int) -> None:
    """Write a film (H, W) in [0, 1] as an 8-bit PNG, a few of them in three equal channels."""
    image = Image.fromarray(np.round(film * 255).astype(np.uint8))
    (image.convert("RGB") if index % COLOUR_EVERY == 4 else image).save(path)


def write_tables(
    root: Path, plans: list[Plan], names: list[str], boxes: list[list[DrawnBox]], profile: Profile, seed: int
) -> None:
    """Write the readings; there are no tables."""
    folder = root / "ClinicalReadings"
    folder.mkdir()
    clear = judge(truth_table(plans), SOURCE, profile, np.random.default_rng(seed_of(SOURCE, seed, 2))).present
    for plan, name, seen in zip(plans, names, clear["Tuberculosis"]):
        text = _reading(plan, bool(seen), profile.threshold, np.random.default_rng([plan.seed, 7]))
        (folder / f"{Path(name).stem}.txt").write_text(text, encoding="utf-8")


def _is_ill(plan: Plan) -> bool:
    return any(finding.kind == "tuberculosis" for finding in plan.findings)


def _reading(plan: Plan, seen: bool, threshold: float, rng: np.random.Generator) -> str:
    """Sex and age in one of the spellings, then what was seen, a line per finding."""
    sex = "male" if plan.sex == "M" else "female"
    lines = [choose(PATIENT_LINES, rng).format(sex=sex, Sex=sex.capitalize(), age=plan.age)]
    findings = {finding.kind: finding for finding in plan.findings}
    if not _is_ill(plan):
        return "\n".join([*lines, choose(NORMAL, rng)]) + "\n"
    disease = findings["tuberculosis"]
    where = "bilateral upper" if disease.side == "both" else f"{disease.side} upper"
    line = choose(SEEN if seen else FAINT, rng).format(where=where)
    lines.append(f"{line}{choose(CAVITIES, rng)}" if disease.severity >= CAVITY else line)
    lines += [
        choose(words, rng).format(side=findings[kind].side)
        for kind, words in COMPANIONS.items()
        if kind in findings and findings[kind].severity >= threshold
    ]
    return "\n".join(lines) + "\n"
