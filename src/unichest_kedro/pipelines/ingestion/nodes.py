"""Node of the ingestion stage."""

import pandas as pd

from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.pipelines.seeding import seeded
from unichest_kedro.sources import IngestionSettings, ingest


def ingest_source(
    folder: SourceFolder, settings: IngestionSettings, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """List a source's images with patient, split, view, report and native labels; its boxes; what is unusable.

    Returns:
        Tables of the schemas `Studies`, `Boxes` and `Quarantine`.
    """
    return tuple(ingest(folder.source, folder.root, seeded(settings, seed)))
