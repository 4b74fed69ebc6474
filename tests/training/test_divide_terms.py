"""In Divide both encoders are frozen, so the contrastive term is a constant, and is not computed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest

from unichest_kedro.models.unichest import UniChest
from unichest_kedro.training import stages
from unichest_kedro.training.data import TrainingData
from unichest_kedro.training.stages import train_conquer, train_divide


def test_divide_does_not_compute_the_contrastive_term(
    model: UniChest,
    data: TrainingData,
    conquer_settings: Callable[..., Any],
    divide_settings: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: Any, **options: Any) -> NoReturn:
        raise AssertionError("computed")

    monkeypatch.setattr(stages, "contrastive_loss", refuse)
    history = train_divide(model, data, divide_settings(epochs=1), tmp_path / "divide").history
    assert history["loss_contrastive"].isna().all()
    assert pd.notna(history["loss_source_image"]).all()
    with pytest.raises(AssertionError, match="computed"):
        train_conquer(model, data, conquer_settings(epochs=1), tmp_path / "conquer")
