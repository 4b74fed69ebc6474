"""Settings of the evaluation stage."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from unichest_kedro.evaluation.calibration import Criterion
from unichest_kedro.evaluation.measures import BINS


def _rising(years: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in pairwise(years)):
        raise ValueError("write the years in rising order, each once")
    return years


class EvaluationSettings(BaseModel):
    """How models are scored and judged.

    `batch_size` is images per forward pass, `num_workers` the processes that read them ahead, `device` where the
    model runs ("auto": a GPU if there is one). `resamples` is the number of bootstrap resamples by patient behind
    each 95 % interval. With `leave_out_leaked`, test films that repeat a film trained on are scored but not judged.
    `criterion` is what thresholds maximise on validation films. `age_bands` are the years at which an age band begins
    (none: no bands), `calibration_bins` how many equally wide bins calibration error and calibration curves have.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(default=64, ge=1)
    num_workers: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu"] = "auto"
    resamples: int = Field(default=1000, ge=1)
    leave_out_leaked: bool = True
    criterion: Criterion = "youden"
    age_bands: Annotated[tuple[Annotated[int, Field(ge=1, le=120)], ...], AfterValidator(_rising)] = (18, 40, 60, 80)
    calibration_bins: int = Field(default=BINS, ge=2)


class ReportSettings(BaseModel):
    """What the report shows: `examples_per_kind` films of each kind (true and false positives and negatives).

    That many for each benchmark; 0 shows none. `limit_mb` is the size of the page at most, in megabytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    examples_per_kind: int = Field(default=1, ge=0, le=20)
    limit_mb: float = Field(default=8.0, gt=0)
