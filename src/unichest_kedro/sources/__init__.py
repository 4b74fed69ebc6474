"""What each dataset looks like on disk: one module per source, one shared interface (`ingest`)."""

from unichest_kedro.sources.base import (
    SOURCES,
    TRAINED_ON,
    Ingested,
    IngestionSettings,
    SourceTables,
    check_train_on,
    in_order,
    listed_keys,
    trained_sources,
)
from unichest_kedro.sources.configured import SourceEntry, check_source_keys, source_entry, with_own_sources
from unichest_kedro.sources.ingestion import ingest, list_images
from unichest_kedro.sources.own_options import OwnOptions, own_rules

__all__ = [
    "SOURCES",
    "TRAINED_ON",
    "Ingested",
    "IngestionSettings",
    "OwnOptions",
    "SourceEntry",
    "SourceTables",
    "check_source_keys",
    "check_train_on",
    "in_order",
    "ingest",
    "list_images",
    "listed_keys",
    "own_rules",
    "source_entry",
    "trained_sources",
    "with_own_sources",
]
