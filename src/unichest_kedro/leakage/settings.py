"""Settings of the leakage audit."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from unichest_kedro.leakage.hashing import BITS
from unichest_kedro.leakage.neighbours import LARGEST_DISTANCE


class KnownOverlap(BaseModel):
    """Two sources that are known to share films, and how that is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[str, str]
    why: str = Field(min_length=1)

    @model_validator(mode="after")
    def _two_sources(self) -> Self:
        if self.sources[0] == self.sources[1]:
            raise ValueError(f"known overlap of {self.sources[0]!r} with itself: name two different sources")
        return self


class LeakageSettings(BaseModel):
    """When two films count as one, and what is known beforehand.

    `max_distance` is how many of the 128 bits of two films' hashes may differ before they are compared at all,
    `min_correlation` how well their edges must agree then. `n_jobs` is the number of threads, -1 one per core.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_distance: int = Field(default=15, ge=0, le=min(LARGEST_DISTANCE, BITS // 4 - 1))
    min_correlation: float = Field(default=0.9, gt=0, le=1)
    n_jobs: int = -1
    known_overlaps: tuple[KnownOverlap, ...] = ()

    @field_validator("n_jobs")
    @classmethod
    def _some_workers(cls, value: int) -> int:
        if value == 0:
            raise ValueError("n_jobs 0 means no worker: give a number of threads, or -1 for one per core")
        return value
