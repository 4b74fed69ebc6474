"""Who is examined when, and what each film truly shows: the plan from which films and labels are made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

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
"""Share of films that show a finding that all sources show, before a source's own factors."""

HEALTHY = 0.28
"""Share of patients with entirely normal films."""

COMPANIONS = {"tuberculosis": {"effusion": 0.12, "thickening": 0.20}}
"""Added finding -> chance of each finding that it brings along."""

STAYS = {True: 0.92, False: 0.5}
"""Chance that a chronic (True) or acute (False) finding is still there in the next study."""


@dataclass(frozen=True)
class Cohort:
    """How a source is made up, whatever the differences between the sources are set to.

    `splits` maps the official splits to their shares; a source without any has one, named "".
    """

    lateral: float
    """Share of studies with a lateral film."""
    another_study: float
    """Chance of one more study of the same patient."""
    splits: dict[str, float]
    healthy: float = HEALTHY
    """Share of patients without any of the findings that all sources show."""
    added: Mapping[str, float] = field(default_factory=dict)
    """Share of patients with a finding that only some sources show."""
    copied_from: str = ""
    """Another source of which this one shows some films again."""
    copied: float = 0.0
    """Share of films that are such copies."""


@dataclass(frozen=True)
class Plan:
    """One film to draw: whose, which study and view, what it shows, in which split, and its own seed.

    `patient` and `study` count from 1; `view_number` counts the films of a study; `age` is in years. `origin` is
    the source that took the film, where that is another one than the source that shows it.
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
    origin: str = ""


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
            lasting = _lasting_findings(cohort.added, np.random.default_rng(seed_of(source, seed, 6, patient)))
            films = list(_films_of(patient, split, rng, cohort, profile, lasting))[: size - filled]
            plans += films
            filled += len(films)
    return plans


def with_copies(plans: list[Plan], others: list[Plan], origin: str, count: int, source: str, seed: int) -> list[Plan]:
    """Mix `count` of the films of `origin` into the plan of `source`, in random order.

    They stay the films they are, whoever shows them: the same patient in the same pose, taken by the other source.
    Here the patients count on from those of `source`.
    """
    rng = np.random.default_rng(seed_of(source, seed, 7))
    last = max(plan.patient for plan in plans)
    chosen = rng.choice(len(others), count, replace=False)
    copies = [
        replace(others[i], patient=last + others[i].patient, split=plans[0].split, origin=origin)
        for i in sorted(chosen)
    ]
    mixed = plans + copies
    return [mixed[i] for i in rng.permutation(len(mixed))]


def truth_table(plans: list[Plan]) -> pd.DataFrame:
    """Return the severity of every kind of finding (columns) in every film (rows), 0 where it is absent."""
    rows = [{finding.kind: finding.severity for finding in plan.findings} for plan in plans]
    return pd.DataFrame(rows, columns=list(KINDS), dtype=float).fillna(0.0)


def _split_sizes(count: int, shares: dict[str, float]) -> dict[str, int]:
    sizes = {split: max(1, round(count * share)) for split, share in shares.items()}
    first = next(iter(sizes))
    sizes[first] += count - sum(sizes.values())
    return sizes


def _films_of(
    patient: int,
    split: str,
    rng: np.random.Generator,
    cohort: Cohort,
    profile: Profile,
    lasting: tuple[Finding, ...],
) -> Iterator[Plan]:
    """All films of one patient: one or more studies, each with a frontal and sometimes a lateral film."""
    sex = "F" if rng.random() < 0.47 else "M"
    anatomy = random_anatomy(rng, sex)
    healthy = rng.random() < cohort.healthy
    age = int(np.clip(rng.normal(45 if healthy else 62, 15), 18, 94))
    findings: tuple[Finding, ...] = ()
    study = 0
    while study == 0 or (rng.random() < cohort.another_study and study < 6):
        study += 1
        if not healthy:
            findings = _next_findings(findings, rng, profile, first=study == 1)
        kinds = {finding.kind for finding in findings}
        shown = findings + tuple(finding for finding in lasting if finding.kind not in kinds)
        film = Plan(patient, study, 1, False, sex, age, anatomy, shown, split, int(rng.integers(2**62)))
        yield film
        if rng.random() < cohort.lateral:
            yield replace(film, view_number=2, lateral=True, seed=int(rng.integers(2**62)))


def _lasting_findings(added: Mapping[str, float], rng: np.random.Generator) -> tuple[Finding, ...]:
    """Findings that only some sources show, with those they bring along; a patient keeps them.

    They have random numbers of their own, so that the films without them are those of a source that never shows
    them.
    """
    findings = []
    for kind, share in added.items():
        if rng.random() < share:
            findings.append(random_finding(kind, rng))
            companions = COMPANIONS.get(kind, {})
            findings += [random_finding(other, rng) for other, chance in companions.items() if rng.random() < chance]
    return tuple(findings)


def _next_findings(
    before: tuple[Finding, ...], rng: np.random.Generator, profile: Profile, first: bool
) -> tuple[Finding, ...]:
    """Findings of a sick patient's next study; the chance of a new one keeps the prevalence constant."""
    old = {finding.kind: finding for finding in before}
    now = []
    for kind in PREVALENCE:
        share = min(0.9, PREVALENCE[kind] * profile.prevalence.get(kind, 1.0) / (1 - HEALTHY))
        stays = STAYS[kind in CHRONIC]
        appears = share if first else share * (1 - stays) / (1 - share)
        if kind in old and rng.random() < stays:
            severity = float(np.clip(old[kind].severity + rng.normal(0, 0.12), 0.2, 1.0))
            now.append(replace(old[kind], severity=severity))
        elif kind not in old and rng.random() < appears:
            now.append(random_finding(kind, rng))
    return tuple(now)
