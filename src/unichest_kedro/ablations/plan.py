"""From variants and seeds to the models that are to be trained, in order, each with all of its settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from unichest_kedro.ablations.settings import AblationSettings, Variant, merged
from unichest_kedro.errors import SettingsError
from unichest_kedro.models.unichest import ModelSettings
from unichest_kedro.training.settings import ConquerSettings, DivideSettings

Settings = TypeVar("Settings", bound=BaseModel)


@dataclass(frozen=True)
class Shared:
    """Settings of the model and of both stages, as the parameters files have them."""

    model: ModelSettings
    conquer: ConquerSettings
    divide: DivideSettings


@dataclass(frozen=True)
class Part:
    """One model: a variant with a seed (of an `each_source` variant, of one source).

    Attributes:
        name: Of the variant, with the source where it is of one source alone.
        title: In tables.
        variant: The variant.
        seed: The seed.
        sources: What it is trained on.
        settings: All of its settings.
        start: What it trains on from.
    """

    name: str
    title: str
    variant: Variant
    seed: int
    sources: tuple[str, ...]
    settings: Shared
    start: "Part | None" = None

    @property
    def is_oracle(self) -> bool:
        """Whether it, or what it is scored from, was trained with the oracle gate."""
        if self.variant.stage == "score" and self.start is not None:
            return self.start.is_oracle
        return self.variant.stage == "divide" and self.settings.divide.gate == "oracle"

    @property
    def source_prompts(self) -> bool:
        """Whether films are asked in words that name their source."""
        if self.variant.stage == "score" and self.start is not None:
            return self.start.source_prompts
        return self.variant.source_prompts


def plan(settings: AblationSettings, shared: Shared, trained_on: Sequence[str]) -> list[Part]:
    """All models of the ablations, seed by seed; what one starts from comes before it.

    Args:
        settings: Of the ablations.
        shared: Of model and stages.
        trained_on: Sources that are trained on.

    Raises:
        SettingsError: a variant's settings are wrong; names it, the field and what is allowed.
    """
    common = _changed("ablation.change", shared, settings.change)
    parts: list[Part] = []
    for seed in settings.seeds:
        made: dict[str, Part] = {}
        for variant in settings.wanted():
            own = _with_experts(_seeded(_changed(variant.name, common, variant.change), seed), len(trained_on))
            start = made[variant.start] if variant.start else None
            if variant.each_source:
                parts += [
                    Part(f"{variant.name}_{source}", f"{variant.title}: {source}", variant, seed, (source,), own)
                    for source in trained_on
                ]
            else:
                made[variant.name] = Part(variant.name, variant.title, variant, seed, tuple(trained_on), own, start)
                parts.append(made[variant.name])
    return parts


def _changed(where: str, shared: Shared, change: dict[str, dict]) -> Shared:
    return Shared(
        _with(where, "model", shared.model, change.get("model", {})),
        _with(where, "conquer", shared.conquer, change.get("conquer", {})),
        _with(where, "divide", shared.divide, change.get("divide", {})),
    )


def _with(where: str, block: str, settings: Settings, change: dict) -> Settings:
    try:
        return type(settings).model_validate(merged(settings.model_dump(), change))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        field = ".".join([block, *map(str, fault["loc"])])
        raise SettingsError(f"ablation: {where}: {field} = {fault['input']!r}: {fault['msg']}") from error


def _seeded(shared: Shared, seed: int) -> Shared:
    quiet = {"seed": seed, "trackers": ()}
    return Shared(shared.model, shared.conquer.model_copy(update=quiet), shared.divide.model_copy(update=quiet))


def _with_experts(shared: Shared, sources: int) -> Shared:
    """The oracle gate has an expert for every source, however many `model.experts` says."""
    if shared.divide.gate != "oracle" or shared.model.experts >= sources:
        return shared
    return Shared(shared.model.model_copy(update={"experts": sources}), shared.conquer, shared.divide)
