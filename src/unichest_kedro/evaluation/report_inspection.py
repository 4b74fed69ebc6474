"""What the report shows of looks into the model: heat maps against boxes, experts, gate, calibration."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

MEAN = "mean"

LOCALISATION = {"pointing": "Pointing game", "iou": "IoU", "mean_iou": "Mean IoU"}
"""Measures of a heat map and their titles."""


@dataclass(frozen=True, eq=False)
class Inspection:
    """The tables of the inspecting stage; each may be empty.

    Attributes:
        localisation: `LocalisationMetrics` of the model and of priors.
        localisation_comparison: `LocalisationDifferences`, the model minus each prior.
        boxes_left_out: `BoxesLeftOut`.
        expert_aurocs: `ExpertAurocs`.
        expert_comparison: `ExpertDifferences`.
        gate_by_source: `GateBySource`.
        gate_summary: `GateSummary`.
        calibration_table: `CalibrationTable`.
    """

    localisation: pd.DataFrame
    localisation_comparison: pd.DataFrame
    boxes_left_out: pd.DataFrame
    expert_aurocs: pd.DataFrame
    expert_comparison: pd.DataFrame
    gate_by_source: pd.DataFrame
    gate_summary: pd.DataFrame
    calibration_table: pd.DataFrame


def inspection_views(inspection: Inspection) -> dict[str, object]:
    """What the template shows of it."""
    return {
        "localisation_titles": LOCALISATION,
        "localisation_tables": list(_localisation(inspection.localisation)),
        "localisation_differences": list(_differences(inspection.localisation_comparison)),
        "boxes_left_out_rows": inspection.boxes_left_out.to_dict("records"),
        "expert_table": _experts(inspection.expert_aurocs),
        "expert_differences": _expert_differences(inspection.expert_comparison),
        "gate_rows": list(_gate(inspection.gate_by_source)),
        "gate_summaries": inspection.gate_summary.to_dict("records"),
        "calibration_rows": calibrated(inspection.calibration_table).to_dict("records"),
        "uncalibrated_rows": inspection.calibration_table[inspection.calibration_table["left_out"] != ""].to_dict(
            "records"
        ),
    }


def calibrated(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `CalibrationTable` of findings that could be calibrated."""
    return table[table["left_out"] == ""]


def _localisation(table: pd.DataFrame) -> Iterator[dict[str, object]]:
    """For each source: rows of the mean over findings (the model first), and rows of each finding."""
    table = table[table["split"] == "test"]
    for source, part in table.groupby("source", sort=False):
        of_finding = part[part["finding"] != MEAN].sort_values("finding", kind="stable")
        yield {
            "source": source,
            "means": part[part["finding"] == MEAN].to_dict("records"),
            "rows": of_finding.to_dict("records"),
        }


def _differences(table: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Differences of the means over findings: one row per source and prior."""
    table = table[(table["split"] == "test") & (table["finding"] == MEAN)]
    yield from table.to_dict("records")


def _experts(table: pd.DataFrame) -> dict[str, object]:
    """AUROC of each variant (rows) and source (columns)."""
    cells = {(row["variant"], row["source"]): row for row in table.to_dict("records")}
    sources = list(table["source"].unique())
    rows = [(variant, [cells.get((variant, source)) for source in sources]) for variant in table["variant"].unique()]
    return {"sources": sources, "rows": rows}


def _expert_differences(table: pd.DataFrame) -> dict[str, object]:
    """Difference of each variant to the mixture, laid out as the AUROCs."""
    return _experts(table)


def _gate(table: pd.DataFrame) -> Iterator[dict[str, object]]:
    """One row per source: its images, the weight of each expert, and how sharp the gate is."""
    for (model, source), part in table.groupby(["model", "source"], sort=False):
        first = part.iloc[0]
        weights = part.sort_values("expert").to_dict("records")
        yield {
            "model": model,
            "source": source,
            "images": first["images"],
            "weights": weights,
            "sharpness": first["sharpness"],
        }
