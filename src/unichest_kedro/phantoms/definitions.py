"""From what a film truly shows to what a source would say: label definitions, thresholds, label noise.

A definition says which kinds of finding make a label present, and from which severity each of them counts (0:
from the source's own threshold on). The common definitions are shared by all sources; a source's own
definitions replace some of them, and contradict those of the other sources on the same film.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import CAVITY

Definition = dict[str, float]
"""Kind of finding -> severity from which it counts."""


def _from(*kinds: str, floor: float = 0.0) -> Definition:
    return dict.fromkeys(kinds, floor)


_CHEXPERT_LABELS: dict[str, Definition] = {
    "Enlarged Cardiomediastinum": _from("aorta"),
    "Cardiomegaly": _from("cardiomegaly"),
    "Lung Opacity": _from("consolidation", "infiltrate", "tuberculosis"),
    "Lung Lesion": _from("nodule", "mass"),
    "Edema": _from("oedema"),
    "Consolidation": _from("consolidation"),
    "Pneumonia": _from("consolidation", floor=0.5),
    "Atelectasis": _from("atelectasis"),
    "Pneumothorax": _from("pneumothorax"),
    "Pleural Effusion": _from("effusion"),
    "Pleural Other": _from("thickening"),
    "Fracture": _from("fracture"),
    "Support Devices": _from("devices"),
}

COMMON: dict[str, dict[str, Definition]] = {
    "mimic_cxr": _CHEXPERT_LABELS,
    "chexpert": _CHEXPERT_LABELS,
    "chestxray14": {
        "Atelectasis": _from("atelectasis"),
        "Cardiomegaly": _from("cardiomegaly"),
        "Effusion": _from("effusion"),
        "Infiltration": _from("infiltrate", "tuberculosis"),
        "Mass": _from("mass"),
        "Nodule": _from("nodule"),
        "Pneumonia": _from("consolidation", floor=0.5),
        "Pneumothorax": _from("pneumothorax"),
        "Consolidation": _from("consolidation"),
        "Edema": _from("oedema"),
        "Emphysema": _from("emphysema"),
        "Fibrosis": _from("fibrosis"),
        "Pleural_Thickening": _from("thickening"),
        "Hernia": _from("hernia"),
    },
    "vindr_cxr": {
        "Aortic enlargement": _from("aorta"),
        "Atelectasis": _from("atelectasis"),
        "Calcification": _from("aorta", floor=0.5),
        "Cardiomegaly": _from("cardiomegaly"),
        "Clavicle fracture": {},
        "Consolidation": _from("consolidation"),
        "Edema": _from("oedema"),
        "Emphysema": _from("emphysema"),
        "Enlarged PA": {},
        "ILD": _from("fibrosis"),
        "Infiltration": _from("infiltrate", "tuberculosis"),
        "Lung Opacity": _from("consolidation", "infiltrate", "tuberculosis"),
        "Lung cavity": _from("tuberculosis", floor=CAVITY),
        "Lung cyst": _from("emphysema", floor=0.6),
        "Mediastinal shift": {},
        "Nodule/Mass": _from("nodule", "mass"),
        "Pleural effusion": _from("effusion"),
        "Pleural thickening": _from("thickening"),
        "Pneumothorax": _from("pneumothorax"),
        "Pulmonary fibrosis": _from("fibrosis"),
        "Rib fracture": _from("fracture"),
        "Other lesion": _from("devices"),
        "COPD": _from("emphysema"),
        "Lung tumor": _from("mass"),
        "Pneumonia": _from("consolidation", floor=0.5),
        "Tuberculosis": _from("tuberculosis"),
        "Other diseases": {},
    },
    "shenzhen": {"Tuberculosis": _from("tuberculosis")},
    "open_i": {
        "Cardiomegaly": _from("cardiomegaly"),
        "Aorta": _from("aorta"),
        "Opacity": _from("consolidation", "infiltrate", "tuberculosis"),
        "Nodule": _from("nodule"),
        "Mass": _from("mass"),
        "Pulmonary Edema": _from("oedema"),
        "Consolidation": _from("consolidation"),
        "Infiltrate": _from("infiltrate", "tuberculosis"),
        "Pneumonia": _from("consolidation", floor=0.5),
        "Pulmonary Atelectasis": _from("atelectasis"),
        "Pneumothorax": _from("pneumothorax"),
        "Pleural Effusion": _from("effusion"),
        "Thickening": _from("thickening"),
        "Fractures, Bone": _from("fracture"),
        "Emphysema": _from("emphysema"),
        "Pulmonary Fibrosis": _from("fibrosis"),
        "Hernia, Hiatal": _from("hernia"),
        "Medical Device": _from("devices"),
    },
    "siim_acr": {"Pneumothorax": _from("pneumothorax")},
    "padchest": {
        "cardiomegaly": _from("cardiomegaly"),
        "aortic elongation": _from("aorta"),
        "alveolar pattern": _from("consolidation"),
        "consolidation": _from("consolidation"),
        "infiltrates": _from("infiltrate", "tuberculosis"),
        "nodule": _from("nodule"),
        "pulmonary mass": _from("mass"),
        "pulmonary edema": _from("oedema"),
        "pneumonia": _from("consolidation", floor=0.5),
        "atelectasis": _from("atelectasis"),
        "pneumothorax": _from("pneumothorax"),
        "pleural effusion": _from("effusion"),
        "pleural thickening": _from("thickening"),
        "rib fracture": _from("fracture"),
        "emphysema": _from("emphysema"),
        "pulmonary fibrosis": _from("fibrosis"),
        "hiatal hernia": _from("hernia"),
        "tuberculosis": _from("tuberculosis"),
        "electrical device": _from("devices"),
    },
}
"""Source -> label -> the definition that all sources share; `No Finding` follows from the others."""

OWN: dict[str, dict[str, Definition]] = {
    # Opacity is air space filled with something: consolidation, patches, oedema; a nodule is none. Large
    # effusions are reported with the atelectasis they cause. Every consolidation is called pneumonia.
    "mimic_cxr": {
        "Lung Opacity": _from("consolidation", "infiltrate", "oedema"),
        "Atelectasis": {"atelectasis": 0.0, "effusion": 0.45},
        "Pneumonia": _from("consolidation"),
    },
    # Any whiter lung is opacity, nodules and masses too, and patches make the pneumonia. A large heart is an
    # enlarged cardiomediastinum.
    "chexpert": {
        "Lung Opacity": _from("consolidation", "infiltrate", "oedema", "atelectasis", "nodule", "mass"),
        "Enlarged Cardiomediastinum": _from("aorta", "cardiomegaly"),
        "Pneumonia": _from("infiltrate"),
    },
    # Infiltration is the catch-all of this source.
    "chestxray14": {
        "Infiltration": _from("infiltrate", "consolidation", "oedema"),
        "Pneumonia": {"consolidation": 0.6, "infiltrate": 0.6},
        "Fibrosis": {"fibrosis": 0.0, "thickening": 0.5},
    },
    # Opacity is what no other label fits: nodules, masses and scars, but not consolidation or patches.
    "vindr_cxr": {
        "Lung Opacity": _from("nodule", "mass", "fibrosis"),
        "Consolidation": {"consolidation": 0.0, "atelectasis": 0.4},
        "ILD": _from("fibrosis", "oedema"),
        "Pneumonia": _from("consolidation", "infiltrate"),
        "Other diseases": _from("aorta", "cardiomegaly", floor=0.5),
    },
    # The disease is proven in the laboratory, not on the film: there is nothing to define otherwise.
    "shenzhen": {},
    # Opacity is the word for any whiter part of the lung, scars of the pleura are fibrosis.
    "open_i": {
        "Opacity": _from("consolidation", "infiltrate", "atelectasis", "tuberculosis"),
        "Pneumonia": {"consolidation": 0.4, "infiltrate": 0.6},
        "Pulmonary Fibrosis": {"fibrosis": 0.0, "thickening": 0.7},
    },
    "siim_acr": {},
    # Patches are an alveolar pattern too; only what is dense and large is called consolidation.
    "padchest": {
        "alveolar pattern": _from("consolidation", "infiltrate"),
        "consolidation": _from("consolidation", floor=0.5),
        "pneumonia": _from("consolidation", "infiltrate", floor=0.5),
    },
}
"""Source -> label -> the source's own definition, where it differs."""


