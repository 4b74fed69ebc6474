"""Where every listed image went: each lands in exactly one column, and the columns add up."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from unichest_kedro.errors import UniChestError
from unichest_kedro.sources.ingestion import NOT_ON_DISK

FATES = ("missing", "rejected", "unreadable", "unlabelled", "other_view", "train", "val", "test")
"""What can become of a listed image, in the order of the columns of `account`."""

STAGES = ("ingestion", "imaging", "harmonisation")
"""Stages at which an image can be put into quarantine."""

TOTAL = "total"
"""The row of all sources in `quarantine_totals`."""


def account(
    studies: pd.DataFrame, examples: pd.DataFrame, quarantine: pd.DataFrame, views: Sequence[str]
) -> pd.DataFrame:
    """Count what became of every image that the sources list.

    Args:
        studies: `Studies` of one or more sources (only `source, image_id, view` are looked at).
        examples: `Examples`.
        quarantine: `Quarantine` of the same sources, all stages.
        views: Views that are used; images of others are set aside.

    Returns:
        One row per source: `source, listed`, then one column per fate of `FATES`: not on disk; path or row
        rejected; unreadable; no label could be made; another view; used in train, val or test. `listed` is
        their sum.

    Raises:
        UniChestError: An image has no fate or two of them.
    """
    _require_known(studies, examples)
    fate = _fate_of_studies(studies, examples, quarantine, views)
    ingestion = quarantine[quarantine["stage"] == "ingestion"]
    missing = ingestion["reason"] == NOT_ON_DISK
    fates = pd.concat(
        [
            pd.DataFrame({"source": studies["source"], "fate": fate}),
            pd.DataFrame({"source": ingestion["source"], "fate": np.where(missing, "missing", "rejected")}),
        ]
    )
    sources = pd.Index(fates["source"].unique(), name="source")
    table = pd.crosstab(fates["source"], fates["fate"]).reindex(index=sources, columns=list(FATES), fill_value=0)
    listed = studies.groupby("source").size().add(ingestion.groupby("source").size(), fill_value=0)
    table.insert(0, "listed", listed.reindex(sources).astype(int))
    _require_sum(table)
    return table.rename_axis(columns=None).reset_index()


def quarantine_summary(quarantine: pd.DataFrame, examples: int = 3) -> pd.DataFrame:
    """Group quarantine rows by source, stage and kind of reason.

    Reasons that differ only in numbers or quoted names are one kind; its first reason stands for it.

    Returns:
        `source, stage, reason, images, examples` (the first few paths, or image ids where there is no path),
        the most frequent kind first within a source.
    """
    kind = quarantine["reason"].str.replace(r"'[^']*'|\"[^\"]*\"|\d+", "…", regex=True)
    named = quarantine["path"].where(quarantine["path"] != "", quarantine["image_id"])
    groups = quarantine.assign(kind=kind, named=named).groupby(["source", "stage", "kind"], sort=False)
    table = pd.DataFrame(
        {
            "reason": groups["reason"].first(),
            "images": groups.size(),
            "examples": groups["named"].agg(lambda names: ", ".join(names.head(examples))),
        }
    )
    columns = ["source", "stage", "reason", "images", "examples"]
    table = table.reset_index()[columns].sort_values("images", ascending=False, kind="stable")
    order = {source: i for i, source in enumerate(quarantine["source"].unique())}
    return table.sort_values("source", key=lambda name: name.map(order), kind="stable", ignore_index=True)


def quarantine_totals(quarantine: pd.DataFrame) -> pd.DataFrame:
    """Count quarantine rows by source and stage.

    Returns:
        `source`, one column per stage that has any (in the order of the stages), `total`; one row per source, and the
        last, `TOTAL`, of all of them. No row where nothing is in quarantine.
    """
    stages = [stage for stage in STAGES if (quarantine["stage"] == stage).any()]
    table = pd.crosstab(quarantine["source"], quarantine["stage"])
    table = table.reindex(index=quarantine["source"].unique(), columns=stages, fill_value=0)
    table["total"] = table.sum(axis=1)
    if len(table):
        table.loc[TOTAL] = table.sum()
    return table.rename_axis(index="source", columns=None).reset_index()


def _fate_of_studies(
    studies: pd.DataFrame, examples: pd.DataFrame, quarantine: pd.DataFrame, views: Sequence[str]
) -> np.ndarray:
    """Fate of each row of `studies`."""
    key = _keys(studies)
    used = pd.Series(examples["split"].to_numpy(), index=_keys(examples)).reindex(key)
    unreadable = key.isin(_keys(quarantine[quarantine["stage"] == "imaging"]))
    unlabelled = key.isin(_keys(quarantine[quarantine["stage"] == "harmonisation"]))
    other_view = ~studies["view"].isin(list(views)).to_numpy()
    is_used = used.notna().to_numpy()
    _require_none(studies, is_used & (unreadable | unlabelled), "are both used and in quarantine")
    conditions = [is_used, unreadable, unlabelled, other_view]
    fate = np.select(conditions, [used.fillna("").to_numpy(object), "unreadable", "unlabelled", "other_view"], "lost")
    _require_none(studies, fate == "lost", "are neither used, nor in quarantine, nor of another view")
    return fate


def _keys(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table[["source", "image_id"]])


def _require_known(studies: pd.DataFrame, examples: pd.DataFrame) -> None:
    for name, table in (("studies", studies), ("examples", examples)):
        _require_none(table, table.duplicated(["source", "image_id"]).to_numpy(), f"stand in the {name} twice")
    stray = ~_keys(examples).isin(_keys(studies))
    _require_none(examples, stray, "stand in the examples but not in the studies")


def _require_none(table: pd.DataFrame, wrong: np.ndarray, what: str) -> None:
    if wrong.any():
        first = table.loc[wrong, ["source", "image_id"]].iloc[0]
        raise UniChestError(
            f"the accounts do not add up: {int(wrong.sum())} images {what}, the first {first['image_id']!r} "
            f"of {first['source']!r}; run `kedro run` again to bring all tables to one state"
        )


def _require_sum(table: pd.DataFrame) -> None:
    wrong = table["listed"] != table[list(FATES)].sum(axis=1)
    if wrong.any():
        raise UniChestError(f"the accounts do not add up for {', '.join(table.index[wrong])}")
