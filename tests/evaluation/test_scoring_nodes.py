"""What the scoring nodes say before they ask another model."""

from types import SimpleNamespace

import pytest

from unichest_kedro.models.unichest import ModelSettings, UniChest
from unichest_kedro.pipelines.evaluation.scoring_nodes import _warn_of_small_films


@pytest.mark.parametrize(("stored", "told"), [((48, 96), True), ((64, 96), False), ((), False)])
def test_a_model_of_larger_films_than_are_stored_is_named(
    stored: tuple[int, ...], told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model = UniChest(ModelSettings(backbone="test_resnet", image_size=64, width=8, layers=1, heads=2, feedforward=8))
    stores = {f"source {number}": SimpleNamespace(image_size=size) for number, size in enumerate(stored)}
    _warn_of_small_films("Published", model, stores)
    assert ("Published: this model takes films of 64 px, those in the image store have 48" in caplog.text) == told
