"""Short Spanish readings in the manner of PadChest, and the labels that each of their sentences gives.

As in that source's table, a reading is lower case without accents, its sentences end in " . ", and labels and places
are English names of the source's own trees.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from unichest_kedro.phantoms.definitions import COMMON, OWN
from unichest_kedro.phantoms.findings import Finding, device_names
from unichest_kedro.phantoms.wording import ABSENT, UNCERTAIN, Mention, choose, degree_of, zone_of

NORMAL, UNCHANGED, POOR, EXCLUDED = "normal", "unchanged", "suboptimal study", "exclude"

DENIED = {
    "cardiomegaly": 0.3,
    "pneumothorax": 0.2,
    "pleural effusion": 0.4,
    "consolidation": 0.25,
    "pneumonia": 0.05,
    "nodule": 0.05,
}
"""Chance that an absent label is denied in words; the others are passed over."""

LABELS = {
    "atelectasis": ("laminar atelectasis", "atelectasis"),
    "rib fracture": ("callus rib fracture", "rib fracture"),
}
"""Label -> names under which the source's tree has it; the words follow in the same order."""

PRESENT_WORDS: dict[str, tuple[str, ...]] = {
    "cardiomegaly": ("cardiomegalia {degree}", "aumento del tamano de la silueta cardiaca"),
    "aortic elongation": ("aorta elongada", "elongacion de la aorta toracica"),
    "alveolar pattern": ("patron alveolar en campo {zone} {side}",),
    "consolidation": (
        "condensacion en campo {zone} {side}",
        "consolidacion con broncograma aereo en campo {zone} {side}",
    ),
    "infiltrates": ("infiltrado en campo {zone} {side}", "infiltrados parcheados en campo {zone} {side}"),
    "nodule": ("nodulo pulmonar en campo {zone} {side}", "imagen nodular en campo {zone} {side}"),
    "pulmonary mass": ("masa pulmonar en campo {zone} {side}",),
    "pulmonary edema": ("signos de edema pulmonar", "edema pulmonar {degree}"),
    "pneumonia": ("hallazgos compatibles con neumonia en campo {zone} {side}", "neumonia en campo {zone} {side}"),
    "atelectasis": ("atelectasia laminar en campo inferior {side}", "atelectasia en campo inferior {side}"),
    "pneumothorax": ("neumotorax {side}", "camara de neumotorax {degree} en hemitorax {side}"),
    "pleural effusion": ("derrame pleural {side}", "derrame pleural {degree} en hemitorax {side}"),
    "pleural thickening": ("engrosamiento pleural {side}",),
    "rib fracture": ("callos de fracturas costales en hemitorax {side}", "fracturas costales en hemitorax {side}"),
    "emphysema": ("signos de enfisema", "hiperinsuflacion pulmonar por enfisema"),
    "pulmonary fibrosis": ("patron reticular bibasal por fibrosis pulmonar", "fibrosis pulmonar en ambas bases"),
    "hiatal hernia": ("hernia de hiato", "hernia de hiato con nivel hidroaereo"),
    "tuberculosis": (
        "lesiones en campo superior {side} por tuberculosis",
        "patron fibronodular en campo superior {side} sugestivo de tuberculosis",
    ),
}
DEVICES = {
    "pacemaker": (("pacemaker",), "marcapasos con cables en cavidades derechas"),
    "tracheal tube": (("endotracheal tube", "NSG tube"), "tubo endotraqueal y sonda nasogastrica"),
    "central line": (("central venous catheter",), "cateter venoso central"),
    "chest tube": (("chest drain tube",), "tubo de drenaje toracico"),
}
"""Device -> its labels and its words."""

ABSENT_WORDS: dict[str, tuple[str, ...]] = {
    "cardiomegaly": ("silueta cardiaca de tamano normal", "indice cardiotoracico normal"),
    "pneumothorax": ("sin neumotorax",),
    "pleural effusion": ("no se aprecia derrame pleural", "senos costofrenicos libres"),
    "consolidation": ("no se observan condensaciones", "sin condensaciones"),
    "pneumonia": ("sin signos de neumonia",),
    "nodule": ("no se identifican nodulos",),
}
DOUBT = ("posible {}", "probable {}", "no se puede descartar {}")
CLEAR = ("sin hallazgos patologicos", "estudio dentro de la normalidad", "sin alteraciones pleuropulmonares")
SAME = ("sin cambios respecto al estudio previo", "sin cambios significativos")
BAD_FILM = ("estudio con mala inspiracion", "radiografia tecnicamente deficiente")
UNREADABLE = ("no se puede valorar",)

