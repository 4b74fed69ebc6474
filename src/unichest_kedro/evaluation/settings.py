"""Settings of the evaluation stage."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EvaluationSettings(BaseModel):
    """How models are scored and reported.

    `batch_size` is images per forward pass, `num_workers` the processes that read them ahead, `device` where the
    model runs ("auto": a GPU if there is one). `resamples` is the number of bootstrap resamples by patient behind
    each 95 % interval. `films_per_source` example films are shown with their `top_findings` highest answers.
    With `leave_out_leaked`, test films that repeat a film trained on are scored but not judged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(default=64, ge=1)
    num_workers: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu"] = "auto"
    resamples: int = Field(default=1000, ge=1)
    films_per_source: int = Field(default=4, ge=0)
    top_findings: int = Field(default=3, ge=1)
    leave_out_leaked: bool = True
