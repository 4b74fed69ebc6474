"""Splits go by patient: the check that they do, and the cut of a validation split that a source lacks."""

import hashlib

import pandas as pd

from unichest_kedro.errors import SourceError
from unichest_kedro.sources.base import IngestionSettings

OFFICIAL = "official"


def check_patients(listing: pd.DataFrame, source: str) -> None:
    """Check that every patient is in one split only.

    Raises:
        SourceError: naming the number of patients in several splits and a few of them.
    """
    pairs = listing[["patient_id", "split"]].drop_duplicates()
    shared = pairs[pairs.duplicated("patient_id", keep=False)]
    if shared.empty:
        return
    splits = shared.sort_values("split").groupby("patient_id")["split"].agg(" and ".join)
    examples = ", ".join(f"{patient} ({where})" for patient, where in splits.head(5).items())
    raise SourceError(
        f"{source}: {len(splits):,} patient(s) are in two splits, for example {examples}. Scores would be of "
        "patients seen in training: restore the publisher's split, or move each patient into one split."
    )


def cut_validation(listing: pd.DataFrame, settings: IngestionSettings, source: str) -> pd.DataFrame:
    """The listing with a validation split cut from train by patient; as it is where it has one.

    The patients are ranked by a hash of seed, source and patient id, so that the cut depends on the patients
    listed and on the seed, and on neither the order of the rows nor what is on disk.
    """
    is_train = listing["split"] == "train"
    patients = listing.loc[is_train, "patient_id"].unique().tolist()
    if (listing["split"] == "val").any() or len(patients) < 2:
        return listing
    count = max(1, round(settings.val_fraction * len(patients)))
    chosen = sorted(patients, key=lambda patient: _rank(settings.seed, source, patient))[:count]
    moved = is_train & listing["patient_id"].isin(chosen)
    origin = f"cut from train by patient, {100 * settings.val_fraction:g}%, seed {settings.seed}"
    return listing.assign(
        split=listing["split"].mask(moved, "val"), split_origin=listing["split_origin"].mask(moved, origin)
    )


def _rank(seed: int, source: str, patient: str) -> bytes:
    """A number that looks random, and is the same wherever it is computed."""
    return hashlib.blake2b(f"{seed}/{source}/{patient}".encode(), digest_size=16).digest()
