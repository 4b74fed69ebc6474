"""Reports in the manner of the Indiana collection, and the MeSH headings that indexers would give them.

Both are made from what is said about each label (`wording.mentions`). Words that could identify somebody stand as
`XXXX`, and, as in the collection, so do some harmless ones.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from unichest_kedro.phantoms import wording
from unichest_kedro.phantoms.definitions import COMMON, OWN
from unichest_kedro.phantoms.findings import Finding, device_names
from unichest_kedro.phantoms.wording import ABSENT, PRESENT, UNCERTAIN, Mention, Phrases, choose

NOT_INDEXED = "No Indexing"
NORMAL = "normal"

DENIED = {
    "Cardiomegaly": 0.7,
    "Aorta": 0.4,
    "Opacity": 0.3,
    "Nodule": 0.15,
    "Mass": 0.1,
    "Pulmonary Edema": 0.25,
    "Consolidation": 0.55,
    "Infiltrate": 0.15,
    "Pneumonia": 0.15,
    "Pulmonary Atelectasis": 0.05,
    "Pneumothorax": 0.8,
    "Pleural Effusion": 0.8,
    "Thickening": 0.03,
    "Fractures, Bone": 0.2,
    "Emphysema": 0.0,
    "Pulmonary Fibrosis": 0.0,
    "Hernia, Hiatal": 0.0,
    "Medical Device": 0.0,
}
"""Chance that an absent label is denied in words rather than passed over."""

PHRASES = Phrases(
    present={
        "Cardiomegaly": (
            "There is {degree} cardiomegaly.",
            "Heart size is {degree_ly} enlarged.",
            "{Degree} enlargement of the heart.",
        ),
        "Aorta": ("The thoracic aorta is tortuous.", "Tortuous, ectatic aorta.", "There is tortuosity of the aorta."),
        "Opacity": (
            "{Side} {zone} lung opacity.",
            "There are patchy opacities in the {side} {zone} lung.",
            "Increased opacity projects over the {side} {zone} lung.",
        ),
        "Nodule": (
            "There is a XXXX cm nodule in the {side} {zone} lung.",
            "{Side} {zone} lung nodule measuring XXXX mm.",
            "Pulmonary nodule on the {side}, {zone} zone.",
        ),
        "Mass": (
            "There is a large rounded mass in the {side} {zone} lung.",
            "{Side} lung mass, {zone} zone, CT is recommended.",
            "Mass of the {side} {zone} lung measuring XXXX cm.",
        ),
        "Pulmonary Edema": (
            "{Degree} interstitial pulmonary edema.",
            "There is {degree} pulmonary edema with vascular congestion.",
        ),
        "Consolidation": (
            "There is consolidation in the {side} {zone} lung.",
            "{Side} {zone} lobe consolidation with air bronchograms.",
        ),
        "Infiltrate": (
            "There is an infiltrate in the {side} {zone} lung.",
            "{Side} {zone} zone infiltrate is present.",
            "Patchy {side} lung infiltrates.",
        ),
        "Pneumonia": (
            "Findings consistent with pneumonia.",
            "{Side} {zone} lobe pneumonia.",
            "XXXX is compatible with pneumonia.",
        ),
        "Pulmonary Atelectasis": (
            "{Side} basilar atelectasis.",
            "There is bandlike atelectasis at the {side} lung base.",
            "{Degree} atelectasis in the {side} base.",
        ),
        "Pneumothorax": (
            "There is a {amount} {side} pneumothorax.",
            "{Amount} {side} apical pneumothorax, XXXX cm.",
        ),
        "Pleural Effusion": (
            "There is a {amount} {side} pleural effusion.",
            "{Amount} pleural effusion on the {side}.",
            "{Side} pleural effusion, {amount} in size.",
        ),
        "Thickening": ("{Side} pleural thickening.", "There is {degree} pleural thickening on the {side}."),
        "Fractures, Bone": ("There are {side} rib fractures.", "Displaced fractures of XXXX {side} ribs."),
        "Emphysema": ("Emphysematous changes of the lungs.", "The lungs are hyperexpanded, consistent with emphysema."),
        "Pulmonary Fibrosis": (
            "Bibasilar pulmonary fibrosis.",
            "Coarse reticular opacities at the bases, in keeping with fibrosis.",
        ),
        "Hernia, Hiatal": (
            "There is a {amount} hiatal hernia.",
            "{Amount} hiatal hernia behind the heart, with a fluid level.",
        ),
        "Medical Device": ("{Device} is noted.", "{Device} in XXXX position.", "{Device} is seen."),
    },
    uncertain={
        "Cardiomegaly": ("Borderline heart size, possible mild cardiomegaly.", "The heart may be mildly enlarged."),
        "Aorta": ("The aorta may be mildly tortuous.",),
        "Opacity": ("Possible subtle opacity in the {side} {zone} lung.", "Questionable {side} {zone} lung opacity."),
        "Nodule": ("Possible {side} {zone} lung nodule.", "A {side} lung nodule cannot be excluded."),
        "Mass": ("A {side} lung mass cannot be excluded.",),
        "Pulmonary Edema": ("Possible mild pulmonary edema.", "Early interstitial edema cannot be excluded."),
        "Consolidation": ("Possible {side} {zone} consolidation.",),
        "Infiltrate": ("Possible {side} {zone} infiltrate.", "Questionable infiltrate on the {side}."),
        "Pneumonia": ("Pneumonia cannot be excluded.", "This may represent pneumonia."),
        "Pulmonary Atelectasis": (
            "Probable {side} basilar atelectasis.",
            "This may represent {side} basilar atelectasis.",
        ),
        "Pneumothorax": ("Possible tiny {side} pneumothorax.",),
        "Pleural Effusion": ("Possible small {side} pleural effusion.", "A trace {side} effusion may be present."),
        "Thickening": ("Possible {side} pleural thickening.",),
        "Fractures, Bone": ("Possible {side} rib fracture, age-indeterminate.",),
        "Emphysema": ("Possible emphysema.",),
        "Pulmonary Fibrosis": ("Possible mild pulmonary fibrosis.",),
        "Hernia, Hiatal": ("Possible small hiatal hernia.",),
        "Medical Device": ("A catheter of unclear position may be present.",),
    },
    absent={
        "Cardiomegaly": ("Heart size is normal.", "The heart is XXXX normal in size.", "Normal heart size."),
        "Aorta": ("The aorta is normal in caliber.", "Mediastinal contours are within normal limits."),
        "Opacity": ("No focal airspace opacity.", "There is no focal opacity."),
        "Nodule": ("No suspicious pulmonary nodule.",),
        "Mass": ("No mass is identified.",),
        "Pulmonary Edema": ("No pulmonary edema.", "There is no edema."),
        "Consolidation": ("No focal consolidation.", "There is no focal airspace consolidation."),
        "Infiltrate": ("No infiltrate.",),
        "Pneumonia": ("No evidence of pneumonia.",),
        "Pulmonary Atelectasis": ("No atelectasis.",),
        "Pneumothorax": ("No pneumothorax.", "There is no pneumothorax."),
        "Pleural Effusion": ("No pleural effusion.", "There are no pleural effusions."),
        "Thickening": ("No pleural thickening.",),
        "Fractures, Bone": ("No displaced rib fracture.", "No fracture is seen."),
    },
    listed={
        "Consolidation": "focal consolidation",
        "Pleural Effusion": "pleural effusion",
        "Pneumothorax": "pneumothorax",
        "Pulmonary Edema": "pulmonary edema",
    },
    kind_of={
        label: tuple({**COMMON["open_i"][label], **OWN["open_i"].get(label, {})}) for label in COMMON["open_i"]
    },
    denial=("No {}.", "There is no {}.", "Negative for {}.", "No evidence of {}."),
)  # fmt: skip

ALL_CLEAR = (
    "No acute cardiopulmonary abnormality.",
    "No acute cardiopulmonary disease.",
    "Normal chest.",
    "Negative chest radiograph.",
    "No acute pulmonary XXXX.",
)
CLEAR_LUNGS = ("The lungs are clear.", "Lungs are clear bilaterally.", "The XXXX are clear.")
FILLERS = ("Visualized osseous structures are intact.", "The XXXX are unremarkable.", "Soft tissues are unremarkable.")
INDICATIONS = (
    "XXXX-year-old {person} with chest pain.",
    "{Person} with XXXX and cough",
    "XXXX year old {person}, dyspnea.",
    "Preoperative XXXX.",
    "Fever and XXXX.",
    "XXXX.",
    "",
)
COMPARISONS = ("None.", "None available.", "XXXX, XXXX.", "Chest x-XXXX XXXX.", "XXXX", "")

AUTOMATIC = {
    "Cardiomegaly": ("Cardiomegaly",),
    "Opacity": ("opacity",),
    "Nodule": ("nodule",),
    "Pulmonary Edema": ("Edema", "Pulmonary Edema"),
    "Infiltrate": ("infiltrates",),
    "Pneumonia": ("Pneumonia",),
    "Pulmonary Atelectasis": ("Atelectasis", "atelectases"),
    "Pneumothorax": ("Pneumothorax",),
    "Pleural Effusion": ("Pleural Effusion", "pleural effusions"),
    "Fractures, Bone": ("rib fracture", "Rib Fractures"),
    "Emphysema": ("Emphysema", "emphysemas"),
    "Pulmonary Fibrosis": ("Pulmonary Fibrosis",),
    "Hernia, Hiatal": ("hiatal hernia", "Hiatal Hernia"),
}
"""What the collection's own program finds in a text, in terms of its dictionary."""

