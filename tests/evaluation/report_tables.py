"""Made-up tables of the measuring and inspecting stages."""

import io

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.metrics import precision_recall_curve, roc_curve

from unichest_kedro.evaluation.accounting import FATES
from unichest_kedro.evaluation.leaks import count_test_films
from unichest_kedro.evaluation.measures import auroc
from unichest_kedro.evaluation.report import ReportContent, Run
from unichest_kedro.evaluation.report_data import Data
from unichest_kedro.evaluation.report_inspection import Inspection
from unichest_kedro.evaluation.report_results import MEASURES, Results
from unichest_kedro.evaluation.style import message, new_figure

from .conftest import (
    EIGHT,
    TRAINED_ON,
    make_contradictions,
    make_coverage,
    make_gates,
    make_leakage_pairs,
    make_leakage_summary,
    make_teachers,
)

WHOLE = "Conquer + Divide"
GROUPS = {"sex": ("F", "M"), "age": ("18 to 39", "40 to 64", "65 and over"), "view": ("AP", "PA")}
THRESHOLD = 0.5


def make_benchmarks(findings=EIGHT, trained_on=TRAINED_ON):
    """`benchmark_table`: one benchmark of each source's name, with its title in capitals."""
    rows = [
        {
            "benchmark": source,
            "title": source.upper(),
            "source": source,
            "split": "test",
            "films": 40,
            "films_left_out_leaked": 2 * (source == "siim_acr"),
            "patients": 20,
            "views": "frontal",
            "findings": len(names),
            "unknown": "leave_out",
            "trained_on": source in trained_on,
            "notes": "",
        }
        for source, names in findings.items()
    ]
    return pd.DataFrame(rows)


def make_metrics(scores):
    """`Metrics` with limits a tenth to either side."""
    rows = []
    keys = ["model", "source", "split", "finding"]
    for (model, source, split, finding), part in scores.groupby(keys, sort=False):
        area = auroc(part["label"].to_numpy(), part["score"].to_numpy())
        row = {"model": model, "benchmark": source, "source": source, "split": split, "finding": finding}
        row |= {"trained_on": part["trained_on"].iloc[0], "in_domain": part["trained_on"].iloc[0]}
        row |= {"positive": int((part["label"] == 1).sum()), "negative": int((part["label"] == 0).sum())}
        rows.append(row | {"auroc": area, "low": max(area - 0.1, 0), "high": min(area + 0.1, 1)})
    return pd.DataFrame(rows)


def make_headline(metrics):
    """Macro AUROC of each model and benchmark, and the two means."""
    rows = []
    for (model, benchmark), part in metrics.groupby(["model", "benchmark"], sort=False):
        kind = bool(part["in_domain"].iloc[0])
        left_out = ", ".join(part.loc[part["auroc"].isna(), "finding"])
        rows.append((model, benchmark, benchmark, kind, kind, True, part["auroc"].mean(), len(part), left_out))
    columns = ["model", "benchmark", "source", "trained_on", "in_domain", "in_mean", "auroc", "findings", "left_out"]
    table = pd.DataFrame(rows, columns=columns)
    parts = [table]
    for (model, kind), part in table.groupby(["model", "in_domain"], sort=False):
        mean = "mean" if kind else "mean_zero_shot"
        row = (model, mean, "", kind, kind, True, part["auroc"].mean(), part["findings"].sum(), "")
        parts.append(pd.DataFrame([row], columns=columns))
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(low=whole["auroc"] - 0.03, high=whole["auroc"] + 0.02)


