"""The examples table: one row per usable image, pointing at pixels, labels and text; and what of it is trained on."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from unichest_kedro.errors import MissingArtefact
from unichest_kedro.imaging.store import ImageStore
from unichest_kedro.schemas import UNKNOWN

JOIN_AGAIN = "kedro run --pipelines=ingest,images,reports,harmonise,text"
"""What makes all the tables anew that the examples join."""


def join(
    studies: pd.DataFrame, images: ImageStore, labels: pd.DataFrame, texts: pd.DataFrame, distinct: pd.Series
) -> pd.DataFrame:
    """Point each decoded film of one source at its rows in the other tables.

    Args:
        studies: schema `Studies`.
        images: the source's image store; its films are the usable ones.
        labels: schema `Labels`, any order.
        texts: columns image_id and text, any order.
        distinct: every distinct text of the sources that are trained on, once; its position is the text row.

    Returns:
        Schema `Examples`, one row per film of the store, in the store's order.

    Raises:
        ValueError: if a film of the store has no study or no labels (artefacts of different runs).
    """
    ids = pd.Index(images.image_ids, dtype="str")
    study_row = pd.Index(studies["image_id"]).get_indexer(ids)
    label_row = pd.Index(labels["image_id"]).get_indexer(ids)
    if (study_row < 0).any() or (label_row < 0).any():
        orphan = ids[(study_row < 0) | (label_row < 0)][0]
        raise ValueError(
            f"film {orphan} of the image store is in no study or label table: they come from different runs; "
            f"run `{JOIN_AGAIN}`."
        )
    study = studies.iloc[study_row]
    text = texts.set_index("image_id")["text"].reindex(ids)
    return pd.DataFrame(
        {
            "source": study["source"].to_numpy(),
            "image_id": ids,
            "patient_id": study["patient_id"].to_numpy(),
            "split": study["split"].to_numpy(),
            "image_row": range(len(ids)),
            "label_row": label_row,
            "text_row": pd.Index(distinct).get_indexer(text),
        }
    )


def check_rows(examples: pd.DataFrame, images: Mapping[str, ImageStore], labels: Mapping[str, pd.DataFrame]) -> None:
    """Check that the examples' row numbers point at their own films and labels.

    Args:
        examples: schema `Examples`.
        images: image store of each source.
        labels: schema `Labels` of each source.

    Raises:
        MissingArtefact: if a store or a label table is not the one the examples were joined with.
    """
    for source, part in examples.groupby("source", sort=False):
        ids = part["image_id"].to_numpy()
        tables = ((images[source].image_ids, "image_row"), (pd.Index(labels[source]["image_id"]), "label_row"))
        for index, column in tables:
            rows = part[column].to_numpy()
            if rows.max() >= len(index) or (index.to_numpy()[rows] != ids).any():
                raise MissingArtefact(
                    f"the examples of {source} were joined with other images or labels than those that are there now: "
                    f"run `{JOIN_AGAIN}` first, so that all belong together"
                )


def without_one_sided(
    examples: pd.DataFrame,
    labels: Mapping[str, np.ndarray],
    findings: Sequence[str],
    labelled: Mapping[str, Collection[str]],
) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Make unknown what a source's training images know in one way only, where that teaches nothing but the source.

    That is so for a finding that is only ever present, and for one that is only ever absent without the source
    labelling it (it was inferred: who has a pneumothorax is not "normal"). What the source labels and never found stays
    absent: other sources may say what it looks like.

    Args:
        examples: schema `Examples`.
        labels: int8 (N,F) of each source, rows as `examples.label_row`; left as they are.
        findings: names of the F columns.
        labelled: findings that each source's own labels state.

    Returns:
        The labels, with such columns unknown for all images of the source, and their names by source (only sources
        that have any).
    """
    kept, left_out = {}, {}
    train = examples[examples["split"] == "train"]
    for source, values in labels.items():
        rows = train.loc[train["source"] == source, "label_row"].to_numpy()
        present, absent = (values[rows] == 1).any(axis=0), (values[rows] == 0).any(axis=0)
        own = np.isin(findings, list(labelled.get(source, ())))
        one_sided = np.where(own, present & ~absent, present ^ absent)
        kept[source] = np.where(one_sided, np.int8(UNKNOWN), values) if one_sided.any() else values
        if one_sided.any():
            left_out[source] = [name for name, alone in zip(findings, one_sided, strict=True) if alone]
    return kept, left_out
