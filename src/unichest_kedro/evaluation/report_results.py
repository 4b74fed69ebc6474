"""What the report shows of results: benchmarks, headline, differences, findings, thresholds, subgroups, published."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from unichest_kedro.evaluation.metrics import MEANS
from unichest_kedro.evaluation.published import published_beside
from unichest_kedro.evaluation.style import source_title
from unichest_kedro.evaluation.subgroup_figure import EVERYONE, GROUP_KINDS
from unichest_kedro.evaluation.subgroups import groups_in_order
from unichest_kedro.evaluation.summary import leaked_in_words

MEAN = "mean"
"""The finding that stands for the mean over findings in `Measures`."""

MEASURES = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "f1": "F1",
    "mcc": "MCC",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "brier": "Brier",
    "calibration_error": "ECE",
}
"""Titles of measures, in the order in which they are shown."""

AT_THRESHOLD = ("f1", "mcc", "accuracy", "sensitivity", "specificity")
"""Measures that need a threshold."""

WITH_INTERVAL = ("auroc", "average_precision")
"""Measures whose interval is shown finding by finding; those of the others are in the tables on disk."""

COMPARED = ("auroc", "average_precision", "f1", "mcc", "brier", "calibration_error")
"""Measures whose differences are shown; those of the others are in the tables on disk."""

SUBGROUP_MEASURES = ("auroc", "average_precision", "sensitivity", "specificity")


@dataclass(frozen=True, eq=False)
class Results:
    """The tables of the measuring stage.

    Attributes:
        model: The model that the page is about; others are shown beside it.
        benchmark_table: One row per benchmark: what was tested on what.
        headline: Macro AUROC with interval of each model and benchmark, and their means.
        metrics: `Metrics`.
        measures: `Measures`.
        thresholds: `Thresholds`.
        comparison: `Comparisons`.
        test_films: `leaks.count_test_films`.
        leave_out_leaked: Whether leaked films are left out of every metric, figure and film shown.
    """

    model: str
    benchmark_table: pd.DataFrame
    headline: pd.DataFrame
    metrics: pd.DataFrame
    measures: pd.DataFrame
    thresholds: pd.DataFrame
    comparison: pd.DataFrame
    test_films: pd.DataFrame
    leave_out_leaked: bool

    @property
    def titles(self) -> dict[str, str]:
        """Title of each benchmark."""
        return dict(zip(self.benchmark_table["benchmark"], self.benchmark_table["title"]))


def results_views(results: Results, sources: pd.DataFrame) -> dict[str, object]:
    """What the template shows of results.

    Args:
        results: The tables.
        sources: One row per source, of which `source, phantom` are looked at.
    """
    phantoms = set(sources.loc[sources["phantom"].astype(bool), "source"])
    table = results.benchmark_table
    return {
        "benchmark_rows": table.to_dict("records"),
        "measure_titles": MEASURES,
        "headlines": [headline_view(results.headline, kind) for kind in (True, False)],
        "models_in_order": list(results.headline["model"].unique()),
        "leaked_words": leaked_in_words(results.test_films, results.leave_out_leaked),
        "leaked_count": int(results.test_films["leaked"].sum()),
        "leave_out_leaked": results.leave_out_leaked,
        "test_film_rows": results.test_films.to_dict("records"),
        "not_judged": _not_judged(results, sources),
        "benchmark_notes": [
            (row["title"], row["notes"])
            for row in table[(table["films"] > 0) & (table["notes"] != "")].to_dict("records")
        ],
        "left_out": _left_out(results.headline),
        "comparisons": list(_comparisons(results.comparison)),
        "benchmark_tables": [_benchmark_view(results, row) for row in table[table["findings"] > 0].to_dict("records")],
        "subgroup_tables": list(subgroup_views(results)),
        "published_rows": _published(results, phantoms),
        "model": results.model,
    }


def headline_view(headline: pd.DataFrame, in_domain: bool) -> dict[str, object]:
    """Columns (the mean first, so that a phone shows it) and, per model, one cell per column; of one kind of source.

    `without` of a cell names the benchmarks that a model's mean lacks and another's may have.
    """
    block = headline[headline["in_domain"] == in_domain]
    mean = MEANS[in_domain]
    benchmarks = [name for name in block["benchmark"].unique() if name != mean]
    columns = [mean, *benchmarks] if (block["benchmark"] == mean).any() else benchmarks
    cells = {(row["model"], row["benchmark"]): row | _without(row, mean) for row in block.to_dict("records")}
    rows = [(model, [cells.get((model, name)) for name in columns]) for model in block["model"].unique()]
    apart = set(block.loc[~block["in_mean"].astype(bool) & (block["benchmark"] != mean), "benchmark"])
    return {"in_domain": in_domain, "mean": mean, "columns": columns, "rows": rows, "apart": apart}


def _without(row: dict[str, object], mean: str) -> dict[str, list[str]]:
    # An empty text comes back from a CSV file as NaN.
    lacks = row["benchmark"] == mean and not pd.isna(row["left_out"]) and row["left_out"] != ""
    return {"without": str(row["left_out"]).split(", ") if lacks else []}


def subgroup_views(results: Results) -> Iterator[dict[str, object]]:
    """For each benchmark with subgroups: one row per group, its patients and a cell per measure, of the model."""
    measures = results.measures
    chosen = measures[
        (measures["model"] == results.model)
        & (measures["finding"] == MEAN)
        & (measures["group_kind"] != EVERYONE)
        & measures["measure"].isin(SUBGROUP_MEASURES)
    ]
    for benchmark in results.benchmark_table["benchmark"]:
        part = chosen[chosen["benchmark"] == benchmark]
        rows = []
        for kind, words in GROUP_KINDS.items():
            of_kind = part[part["group_kind"] == kind]
            for group in groups_in_order(of_kind["group"]):
                cells = {row["measure"]: row for row in of_kind[of_kind["group"] == group].to_dict("records")}
                patients = max((row["patients"] for row in cells.values()), default=float("nan"))
                shown = [_cell(cells.get(name)) for name in SUBGROUP_MEASURES]
                rows.append({"kind": words, "group": group, "patients": patients, "cells": shown})
        if rows:
            yield {"benchmark": benchmark, "columns": [MEASURES[name] for name in SUBGROUP_MEASURES], "rows": rows}


def _benchmark_view(results: Results, benchmark: dict[str, object]) -> dict[str, object]:
    """One benchmark: a row per finding with all measures of the model, and AUROC of every model."""
    name = benchmark["benchmark"]
    measures = results.measures
    everyone = measures[
        (measures["benchmark"] == name) & (measures["model"] == results.model) & (measures["group_kind"] == EVERYONE)
    ]
    thresholds = results.thresholds
    thresholds = thresholds[(thresholds["benchmark"] == name) & (thresholds["model"] == results.model)]
    threshold_of = {row["finding"]: row for row in thresholds.to_dict("records")}
    shown = [measure for measure in MEASURES if measure != "accuracy" and (everyone["measure"] == measure).any()]
    findings = [finding for finding in everyone["finding"].unique() if finding != MEAN]
    rows = [
        _finding_row(everyone[everyone["finding"] == finding], shown, threshold_of.get(finding)) for finding in findings
    ]
    mean = everyone[everyone["finding"] == MEAN]
    return {
        **benchmark,
        "columns": [(measure, MEASURES[measure]) for measure in shown],
        "findings_rows": rows,
        "mean_row": _finding_row(mean, shown, None) if len(mean) else None,
        "origins": list(dict.fromkeys(thresholds.loc[thresholds["threshold"].notna(), "threshold_from"])),
        "criteria": list(dict.fromkeys(thresholds["criterion"])),
        "models": _models_view(results.metrics[results.metrics["benchmark"] == name]),
    }


def _finding_row(part: pd.DataFrame, shown: list[str], threshold: dict[str, object] | None) -> dict[str, object]:
    """One finding: counts, threshold and a cell per measure; `why` where not one of them is defined."""
    of_measure = {row["measure"]: row for row in part.to_dict("records")}
    first = next(iter(of_measure.values()))
    cells = [_cell(of_measure.get(measure), threshold) for measure in shown]
    reasons = {cell["why"] for cell in cells}
    return {
        "finding": first["finding"],
        "positive": first["positive"],
        "negative": first["negative"],
        "averaged": first["findings"],
        "threshold": threshold,
        "cells": cells,
        "why": next(iter(reasons)) if len(reasons) == 1 and "" not in reasons else "",
    }


def _cell(row: dict[str, object] | None, threshold: dict[str, object] | None = None) -> dict[str, object]:
    """Value, limits where they are shown, why there is none ("" where there is), how many findings it averages."""
    nothing = float("nan")
    if row is None:
        return {"value": nothing, "low": nothing, "high": nothing, "why": "not measured", "averaged": 0}
    whole = row["measure"] in WITH_INTERVAL or row["group_kind"] != EVERYONE
    low, high = (row["low"], row["high"]) if whole else (nothing, nothing)
    why = _why(row, threshold)
    return {"value": row["value"], "low": low, "high": high, "why": why, "averaged": row["findings"]}


def _why(row: dict[str, object], threshold: dict[str, object] | None) -> str:
    if not pd.isna(row["value"]):
        return ""
    needs = row["measure"] in AT_THRESHOLD
    if row["finding"] == MEAN:  # its positives are those of the findings that have both classes
        return "no threshold" if needs and row["positive"] else "no finding has both"
    if row["positive"] == 0:
        return "no positive"
    if row["negative"] == 0:
        return "no negative"
    return "no threshold" if needs and (threshold is None or pd.isna(threshold["threshold"])) else "not defined"


def _models_view(metrics: pd.DataFrame) -> dict[str, object] | None:
    """AUROC of every model and finding; None where there is a single model."""
    models = list(metrics["model"].unique())
    if len(models) < 2:
        return None
    areas = metrics.pivot(index="finding", columns="model", values="auroc")
    rows = [(finding, [areas.loc[finding, model] for model in models]) for finding in metrics["finding"].unique()]
    return {"models": models, "rows": rows}


def _comparisons(comparison: pd.DataFrame) -> Iterator[dict[str, object]]:
    """For each pair of models: a row per benchmark, a cell per measure."""
    for (model, against), part in comparison.groupby(["model", "against"], sort=False):
        measures = [measure for measure in COMPARED if (part["measure"] == measure).any()]
        cells = {(row["benchmark"], row["measure"]): row for row in part.to_dict("records")}
        rows = [(name, [cells.get((name, measure)) for measure in measures]) for name in part["benchmark"].unique()]
        yield {"model": model, "against": against, "columns": [MEASURES[name] for name in measures], "rows": rows}


def _notes(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Title of and notes on every benchmark that was judged by something."""
    noted = table[(table["films"] > 0) & (table["notes"] != "")]
    return list(zip(noted["title"], noted["notes"]))


