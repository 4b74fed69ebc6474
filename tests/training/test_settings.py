"""Broken settings fail with the field named."""

import pytest
from pydantic import ValidationError

from unichest_kedro.training.settings import ConquerSettings, DivideSettings, flatten


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": -1}, "epochs\n.*greater than or equal to 1"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"precision": "fp8"}, "precision\n.*'no', 'bf16' or 'fp16'"),
        ({"sampling": "random"}, "sampling\n.*'proportional', 'balanced' or 'temperature'"),
        ({"optimiser": {"learning_rate": 0}}, r"optimiser\.learning_rate"),
        ({"optimiser": {"min_learning_rate": 1.0}}, "min_learning_rate is 1.0; allowed is at most"),
        ({"plateau": {"patience": 0}}, r"plateau\.patience"),
        ({"gradient_clip": -1}, "gradient_clip"),
        ({"augmentation": {"jitter": 3}}, r"augmentation\.jitter"),
        ({"epoch": 3}, "epoch\n.*Extra inputs are not permitted"),
    ],
)
def test_conquer(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ConquerSettings.model_validate(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"main_ratio": 0.7}, "main_ratio 0.7 and expert_ratio 0.5 must sum to 1"),
        ({"main_ratio": -0.5, "expert_ratio": 1.5}, "main_ratio"),
        ({"experts_from": "elsewhere"}, "experts_from\n.*'main' or 'random'"),
        ({"source_contrastive_weight": -1}, "source_contrastive_weight"),
    ],
)
def test_divide(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DivideSettings.model_validate(values)


def test_defaults_are_the_papers() -> None:
    settings = DivideSettings()
    assert (settings.epochs, settings.batch_size, settings.seed) == (100, 32, 42)
    assert (settings.main_ratio, settings.expert_ratio, settings.experts_from) == (0.5, 0.5, "random")
    assert settings.optimiser.weight_decay == 0.02
    assert (settings.classification.gamma_negative, settings.classification.margin) == (6, 0.05)


def test_identity_leaves_out_what_does_not_change_the_weights() -> None:
    first = ConquerSettings(num_workers=4, restart=True, trackers=(), compile=True)
    assert first.identity() == ConquerSettings().identity()
    assert first.identity()["optimiser.learning_rate"] == 5e-5
    assert flatten({"a": {"b": {"c": 1}}, "d": 2}) == {"a.b.c": 1, "d": 2}
