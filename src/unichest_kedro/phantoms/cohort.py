"""Who is examined when, and what each film truly shows: the plan from which films and labels are made."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from unichest_kedro.phantoms.anatomy import Anatomy, random_anatomy
from unichest_kedro.phantoms.differences import SOURCES, Profile
from unichest_kedro.phantoms.findings import CHRONIC, KINDS, Finding, random_finding

PREVALENCE = {
    "cardiomegaly": 0.19,
    "effusion": 0.20,
    "pneumothorax": 0.18,
    "consolidation": 0.18,
    "infiltrate": 0.18,
    "nodule": 0.17,
    "mass": 0.16,
    "oedema": 0.18,
    "atelectasis": 0.18,
    "fracture": 0.18,
    "fibrosis": 0.17,
    "emphysema": 0.17,
    "devices": 0.19,
    "aorta": 0.17,
    "thickening": 0.17,
}
"""Share of films that show a finding, before a source's own factors."""

HEALTHY = 0.28
"""Share of patients with entirely normal films."""

STAYS = {True: 0.92, False: 0.5}
"""Chance that a chronic (True) or acute (False) finding is still there in the next study."""


@dataclass(frozen=True)
class Cohort:
    """How a source is made up: share of lateral films, chance of one more study, official splits."""

    lateral: float
    another_study: float
    splits: dict[str, float]


@dataclass(frozen=True)
class Plan:
    """One film to draw: whose, which study and view, what it shows, in which split, and its own seed.

    `patient` and `study` count from 1; `view_number` counts the films of a study; `age` is in years.
    """

    patient: int
    study: int
    view_number: int
    lateral: bool
    sex: str
    age: int
    anatomy: Anatomy
    findings: tuple[Finding, ...]
    split: str
    seed: int


def seed_of(source: str, seed: int, *purpose: int) -> int:
    """Return a 63-bit seed for one purpose of one source, so that no two of them share random numbers."""
    words = np.random.SeedSequence([seed, SOURCES.index(source), *purpose]).generate_state(2, np.uint64)
    return int(words[0] >> np.uint64(1))


def plan_films(source: str, count: int, seed: int, cohort: Cohort, profile: Profile) -> list[Plan]:
    """Plan exactly `count` films of `source`, patient by patient; the splits share no patient."""
    sizes = _split_sizes(count, cohort.splits)
    plans: list[Plan] = []
    patient = 0
    for split, size in sizes.items():
        filled = 0
        while filled < size:
            patient += 1
            rng = np.random.default_rng(seed_of(source, seed, 1, patient))
            films = list(_films_of(patient, split, rng, cohort, profile))[: size - filled]
            plans += films
            filled += len(films)
    return plans


def truth_table(plans: list[Plan]) -> pd.DataFrame:
    """Return the severity of every kind of finding (columns) in every film (rows), 0 where it is absent."""
    rows = [{finding.kind: finding.severity for finding in plan.findings} for plan in plans]
    return pd.DataFrame(rows, columns=list(KINDS), dtype=float).fillna(0.0)


def _split_sizes(count: int, shares: dict[str, float]) -> dict[str, int]:
    sizes = {split: max(1, round(count * share)) for split, share in shares.items()}
    first = next(iter(sizes))
    sizes[first] += count - sum(sizes.values())
    return sizes


def _films_of(patient: int, split: str, rng: np.random.Generator, cohort: Cohort, profile: Profile) -> Iterator[Plan]:
    """All films of one patient: one or more studies, each with a frontal and sometimes a lateral film."""
    sex = "F" if rng.random() < 0.47 else "M"
    anatomy = random_anatomy(rng, sex)
    healthy = rng.random() < HEALTHY
    age = int(np.clip(rng.normal(45 if healthy else 62, 15), 18, 94))
    findings: tuple[Finding, ...] = ()
    study = 0
    while study == 0 or (rng.random() < cohort.another_study and study < 6):
        study += 1
        if not healthy:
            findings = _next_findings(findings, rng, profile, first=study == 1)
        film = Plan(patient, study, 1, False, sex, age, anatomy, findings, split, int(rng.integers(2**62)))
        yield film
        if rng.random() < cohort.lateral:
            yield replace(film, view_number=2, lateral=True, seed=int(rng.integers(2**62)))


def _next_findings(
    before: tuple[Finding, ...], rng: np.random.Generator, profile: Profile, first: bool
) -> tuple[Finding, ...]:
    """Findings of a sick patient's next study; the chance of a new one keeps the prevalence constant."""
    old = {finding.kind: finding for finding in before}
    now = []
    for kind in KINDS:
        share = min(0.9, PREVALENCE[kind] * profile.prevalence.get(kind, 1.0) / (1 - HEALTHY))
        stays = STAYS[kind in CHRONIC]
        appears = share if first else share * (1 - stays) / (1 - share)
        if kind in old and rng.random() < stays:
            severity = float(np.clip(old[kind].severity + rng.normal(0, 0.12), 0.2, 1.0))
            now.append(replace(old[kind], severity=severity))
        elif kind not in old and rng.random() < appears:
            now.append(random_finding(kind, rng))
    return tuple(now)
