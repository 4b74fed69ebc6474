"""The HTML report, one self-contained page of tables, figures and films, and the short text summary."""

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from unichest_kedro.evaluation.accounting import FATES, quarantine_summary
from unichest_kedro.evaluation.figures import MARKS
from unichest_kedro.evaluation.films import Film
from unichest_kedro.evaluation.metrics import MEAN, gate_summary, gate_table
from unichest_kedro.evaluation.style import finding_title, source_title

FILM_PIXELS = 288
"""Longer side of an embedded film; the page is for looking, not for reading films."""

SCREEN_DPI = 96
EM_PIXELS = 16
"""CSS's inch and the browser's default em, in pixels."""

QUARANTINE_ROWS = 40
"""Kinds of quarantine reasons shown; the rest is counted."""

CAPTIONS = {
    "coverage": "Share of each source's images that are labelled positive, negative or unknown, all splits "
    "together. The number beside a bar counts the positive images; no bar means that the source does not "
    "annotate the finding.",
    "training": "Training losses and validation AUROC per epoch. The star marks the epoch with the best mean "
    "validation AUROC, whose weights were kept.",
    "roc": "ROC curves on the test images: mean over the findings at equal false positive rate for each "
    "model, and in grey each finding for the last model.",
    "auroc": "Test AUROC of each finding, source and model. A finding without a dot has no positive or no "
    "negative test image there, or is not annotated by that source.",
    "gates": "Mean weight that the gate gives each expert, by source. Sharpness is the mean of the largest weight.",
}
"""Figures the report knows, with their captions."""

COLUMNS = {
    "sources": ("source", "origin", "phantom", "splits"),
    "models": ("model", "description", "parameters", "fingerprint"),
    "stages": ("stage", "epochs", "steps", "best_epoch", "best_auroc", "stopped", "seconds"),
    "macro": ("model", "source", "auroc", "findings", "left_out", "low", "high"),
    "accounting": ("source", "listed", *FATES),
}
"""Columns that the report needs of the tables that have no schema of their own."""

