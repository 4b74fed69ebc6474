"""Free-text reports in the manner of MIMIC-CXR, and the label table that follows from their wording.

A study's labels are first turned into what the radiologist says about each of them (`mentions`); report and
label table are both made from that, so they always agree: present 1, negated 0, uncertain -1, not mentioned
blank.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from unichest_kedro.phantoms import wording
from unichest_kedro.phantoms.definitions import Opinion
from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import Finding
from unichest_kedro.phantoms.wording import ABSENT, PRESENT, UNCERTAIN, Mention, Phrases, choose

DENIED = {
    "Consolidation": 0.6,
    "Pleural Effusion": 0.75,
    "Pneumothorax": 0.75,
    "Edema": 0.45,
    "Pneumonia": 0.45,
    "Cardiomegaly": 0.6,
    "Enlarged Cardiomediastinum": 0.45,
    "Fracture": 0.25,
    "Lung Opacity": 0.25,
    "Lung Lesion": 0.15,
    "Atelectasis": 0.1,
    "Pleural Other": 0.1,
    "Support Devices": 0.0,
}
"""Chance that an absent label is denied in words rather than passed over."""

KIND_OF = {
    "Enlarged Cardiomediastinum": ("aorta", "cardiomegaly"),
    "Cardiomegaly": ("cardiomegaly",),
    "Lung Opacity": ("consolidation", "infiltrate", "oedema", "atelectasis", "mass", "nodule"),
    "Lung Lesion": ("mass", "nodule"),
    "Edema": ("oedema",),
    "Consolidation": ("consolidation",),
    "Pneumonia": ("consolidation", "infiltrate"),
    "Atelectasis": ("atelectasis", "effusion"),
    "Pneumothorax": ("pneumothorax",),
    "Pleural Effusion": ("effusion",),
    "Pleural Other": ("thickening",),
    "Fracture": ("fracture",),
    "Support Devices": ("devices",),
}
"""Label -> kinds whose side, place and degree its sentence takes; the first that the film shows counts."""

PRESENT_WORDS: dict[str, tuple[str, ...]] = {
    "Enlarged Cardiomediastinum": (
        "The mediastinum is widened with an enlarged and tortuous aorta.",
        "Enlarged cardiomediastinal silhouette.",
        "There is {degree} widening of the mediastinal contour.",
    ),
    "Cardiomegaly": (
        "There is {degree} cardiomegaly.",
        "The heart is {degree_ly} enlarged.",
        "{Degree} enlargement of the cardiac silhouette.",
        "Cardiomegaly is again seen.",
    ),
    "Lung Opacity": (
        "There is an airspace opacity in the {side} {zone} lung.",
        "{Side} {zone} lung opacity is noted.",
        "Hazy opacities project over the {side} {zone} lung.",
        "Increased opacity at the {side} {zone} zone.",
    ),
    "Lung Lesion": (
        "A {size} is seen in the {side} {zone} lung.",
        "Rounded {size} in the {side} {zone} lung, recommend CT.",
        "There is a {side} {zone} lobe {size}.",
    ),
    "Edema": (
        "There is {degree} pulmonary edema.",
        "{Degree} interstitial edema with perihilar vascular congestion.",
        "Findings of {degree} pulmonary vascular congestion and edema.",
    ),
    "Consolidation": (
        "Dense consolidation in the {side} {zone} lung.",
        "There is {side} {zone} lobe consolidation with air bronchograms.",
        "{Degree} {side} {zone} zone consolidation.",
    ),
    "Pneumonia": (
        "Findings are consistent with pneumonia.",
        "{Side} {zone} lobe pneumonia.",
        "This represents pneumonia in the appropriate clinical setting.",
    ),
    "Atelectasis": (
        "There is {side} basilar atelectasis.",
        "Linear bands of atelectasis at the {side} lung base.",
        "{Degree} {side} lower lobe atelectasis with volume loss.",
    ),
    "Pneumothorax": (
        "There is a {amount} {side} pneumothorax.",
        "{Amount} {side} apical pneumothorax is present.",
        "{Side}-sided pneumothorax, {amount} in size.",
    ),
    "Pleural Effusion": (
        "There is a {amount} {side} pleural effusion.",
        "{Amount} {side} pleural effusion.",
        "Blunting of the {side} costophrenic angle reflects a {amount} pleural effusion.",
    ),
    "Pleural Other": (
        "{Side} pleural thickening is unchanged.",
        "There is {degree} {side} pleural thickening.",
    ),
    "Fracture": (
        "There are displaced fractures of several {side} ribs.",
        "{Side} rib fractures are seen.",
        "Acute {side} lateral rib fracture.",
    ),
    "Support Devices": (
        "{Device} is in place.",
        "{Device} is in standard position.",
        "Interval placement of {device}.",
        "{Device} is unchanged.",
    ),
}

UNCERTAIN_WORDS: dict[str, tuple[str, ...]] = {
    "Enlarged Cardiomediastinum": ("The mediastinum may be widened.", "Possible mediastinal widening."),
    "Cardiomegaly": ("Possible mild cardiomegaly.", "The heart may be mildly enlarged."),
    "Lung Opacity": (
        "Possible subtle opacity in the {side} {zone} lung.",
        "A faint {side} opacity may be present.",
    ),
    "Lung Lesion": ("Possible {side} lung nodule.", "A {side} {zone} lung nodule cannot be excluded."),
    "Edema": ("Possible mild pulmonary edema.", "Mild edema cannot be excluded."),
    "Consolidation": (
        "Possible {side} consolidation.",
        "An early {side} {zone} consolidation cannot be excluded.",
    ),
    "Pneumonia": (
        "Pneumonia cannot be excluded.",
        "This may represent pneumonia.",
        "Findings are suspicious for pneumonia.",
    ),
    "Atelectasis": ("This may represent {side} basilar atelectasis.", "Probable {side} basilar atelectasis."),
    "Pneumothorax": ("Possible tiny {side} pneumothorax.", "A small {side} pneumothorax cannot be excluded."),
    "Pleural Effusion": (
        "A trace {side} pleural effusion may be present.",
        "Possible small {side} pleural effusion.",
    ),
    "Pleural Other": ("Possible {side} pleural thickening.",),
    "Fracture": ("Possible {side} rib fracture.", "A nondisplaced {side} rib fracture cannot be excluded."),
    "Support Devices": ("A line of unclear position may be present.",),
}

ABSENT_WORDS: dict[str, tuple[str, ...]] = {
    "Enlarged Cardiomediastinum": (
        "The mediastinal contour is normal.",
        "The mediastinal silhouette is within normal limits.",
    ),
    "Cardiomegaly": (
        "The heart size is normal.",
        "There is no cardiomegaly.",
        "The heart is normal in size.",
    ),
    "Lung Opacity": ("There are no focal opacities.", "No airspace opacity."),
    "Lung Lesion": ("No suspicious nodule or mass.", "There is no pulmonary nodule."),
    "Edema": ("There is no pulmonary edema.", "No evidence of edema."),
    "Consolidation": ("There is no focal consolidation.", "No consolidation."),
    "Pneumonia": ("No evidence of pneumonia.", "There is no pneumonia."),
    "Atelectasis": ("No atelectasis.",),
    "Pneumothorax": ("There is no pneumothorax.", "No pneumothorax is seen."),
    "Pleural Effusion": ("There is no pleural effusion.", "No pleural effusions."),
    "Pleural Other": ("No pleural thickening.",),
    "Fracture": ("No displaced rib fracture is seen.", "There is no rib fracture."),
}

LISTED = {
    "Consolidation": "focal consolidation",
    "Edema": "pulmonary edema",
    "Pleural Effusion": "pleural effusion",
    "Pneumothorax": "pneumothorax",
}
"""Labels that are often denied together in one sentence, and their words in it."""

UNLABELLED_WORDS = {
    "emphysema": (
        "The lungs are hyperinflated, consistent with emphysema.",
        "Hyperinflation with flattened diaphragms, in keeping with emphysema.",
    ),
    "fibrosis": (
        "Coarse reticular markings at both bases, consistent with fibrosis.",
        "Bibasilar pulmonary fibrosis is again noted.",
    ),
}
"""Findings that the label table has no column for, but that a radiologist reports."""

ALL_CLEAR = (
    "No acute cardiopulmonary process.",
    "Normal chest radiograph.",
    "No acute intrathoracic process.",
    "No acute cardiopulmonary abnormality.",
)
INDICATIONS = (
    "___ year old {person} with cough and fever // eval for pneumonia",
    "___{letter} with shortness of breath // r/o pneumothorax or effusion",
    "History: ___{letter} with chest pain // acute process?",
    "___ year old {person} s/p fall // fracture?",
    "___-year-old {person} with hypoxia, evaluate for edema.",
    "___ year old {person} with new line placement // line position",
)
COMPARISONS = ("___.", "None.", "Chest radiograph from ___.", "Prior chest radiographs from ___ through ___.")
CLOSINGS = (
    "Findings were discussed with Dr. ___ by telephone at ___ on ___.",
    "Dr. ___ was paged at ___ on ___.",
)


PHRASES = Phrases(present=PRESENT_WORDS, uncertain=UNCERTAIN_WORDS, absent=ABSENT_WORDS, listed=LISTED, kind_of=KIND_OF)


def mentions(opinion: Opinion, profile: Profile, rng: np.random.Generator) -> pd.DataFrame:
    """Decide what is said about each label: 1, 0, -1 or NaN (not mentioned); shaped as the opinion."""
    return wording.mentions(opinion, profile, rng, DENIED)


def no_finding(said: pd.DataFrame, unlabelled_present: Sequence[bool]) -> pd.Series:
    """1 where nothing but support devices is present or uncertain, else NaN."""
    others = said.drop(columns="Support Devices")
    clear = ~others.isin((PRESENT, UNCERTAIN)).any(axis=1) & ~np.asarray(unlabelled_present)
    return clear.map({True: PRESENT, False: np.nan}).astype(float)


def write_report(
    said: Mapping[str, float],
    findings: Sequence[Finding],
    threshold: float,
    sex: str,
    rng: np.random.Generator,
) -> str:
    """Write the report of one study.

    Args:
        said: What is said about each label: 1, 0, -1 or NaN.
        findings: True findings of the study, for side, place and degree.
        threshold: Severity from which a finding without a label column is reported.
        sex: F or M, for the indication.
        rng: Chooses the wording.
    """
    spoken = wording.spoken(said, findings, PHRASES)
    findings_text = wording.sentences(spoken, PHRASES, rng)
    findings_text += [
        choose(UNLABELLED_WORDS[one.kind], rng)
        for one in findings
        if one.kind in UNLABELLED_WORDS and one.severity >= threshold
    ]
    impression = _impression(spoken, has_unlabelled(findings, threshold), rng)
    return _lay_out(findings_text, impression, sex, rng)


def has_unlabelled(findings: Sequence[Finding], threshold: float) -> bool:
    """Whether a finding that is reported but has no label column reaches the threshold."""
    return any(one.kind in UNLABELLED_WORDS and one.severity >= threshold for one in findings)


def _impression(spoken: Sequence[Mention], unlabelled: bool, rng: np.random.Generator) -> list[str]:
    """The (at most four) positive and uncertain mentions again in other words, or the all-clear."""
    telling = [one for one in spoken if one.state != ABSENT and one.label != "Support Devices"]
    if not telling:
        return [] if unlabelled else [choose(ALL_CLEAR, rng)]
    return [wording.sentence(one, PHRASES, rng) for one in telling[:4]]


def _lay_out(findings: list[str], impression: list[str], sex: str, rng: np.random.Generator) -> str:
    """Set the sections under their headings; some reports have an impression only."""
    person, letter = ("woman", "F") if sex == "F" else ("man", "M")
    if rng.random() < 0.2 or not findings:
        findings, impression = [], findings + [one for one in impression if one not in findings]
    if rng.random() < 0.1:
        impression = [*impression, choose(CLOSINGS, rng)]
    sections = [
        ("EXAMINATION", choose(("CHEST (PORTABLE AP)", "CHEST (PA AND LAT)", "CHEST RADIOGRAPH"), rng)),
        ("INDICATION", choose(INDICATIONS, rng).format(person=person, letter=letter)),
        ("TECHNIQUE", choose(("Frontal view of the chest.", "Single portable view of the chest."), rng)),
        ("COMPARISON", choose(COMPARISONS, rng)),
        ("FINDINGS", " ".join(findings)),
        ("IMPRESSION", _numbered(impression, rng)),
    ]
    text = " " * 33 + "FINAL REPORT\n"
    for heading, body in sections:
        if body:
            lines = body.split("\n")
            paragraph = "\n".join(textwrap.fill(one, 78, initial_indent=" ", subsequent_indent=" ") for one in lines)
            inline = heading not in ("FINDINGS", "IMPRESSION")
            text += f" {heading}:" + (f" {paragraph}" if inline else f"\n \n{paragraph}") + "\n \n"
    return text


def _numbered(sentences: list[str], rng: np.random.Generator) -> str:
    if len(sentences) < 2 or rng.random() < 0.4:
        return " ".join(sentences)
    return "\n".join(f"{i}. {sentence}" for i, sentence in enumerate(sentences, start=1))
