"""Node of the ingestion stage."""

import pandas as pd

from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.errors import SettingsError
from unichest_kedro.pipelines.seeding import seeded
from unichest_kedro.sources import IngestionSettings, ingest, listed_keys


def ingest_source(
    folder: SourceFolder, settings: IngestionSettings, train_on: list[str], seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """List a source's images with patient, split, view, report and native labels; its boxes; what is unusable.

    Returns:
        Tables of the schemas `Studies`, `Boxes` and `Quarantine`.

    Raises:
        SettingsError: `train_on` is no list, or is said in the stage's own block too.
    """
    if "train_on" in settings.model_fields_set:
        raise SettingsError("ingestion.train_on: train_on is said once for all stages, at the top of globals.yml.")
    settings = seeded(settings, seed).model_copy(update={"train_on": listed_keys(train_on)})
    return tuple(ingest(folder.source, folder.root, settings, folder.options))
