"""The HTML report: one self-contained page of tables, figures and films."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.examples import in_words
from unichest_kedro.evaluation.formats import FILTERS
from unichest_kedro.evaluation.page_pictures import data_address, figure_picture
from unichest_kedro.evaluation.report_data import Data, data_views
from unichest_kedro.evaluation.report_inspection import Inspection, inspection_views
from unichest_kedro.evaluation.report_results import Results, results_views
from unichest_kedro.evaluation.style import finding_title, source_title

PAGE_LIMIT = 8_000_000
"""Bytes of the page at most, so that it can be mailed and opened on a phone."""

ROOM = ((None, 1.0), (4, 1.0), (4, 0.7), (0, 0.5))
"""What is tried in turn until the page fits: examples per benchmark (None: all), and the scale of figures."""

CAPTIONS = {
    "forest": "Macro AUROC of each benchmark and model with its 95 % interval.",
    "findings": "Test AUROC of each finding, benchmark and model. A finding without a dot has no positive or no "
    "negative test film there, or is not asked in that benchmark.",
    "roc": "ROC curves on the test films: mean over the findings at equal false positive rate for each model, and in "
    "grey each finding.",
    "precision_recall": "Precision-recall curves on the test films: mean over the findings at equal recall for each "
    "model, and in grey each finding. Precision depends on how common a finding is in the benchmark.",
    "calibration": "Reliability of the answers, all findings of a benchmark pooled: as the model gives them, and after "
    "the calibration that was fitted on validation films, of which all findings were asked at once.",
    "subgroups": "Macro AUROC by sex, age band and view. Groups differ in which findings they have and how severe "
    "these are, not only in how well the model does.",
    "localisation": "Heat maps against the boxes of readers, beside priors that do not look at the film.",
    "localisation_examples": "Films with the boxes of readers and the heat map of the boxed finding.",
    "experts": "AUROC of the mixture, of each network alone and of the mixture without one, by source: over all "
    "findings that it is asked, also those that its benchmarks leave out.",
    "gates": "Mean weight that the gate gives each expert, by source.",
    "coverage": "What each source says of each finding, all splits together: the bar is the share of its images, the "
    "number counts the positive ones. An empty cell means that the source does not annotate the finding.",
    "leakage": "Films of validation and test splits (columns) that are training films (rows) as well. They count "
    "where the model was trained on the source of the row. A dashed frame: the two sources are known to share films.",
    "training": "Training losses and validation AUROC per epoch. The star marks the epoch with the best mean "
    "validation AUROC, whose weights were kept.",
}
"""Figures the report knows, with their captions."""


@dataclass(frozen=True, eq=False)
class Run:
    """How the page came about.

    Attributes:
        title: Heading of the page.
        created: Date and time, as it is to be read.
        stages: One row per training stage in order: `stage, epochs` run, `steps, best_epoch, best_auroc`
            (validation), `stopped` ("plateau" or "epochs"), `seconds`.
        models: One row per model: `model, description, parameters` (count), `fingerprint` of the weights.
        settings: The effective parameters as YAML.
        versions: Python, platform and packages, by name.
        seed: Seed of the run.
        seconds: Wall time of the training, NaN where unknown.
    """

    title: str
    created: str
    stages: pd.DataFrame
    models: pd.DataFrame
    settings: str
    versions: Mapping[str, str]
    seed: int
    seconds: float


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Everything the report shows.

    Attributes:
        run: How the page came about.
        data: The tables about data.
        results: The tables of the measuring stage.
        inspection: The tables of the inspecting stage.
        figures: Any of `CAPTIONS` -> the figure's PNG.
        examples: `examples.with_pictures`.

    Raises:
        ValueError: A figure has no caption.
    """

    run: Run
    data: Data
    results: Results
    inspection: Inspection
    figures: Mapping[str, bytes]
    examples: pd.DataFrame

    def __post_init__(self) -> None:
        unknown = set(self.figures) - set(CAPTIONS)
        if unknown:
            raise ValueError(f"report figures {sorted(unknown)} have no caption; known are {list(CAPTIONS)}")


def render_report(content: ReportContent, limit: int = PAGE_LIMIT) -> str:
    """The report as one HTML page that needs no network and no script; all text is escaped.

    A page that would be too large has fewer examples and coarser figures, and says so.

    Args:
        content: What it shows.
        limit: Bytes at most.

    Raises:
        UniChestError: The tables alone take more.
    """
    template = page_environment().get_template("report.html.j2")
    views = (
        vars(content.run)
        | data_views(content.data)
        | results_views(content.results, content.data.sources)
        | inspection_views(content.inspection)
        | {
            "unfinished": list(content.run.stages.loc[content.run.stages["stopped"] != "plateau", "stage"]),
            "stage_rows": content.run.stages.to_dict("records"),
            "model_rows": content.run.models.to_dict("records"),
        }
    )
    titles = content.results.titles
    for examples_shown, scale in ROOM:
        pictures = {name: figure_picture(png, CAPTIONS[name], scale) for name, png in content.figures.items()}
        page = template.render(
            views,
            pictures=pictures,
            titles=titles,
            coarser=scale < 1,
            nothing=float("nan"),
            **_examples(content.examples, examples_shown),
        )
        if len(page.encode()) <= limit:
            return page
    raise UniChestError(
        f"the report would take {len(page.encode()) / 1e6:.1f} MB even without films, more than {limit / 1e6:.1f} MB; "
        "name fewer benchmarks or findings under `benchmarks` in conf/local/parameters.yml"
    )


def page_environment(autoescape: bool = True) -> Environment:
    """Templates of this package with the project's ways of writing numbers and names.

    Args:
        autoescape: Whether all text is escaped for HTML.
    """
    environment = Environment(
        loader=PackageLoader("unichest_kedro.evaluation"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS, source=source_title, finding=finding_title)
    return environment


def _examples(examples: pd.DataFrame, shown: int | None) -> dict[str, object]:
    """Examples by benchmark as the template wants them, and how many there was no room for."""
    kept = examples if shown is None else examples.groupby("benchmark", sort=False).head(shown)
    groups = [(name, list(_example_rows(part))) for name, part in kept.groupby("benchmark", sort=False)]
    return {"example_groups": groups, "examples_left_out": len(examples) - len(kept)}


def _example_rows(examples: pd.DataFrame) -> Iterator[dict[str, object]]:
    for row in examples.to_dict("records"):
        pictures = {name: data_address("jpeg", row[name]) for name in ("film", "heat")}
        yield row | pictures | {"words": in_words(row)}
