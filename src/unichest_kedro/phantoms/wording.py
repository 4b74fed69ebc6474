"""How phantom reports say what a film shows: what is mentioned at all, and the words for it.

The words themselves belong to each source; here is what they share: who decides what is said, which finding a
sentence is about, and how side, place and degree get into it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from unichest_kedro.phantoms.definitions import Opinion
from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import Finding, device_names

PRESENT, ABSENT, UNCERTAIN = 1.0, 0.0, -1.0
DOUBTFUL = 0.12
"""Severity this close to the threshold may be called uncertain."""

Words = Mapping[str, tuple[str, ...]]
"""Label -> templates of sentences, any of which may be chosen."""


DEVICE_WORDS: Words = {
    "pacemaker": ("a dual lead pacemaker", "a left-sided pacemaker with leads"),
    "tracheal tube": ("an endotracheal tube", "an endotracheal tube with a nasogastric tube"),
    "central line": ("a central venous catheter", "an internal jugular line"),
    "chest tube": ("a chest tube", "a pleural drainage catheter"),
}


class Phrases(NamedTuple):
    """A source's words: templates per label and state, what is denied together, and what a label is about.

    `listed` maps labels that are often denied together in one sentence to their words in it; `kind_of` maps a
    label to the kinds whose side, place and degree its sentence takes, of which the first that the film shows
    counts; `denial` are the sentences that deny a list of things; `devices` maps each device to its names.
    """

    present: Words
    uncertain: Words
    absent: Words
    listed: Mapping[str, str]
    kind_of: Words
    denial: tuple[str, ...] = ("There is no {}.", "No {}.", "No evidence of {}.", "No {} is seen.")
    devices: Words = DEVICE_WORDS


class Mention(NamedTuple):
    """What a report says about one label and, for the wording, the finding it is about (if any)."""

    label: str
    state: float
    finding: Finding | None


def mentions(opinion: Opinion, profile: Profile, rng: np.random.Generator, denied: Mapping[str, float]) -> pd.DataFrame:
    """Decide what is said about each label: 1, 0, -1 or NaN (not mentioned); shaped as the opinion.

    `denied` is the chance that an absent label is denied in words rather than passed over.
    """
    said = pd.DataFrame(np.nan, index=opinion.present.index, columns=opinion.present.columns)
    close = (opinion.doubt < DOUBTFUL) & (rng.random(said.shape) < profile.hesitant)
    in_words = rng.random(said.shape) < np.array([denied[label] for label in said.columns])
    said = said.mask(~opinion.present & in_words, ABSENT)
    said = said.mask(opinion.present, PRESENT).mask(close, UNCERTAIN)
    return said.mask(said.columns.isin(profile.unlabelled)[None, :].repeat(len(said), axis=0))


def spoken(said: Mapping[str, float], findings: Sequence[Finding], phrases: Phrases) -> list[Mention]:
    """One mention per label that is said anything about, in the order of the labels."""
    shown = {finding.kind: finding for finding in findings}
    return [
        Mention(label, state, next((shown[kind] for kind in phrases.kind_of[label] if kind in shown), None))
        for label, state in said.items()
        if not np.isnan(state)
    ]


def sentences(spoken: Sequence[Mention], phrases: Phrases, rng: np.random.Generator) -> list[str]:
    """One sentence per mention, but most denials of the listed labels in one sentence; in random order."""
    together = [one.label for one in spoken if one.state == ABSENT and one.label in phrases.listed]
    if len(together) < 2 or rng.random() < 0.25:
        together = []
    written = [sentence(one, phrases, rng) for one in spoken if one.label not in together]
    if together:
        written.append(_denial([phrases.listed[label] for label in together], phrases, rng))
    return [written[i] for i in rng.permutation(len(written))]


def sentence(mention: Mention, phrases: Phrases, rng: np.random.Generator) -> str:
    """One of the sentences that say what is mentioned."""
    words = {PRESENT: phrases.present, ABSENT: phrases.absent, UNCERTAIN: phrases.uncertain}[mention.state]
    return fill(choose(words[mention.label], rng), mention, phrases, rng)


def fill(template: str, mention: Mention, phrases: Phrases, rng: np.random.Generator) -> str:
    """Put side, place, degree, size and device into a template."""
    finding = mention.finding
    side = finding.side if finding and finding.side != "both" else str(rng.choice(("right", "left")))
    if finding and finding.kind == "oedema":
        side = "bilateral"
    degree, amount = degree_of(finding), amount_of(finding)
    device = _device(finding, phrases, rng)
    filled = template.format(
        degree=degree, Degree=degree.capitalize(), degree_ly=degree + "ly",
        amount=amount, Amount=amount.capitalize(), side=side, Side=side.capitalize(), zone=zone_of(finding),
        size="mass" if finding and finding.kind == "mass" else "nodule",
        device=device, Device=device[0].upper() + device[1:],
    )  # fmt: skip
    return filled[0].upper() + filled[1:]


def degree_of(finding: Finding | None) -> str:
    """Mild, moderate or severe; mild where there is no finding to look at."""
    return ("mild", "moderate", "severe")[_third(finding)]


def amount_of(finding: Finding | None) -> str:
    """Small, moderate or large; small where there is no finding to look at."""
    return ("small", "moderate", "large")[_third(finding)]


def zone_of(finding: Finding | None) -> str:
    """Upper, mid or lower, as the finding's height in the lung says."""
    down = finding.down if finding else 0.6
    return "upper" if down < 0.38 else "lower" if down > 0.62 else "mid"


def choose(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def _third(finding: Finding | None) -> int:
    severity = finding.severity if finding else 0.3
    return (severity >= 0.45) + (severity >= 0.75)


def _denial(things: list[str], phrases: Phrases, rng: np.random.Generator) -> str:
    listed = ", ".join(things[:-1]) + f" or {things[-1]}" if len(things) > 1 else things[0]
    return choose(phrases.denial, rng).format(listed)


def _device(finding: Finding | None, phrases: Phrases, rng: np.random.Generator) -> str:
    names = device_names(finding) if finding and finding.kind == "devices" else ("central line",)
    return " and ".join(choose(phrases.devices[name], rng) for name in names)
