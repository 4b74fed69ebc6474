"""Test films that training has seen: marked when scored, counted, and left out of what is judged."""

import logging
from collections.abc import Collection

import numpy as np
import pandas as pd

from unichest_kedro.errors import UniChestError

logger = logging.getLogger(__name__)


def is_leaked(films: pd.DataFrame, leaked_films: pd.DataFrame, trained_on: Collection[str]) -> np.ndarray:
    """Whether a model that was trained on some sources has seen each film there.

    Args:
        films: columns `source, image_id`.
        leaked_films: `LeakedFilms`.
        trained_on: the sources whose training films the model has seen.

    Returns:
        bool, one per row of `films`.
    """
    seen = leaked_films[leaked_films["seen_in"].isin(list(trained_on))]
    keys = [pd.MultiIndex.from_frame(table[["source", "image_id"]]) for table in (films, seen)]
    return np.asarray(keys[0].isin(keys[1]))


def without_leaked(scores: pd.DataFrame, leave_out_leaked: bool) -> pd.DataFrame:
    """The scores that models are judged by: all of them, or those of films never trained on.

    A film that one of several models was trained on is left out for all of them, so that they are compared on the same.

    Raises:
        UniChestError: No film is left.
    """
    films = pd.MultiIndex.from_frame(scores[["source", "image_id"]])
    seen = films.isin(films[scores["leaked"].to_numpy()])
    kept = scores[~seen] if leave_out_leaked else scores
    if kept.empty:
        raise UniChestError(
            f"all {scores['image_id'].nunique():,} scored films are in the training data as well, so nothing is left "
            "to judge the model by: see the table leaked_films, or set evaluation.leave_out_leaked to false"
        )
    return kept.reset_index(drop=True)


def without_tested(films: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The films less those of validation that are test films as well, as those of another source may be.

    What is judged must choose neither the epoch of a model, nor threshold or calibration.

    Args:
        films: Columns `source, image_id, split` and any others: `Scores` or `Examples`.
        pairs: `LeakagePairs`.
    """
    both = pairs[(pairs["split_a"] == "val") & (pairs["split_b"] == "test")]
    both = both.rename(columns={"source_a": "source", "image_a": "image_id"})
    keys = [pd.MultiIndex.from_frame(table[["source", "image_id"]]) for table in (films, both)]
    tested = np.asarray(keys[0].isin(keys[1])) & (films["split"] == "val").to_numpy()
    if tested.any():
        named = films.loc[tested, ["source", "image_id"]].drop_duplicates()
        logger.info(
            "%s validation film%s of %s left out of validation: test films as well, under another name.",
            f"{len(named):,}",
            "s" if len(named) > 1 else "",
            ", ".join(named["source"].unique()),
        )
    return films[~tested].reset_index(drop=True)


def count_test_films(scores: pd.DataFrame) -> pd.DataFrame:
    """How many films of each source were scored, and how many of them training has seen, of any model.

    Args:
        scores: `Scores`; the first model's say whether a source was trained on.

    Returns:
        `source, trained_on, films, leaked`, one row per source in order of appearance.
    """
    films = scores.groupby(["source", "image_id"], sort=False)[["trained_on", "leaked"]]
    films = films.agg({"trained_on": "first", "leaked": "any"}).reset_index()
    groups = films.groupby("source", sort=False)
    table = pd.DataFrame(
        {"trained_on": groups["trained_on"].first(), "films": groups.size(), "leaked": groups["leaked"].sum()}
    )
    return table.reset_index()
