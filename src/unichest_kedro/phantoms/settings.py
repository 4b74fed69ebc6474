"""Settings of the phantom sources."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from unichest_kedro.parameter_mistakes import find_mistakes, refuse
from unichest_kedro.phantoms.differences import Differences
from unichest_kedro.sources.base import TRAINED_ON

FEWEST = 24
"""Films that a source has at least, so that each of its splits and views has some."""


class PhantomSettings(BaseModel):
    """How many films, how large, from which seed, and how the sources differ.

    `images_per_source` counts the films of each source that is trained on, `scored_images` those of each source that
    is only scored (a third of the others, where it is not given).

    `image_size` is the shorter side of a film in pixels before a source's own resolution (a factor of 0.9 to
    1.2 at full strength). `n_jobs` is the number of processes, -1 for one per core; it never changes what is
    drawn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    images_per_source: int = Field(default=800, ge=FEWEST, le=1_000_000)
    scored_images: int | None = Field(default=None, ge=FEWEST, le=1_000_000)
    image_size: int = Field(default=128, ge=48, le=2048)
    seed: int = Field(default=42, ge=0, lt=2**32)
    n_jobs: int = Field(default=-1, ge=-1)
    differences: Differences = Differences()

    @field_validator("n_jobs")
    @classmethod
    def _some_workers(cls, value: int) -> int:
        if value == 0:
            raise ValueError("0 means no process; allowed are a number of processes, or -1 for one per core")
        return value

    def images_of(self, source: str) -> int:
        """Number of films of a source."""
        if source in TRAINED_ON:
            return self.images_per_source
        return max(FEWEST, self.images_per_source // 3) if self.scored_images is None else self.scored_images

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """Build the settings from the `phantoms:` of globals.yml.

        Raises:
            SettingsError: a field is unknown or out of range; names the field, the value and what is allowed.
        """
        mistakes = find_mistakes({"phantoms": values}, {"phantoms": cls}, lambda name: "")
        refuse(mistakes, "conf/base/globals.yml explains every setting.")
        return cls.model_validate(values)