DEVICE_HEADINGS = {
    "pacemaker": "Implanted Medical Device/left",
    "tracheal tube": "Tube, Inserted/trachea",
    "central line": "Catheters, Indwelling",
    "chest tube": "Tube, Inserted/thorax",
}


class Report(NamedTuple):
    """One report's sections, any of which may be empty, and the terms it was indexed by."""

    comparison: str
    indication: str
    findings: str
    impression: str
    major: tuple[str, ...]
    automatic: tuple[str, ...]


def write_report(said: Mapping[str, float], findings: Sequence[Finding], sex: str, rng: np.random.Generator) -> Report:
    """Write and index the report of one study.

    Args:
        said: What is said about each label: 1, 0, -1 or NaN.
        findings: True findings of the study, for side, place and degree.
        sex: F or M, for the indication.
        rng: Chooses the wording, and whether a doubtful mention is indexed.
    """
    spoken = wording.spoken(said, findings, PHRASES)
    telling = [one for one in spoken if one.state != ABSENT]
    seen = wording.sentences(spoken, PHRASES, rng)
    impression = [wording.sentence(one, PHRASES, rng) for one in telling[:4]] or [choose(ALL_CLEAR, rng)]
    if not telling:
        seen.insert(int(rng.integers(len(seen) + 1)), choose(CLEAR_LUNGS, rng))
    if rng.random() < 0.5 and not any(one.label == "Fractures, Bone" for one in spoken):
        seen.append(choose(FILLERS, rng))
    # Some reports have an impression only.
    if rng.random() < 0.14:
        seen, impression = [], seen + [one for one in impression if one not in seen]
    person = choose(("woman", "female") if sex == "F" else ("man", "male"), rng)
    return Report(
        comparison=choose(COMPARISONS, rng),
        indication=choose(INDICATIONS, rng).format(person=person, Person=person.capitalize()),
        findings=" ".join(seen),
        impression=_numbered(impression, rng),
        major=_headings(telling, rng),
        automatic=tuple(dict.fromkeys(term for one in telling for term in AUTOMATIC.get(one.label, ()))),
    )


