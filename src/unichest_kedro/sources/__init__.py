"""What each dataset looks like on disk: one module per source, one shared interface (`ingest`)."""

from unichest_kedro.sources.base import (
    SOURCES,
    Ingested,
    IngestionSettings,
    SourceTables,
    check_source_keys,
)
from unichest_kedro.sources.ingestion import ingest, list_images

__all__ = [
    "SOURCES",
    "Ingested",
    "IngestionSettings",
    "SourceTables",
    "check_source_keys",
    "ingest",
    "list_images",
]