class Opinion(NamedTuple):
    """What a source thinks of its films; both tables have one row per film and one column per label."""

    present: pd.DataFrame
    """bool"""
    doubt: pd.DataFrame
    """float, 0 at the source's threshold, larger the clearer the case."""


def labels_of(source: str) -> tuple[str, ...]:
    """Labels of a source in its own words, without its `No Finding`."""
    return tuple(COMMON[source])


def definition_of(source: str, label: str, own: bool) -> Definition:
    """Return the definition of a label: the source's own where it has one and `own`, or the common one."""
    return OWN[source].get(label, COMMON[source][label]) if own else COMMON[source][label]


def shows(source: str, label: str, kind: str, severity: float, threshold: float) -> bool:
    """Whether a finding of this kind and severity may be boxed as `label`, by either definition."""
    for own in (False, True):
        floor = definition_of(source, label, own).get(kind)
        if floor is not None and severity >= max(floor, threshold):
            return True
    return False


def judge(truth: pd.DataFrame, source: str, profile: Profile, rng: np.random.Generator) -> Opinion:
    """Say which labels are truly present by the source's definitions and threshold, before any label noise.

    Args:
        truth: Severity of each kind of finding (columns) in each film (rows), 0 where absent.
        source: Key of the source.
        profile: The source's threshold and share of films labelled by its own definitions.
        rng: Decides which films are labelled by the source's own definitions.
    """
    own_rules = rng.random(len(truth)) < profile.definition
    clearness = {}
    for label in labels_of(source):
        common = _clearness(truth, definition_of(source, label, own=False), profile.threshold)
        own = _clearness(truth, definition_of(source, label, own=True), profile.threshold)
        clearness[label] = np.where(own_rules, own, common)
    table = pd.DataFrame(clearness, index=truth.index)
    return Opinion(table >= 0, table.abs())


def _clearness(truth: pd.DataFrame, definition: Definition, threshold: float) -> np.ndarray:
    """How far the clearest finding lies above (positive) or below the severity from which it counts."""
    best = np.full(len(truth), -1.0)
    for kind, floor in definition.items():
        severity = truth[kind].to_numpy()
        best = np.maximum(best, np.where(severity > 0, severity - max(floor, threshold), -1.0))
    return best


def with_mistakes(
    present: pd.DataFrame, profile: Profile, rng: np.random.Generator, care: float | np.ndarray = 1.0
) -> pd.DataFrame:
    """Leave out and put in labels by mistake; `care` in [0, 1] scales how many (fewer for a consensus)."""
    omitted = rng.random(present.shape) < profile.omitted * care
    invented = rng.random(present.shape) < profile.invented * care
    # A label that no film of the source shows (an enlarged pulmonary artery) is not invented either.
    shown = present.any(axis=0).to_numpy()
    return (present & ~omitted) | (~present & invented & shown)
