"""Published results of others, to stand beside results on real films; none of them was re-run."""

from collections.abc import Collection
from functools import cache
from importlib.resources import files
from typing import Annotated

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

COLUMNS = ["benchmark", "measure", "method", "value", "setting", "citation"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedResult(_Frozen):
    """One number of one paper: `value` from 0 to 1, `setting` how the method was used, `reference` where it stands."""

    method: str
    benchmark: str
    measure: str
    value: Annotated[float, Field(ge=0, le=1)]
    setting: str
    reference: str


class Published(_Frozen):
    """All of `published.yml`: the results, and the full citation of each reference."""

    references: dict[str, str]
    results: tuple[PublishedResult, ...]

    @model_validator(mode="after")
    def _cited(self) -> "Published":
        uncited = sorted({result.reference for result in self.results} - set(self.references))
        if uncited:
            raise ValueError(f"results without a citation: {', '.join(uncited)}")
        return self


@cache
def read_published() -> Published:
    """The published results that come with the package."""
    text = (files("unichest_kedro.evaluation") / "published.yml").read_text(encoding="utf-8")
    return Published.model_validate(yaml.safe_load(text))


def published_beside(benchmarks: pd.DataFrame, phantoms: Collection[str]) -> pd.DataFrame:
    """The published results of those benchmarks that were scored on real films.

    Args:
        benchmarks: `benchmark_table`, of which `benchmark, source` are looked at.
        phantoms: Sources whose films are phantoms; nothing published ever stands beside these.

    Returns:
        `benchmark, measure, method, value, setting, citation`, benchmarks in their order.
    """
    published = read_published()
    real = benchmarks.loc[~benchmarks["source"].isin(list(phantoms)), "benchmark"]
    rows = [
        (name, one.measure, one.method, one.value, one.setting, published.references[one.reference])
        for name in real
        for one in published.results
        if one.benchmark == name
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
