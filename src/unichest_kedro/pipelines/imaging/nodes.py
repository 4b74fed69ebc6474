"""Node of the imaging stage."""

from pathlib import Path

import pandas as pd

from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.imaging.store import ImageStore, ImagingSettings, update_image_store


def decode_films(
    studies: pd.DataFrame, folder: SourceFolder, cache: Path, settings: ImagingSettings
) -> tuple[ImageStore, pd.DataFrame]:
    """Decode every film of the wanted views to 8-bit grey; only new and changed films are decoded again.

    Returns:
        The image store and the films that could not be read (schema `Quarantine`).
    """
    return update_image_store(studies, folder.root, cache, settings, description=folder.source)
