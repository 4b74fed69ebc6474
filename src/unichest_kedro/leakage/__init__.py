"""Leakage: films and patients that stand on both sides of a split, within a source and across sources."""

from unichest_kedro.leakage.audit import Audit, audit
from unichest_kedro.leakage.duplicates import HashedSource
from unichest_kedro.leakage.hashing import hash_store
from unichest_kedro.leakage.settings import LeakageSettings

__all__ = ["Audit", "HashedSource", "LeakageSettings", "audit", "hash_store"]
