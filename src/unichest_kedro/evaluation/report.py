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

from unichest_kedro.evaluation.accounting import FATES, TOTAL, quarantine_summary, quarantine_totals
from unichest_kedro.evaluation.figures import MARKS
from unichest_kedro.evaluation.films import Film
from unichest_kedro.evaluation.metrics import MEANS, gate_summary, gate_table
from unichest_kedro.evaluation.style import finding_title, source_title

FILM_PIXELS = 288
"""Longer side of an embedded film; the page is for looking, not for reading films."""

SCREEN_DPI = 96
EM_PIXELS = 16
"""CSS's inch and the browser's default em, in pixels."""

QUARANTINE_ROWS = 40
"""Kinds of quarantine reasons shown; the rest is counted."""

CONTRADICTION_ROWS = 40
"""Contradictions shown, the most frequent first; the rest is counted."""

PAIR_EXAMPLES = 3
"""Pairs of films shown for each pair of sources that share any."""

CAPTIONS = {
    "coverage": "What each source says of each finding, all splits together: the bar is the share of its images, the "
    "number counts the positive ones. An empty cell means that the source does not annotate the finding.",
    "leakage": "Films of validation and test splits (columns) that are training films (rows) as well. They count "
    "where the model was trained on the source of the row. A dashed frame: the two sources are known to share films.",
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
    "sources": ("source", "origin", "phantom", "trained_on", "splits"),
    "models": ("model", "description", "parameters", "fingerprint"),
    "stages": ("stage", "epochs", "steps", "best_epoch", "best_auroc", "stopped", "seconds"),
    "macro": ("model", "source", "trained_on", "auroc", "findings", "left_out", "low", "high"),
    "test_films": ("source", "trained_on", "films", "leaked"),
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
            `phantom` and `trained_on` (bool), `splits` in words.
        macro: `metrics.macro_table` with intervals.
        differences: Heading ("Conquer + Divide minus Conquer continued") -> `metrics.difference_table`.
        metrics: `Metrics` of the test split.
        gates: `Gates` of the models with experts; may be empty.
        accounting: `accounting.account`.
        quarantine: `Quarantine` of all sources and stages.
        coverage: `Coverage`.
        teachers: `Teachers`.
        contradictions: `Contradictions` of all sources.
        leakage_summary: `LeakageSummary`.
        leakage_pairs: `LeakagePairs`.
        test_films: `leaks.count_test_films`.
        leave_out_leaked: Whether leaked films are left out of every metric, figure and film shown.
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
    teachers: pd.DataFrame
    contradictions: pd.DataFrame
    leakage_summary: pd.DataFrame
    leakage_pairs: pd.DataFrame
    test_films: pd.DataFrame
    leave_out_leaked: bool
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
        percent=_percent,
        source=source_title,
        finding=finding_title,
    )
    plain = {field.name: getattr(content, field.name) for field in fields(content)}
    return environment.get_template("report.html.j2").render(plain | _views(content))


def summary_text(macro: pd.DataFrame, *notes: str) -> str:
    """The short tables printed at the end of a run: a row per model, AUROC per source and their mean.

    Sources that were trained on and zero-shot sources have a table each.

    Args:
        macro: `metrics.macro_table`.
        notes: Lines to stand below, such as that the sources are phantoms.
    """
    headings = {True: "Test AUROC", False: "Zero-shot AUROC"}
    tables = [
        _plain_table(part, headings[bool(trained_on)], MEANS[bool(trained_on)])
        for trained_on, part in sorted(macro.groupby("trained_on"), key=lambda group: not group[0])
    ]
    return "\n\n".join(tables) + "".join(f"\n{note}" for note in notes if note)


def leaked_in_words(test_films: pd.DataFrame, leave_out_leaked: bool) -> str:
    """One sentence on the test films that training has seen: how many, of which sources, and what is done.

    Args:
        test_films: `leaks.count_test_films`.
        leave_out_leaked: Whether they are left out.
    """
    some = test_films[test_films["leaked"] > 0]
    if some.empty:
        return "No test film was found among the films trained on."
    count, films = int(some["leaked"].sum()), int(test_films["films"].sum())
    of_each = ", ".join(f"{source_title(source)} {leaked:,}" for source, leaked in zip(some["source"], some["leaked"]))
    done = "left out" if leave_out_leaked else "NOT left out, so that these numbers are too high"
    verb = "is" if count == 1 else "are"
    return f"{count:,} of {films:,} test films {verb} also among the films trained on ({of_each}): {done}."