def _numbered(sentences: list[str], rng: np.random.Generator) -> str:
    if len(sentences) < 2 or rng.random() < 0.4:
        return " ".join(sentences)
    return " ".join(f"{i}. {sentence}" for i, sentence in enumerate(sentences, start=1))


def _headings(telling: list[Mention], rng: np.random.Generator) -> tuple[str, ...]:
    """The major terms of what is present, and of half of what is doubtful; `normal` where that leaves none."""
    if rng.random() < 0.025:
        return (NOT_INDEXED,)
    indexed = [one for one in telling if one.state == PRESENT or (one.state == UNCERTAIN and rng.random() < 0.5)]
    terms = [term for one in indexed for term in _terms(one)]
    return tuple(dict.fromkeys(terms)) or (NORMAL,)


def _terms(mention: Mention) -> list[str]:
    """One heading with its qualifiers; one per device. Without a finding to look at, the bare heading."""
    label, finding = mention.label, mention.finding
    if label == "Medical Device":
        names = device_names(finding) if finding else ()
        return [DEVICE_HEADINGS[name] for name in names] or [label]
    if finding is None:
        return [f"{label}/{_BARE[label]}" if label in _BARE else label]
    return ["/".join([label, *_QUALIFIERS[label](finding)])]


def _side(finding: Finding) -> str:
    return "bilateral" if finding.side == "both" else finding.side


def _lobe(finding: Finding) -> tuple[str, ...]:
    """Lobe and side; the left lung has a lingula in place of a middle lobe."""
    zone, side = wording.zone_of(finding), _side(finding)
    if zone == "mid" and side == "left":
        return ("lingula",)
    return ({"upper": "upper lobe", "mid": "middle lobe", "lower": "lower lobe"}[zone], side)


_QUALIFIERS: dict[str, Callable[[Finding], tuple[str, ...]]] = {
    "Cardiomegaly": lambda finding: (wording.degree_of(finding),),
    "Aorta": lambda finding: ("tortuous",),
    "Opacity": lambda finding: ("lung", *_lobe(finding)),
    "Nodule": lambda finding: ("lung", *_lobe(finding)),
    "Mass": lambda finding: ("lung", *_lobe(finding)),
    "Pulmonary Edema": lambda finding: ("interstitial", wording.degree_of(finding)),
    "Consolidation": lambda finding: ("lung", *_lobe(finding)),
    "Infiltrate": lambda finding: ("lung", *_lobe(finding)),
    "Pneumonia": _lobe,
    "Pulmonary Atelectasis": lambda finding: ("base", _side(finding)),
    "Pneumothorax": lambda finding: ("apex", _side(finding)),
    "Pleural Effusion": lambda finding: (_side(finding), wording.amount_of(finding)),
    "Thickening": lambda finding: ("pleura", _side(finding)),
    "Fractures, Bone": lambda finding: ("ribs", _side(finding)),
    "Emphysema": lambda finding: (),
    "Pulmonary Fibrosis": lambda finding: ("base", "bilateral"),
    "Hernia, Hiatal": lambda finding: (wording.amount_of(finding),),
}

_BARE = {
    "Aorta": "tortuous",
    "Opacity": "lung",
    "Nodule": "lung",
    "Mass": "lung",
    "Consolidation": "lung",
    "Infiltrate": "lung",
    "Thickening": "pleura",
    "Fractures, Bone": "ribs",
}
"""Qualifier without which a heading would mean something else."""
