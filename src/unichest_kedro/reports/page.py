"""The page that shows how the report reader and Open-I's indexers agree, and where they do not."""

from functools import cache
from importlib.resources import files

import pandas as pd
from jinja2 import Environment, Template


def render_page(scores: pd.DataFrame, disagreements: pd.DataFrame) -> str:
    """Write scores and disagreements as one self-contained HTML page.

    Args:
        scores: schema `ExtractorScores`.
        disagreements: schema `ExtractorDisagreements`.
    """
    return _template().render(
        scores=scores.to_dict("records"), disagreements=disagreements.fillna("").to_dict("records")
    )


@cache
def _template() -> Template:
    source = (files("unichest_kedro.reports") / "templates" / "extractor.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["rate"] = _rate
    return environment.from_string(source)


def _rate(row: dict, name: str) -> str:
    """A rate with its interval: "0.912 (0.880-0.941)"; a dash where it has no value."""
    if pd.isna(row[name]):
        return "–"
    return f"{row[name]:.3f} ({row[f'{name}_low']:.3f}–{row[f'{name}_high']:.3f})"
