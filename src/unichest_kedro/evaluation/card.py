"""The model card: training data, intended use, limits and numbers of a model, from the tables of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from huggingface_hub import EvalResult, ModelCardData

from unichest_kedro.evaluation.metrics import MEANS
from unichest_kedro.evaluation.report import page_environment
from unichest_kedro.evaluation.report_inspection import MEAN, Inspection, calibrated
from unichest_kedro.evaluation.report_results import Results, headline_view, subgroup_views

NAME = "UniChest chest X-ray model"
TAGS = ["chest-x-ray", "radiology", "medical", "multi-label", "zero-shot"]


@dataclass(frozen=True, eq=False)
class CardContent:
    """Everything the card shows.

    Attributes:
        facts: `UniChest.facts` of the model.
        findings: All findings that the model knows by name.
        shape: Its settings, name to value.
        parameters: How many numbers it has learnt.
        fingerprint: Digest of its weights.
        sources: As in `report_data.Data`, of which `source, phantom` are looked at.
        teachers: `Teachers`.
        results: The tables of the measuring stage; `results.model` is the model's title in them.
        inspection: The tables of the inspecting stage.
        data_fingerprints: `provenance.fingerprints`.
        versions: Python, platform and packages, by name.
        created: Date, as it is to be read.
    """

    facts: Mapping[str, Any]
    findings: Sequence[str]
    shape: Mapping[str, Any]
    parameters: int
    fingerprint: str
    sources: pd.DataFrame
    teachers: pd.DataFrame
    results: Results
    inspection: Inspection
    data_fingerprints: pd.DataFrame
    versions: Mapping[str, str]
    created: str


def render_card(content: CardContent) -> str:
    """The card as Markdown with the front matter that the Hugging Face hub reads."""
    results, facts = content.results, content.facts
    asked = list(facts.get("findings_asked", ()))
    phantoms = set(content.sources.loc[content.sources["phantom"].astype(bool), "source"])
    calibration = calibrated(content.inspection.calibration_table)
    environment = page_environment(autoescape=False)
    return environment.get_template("card.md.j2").render(
        name=NAME,
        front_matter=_front_matter(results, phantoms),
        facts=facts,
        shape=content.shape,
        parameters=content.parameters,
        fingerprint=content.fingerprint,
        phantoms=phantoms,
        trained_on_phantoms=list(facts.get("phantoms", ())),
        asked=asked,
        never_asked=[finding for finding in content.findings if finding not in asked],
        of_one_source=content.teachers[content.teachers["verdict"] == "one source"].to_dict("records"),
        headlines=[headline_view(results.headline, kind) for kind in (True, False)],
        model=results.model,
        titles=results.titles,
        benchmark_rows=results.benchmark_table.to_dict("records"),
        subgroup_tables=list(subgroup_views(results)),
        threshold_origins=_threshold_origins(results),
        calibration_origins=list(dict.fromkeys(calibration["origin"])),
        calibrated=len(calibration),
        localisation_rows=_localisation(content.inspection.localisation),
        leave_out_leaked=results.leave_out_leaked,
        fingerprint_rows=content.data_fingerprints.to_dict("records"),
        versions=content.versions,
        created=content.created,
        nothing=float("nan"),
    )


def _front_matter(results: Results, phantoms: set[str]) -> str:
    """YAML of the card's head; results that are not defined are left out, phantoms are named as what they are."""
    ours = results.headline[
        (results.headline["model"] == results.model)
        & ~results.headline["benchmark"].isin(MEANS.values())
        & results.headline["auroc"].notna()
    ]
    splits = dict(zip(results.benchmark_table["benchmark"], results.benchmark_table["split"]))
    evaluations = [
        EvalResult(
            task_type="image-classification",
            task_name="Chest X-ray findings" + ("" if row.trained_on else ", zero-shot"),
            dataset_type=f"phantoms-of-{row.source}" if row.source in phantoms else row.source,
            dataset_name=f"{results.titles[row.benchmark]}{' (phantoms)' if row.source in phantoms else ''}",
            dataset_config=row.benchmark,  # the hub takes results of one data set, configuration and split for one
            dataset_split=splits[row.benchmark],
            metric_type="roc_auc",
            metric_name="macro AUROC",
            metric_value=round(float(row.auroc), 4),
        )
        for row in ours.itertuples(index=False)
    ]
    data = ModelCardData(
        license="apache-2.0",
        library_name="unichest_kedro",
        pipeline_tag="image-classification",
        tags=[*TAGS, *(["phantoms"] if phantoms else [])],
        metrics=["roc_auc"],
        model_name=NAME,
        eval_results=evaluations or None,
    )
    return data.to_yaml()


def _threshold_origins(results: Results) -> dict[str, list[str]]:
    """Benchmark -> where those of its thresholds come from that there are."""
    ours = results.thresholds[(results.thresholds["model"] == results.model) & results.thresholds["threshold"].notna()]
    return {name: sorted(part["threshold_from"].unique()) for name, part in ours.groupby("benchmark", sort=False)}


def _localisation(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table[(table["split"] == "test") & (table["finding"] == MEAN)].to_dict("records")
