"""Settings of the page."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

OWN_MODEL = Path("data/06_models/unichest")
"""The model folder that this project trains, from the project's folder (`conf/base/catalog_prediction.yml`)."""


class AppSettings(BaseModel):
    """What the page is started with.

    Attributes:
        model: Model folder; None for the one that this project trains.
        port: Of 127.0.0.1, the only address that is listened at.
        device: "auto" for a GPU if there is one, or "cpu".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path | None = None
    port: int = Field(default=8060, ge=1, le=65535)
    device: Literal["auto", "cpu"] = "auto"
