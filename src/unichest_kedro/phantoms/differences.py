"""How the sources differ: one switch and one strength per kind of difference, and each source's own profile.

At strength 0 (or switched off) every source looks and labels like every other; at strength 1 a source has the
values of its own profile; in between they are mixed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unichest_kedro.errors import SettingsError
from unichest_kedro.sources.base import SOURCES


class Difference(BaseModel):
    """One kind of difference between the sources: a switch and a strength in [0, 1].

    A parameters file may also give the strength alone (`noise: 0.5`) or the switch alone (`noise: false`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: bool = True
    strength: float = Field(default=1.0, ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, bool):
            return {"on": value}
        if isinstance(value, int | float):
            return {"strength": value}
        if not isinstance(value, Mapping | cls):
            raise ValueError(
                f"{value!r} is no difference; allowed are a strength from 0 to 1, true, false, or a mapping of `on` "
                "and `strength`"
            )
        return value

    @property
    def amount(self) -> float:
        """The strength, or 0 where the difference is switched off."""
        return self.strength if self.on else 0.0


class Differences(BaseModel):
    """The ten kinds of difference between the phantom sources."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    response: Difference = Difference()
    """Intensity response: gamma, contrast and brightness of the film."""
    noise: Difference = Difference()
    """Amount and grain of the noise."""
    resolution: Difference = Difference()
    """Blur and native size of the film."""
    collimation: Difference = Difference()
    """How often and how far the film's borders are shut."""
    markers: Difference = Difference()
    """Burnt-in side markers and words."""
    prevalence: Difference = Difference()
    """How common each finding is."""
    labelled_set: Difference = Difference()
    """Which findings the source never labels although its table has a column for them."""
    label_noise: Difference = Difference()
    """Labels that are left out or put in by mistake, and readers who disagree."""
    threshold: Difference = Difference()
    """From which severity on a finding is called present."""
    definition: Difference = Difference()
    """What a label means: the share of films labelled by the source's own definition, not the common one."""

    @classmethod
    def none(cls) -> "Differences":
        """All differences switched off: sources that differ in their layouts only."""
        return cls(**{name: Difference(on=False) for name in cls.model_fields})


@dataclass(frozen=True)
class Profile:
    """What one source is like. The defaults are what all sources share when a difference is switched off."""

    aspect: float = 1.0
    """Height of the film over its width; part of a source's layout, not a difference."""
    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    noise: float = 0.010
    grain: float = 0.4
    blur: float = 0.45
    size: float = 1.0
    collimated: float = 0.0
    border: float = 0.0
    marked: float = 0.0
    words: tuple[str, ...] = ()
    prevalence: dict[str, float] = field(default_factory=dict)
    """Factor on the common prevalence of each kind of finding."""
    unlabelled: tuple[str, ...] = ()
    omitted: float = 0.0
    invented: float = 0.0
    hesitant: float = 0.0
    """Share of borderline findings that are called uncertain, or on which a reader disagrees."""
    threshold: float = 0.25
    definition: float = 0.0
    """Share of films that are labelled by the source's own definitions."""


_OWN = {
    "mimic_cxr": Profile(
        aspect=1.2, gamma=0.85, contrast=1.15, brightness=0.02, noise=0.022, grain=0.7, blur=0.55, size=1.1,
        collimated=0.35, border=0.08, marked=0.6, words=("PORTABLE", "AP", "ERECT", "SUPINE"),
        prevalence={"devices": 1.7, "oedema": 1.2, "effusion": 1.2, "fibrosis": 0.7, "thickening": 0.7},
        unlabelled=("Pleural Other",), omitted=0.06, invented=0.004, hesitant=0.5, threshold=0.28,
    ),
    "chestxray14": Profile(
        aspect=1.0, gamma=1.2, contrast=0.9, brightness=-0.02, noise=0.014, grain=0.4, blur=0.5, size=1.0,
        collimated=0.15, border=0.05, marked=0.8, words=("AP", "PORT"),
        prevalence={"infiltrate": 1.2, "nodule": 1.2, "pneumothorax": 1.2, "devices": 0.9},
        omitted=0.09, invented=0.006, hesitant=0.3, threshold=0.36,
    ),
    "chexpert": Profile(
        aspect=0.83, gamma=1.0, contrast=1.35, brightness=0.05, noise=0.018, grain=1.0, blur=0.8, size=0.9,
        collimated=0.45, border=0.10, marked=0.5, words=("PORT", "UPRIGHT", "AP"),
        prevalence={"devices": 1.7, "oedema": 1.2, "fibrosis": 0.6, "emphysema": 0.7, "nodule": 0.9},
        unlabelled=("Pleural Other",), omitted=0.05, invented=0.004, hesitant=0.5, threshold=0.22,
    ),
    "vindr_cxr": Profile(
        aspect=1.15, gamma=0.95, contrast=1.0, brightness=0.0, noise=0.008, grain=0.3, blur=0.35, size=1.2,
        collimated=0.10, border=0.04, marked=0.7, words=("PA", "KT"),
        prevalence={"aorta": 1.4, "cardiomegaly": 1.3, "thickening": 1.2, "fibrosis": 1.2, "devices": 0.5},
        unlabelled=("Edema",), omitted=0.06, invented=0.004, hesitant=0.7, threshold=0.30,
    ),
    "shenzhen": Profile(
        aspect=1.0, gamma=1.08, contrast=1.12, brightness=0.03, noise=0.011, grain=0.5, blur=0.40, size=1.15,
        collimated=0.05, border=0.04, marked=0.35, threshold=0.25,
    ),
    "open_i": Profile(
        aspect=0.83, gamma=0.90, contrast=1.08, brightness=-0.01, noise=0.012, grain=0.5, blur=0.50, size=1.0,
        collimated=0.20, border=0.06, marked=0.7, words=("PA", "ERECT"),
        prevalence={"devices": 0.7, "nodule": 1.2, "emphysema": 1.2, "oedema": 0.7, "pneumothorax": 0.8},
        omitted=0.05, invented=0.003, hesitant=0.3, threshold=0.28,
    ),
    "padchest": Profile(
        aspect=1.05, gamma=1.10, contrast=1.0, brightness=0.01, noise=0.016, grain=0.6, blur=0.50, size=1.05,
        collimated=0.30, border=0.06, marked=0.5, words=("PORTATIL", "BIPEDEST."),
        prevalence={"aorta": 1.3, "cardiomegaly": 1.2, "infiltrate": 1.2, "fracture": 0.8, "mass": 0.8},
        omitted=0.06, invented=0.004, hesitant=0.3, threshold=0.30,
    ),
}  # fmt: skip
# SIIM-ACR's films are those of ChestX-ray14; radiologists drew the masks, and more films with one were chosen.
_OWN["siim_acr"] = replace(
    _OWN["chestxray14"], prevalence={"pneumothorax": 1.6}, omitted=0.04, invented=0.0, hesitant=0.0, threshold=0.30
)


def profile_of(source: str, differences: Differences) -> Profile:
    """Return how `source` looks and labels at the given strengths.

    Raises:
        SettingsError: There is no phantom of the source.
    """
    if source not in _OWN:
        raise SettingsError(f"There is no phantom source {source!r}; there are {', '.join(SOURCES)}.")
    own, common = _OWN[source], Profile()
    groups = {
        "response": ("gamma", "contrast", "brightness"),
        "noise": ("noise", "grain"),
        "resolution": ("blur", "size"),
        "collimation": ("collimated", "border"),
        "markers": ("marked",),
        "label_noise": ("omitted", "invented", "hesitant"),
        "threshold": ("threshold",),
    }
    mixed = {
        name: _mix(getattr(common, name), getattr(own, name), getattr(differences, kind).amount)
        for kind, names in groups.items()
        for name in names
    }
    prevalence = {kind: _mix(1.0, factor, differences.prevalence.amount) for kind, factor in own.prevalence.items()}
    left_out = round(differences.labelled_set.amount * len(own.unlabelled))
    return replace(
        own,
        **mixed,
        prevalence=prevalence,
        unlabelled=own.unlabelled[:left_out],
        definition=differences.definition.amount,
    )


def _mix(common: float, own: float, amount: float) -> float:
    return common + amount * (own - common)