SIDES = {"right": "derecho", "left": "izquierdo", "both": "bilateral"}
ZONES = {"upper": "superior", "mid": "medio", "lower": "inferior"}
DEGREES = {"mild": "leve", "moderate": "moderado", "severe": "severo"}
PLACED = frozenset(label for label, words in PRESENT_WORDS.items() if any("{side}" in one for one in words))
"""Labels whose place is stated too."""

CONCEPTS = {
    "normal": "C0205307", "cardiomegaly": "C0018800", "pleural effusion": "C0032227", "pneumothorax": "C0032326",
    "consolidation": "C0521530", "infiltrates": "C0277877", "nodule": "C0034079", "pulmonary mass": "C0149726",
    "pulmonary edema": "C0034063", "pneumonia": "C0032285", "atelectasis": "C0004144", "emphysema": "C0034067",
    "laminar atelectasis": "C0742855", "pleural thickening": "C0264545", "pulmonary fibrosis": "C0034069",
    "hiatal hernia": "C3489393", "rib fracture": "C0035522", "tuberculosis": "C0041296", "pacemaker": "C0030163",
}  # fmt: skip
"""Concepts of the UMLS for some labels; the others are left out of the column."""


class Sentence(NamedTuple):
    """One sentence with the labels it gives and the places it names."""

    words: str
    labels: tuple[str, ...]
    places: tuple[str, ...]


def denials() -> dict[str, float]:
    """Chance that each label of the source is denied when it is absent."""
    return {label: DENIED.get(label, 0.0) for label in COMMON["padchest"]}


def read_film(
    said: Mapping[str, float], findings: Sequence[Finding], follow_up: bool, rng: np.random.Generator
) -> list[Sentence]:
    """Read one study.

    Args:
        said: What is said about each label: 1, 0, -1 or NaN.
        findings: True findings of the study, for side, place and degree.
        follow_up: Whether there is an earlier study to compare with.
        rng: Chooses the wording.

    Returns:
        Sentences in order; a label that is doubtful counts as given, as it does in the source.
    """
    if rng.random() < 0.01:
        return [Sentence(choose(UNREADABLE, rng), (EXCLUDED,), ())]
    shown = {finding.kind: finding for finding in findings}
    mentions = [Mention(label, state, _about(label, shown)) for label, state in said.items() if not np.isnan(state)]
    sentences = [one for mention in mentions for one in _sentences(mention, rng)]
    sentences = [sentences[i] for i in rng.permutation(len(sentences))]
    if not any(one.labels for one in sentences):
        sentences.append(Sentence(choose(CLEAR, rng), (NORMAL,), ()))
    if follow_up and rng.random() < 0.3:
        sentences.append(Sentence(choose(SAME, rng), (UNCHANGED,), ()))
    if rng.random() < 0.04:
        sentences.append(Sentence(choose(BAD_FILM, rng), (POOR,), ()))
    return sentences


def labels_of_sentences(sentences: Sequence[Sentence]) -> list[str]:
    """The labels of a reading, each once, in order."""
    return list(dict.fromkeys(label for one in sentences for label in one.labels))


def _about(label: str, shown: Mapping[str, Finding]) -> Finding | None:
    kinds = {**COMMON["padchest"][label], **OWN["padchest"].get(label, {})}
    return next((shown[kind] for kind in kinds if kind in shown), None)


def _sentences(mention: Mention, rng: np.random.Generator) -> list[Sentence]:
    """What is said about one label: one sentence, or one per device."""
    label, finding = mention.label, mention.finding
    if mention.state == ABSENT:
        return [Sentence(choose(ABSENT_WORDS[label], rng), (), ())]
    if label == "electrical device":
        names = device_names(finding) if finding else ("central line",)
        return [Sentence(words, labels, ()) for labels, words in (DEVICES[name] for name in names)]
    options = PRESENT_WORDS[label]
    pick = int(rng.integers(len(options)))
    names = LABELS.get(label)
    side = finding.side if finding else str(rng.choice(("right", "left")))
    words = options[pick].format(side=SIDES[side], zone=ZONES[zone_of(finding)], degree=DEGREES[degree_of(finding)])
    if mention.state == UNCERTAIN:
        words = choose(DOUBT, rng).format(words)
    place = ("loc bilateral" if side == "both" else f"loc {side}",) if label in PLACED else ()
    return [Sentence(words, (names[pick] if names else label,), place)]