def _plain_table(macro: pd.DataFrame, heading: str, mean: str) -> str:
    wide = macro.pivot(index="model", columns="source", values="auroc")
    models, sources = list(macro["model"].unique()), list(macro["source"].unique())
    header = [heading, *("mean" if source == mean else source_title(source) for source in sources)]
    rows = [header, *([model, *(_area(wide.loc[model, source]) for source in sources)] for model in models)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(header))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def _views(content: ReportContent) -> dict[str, object]:
    """What the template shows beside the content itself: tables as rows, figures and films as data URIs."""
    phantoms = content.sources["phantom"].to_numpy(dtype=bool)
    reasons = quarantine_summary(content.quarantine)
    contradictions = content.contradictions.sort_values("count", ascending=False, kind="stable")
    return {
        "all_phantom": bool(phantoms.all()),
        "any_phantom": bool(phantoms.any()),
        "source_rows": _records(content.sources),
        "headlines": [_headline(content.macro, trained_on) for trained_on in (True, False)],
        "models_in_order": list(content.macro["model"].unique()),
        "leaked_words": leaked_in_words(content.test_films, content.leave_out_leaked),
        "leaked_count": int(content.test_films["leaked"].sum()),
        "test_film_rows": _records(content.test_films),
        "without_test_films": _without_test_films(content),
        "left_out": _left_out(content.macro),
        "difference_rows": [(name, _records(table)) for name, table in content.differences.items()],
        "per_source": list(_per_source(content.metrics)),
        "fates": _fates(content.accounting),
        "account_rows": _records(content.accounting),
        "quarantine_stages": [name for name in quarantine_totals(content.quarantine).columns if name != "source"],
        "quarantine_totals": _records(quarantine_totals(content.quarantine)),
        "total": TOTAL,
        "quarantine_rows": _records(reasons.head(QUARANTINE_ROWS)),
        "quarantine_rest": len(reasons) - QUARANTINE_ROWS,
        "coverage_sources": list(content.coverage["source"].unique()),
        "coverage_rows": _coverage_rows(content.coverage),
        "taught_by_one": _taught_by_one(content.teachers),
        "one_sided": _records(content.teachers[content.teachers["verdict"] == "one-sided"]),
        "untaught": list(content.teachers.loc[content.teachers["verdict"] == "untaught", "finding"]),
        "contradiction_rows": _records(contradictions.head(CONTRADICTION_ROWS)),
        "contradiction_rest": len(contradictions) - CONTRADICTION_ROWS,
        "contradiction_count": int(contradictions["count"].sum()),
        "contradiction_sources": list(dict.fromkeys(contradictions["source"])),
        **_leakage(content),
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


def _headline(macro: pd.DataFrame, trained_on: bool) -> dict[str, object]:
    """Columns (the mean first, so that a phone shows it) and, per model, one cell per column; of one kind of source."""
    macro = macro[macro["trained_on"] == trained_on]
    mean = MEANS[trained_on]
    sources = [mean, *(source for source in macro["source"].unique() if source != mean)]
    cells = macro.set_index(["model", "source"])
    models = list(macro["model"].unique())
    rows = [(model, [cells.loc[(model, source)].to_dict() for source in sources]) for model in models]
    return {"trained_on": trained_on, "mean": mean, "sources": sources, "rows": rows}


def _without_test_films(content: ReportContent) -> list[str]:
    """Sources that have nothing to be judged by: no test film, or leaked ones only, which are left out."""
    films = content.test_films
    left = films["films"] - (films["leaked"] if content.leave_out_leaked else 0)
    judged = set(films.loc[left > 0, "source"])
    return [source for source in content.sources["source"] if source not in judged]


def _taught_by_one(teachers: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Each source with the findings that no other source can teach."""
    one = teachers[teachers["verdict"] == "one source"]
    return [(source, list(part["finding"])) for source, part in one.groupby("taught_by", sort=False)]


def _leakage(content: ReportContent) -> dict[str, object]:
    """Rows of the leakage section: pairs of sources with anything to tell, each source with itself, examples."""
    summary = content.leakage_summary
    within = summary["source_a"] == summary["source_b"]
    counts = ["same_pixels", "near_copies", "shared_names", "patients_in_two_splits"]
    telling = (summary[counts].sum(axis=1) > 0) | (summary["known"] != "")
    pairs = content.leakage_pairs
    ordered = [pairs[name].where(pairs["source_a"] <= pairs["source_b"], pairs[other]) for name, other in _SIDES]
    examples = pairs.groupby(ordered, sort=False).head(PAIR_EXAMPLES)
    return {
        "overlap_rows": _records(summary[telling & ~within]),
        "silent_pairs": int((~telling & ~within).sum()),
        "within_rows": _records(summary[within]),
        "pair_examples": _records(examples),
        "pair_count": len(pairs),
    }


_SIDES = (("source_a", "source_b"), ("source_b", "source_a"))


def _left_out(macro: pd.DataFrame) -> list[tuple[str, int, str]]:
    """Source, findings averaged, findings left out; the same for every model, so taken from the first."""
    first = macro[(macro["model"] == macro["model"].iloc[0]) & ~macro["source"].isin(MEANS.values())]
    # An empty text comes back from a CSV file as NaN.
    return list(zip(first["source"], first["findings"], first["left_out"].fillna("")))


def _per_source(metrics: pd.DataFrame) -> Iterator[dict[str, object]]:
    """For each source its models and one row per finding: name, positives, negatives, AUROC of each model.

    Sources that were trained on come first.
    """
    metrics = metrics.sort_values("trained_on", ascending=False, kind="stable")
    for source, part in metrics.groupby("source", sort=False):
        models = list(part["model"].unique())
        areas = part.pivot(index="finding", columns="model", values="auroc")
        first = part[part["model"] == models[0]]
        rows = [
            (finding, positive, negative, [areas.loc[finding, model] for model in models])
            for finding, positive, negative in zip(first["finding"], first["positive"], first["negative"])
        ]
        yield {"source": source, "trained_on": bool(part["trained_on"].iloc[0]), "models": models, "rows": rows}


def _fates(accounting: pd.DataFrame) -> list[tuple[str, str]]:
    """Columns of the accounting table with their titles; "no label" only where it happens."""
    return [
        (name, title) for name, title in FATE_TITLES.items() if name != "unlabelled" or accounting["unlabelled"].any()
    ]


def _coverage_rows(coverage: pd.DataFrame) -> list[tuple[str, list[dict[str, float] | None]]]:
    """Per annotated finding, for each source counts and prevalence, or None where it does not annotate the finding."""
    columns = ["positive", "negative", "unknown"]
    counts = coverage.groupby(["finding", "source"], sort=False)[columns].sum()
    told = counts["positive"] + counts["negative"]
    known = counts.assign(prevalence=counts["positive"] / told)[told > 0].to_dict("index")
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


def _percent(share: float) -> str:
    if pd.isna(share):
        return "–"
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.2g} %"


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
