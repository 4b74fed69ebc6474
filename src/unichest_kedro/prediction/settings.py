"""Settings of prediction and of the ONNX export."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _as_list(value: object) -> object:
    """Findings given on the command line, "rib fracture; hiatal hernia", as a list."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(";") if part.strip())
    return value


Findings = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_list)]
Precision = Literal["auto", "float32", "bfloat16"]


class PredictSettings(BaseModel):
    """What is asked of which films.

    Attributes:
        images: A folder, a text list, a CSV, or one film (`inputs.list_films`).
        model: Model folder; None for the one that this project trains.
        findings: What is asked, in words; nothing for the findings that the model was asked in training.
        together: Whether findings are asked in the company of all that were asked in training, so that an answer does
            not depend on what else is asked; False asks nothing but `findings`, as evaluation does of a benchmark.
        answer_anyway: Whether a picture with a warning (not a frontal film, in colour, ...) is answered all the same.
        heatmaps: Whether heat maps and the contact sheet are drawn.
        top_findings: Heat maps per film: those of its highest answers.
        sheet_films: Films on the contact sheet at most; every film has its heat maps as files.
        batch_size: Films per forward pass.
        num_workers: Processes that read films ahead; 0 for none.
        device: "auto" for a GPU if there is one, or "cpu".
        precision: "float32" gives what evaluation gives. "bfloat16" computes most of the network in half the digits,
            twice as fast on a processor with units for it (AMX, AVX-512 BF16); answers differ by less than 0.001 on
            average, by 0.01 at most. "auto" is bfloat16 on such a processor, float32 elsewhere.
        part_size: Films per file of kept results; what a stopped run loses at most.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: Path | None = None
    model: Path | None = None
    findings: Findings = ()
    together: bool = True
    answer_anyway: bool = False
    heatmaps: bool = False
    top_findings: int = Field(default=3, ge=1)
    sheet_films: int = Field(default=200, ge=1)
    batch_size: int = Field(default=8, ge=1)
    num_workers: int = Field(default=1, ge=0)
    device: Literal["auto", "cpu"] = "auto"
    precision: Precision = "auto"
    part_size: int = Field(default=64, ge=1)


class ExportSettings(BaseModel):
    """What becomes an ONNX file.

    Attributes:
        model: Model folder; None for the one that this project trains.
        findings: Findings whose embeddings are written beside it; nothing for all that the model knows.
        tolerance: Largest difference between the file's probabilities and the model's that is accepted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path | None = None
    findings: Findings = ()
    tolerance: float = Field(default=1e-4, gt=0)
