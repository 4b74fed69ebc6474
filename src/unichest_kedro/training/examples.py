"""The examples table: one row per usable image, pointing at pixels, labels and text."""

from collections.abc import Mapping

import pandas as pd

from unichest_kedro.errors import MissingArtefact
from unichest_kedro.imaging.store import ImageStore


def join(
    studies: pd.DataFrame, images: ImageStore, labels: pd.DataFrame, texts: pd.DataFrame, distinct: pd.Series
) -> pd.DataFrame:
    """Point each decoded film of one source at its rows in the other tables.

    Args:
        studies: schema `Studies`.
        images: the source's image store; its films are the usable ones.
        labels: schema `Labels`, any order.
        texts: columns image_id and text, any order.
        distinct: every distinct text once; its position is the text row.

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
            "run `kedro run --pipelines=ingest,images,harmonise,text`."
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
                    "run `kedro run --pipelines=ingest,images,harmonise,text` first, so that all belong together"
                )
