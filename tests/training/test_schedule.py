"""Learning rate and plateau against hand-made values."""

import math

import pytest

from unichest_kedro.training.schedule import has_plateaued, learning_rate
from unichest_kedro.training.settings import OptimiserSettings, PlateauSettings

SETTINGS = OptimiserSettings(learning_rate=1e-3, min_learning_rate=1e-5, warmup_learning_rate=1e-4, warmup_fraction=0.1)


def test_key_points() -> None:
    rates = [learning_rate(step, 101, SETTINGS) for step in range(101)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[5] == pytest.approx((1e-4 + 1e-3) / 2)
    assert rates[10] == pytest.approx(1e-3)
    assert rates[55] == pytest.approx((1e-3 + 1e-5) / 2)
    assert rates[100] == pytest.approx(1e-5)
    assert rates[20] == pytest.approx(1e-5 + (1e-3 - 1e-5) * 0.5 * (1 + math.cos(math.pi * 10 / 90)))
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps(steps: int) -> None:
    rates = [learning_rate(step, steps, SETTINGS) for step in range(steps)]
    assert all(1e-5 <= rate <= 1e-3 for rate in rates)


def test_paper_settings_end_at_their_minimum() -> None:
    paper = OptimiserSettings()
    assert learning_rate(0, 1000, paper) == pytest.approx(1e-6)
    assert learning_rate(50, 1000, paper) == pytest.approx(5e-5)
    assert learning_rate(999, 1000, paper) == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("aurocs", "expected"),
    [
        ([], False),
        ([0.7, 0.8, 0.9], False),
        ([0.7, 0.8, 0.805], False),
        ([0.7, 0.8, 0.805, 0.809], True),
        ([0.7, 0.8, 0.79, 0.82], False),
        ([0.7, 0.8, float("nan"), float("nan")], True),
        ([0.8, 0.806, 0.812], False),  # slow rises add up
    ],
)
def test_plateau(aurocs: list[float], expected: bool) -> None:
    assert has_plateaued(aurocs, PlateauSettings(patience=2, min_delta=0.01)) is expected


def test_no_plateau_settings_never_stop() -> None:
    assert not has_plateaued([0.5] * 50, None)
