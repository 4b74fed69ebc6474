"""Splits go by patient: the check that they do, and the cut of the splits that a publisher does not ship."""

import hashlib
import logging

import pandas as pd

from unichest_kedro.errors import SourceError
from unichest_kedro.sources.base import IngestionSettings

logger = logging.getLogger(__name__)

OFFICIAL = "official"
NOT_PUBLISHED = ""
"""Split of an image in a listing whose publisher ships no split."""

ALL_SCORED = "no published split: all scored, not trained on"


def check_patients(listing: pd.DataFrame, source: str) -> None:
    """Check that every patient is in one split only.

    Raises:
        SourceError: naming the number of patients in several splits and a few of them.
    """
    pairs = listing[["patient_id", "split"]].drop_duplicates()
    shared = pairs[pairs.duplicated("patient_id", keep=False)]
    if shared.empty:
        return
    named = shared.assign(split=shared["split"].replace(NOT_PUBLISHED, "no split")).sort_values("split")
    splits = named.groupby("patient_id")["split"].agg(" and ".join)
    examples = ", ".join(f"{patient} ({where})" for patient, where in splits.head(5).items())
    raise SourceError(
        f"{source}: {len(splits):,} patient(s) are in two splits, for example {examples}. Scores would be of "
        "patients seen in training: restore the publisher's split, or move each patient into one split."
    )


def assign_splits(listing: pd.DataFrame, settings: IngestionSettings, source: str) -> pd.DataFrame:
    """The listing with a split for every image; what the publisher split stays as it is.

    A source that is trained on and has no published split is cut into test, train and validation; one that has no
    published validation split gets one out of train. Of a source that is not trained on, images without a published
    split are all test, and nothing is cut.

    Args:
        listing: rows with `patient_id`, `split` ("train", "val", "test", or "" where none is published) and
            `split_origin`.
        settings: which sources are trained on, shares and seed.
        source: key of the source.
    """
    if source in settings.train_on:
        return cut_validation(cut_test(listing, settings, source), settings, source)
    is_open = listing["split"] == NOT_PUBLISHED
    listing = listing.assign(
        split=listing["split"].mask(is_open, "test"), split_origin=listing["split_origin"].mask(is_open, ALL_SCORED)
    )
    if len(listing) and not (listing["split"] == "test").any():
        logger.warning(
            "%s: no test split is published and train_on does not name it: its %s images are neither trained on nor "
            "scored.",
            source,
            f"{len(listing):,}",
        )
    return listing


def cut_test(listing: pd.DataFrame, settings: IngestionSettings, source: str) -> pd.DataFrame:
    """The listing with the images of no published split put into test or train, by patient.

    The lowest ranks of `_ranked` are tested, so that the cut depends on the patients listed and on the seed, and on
    neither the order of the rows nor what is on disk. Of a single patient nothing is cut: that one trains.
    """
    is_open = listing["split"] == NOT_PUBLISHED
    patients = _ranked(listing.loc[is_open, "patient_id"], settings.seed, source)
    chosen = patients[: _share(settings.test_fraction, patients)]
    test = is_open & listing["patient_id"].isin(chosen)
    percent, seed = f"{100 * settings.test_fraction:g}%", settings.seed
    origin = f"no published split: {percent} of the patients cut off as test, seed {seed}"
    return listing.assign(
        split=listing["split"].mask(is_open, "train").mask(test, "test"),
        split_origin=listing["split_origin"].mask(is_open, origin),
    )


def cut_validation(listing: pd.DataFrame, settings: IngestionSettings, source: str) -> pd.DataFrame:
    """The listing with a validation split cut from train by patient; as it is where it has one.

    The lowest ranks of `_ranked` among the training patients validate.
    """
    is_train = listing["split"] == "train"
    patients = _ranked(listing.loc[is_train, "patient_id"], settings.seed, source)
    if (listing["split"] == "val").any() or len(patients) < 2:
        return listing
    chosen = patients[: _share(settings.val_fraction, patients)]
    moved = is_train & listing["patient_id"].isin(chosen)
    origin = f"cut from train by patient, {100 * settings.val_fraction:g}%, seed {settings.seed}"
    return listing.assign(
        split=listing["split"].mask(moved, "val"), split_origin=listing["split_origin"].mask(moved, origin)
    )


def _ranked(patients: pd.Series, seed: int, source: str) -> list[str]:
    """The distinct patients in the order of a hash of seed, source and patient id."""
    return sorted(patients.unique().tolist(), key=lambda patient: _rank(seed, source, patient))


def _share(fraction: float, patients: list[str]) -> int:
    """How many of the patients a share is: at least one, and never all of them."""
    return min(max(1, round(fraction * len(patients))), len(patients) - 1) if patients else 0


def _rank(seed: int, source: str, patient: str) -> bytes:
    """A number that looks random, and is the same wherever it is computed."""
    return hashlib.blake2b(f"{seed}/{source}/{patient}".encode(), digest_size=16).digest()
