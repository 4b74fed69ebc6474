"""How much each source says about each finding, and which sources can teach it."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from unichest_kedro.errors import VocabularyError
from unichest_kedro.schemas import SPLITS, UNKNOWN

SEVERAL, ONE, ONE_SIDED, UNTAUGHT = "several", "one source", "one-sided", "untaught"


def coverage(studies: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Images that are positive, negative and unknown per source, split and finding (schema `Coverage`).

    `prevalence` is the share of positives among the images of which the finding is known; NaN where it never is.

    Args:
        studies: table of schema `Studies`.
        labels: table of schema `Labels` of the same images, in the same order.

    Raises:
        VocabularyError: the two tables are not of the same images.
    """
    if studies["image_id"].tolist() != labels["image_id"].tolist():
        raise VocabularyError(
            f"coverage: the studies ({len(studies):,} rows) and the labels ({len(labels):,} rows) are not of "
            "the same images in the same order. Run `harmonise` again on these studies."
        )
    findings = labels.columns.drop(["source", "image_id"]).tolist()
    groups = labels.groupby([labels["source"].to_numpy(), studies["split"].to_numpy()], sort=False).indices
    parts = [_count(labels, findings, rows).assign(source=s, split=p) for (s, p), rows in groups.items()]
    table = pd.concat(parts, ignore_index=True) if parts else _count(labels, findings, []).assign(source="", split="")
    known = (table["positive"] + table["negative"]).to_numpy("float64")
    table["prevalence"] = table["positive"].to_numpy() / np.where(known > 0, known, np.nan)
    columns = ["source", "split", "finding", "positive", "negative", "unknown", "prevalence"]
    return _in_order(table[columns] if parts else table[columns].iloc[:0], findings)


def teachers(table: pd.DataFrame, train_on: Iterable[str]) -> pd.DataFrame:
    """Which sources can teach each finding (schema `Teachers`), in the vocabulary's order.

    A source teaches a finding with both positives and negatives in its train split. Where it knows it in one way only,
    nothing can be learnt from it but which source a film is of.

    Args:
        table: of schema `Coverage`.
        train_on: keys of the sources that are trained on.
    """
    train = table[(table["split"] == "train") & table["source"].isin(list(train_on))]
    rows = []
    for finding in dict.fromkeys(table["finding"]):
        of_finding = train[train["finding"] == finding]
        positive, negative = of_finding["positive"] > 0, of_finding["negative"] > 0
        taught_by, only_positive, only_negative = (
            of_finding.loc[which, "source"].tolist()
            for which in (positive & negative, positive & ~negative, negative & ~positive)
        )
        one_way = ONE_SIDED if only_positive or only_negative else UNTAUGHT
        rows.append(
            {
                "finding": finding,
                "teachers": len(taught_by),
                "taught_by": ", ".join(taught_by),
                "only_positive": ", ".join(only_positive),
                "only_negative": ", ".join(only_negative),
                "verdict": SEVERAL if len(taught_by) > 1 else ONE if taught_by else one_way,
            }
        )
    columns = ["finding", "teachers", "taught_by", "only_positive", "only_negative", "verdict"]
    return pd.DataFrame(rows, columns=columns).astype({name: "str" for name in columns if name != "teachers"})


def _count(labels: pd.DataFrame, findings: list[str], rows: np.ndarray | list[int]) -> pd.DataFrame:
    """Positives, negatives and unknowns of some rows, one line per finding."""
    states = [labels[finding].to_numpy()[rows] for finding in findings]
    counts = {
        name: [int((state == value).sum()) for state in states]
        for name, value in (("positive", 1), ("negative", 0), ("unknown", UNKNOWN))
    }
    return pd.DataFrame({"finding": findings, **counts})


def _in_order(table: pd.DataFrame, findings: list[str]) -> pd.DataFrame:
    """Rows by source, then split (train, val, test), then finding in the vocabulary's order."""
    ranks = {finding: rank for rank, finding in enumerate(findings)}
    order = np.lexsort((table["finding"].map(ranks), table["split"].map(SPLITS.index), table["source"]))
    return table.iloc[order].reset_index(drop=True)
