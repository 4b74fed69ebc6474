"""Test films that training has seen: marked when scored, counted, and left out of what is judged."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from unichest_kedro.errors import UniChestError


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


def judged(scores: pd.DataFrame, leave_out_leaked: bool) -> pd.DataFrame:
    """The scores that metrics, figures and films are made of: all of them, or those of films never trained on.

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


def count_test_films(scores: pd.DataFrame) -> pd.DataFrame:
    """How many films of each source were scored, and how many of them training has seen.

    Args:
        scores: `Scores` of one model.

    Returns:
        `source, trained_on, films, leaked`, one row per source in order of appearance.
    """
    films = scores.drop_duplicates(["source", "image_id"])
    groups = films.groupby("source", sort=False)
    table = pd.DataFrame(
        {"trained_on": groups["trained_on"].first(), "films": groups.size(), "leaked": groups["leaked"].sum()}
    )
    return table.reset_index()
