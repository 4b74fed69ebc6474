"""How much each source says about each finding."""

import numpy as np
import pandas as pd

from unichest_kedro.errors import VocabularyError
from unichest_kedro.schemas import SPLITS, UNKNOWN


def coverage(studies: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Images that are positive, negative and unknown per source, split and finding (schema `Coverage`).

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
    states = labels.drop(columns=["source", "image_id"])
    keys = [labels["source"].to_numpy(), studies["split"].to_numpy()]
    counts = {
        name: (states == value).groupby(keys).sum().stack()
        for name, value in (("positive", 1), ("negative", 0), ("unknown", UNKNOWN))
    }
    table = pd.DataFrame(counts).rename_axis(["source", "split", "finding"]).reset_index()
    return _in_order(table, states.columns.tolist())


def _in_order(table: pd.DataFrame, findings: list[str]) -> pd.DataFrame:
    """Rows by source, then split (train, val, test), then finding in the vocabulary's order."""
    ranks = {finding: rank for rank, finding in enumerate(findings)}
    order = np.lexsort((table["finding"].map(ranks), table["split"].map(SPLITS.index), table["source"]))
    return table.iloc[order].reset_index(drop=True)
