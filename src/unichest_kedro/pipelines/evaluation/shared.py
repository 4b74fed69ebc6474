"""What the nodes of the evaluation stage share: the models that are judged, and what belongs to them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from unichest_kedro.models.unichest import UniChest
from unichest_kedro.sources import trained_sources

MODELS = {"conquer": "Conquer", "continued": "Conquer continued", "unichest": "Conquer + Divide"}
"""Title of each model in tables and figures, in their order."""

DESCRIPTIONS = {
    "conquer": "One network on all sources together.",
    "continued": "Control: the same network trained on for as many steps as Divide takes.",
    "unichest": "Main network and gated experts; the image encoder stays frozen.",
}


def trained_sources_of(model: UniChest, train_on: Sequence[str], active: dict[str, Any]) -> tuple[str, ...]:
    """The sources that a model was trained on, as it says itself, or else those that the settings name."""
    told = model.facts.get("trained_on")
    return trained_sources(train_on, active) if told is None else tuple(told)


def quarantine_of(tables: dict[str, Any]) -> pd.DataFrame:
    """Everything that could not be used, of all sources and stages (schema `Quarantine`)."""
    parts = [t for name, t in tables.items() if name.endswith(("_ingestion_quarantine", "_imaging_quarantine"))]
    return pd.concat(parts, ignore_index=True)
