"""What the report shows of data: where each image went, quarantine, labels, leakage, fingerprints."""

from dataclasses import dataclass

import pandas as pd

from unichest_kedro.evaluation.accounting import FATES, TOTAL, quarantine_summary, quarantine_totals

QUARANTINE_ROWS = 40
"""Kinds of quarantine reasons shown; the rest is counted."""

CONTRADICTION_ROWS = 40
"""Contradictions shown, the most frequent first; the rest is counted."""

PAIR_EXAMPLES = 3
"""Pairs of films shown for each pair of sources that share any."""

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

COLUMNS = {
    "sources": ("source", "origin", "phantom", "trained_on", "splits"),
    "accounting": ("source", "listed", *FATES),
}
"""Columns needed of the tables that have no schema of their own."""


@dataclass(frozen=True, eq=False)
class Data:
    """The tables about data.

    Attributes:
        sources: One row per source: `source` key, `origin` in words (a folder's name, "embedded phantoms"),
            `phantom` and `trained_on` (bool), `splits` in words.
        accounting: `accounting.account`.
        quarantine: `Quarantine` of all sources and stages.
        coverage: `Coverage`.
        teachers: `Teachers`.
        contradictions: `Contradictions` of all sources.
        leakage_summary: `LeakageSummary`.
        leakage_pairs: `LeakagePairs`.
        data_fingerprints: `provenance.fingerprints`.

    Raises:
        ValueError: A table lacks a column of `COLUMNS`.
    """

    sources: pd.DataFrame
    accounting: pd.DataFrame
    quarantine: pd.DataFrame
    coverage: pd.DataFrame
    teachers: pd.DataFrame
    contradictions: pd.DataFrame
    leakage_summary: pd.DataFrame
    leakage_pairs: pd.DataFrame
    data_fingerprints: pd.DataFrame

    def __post_init__(self) -> None:
        for name, columns in COLUMNS.items():
            missing = [column for column in columns if column not in getattr(self, name).columns]
            if missing:
                raise ValueError(f"report table {name!r} lacks the columns {missing}; it needs {list(columns)}")


def data_views(data: Data) -> dict[str, object]:
    """What the template shows of data."""
    phantoms = data.sources["phantom"].to_numpy(dtype=bool)
    return {
        "all_phantom": bool(phantoms.all()),
        "any_phantom": bool(phantoms.any()),
        "source_rows": data.sources.to_dict("records"),
        "fates": _fates(data.accounting),
        "account_rows": data.accounting.to_dict("records"),
        **_quarantine(data.quarantine),
        **_labels(data),
        **_leakage(data.leakage_summary, data.leakage_pairs),
        "fingerprint_rows": data.data_fingerprints.to_dict("records"),
    }


def _quarantine(quarantine: pd.DataFrame) -> dict[str, object]:
    reasons, totals = quarantine_summary(quarantine), quarantine_totals(quarantine)
    return {
        "quarantine_stages": [name for name in totals.columns if name != "source"],
        "quarantine_totals": totals.to_dict("records"),
        "total": TOTAL,
        "quarantine_rows": reasons.head(QUARANTINE_ROWS).to_dict("records"),
        "quarantine_rest": len(reasons) - QUARANTINE_ROWS,
    }


def _labels(data: Data) -> dict[str, object]:
    teachers = data.teachers
    contradictions = data.contradictions.sort_values("count", ascending=False, kind="stable")
    return {
        "coverage_sources": list(data.coverage["source"].unique()),
        "coverage_rows": _coverage_rows(data.coverage),
        "taught_by_one": _taught_by_one(teachers),
        "one_sided": teachers[teachers["verdict"] == "one-sided"].to_dict("records"),
        "untaught": list(teachers.loc[teachers["verdict"] == "untaught", "finding"]),
        "contradiction_rows": contradictions.head(CONTRADICTION_ROWS).to_dict("records"),
        "contradiction_rest": len(contradictions) - CONTRADICTION_ROWS,
        "contradiction_count": int(contradictions["count"].sum()),
        "contradiction_sources": list(dict.fromkeys(contradictions["source"])),
    }


def _taught_by_one(teachers: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Each source with the findings that no other source can teach."""
    one = teachers[teachers["verdict"] == "one source"]
    return [(source, list(part["finding"])) for source, part in one.groupby("taught_by", sort=False)]


def _leakage(summary: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, object]:
    """Rows of the leakage section: pairs of sources with anything to tell, each source with itself, examples."""
    within = summary["source_a"] == summary["source_b"]
    counts = ["same_pixels", "near_copies", "shared_names", "patients_in_two_splits"]
    telling = (summary[counts].sum(axis=1) > 0) | (summary["known"] != "")
    ordered = [pairs[name].where(pairs["source_a"] <= pairs["source_b"], pairs[other]) for name, other in _SIDES]
    examples = pairs.groupby(ordered, sort=False).head(PAIR_EXAMPLES)
    return {
        "overlap_rows": summary[telling & ~within].to_dict("records"),
        "silent_pairs": int((~telling & ~within).sum()),
        "within_rows": summary[within].to_dict("records"),
        "pair_examples": examples.to_dict("records"),
        "pair_count": len(pairs),
    }


_SIDES = (("source_a", "source_b"), ("source_b", "source_a"))


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