def _not_judged(results: Results, sources: pd.DataFrame) -> list[tuple[str, str]]:
    """Benchmarks and sources that nothing was judged by, with the reason in words."""
    table = results.benchmark_table
    empty = table[table["films"] == 0].to_dict("records")
    rows = [(row["title"], row["notes"] or _no_films(row["films_left_out_leaked"])) for row in empty]
    missing = [source for source in sources["source"] if source not in set(table["source"])]
    return rows + [(source_title(source), _no_films(0)) for source in missing]


def _no_films(leaked: int) -> str:
    return "All its test films were trained on." if leaked else "It has no test film."


def _left_out(headline: pd.DataFrame) -> list[tuple[str, int, str]]:
    """Benchmark, findings averaged, findings left out; the same for every model, so taken from the first."""
    first = headline[(headline["model"] == headline["model"].iloc[0]) & ~headline["benchmark"].isin(MEANS.values())]
    # An empty text comes back from a CSV file as NaN.
    return list(zip(first["benchmark"], first["findings"], first["left_out"].fillna("")))


def _published(results: Results, phantoms: set[str]) -> list[dict[str, object]]:
    """Published numbers with, beside each, this run's of the same benchmark and measure."""
    rows = published_beside(results.benchmark_table, phantoms)
    measures = results.measures
    ours = measures[
        (measures["model"] == results.model) & (measures["finding"] == MEAN) & (measures["group_kind"] == EVERYONE)
    ]
    values = {(row["benchmark"], row["measure"]): row for row in ours.to_dict("records")}
    return [row | {"ours": values.get((row["benchmark"], row["measure"]))} for row in rows.to_dict("records")]
