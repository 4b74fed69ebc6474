"""CheXpert-v1.0-small as Stanford ships it: JPEG films and one table per split."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from unichest_kedro.phantoms.cohort import Cohort, Plan, seed_of, truth_table
from unichest_kedro.phantoms.definitions import judge, labels_of, with_mistakes
from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import DrawnBox
from unichest_kedro.phantoms.grid import Field
from unichest_kedro.phantoms.reports import mentions, no_finding

SOURCE = "chexpert"
ROOT = "CheXpert-v1.0-small"
COHORT = Cohort(lateral=0.10, another_study=0.40, splits={"train": 0.65, "valid": 0.10, "test": 0.25})


def name_films(plans: list[Plan], seed: int) -> list[str]:
    """Return each film's path below the release folder."""
    return [
        f"{plan.split}/patient{plan.patient:05d}/study{plan.study}/"
        f"view{plan.view_number}_{'lateral' if plan.lateral else 'frontal'}.jpg"
        for plan in plans
    ]


def write_film(film: Field, plan: Plan, path: Path, index: int) -> None:
    """Write a film (H, W) in [0, 1] as an 8-bit JPEG."""
    Image.fromarray(np.round(film * 255).astype(np.uint8)).save(path, quality=90)


def write_tables(
    root: Path, plans: list[Plan], names: list[str], boxes: list[list[DrawnBox]], profile: Profile, seed: int
) -> None:
    """Write train.csv (1, 0, -1 or blank), valid.csv and test.csv (1 or 0, a consensus of radiologists)."""
    keys = _keys(plans, names)
    mined, agreed = _labels(plans, profile, seed)
    splits = pd.Series([plan.split for plan in plans])
    for split, labels in (("train", mined), ("valid", agreed), ("test", agreed)):
        chosen = splits == split
        table = pd.concat([keys[chosen], labels.loc[chosen, ["No Finding", *labels_of(SOURCE)]]], axis=1)
        table.to_csv(root / f"{split}.csv", index=False)


def _labels(plans: list[Plan], profile: Profile, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels mined from (unpublished) reports, and the consensus; the films of a study share theirs."""
    rng = np.random.default_rng(seed_of(SOURCE, seed, 2))
    studies = pd.factorize(pd.Series([(plan.patient, plan.study) for plan in plans]))[0]
    first = pd.Series(range(len(plans))).groupby(studies).first()
    truth = truth_table([plans[i] for i in first])
    opinion = judge(truth, SOURCE, profile, rng)
    mistaken = with_mistakes(opinion.present, profile, rng)
    doubt = opinion.doubt.mask(mistaken != opinion.present, 1.0)
    mined = mentions(opinion._replace(present=mistaken, doubt=doubt), profile, rng)
    mined = _with_no_finding(mined)
    agreed = with_mistakes(opinion.present, profile, rng, care=0.25).astype(float)
    agreed = agreed.assign(**dict.fromkeys(profile.unlabelled, 0.0))
    agreed = _with_no_finding(agreed).fillna(0.0)
    return mined.iloc[studies].reset_index(drop=True), agreed.iloc[studies].reset_index(drop=True)


def _with_no_finding(labels: pd.DataFrame) -> pd.DataFrame:
    return labels.assign(**{"No Finding": no_finding(labels, np.zeros(len(labels), dtype=bool))})


def _keys(plans: list[Plan], names: list[str]) -> pd.DataFrame:
    portable = [np.random.default_rng([plan.seed, 8]).random() < 0.8 for plan in plans]
    return pd.DataFrame(
        {
            "Path": [f"{ROOT}/{name}" for name in names],
            "Sex": ["Female" if plan.sex == "F" else "Male" for plan in plans],
            "Age": [plan.age for plan in plans],
            "Frontal/Lateral": ["Lateral" if plan.lateral else "Frontal" for plan in plans],
            "AP/PA": [np.nan if plan.lateral else "AP" if lying else "PA" for plan, lying in zip(plans, portable)],
        }
    )
