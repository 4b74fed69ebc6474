"""The tables of the ablations in words and numbers: as an HTML page, and as Markdown for documents."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, Template

from unichest_kedro.ablations.figures import DRAWN, is_beyond_noise
from unichest_kedro.ablations.settings import AblationSettings
from unichest_kedro.evaluation.formats import DASH, area, p_value, signed
from unichest_kedro.evaluation.metrics import MEAN, ZERO_SHOT_MEAN
from unichest_kedro.evaluation.style import SOURCE_TITLES, source_title


class Grid(NamedTuple):
    """A table of texts: names of the columns, and rows that begin with their title."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def paper_table(table: pd.DataFrame, gates: pd.DataFrame, trained: Sequence[str]) -> Grid:
    """The table in the paper's form: one row per variant, AUROC per source, then means of every measure.

    Args:
        table: `AblationTable`.
        gates: `AblationGates`.
        trained: Sources trained on.
    """
    values = dict(list(table.groupby(["variant", "source", "measure"], sort=False)))
    gate = gates.groupby("variant")[["sharpness", "mutual_information"]].mean()
    names = [source for source in trained if source in set(table["source"])]
    zero_shot = ZERO_SHOT_MEAN in set(table["source"])
    columns = [source_title(source) for source in names] + ["Mean AUROC"]
    columns += ["Zero-shot AUROC"] * zero_shot + [DRAWN[name] for name in list(DRAWN)[1:]] + ["Gate", "Bits"]
    rows = []
    for variant, title in table[["variant", "title"]].drop_duplicates().itertuples(index=False):
        cells = [_cell(values, variant, source, "auroc", spread=False) for source in names]
        cells.append(_cell(values, variant, MEAN, "auroc"))
        cells += [_cell(values, variant, ZERO_SHOT_MEAN, "auroc")] * zero_shot
        cells += [_cell(values, variant, MEAN, name) for name in list(DRAWN)[1:]]
        known = variant in gate.index
        cells += [area(gate.loc[variant, name]) if known else DASH for name in ("sharpness", "mutual_information")]
        rows.append((title, *cells))
    return Grid(("Variant", *columns), tuple(rows))


def differences_table(differences: pd.DataFrame, titles: Mapping[str, str], source: str = MEAN) -> Grid:
    """Variants minus their controls: difference, 95 % interval by patient, and spread over seeds, of every measure.

    A star marks what is beyond noise (`figures.is_beyond_noise`).

    Args:
        differences: `AblationDifferences`.
        titles: Title of each variant.
        source: Which source, or mean of sources, is shown.
    """
    part = differences[differences["source"] == source]
    starred = part.assign(beyond=is_beyond_noise(part))
    rows = []
    for (variant, control), pair in starred.groupby(["variant", "against"], sort=False):
        by_measure = pair.set_index("measure")
        cells = [difference_cell(by_measure.loc[name]) for name in DRAWN]
        p = by_measure.loc["auroc"]
        rows.append(
            (
                f"{titles.get(variant, variant)} − {titles.get(control, control)}",
                *cells,
                p_value(p["p_patients"]),
                p_value(p["p_seeds"]),
            )
        )
    columns = ("Difference", *DRAWN.values(), "p (patients, AUROC)", "p (seeds, AUROC)")
    return Grid(columns, tuple(rows))


def markdown(grid: Grid) -> str:
    """A table as Markdown."""
    lines = ["| " + " | ".join(grid.columns) + " |", "|---" * len(grid.columns) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in grid.rows]
    return "\n".join(lines)


def render_page(
    table: pd.DataFrame,
    differences: pd.DataFrame,
    gates: pd.DataFrame,
    runs: pd.DataFrame,
    settings: AblationSettings,
    trained: Sequence[str],
    phantom: bool,
) -> str:
    """Write the tables as one self-contained HTML page.

    Args:
        table: `AblationTable`.
        differences: `AblationDifferences`.
        gates: `AblationGates`.
        runs: `AblationRuns`.
        settings: Of the ablations.
        trained: Sources trained on.
        phantom: Whether any source is a phantom.
    """
    titles = dict(zip(table["variant"], table["title"]))
    per_source = {source: differences_table(differences, titles, source) for source in [MEAN, *trained]}
    return _template().render(
        paper=paper_table(table, gates, trained),
        per_source={SOURCE_TITLES.get(source, source): grid for source, grid in per_source.items() if grid.rows},
        seeds=", ".join(map(str, settings.seeds)),
        resamples=settings.resamples,
        runs=len(runs),
        minutes=float(runs["seconds"].sum() / 60),
        phantom=phantom,
        variants=settings.wanted(),
    )


def _cell(values: dict[tuple, pd.DataFrame], variant: str, source: str, name: str, spread: bool = True) -> str:
    """Mean over seeds, with the spread over seeds where asked; a dash where a variant was not judged on the source."""
    part = values.get((variant, source, name))
    if part is None or np.isnan(part["value"].iloc[0]):
        return DASH
    row = part.iloc[0]
    return f"{row['value']:.3f} ± {row['spread']:.3f}" if spread and not np.isnan(row["spread"]) else area(row["value"])


def difference_cell(row: pd.Series) -> str:
    """A difference with its interval and spread, starred where it is `beyond` noise; a dash where there is none."""
    if np.isnan(row["difference"]):
        return DASH
    star = " *" if row["beyond"] else ""
    spread = "" if np.isnan(row["spread"]) else f" ± {row['spread']:.3f}"
    return f"{signed(row['difference'])} ({signed(row['low'])} to {signed(row['high'])}){spread}{star}"


@cache
def _template() -> Template:
    source = (files("unichest_kedro.ablations") / "templates" / "ablations.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
