"""Settings of the ablations: variants are data, each what it changes and what it is judged against."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

GATE_SETTINGS = frozenset({"experts", "gate_embedding", "gate_temperature", "gate_input"})
"""Settings of the model that Conquer's weights do not depend on: a variant that starts from them may change these."""

Change = dict[Literal["model", "conquer", "divide"], dict[str, Any]]
"""Settings that differ, nested as in the parameters files: `{divide: {optimiser: {learning_rate: 1.0e-3}}}`."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Variant(_Settings):
    """One row of the table.

    Attributes:
        name: By which other variants and the working folder know it.
        title: In tables and figures.
        stage: `conquer` trains from initial weights; `continue` (Conquer, for Divide's epochs and with its optimiser)
            and `divide` train on from the model of `start`; `score` only mixes `start`'s networks by other `ratios`.
        start: Name of an earlier variant.
        against: Names of variants that it is judged against: the difference is this one minus that.
        change: What differs from the settings that all variants share.
        each_source: One model for every source trained on, of that source alone. `name` then stands for all of them,
            each judged on its own source; `name_source` for each, judged on all.
        source_prompts: Whether a film is asked in words that name its source; only sources trained on are scored.
        ratios: `[main_ratio, expert_ratio]` of a `score` variant.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str = Field(min_length=1)
    stage: Literal["conquer", "continue", "divide", "score"]
    start: str | None = None
    against: tuple[str, ...] = ()
    change: Change = Field(default_factory=dict)
    each_source: bool = False
    source_prompts: bool = False
    ratios: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.stage == "conquer") == (self.start is not None):
            raise ValueError(f"{self.name}: stage conquer starts from nothing, every other stage needs `start`")
        if (self.stage == "score") != (self.ratios is not None):
            raise ValueError(f"{self.name}: `ratios` belong to stage score, which needs them")
        if self.ratios and (min(self.ratios) < 0 or abs(sum(self.ratios) - 1) > 1e-6):
            raise ValueError(f"{self.name}: ratios {self.ratios} must not be negative and must sum to 1")
        if self.each_source and self.stage != "conquer":
            raise ValueError(f"{self.name}: `each_source` is for stage conquer")
        if self.stage == "score" and (self.change or self.source_prompts):
            raise ValueError(f"{self.name}: stage score trains nothing, so it cannot have `change` or `source_prompts`")
        fixed = set(self.change.get("model", {})) - GATE_SETTINGS
        if fixed and self.stage != "conquer":
            raise ValueError(
                f"{self.name}: model.{sorted(fixed)[0]} cannot differ from that of `start`; only "
                f"{', '.join(sorted(GATE_SETTINGS))} can"
            )
        return self


class AblationSettings(_Settings):
    """What is compared, and how often.

    Attributes:
        seeds: Each variant is trained once with each; a seed decides initial weights, batches and augmentation.
        only: Names of variants to train, with all that they start from and are judged against; none = every variant.
        change: What all variants share and is otherwise than in the parameters `model`, `conquer` and `divide`.
        variants: The variants; whatever one starts from comes before it.
        resamples: Bootstrap resamples by patient behind intervals and p-values.
        bootstrap_seed: Seed of these.
        prompt: How a source is named with `source_prompts`; `{finding}` and `{source}` are put in.
    """

    seeds: tuple[int, ...] = Field(min_length=1)
    only: tuple[str, ...] = ()
    change: Change = Field(default_factory=dict)
    variants: tuple[Variant, ...] = Field(min_length=1)
    resamples: int = Field(default=1000, ge=1)
    bootstrap_seed: int = Field(default=42, ge=0)
    prompt: str = "{finding} in {source}"

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError(f"seeds {list(seeds)} must be different and not negative")
        return seeds

    @field_validator("prompt")
    @classmethod
    def _names_both(cls, prompt: str) -> str:
        if "{finding}" not in prompt or "{source}" not in prompt:
            raise ValueError(f"prompt {prompt!r} must have {{finding}} and {{source}} in it")
        return prompt

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [variant.name for variant in self.variants]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"variants: {', '.join(sorted(twice))} stands twice; names must differ")
        for place, variant in enumerate(self.variants):
            if variant.start is not None and variant.start not in names[:place]:
                raise ValueError(f"{variant.name}: start {variant.start!r} is no variant before it")
            if variant.start is not None and self.variant(variant.start).each_source:
                raise ValueError(f"{variant.name}: start {variant.start!r} is not one model but one for every source")
            self._check_known(variant.name, variant.against)
        self._check_known("only", self.only)
        return self

    def variant(self, name: str) -> Variant:
        """The variant of this name."""
        return next(variant for variant in self.variants if variant.name == name)

    def wanted(self) -> tuple[Variant, ...]:
        """The variants to train, in order: those of `only`, and all that these start from and are judged against."""
        if not self.only:
            return self.variants
        names, left = set(), list(self.only)
        while left:
            variant = self.variant(left.pop())
            if variant.name not in names:
                names.add(variant.name)
                left += [*variant.against, *([variant.start] if variant.start else [])]
        return tuple(variant for variant in self.variants if variant.name in names)

    def _check_known(self, where: str, names: tuple[str, ...]) -> None:
        known = [variant.name for variant in self.variants]
        for name in names:
            if name not in known:
                raise ValueError(f"{where}: there is no variant {name!r}; there are {', '.join(known)}")


def merged(values: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Nested settings with some of them changed; neither argument is."""
    result = dict(values)
    for name, value in change.items():
        old = result.get(name)
        result[name] = merged(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return result