FATE_TITLES = {
    "listed": "Listed",
    "missing": "Not on disk",
    "rejected": "Row or path rejected",
    "unreadable": "Unreadable",
    "unlabelled": "No label",
    "other_view": "Other view, set aside",
    "train": "Train",
    "val": "Validation",
    "test": "Test",
}


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Everything the report shows.

    Attributes:
        title: Heading of the page.
        created: Date and time, as it is to be read.
        sources: One row per source: `source` key, `origin` in words (a folder's name, "phantoms, seed 42"),
            `phantom` (bool), `splits` in words.
        macro: `metrics.macro_table` with intervals.
        differences: Heading ("Conquer + Divide minus Conquer continued") -> `metrics.difference_table`.
        metrics: `Metrics` of the test split.
        gates: `Gates` of the models with experts; may be empty.
        accounting: `accounting.account`.
        quarantine: `Quarantine` of all sources and stages.
        coverage: `Coverage`.
        stages: One row per training stage in order: `stage, epochs` run, `steps, best_epoch, best_auroc`
            (validation), `stopped` ("plateau" or "epochs"), `seconds`.
        models: One row per model: `model, description, parameters` (count), `fingerprint` of the weights.
        figures: Any of `CAPTIONS` -> figure, or its PNG.
        films: Example films of the last model.
        settings: The effective parameters as YAML.
        versions: Package -> version.
        seed: Seed of the run.
        seconds: Wall time of the run, NaN where unknown.

    Raises:
        ValueError: A table lacks a column of `COLUMNS`, or a figure has no caption.
    """

    title: str
    created: str
    sources: pd.DataFrame
    macro: pd.DataFrame
    differences: Mapping[str, pd.DataFrame]
    metrics: pd.DataFrame
    gates: pd.DataFrame
    accounting: pd.DataFrame
    quarantine: pd.DataFrame
    coverage: pd.DataFrame
    stages: pd.DataFrame
    models: pd.DataFrame
    figures: Mapping[str, Figure | bytes]
    films: tuple[Film, ...]
    settings: str
    versions: Mapping[str, str]
    seed: int
    seconds: float

    def __post_init__(self) -> None:
        for name, columns in COLUMNS.items():
            missing = [column for column in columns if column not in getattr(self, name).columns]
            if missing:
                raise ValueError(f"report table {name!r} lacks the columns {missing}; it needs {list(columns)}")
        unknown = set(self.figures) - set(CAPTIONS)
        if unknown:
            raise ValueError(f"report figures {sorted(unknown)} have no caption; known are {list(CAPTIONS)}")


def render_report(content: ReportContent) -> str:
    """The report as one HTML page that needs no network and no script; all text is escaped."""
    environment = Environment(
        loader=PackageLoader("unichest_kedro.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        area=_area,
        signed=_signed,
        count=_count,
        duration=_duration,
        source=source_title,
        finding=finding_title,
    )
    plain = {field.name: getattr(content, field.name) for field in fields(content)}
    return environment.get_template("report.html.j2").render(plain | _views(content))


def summary_text(macro: pd.DataFrame, note: str = "") -> str:
    """The short table printed at the end of a run: a row per model, AUROC per source and their mean.

    Args:
        macro: `metrics.macro_table`.
        note: A line to stand below, such as that the sources are phantoms.
    """
    wide = macro.pivot(index="model", columns="source", values="auroc")
    models, sources = list(macro["model"].unique()), list(macro["source"].unique())
    header = ["Test AUROC", *("mean" if source == MEAN else source_title(source) for source in sources)]
    rows = [header, *([model, *(_area(wide.loc[model, source]) for source in sources)] for model in models)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(header))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines + ([note] if note else []))


def _views(content: ReportContent) -> dict[str, object]:
    """What the template shows beside the content itself: tables as rows, figures and films as data URIs."""
    phantoms = content.sources["phantom"].to_numpy(dtype=bool)
    reasons = quarantine_summary(content.quarantine)
    return {
        "all_phantom": bool(phantoms.all()),
        "any_phantom": bool(phantoms.any()),
        "source_rows": _records(content.sources),
        "headline": _headline(content.macro),
        "left_out": _left_out(content.macro),
        "difference_rows": [(name, _records(table)) for name, table in content.differences.items()],
        "per_source": list(_per_source(content.metrics)),
        "fates": _fates(content.accounting),
        "account_rows": _records(content.accounting),
        "quarantine_rows": _records(reasons.head(QUARANTINE_ROWS)),
        "quarantine_rest": len(reasons) - QUARANTINE_ROWS,
        "coverage_sources": list(content.coverage["source"].unique()),
        "coverage_rows": _coverage_rows(content.coverage),
        "stage_rows": _records(content.stages),
        "unfinished": list(content.stages.loc[content.stages["stopped"] != "plateau", "stage"]),
        "model_rows": _records(content.models),
        "gate_rows": _records(gate_summary(content.gates)) if len(content.gates) else [],
        "gate_sources": _records(gate_table(content.gates)) if len(content.gates) else [],
        "pictures": {name: _picture(figure, CAPTIONS[name]) for name, figure in content.figures.items()},
        "film_rows": [(source, list(_film_rows(content.films, source))) for source in _film_sources(content)],
        "marks": MARKS,
    }


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    return table.to_dict("records")


def _headline(macro: pd.DataFrame) -> dict[str, object]:
    """Columns (the mean first, so that a phone shows it) and, per model, one cell per column."""
    sources = [MEAN, *(source for source in macro["source"].unique() if source != MEAN)]
    cells = macro.set_index(["model", "source"])
    models = list(macro["model"].unique())
    rows = [(model, [cells.loc[(model, source)].to_dict() for source in sources]) for model in models]
    return {"sources": sources, "rows": rows}


def _left_out(macro: pd.DataFrame) -> list[tuple[str, int, str]]:
    """Source, findings averaged, findings left out; the same for every model, so taken from the first."""
    first = macro[(macro["model"] == macro["model"].iloc[0]) & (macro["source"] != MEAN)]
    # An empty text comes back from a CSV file as NaN.
    return list(zip(first["source"], first["findings"], first["left_out"].fillna("")))


def _per_source(metrics: pd.DataFrame) -> Iterator[dict[str, object]]:
    """For each source its models and one row per finding: name, positives, negatives, AUROC of each model."""
    for source, part in metrics.groupby("source", sort=False):
        models = list(part["model"].unique())
        areas = part.pivot(index="finding", columns="model", values="auroc")
        first = part[part["model"] == models[0]]
        rows = [
            (finding, positive, negative, [areas.loc[finding, model] for model in models])
            for finding, positive, negative in zip(first["finding"], first["positive"], first["negative"])
        ]
        yield {"source": source, "models": models, "rows": rows}


def _fates(accounting: pd.DataFrame) -> list[tuple[str, str]]:
    """Columns of the accounting table with their titles; "no label" only where it happens."""
    return [
        (name, title) for name, title in FATE_TITLES.items() if name != "unlabelled" or accounting["unlabelled"].any()
    ]


def _coverage_rows(coverage: pd.DataFrame) -> list[tuple[str, list[dict[str, int] | None]]]:
    """Per annotated finding, for each source its counts or None where it does not annotate the finding."""
    columns = ["positive", "negative", "unknown"]
    counts = coverage.groupby(["finding", "source"], sort=False)[columns].sum()
    known = counts[counts["positive"] + counts["negative"] > 0].to_dict("index")
    findings = dict.fromkeys(finding for finding, _ in known)
    sources = list(coverage["source"].unique())
    return [(finding, [known.get((finding, source)) for source in sources]) for finding in findings]


def _film_sources(content: ReportContent) -> list[str]:
    return list(dict.fromkeys(film.source for film in content.films))


def _film_rows(films: tuple[Film, ...], source: str) -> Iterator[tuple[Film, str]]:
    for film in films:
        if film.source == source:
            yield film, _film_png(film.image)


class Picture(NamedTuple):
    """A figure on the page: its data URI, its caption, and the width in em beyond which it is not enlarged."""

    address: str
    caption: str
    largest: float


def _picture(figure: Figure | bytes, caption: str) -> Picture:
    png = figure if isinstance(figure, bytes) else _png(figure)
    with Image.open(io.BytesIO(png)) as image:
        inches = image.width / image.info.get("dpi", (SCREEN_DPI, SCREEN_DPI))[0]
    return Picture(_data_uri(png), caption, round(inches * SCREEN_DPI / EM_PIXELS, 1))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _film_png(image: np.ndarray) -> str:
    film = Image.fromarray(image)
    film.thumbnail((FILM_PIXELS, FILM_PIXELS))
    buffer = io.BytesIO()
    film.save(buffer, format="PNG", optimize=True)
    return _data_uri(buffer.getvalue())


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _area(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"


def _signed(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:+.3f}".replace("-", "−")


def _count(value: float) -> str:
    return "–" if pd.isna(value) else f"{int(value):,}"


def _duration(seconds: float) -> str:
    if pd.isna(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