def make_measures(scores, groups=GROUPS, seed=0):
    """`Measures` of all films and of groups: numbers drawn at random, the mean over findings that of its findings."""
    parts = [("all", "all"), *((kind, name) for kind, names in groups.items() for name in names)]
    rows = [
        (model, source, trained_on, kind, group, finding, measure)
        for (model, source, trained_on), part in scores.groupby(["model", "source", "trained_on"], sort=False)
        for kind, group in parts
        for measure in MEASURES
        for finding in part["finding"].unique()
    ]
    keys = ["model", "benchmark", "in_domain", "group_kind", "group", "finding", "measure"]
    table = pd.DataFrame(rows, columns=keys)
    generator = np.random.default_rng(seed)
    table = table.assign(value=generator.uniform(0.1, 0.9, len(table)), findings=1)
    of_all = [key for key in keys if key != "finding"]
    mean = table.groupby(of_all, sort=False)["value"].agg(["mean", "size"]).reset_index()
    mean = mean.rename(columns={"mean": "value", "size": "findings"}).assign(finding="mean")
    table = pd.concat([table, mean], ignore_index=True)
    table = table.assign(low=table["value"] - 0.05, high=table["value"] + 0.05, positive=11, negative=22, patients=20)
    return table.assign(source=table["benchmark"], split="test", trained_on=table["in_domain"])


def make_thresholds(scores):
    """`Thresholds`, one of each benchmark impossible where it has several findings."""
    rows = []
    for (model, source), part in scores.groupby(["model", "source"], sort=False):
        for k, finding in enumerate(part["finding"].unique()):
            threshold = np.nan if k == 1 else THRESHOLD
            rows.append((model, source, finding, threshold, "youden", f"validation of {source}", 11, 12))
    columns = ["model", "benchmark", "finding", "threshold", "criterion", "threshold_from", "positives", "negatives"]
    return pd.DataFrame(rows, columns=columns)


def make_comparison(headline, model=WHOLE):
    """`Comparisons` of macro AUROC and F1 of one model with all others."""
    area = headline.set_index(["model", "benchmark"])["auroc"]
    rows = []
    for other in headline["model"].unique():
        for benchmark in headline["benchmark"].unique() if other != model else ():
            value = area[(model, benchmark)] - area[(other, benchmark)]
            rows.append((model, other, benchmark, "auroc", value, value - 0.01, value + 0.02, 0.0005))
            rows.append((model, other, benchmark, "f1", np.nan, np.nan, np.nan, np.nan))
    columns = ["model", "against", "benchmark", "measure", "difference", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=columns)


def make_curves(scores):
    """`Curves` by scikit-learn."""
    tables = []
    for (model, source, finding), part in scores.groupby(["model", "source", "finding"], sort=False):
        known = part[part["label"] != -1]
        if known["label"].nunique() < 2:
            continue
        false, true, cut = roc_curve(known["label"], known["score"], drop_intermediate=False)
        precision, recall, other = precision_recall_curve(known["label"], known["score"])
        key = {"model": model, "benchmark": source, "finding": finding}
        tables.append(pd.DataFrame(key | {"curve": "roc", "x": false, "y": true, "threshold": cut}))
        tables.append(
            pd.DataFrame(key | {"curve": "pr", "x": recall, "y": precision, "threshold": np.append(other, np.nan)})
        )
    return pd.concat(tables, ignore_index=True)


def make_calibration_bins(scores, model=WHOLE, bins=10):
    """`CalibrationBins` of one model; calibrated scores are the raw ones drawn to the middle."""
    rows = []
    for source, part in scores[(scores["model"] == model) & (scores["label"] != -1)].groupby("source", sort=False):
        for kind, score in (("raw", part["score"]), ("calibrated", 0.25 + part["score"] / 2)):
            place = np.minimum((score * bins).astype(int), bins - 1)
            for number in range(bins):
                inside = place == number
                empty = not inside.any()
                mean, share = (np.nan, np.nan) if empty else (score[inside].mean(), part.loc[inside, "label"].mean())
                key = (model, source, kind, number, number / bins, (number + 1) / bins)
                rows.append((*key, int(inside.sum()), mean, share))
    columns = ["model", "benchmark", "kind", "bin", "low", "high", "count", "mean_score", "share_positive"]
    return pd.DataFrame(rows, columns=columns)


def make_localisation(findings=("cardiomegaly", "nodule")):
    """`LocalisationMetrics` of a model and a prior on one source."""
    rows = []
    for model in (WHOLE, "prior of other films"):
        for finding in ("mean", *findings):
            row = {"model": model, "source": "vindr_cxr", "split": "test", "finding": finding, "films": 30}
            row |= {"patients": 25, "in_mean": True, "area": 0.12, "threshold": 0.5, "threshold_from": "fixed"}
            for name in ("pointing", "iou", "mean_iou"):
                value = np.nan if finding == "nodule" else 0.4
                row |= {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
            rows.append(row | {"tolerance": 0.0})
    return pd.DataFrame(rows)


def make_localisation_comparison():
    """`LocalisationDifferences` of the two."""
    row = {"model": WHOLE, "against": "prior of other films", "source": "vindr_cxr", "split": "test", "finding": "mean"}
    row |= {"films": 30, "in_mean": True}
    for name in ("pointing", "iou", "mean_iou"):
        row |= {name: 0.1, f"{name}_low": -0.1, f"{name}_high": 0.2, f"{name}_p": 0.031}
    return pd.DataFrame([row])


def make_boxes_left_out():
    """`BoxesLeftOut`."""
    rows = [("vindr_cxr", "Other lesion", "the label has no finding", 7, 5)]
    return pd.DataFrame(rows, columns=["source", "label", "reason", "boxes", "films"])


def make_experts(sources=("mimic_cxr", "vindr_cxr")):
    """`ExpertAurocs` and `ExpertDifferences`."""
    rows, differences = [], []
    for variant in ("Mixture", "Main network alone", "Expert 1 alone"):
        for source in sources:
            rows.append((WHOLE, variant, source, True, 0.8, 3, "", 0.7, 0.9))
            if variant != "Mixture":
                differences.append((WHOLE, variant, source, -0.02, -0.04, 0.01, 0.25))
    columns = ["model", "variant", "source", "trained_on", "auroc", "findings", "left_out", "low", "high"]
    return (
        pd.DataFrame(rows, columns=columns),
        pd.DataFrame(differences, columns=["model", "variant", "source", "difference", "low", "high", "p_value"]),
    )


def make_gate_tables(sources=("mimic_cxr", "vindr_cxr")):
    """`GateBySource` and `GateSummary`."""
    gates = make_gates(sources=sources)
    experts = [name for name in gates.columns if name.startswith("expert_")]
    rows = []
    for source, part in gates.groupby("source", sort=False):
        sharpness = part[experts].max(axis=1).mean()
        for k, name in enumerate(experts, 1):
            weight = part[name].mean()
            chosen = (part[experts].idxmax(axis=1) == name).mean()
            rows.append((WHOLE, source, len(part), k, weight, weight - 0.02, weight + 0.02, chosen, sharpness))
    columns = ["model", "source", "images", "expert", "weight", "low", "high", "chosen", "sharpness"]
    summary = {"model": WHOLE, "over": "all", "sources": len(sources), "experts": len(experts)}
    summary |= {"mutual_information": 0.25, "mutual_information_low": 0.2, "mutual_information_high": 0.3}
    summary |= {"chosen_information": 0.8, "possible": 1.0, "sharpness": 0.6, "sharpness_low": 0.5}
    return pd.DataFrame(rows, columns=columns), pd.DataFrame([summary | {"sharpness_high": 0.7}])


def make_calibration_table():
    """`CalibrationTable`: one finding, and one that could not be calibrated."""
    rows = [
        ("cardiomegaly", 0.41, 0.9, -0.2, 40, 60, "validation of mimic_cxr", ""),
        ("ILD", np.nan, np.nan, np.nan, 2, 60, "validation of mimic_cxr", "too few films that have it"),
    ]
    columns = ["finding", "threshold", "slope", "intercept", "positives", "negatives", "origin", "left_out"]
    return pd.DataFrame(rows, columns=columns)


def make_fingerprints(sources=("mimic_cxr", "vindr_cxr")):
    """`provenance.fingerprints`."""
    rows = [(source, table, 1234, "ab" * 32) for source in sources for table in ("studies", "labels", "examples")]
    return pd.DataFrame(rows, columns=["source", "table", "rows", "digest"])


def make_example_maps(benchmarks=("mimic_cxr", "vindr_cxr"), per_kind=1, pixels=64, seed=0):
    """`examples.with_pictures` of noise."""
    generator = np.random.default_rng(seed)
    rows = []
    kinds = {"true positive": 0.9, "false positive": 0.8, "false negative": 0.1, "true negative": 0.2}
    for benchmark in benchmarks:
        for k, (kind, score) in enumerate(kinds.items()):
            for one in range(per_kind):
                row = {"benchmark": benchmark, "source": benchmark, "image_id": f"<{benchmark}_{k}_{one}>"}
                row |= {"finding": "cardiomegaly", "kind": kind, "score": score, "threshold": THRESHOLD}
                film = generator.integers(0, 255, (pixels, pixels, 3), dtype=np.uint8)
                rows.append(row | {"film": jpeg(film[..., 0]), "heat": jpeg(film)})
    return pd.DataFrame(rows)


def jpeg(picture):
    """A picture as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG")
    return buffer.getvalue()


def png(figure, dpi=60):
    """A figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def make_data(sources=("mimic_cxr", "vindr_cxr"), trained_on=TRAINED_ON, phantom=True):
    """`report_data.Data` with text that must be escaped."""
    rows = [(source, "seed 42", phantom, source in trained_on, "official") for source in sources]
    accounts = [(source, 112120, 112080, 0, 0, 0, 0, 10, 10, 20) for source in sources]
    bad = [("mimic_cxr", "i", "<b>evil</b> & co.jpg", "imaging", "cut <script>alert(1)</script>")]
    return Data(
        sources=pd.DataFrame(rows, columns=["source", "origin", "phantom", "trained_on", "splits"]),
        accounting=pd.DataFrame(accounts, columns=["source", "listed", *FATES]),
        quarantine=pd.DataFrame(bad, columns=["source", "image_id", "path", "stage", "reason"]),
        coverage=make_coverage(),
        teachers=make_teachers(),
        contradictions=make_contradictions(),
        leakage_summary=make_leakage_summary(known=[("mimic_cxr", "vindr_cxr")]),
        leakage_pairs=make_leakage_pairs(),
        data_fingerprints=make_fingerprints(sources),
    )


def make_results(scores):
    """`report_results.Results` of scores."""
    metrics = make_metrics(scores)
    headline = make_headline(metrics)
    findings = scores.groupby("source", sort=False)["finding"].unique().to_dict()
    return Results(
        model=WHOLE,
        benchmark_table=make_benchmarks(findings, tuple(scores.loc[scores["trained_on"], "source"].unique())),
        headline=headline,
        metrics=metrics,
        measures=make_measures(scores),
        thresholds=make_thresholds(scores),
        comparison=make_comparison(headline),
        test_films=count_test_films(scores[scores["model"] == WHOLE]),
        leave_out_leaked=True,
    )


def make_inspection():
    """`report_inspection.Inspection`."""
    return Inspection(
        make_localisation(),
        make_localisation_comparison(),
        make_boxes_left_out(),
        *make_experts(),
        *make_gate_tables(),
        make_calibration_table(),
    )


def make_run():
    """`report.Run` with a stage that ran all its epochs."""
    stages = [("Conquer", 5, 50, 4, 0.85, "plateau", 61.0), ("Divide", 2, 20, 2, np.nan, "epochs", 3700.0)]
    columns = ["stage", "epochs", "steps", "best_epoch", "best_auroc", "stopped", "seconds"]
    models = [("Conquer", "all sources", 1234567, "abc123")]
    return Run(
        title="Run <1>",
        created="2025-01-01 10:00",
        stages=pd.DataFrame(stages, columns=columns),
        models=pd.DataFrame(models, columns=["model", "description", "parameters", "fingerprint"]),
        settings="conquer:\n  epochs: 5 # <x>\n",
        versions={"torch": "2.13.0"},
        seed=42,
        seconds=75.0,
    )


def make_content(scores, **others):
    """`ReportContent` of scores, with two small figures."""
    sources = tuple(scores["source"].unique())
    trained = tuple(scores.loc[scores["trained_on"], "source"].unique())
    figures = {name: png(message(new_figure(1, 1), name)) for name in ("training", "forest")}
    parts = {
        "run": make_run(),
        "data": make_data(sources, trained),
        "results": make_results(scores),
        "inspection": make_inspection(),
        "figures": figures,
        "examples": make_example_maps(sources),
    }
    return ReportContent(**(parts | others))
