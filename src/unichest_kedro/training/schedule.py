"""Learning rate over the steps of a stage, and when to stop."""

import math
from collections.abc import Sequence

from unichest_kedro.training.settings import OptimiserSettings, PlateauSettings


def learning_rate(step: int, steps: int, settings: OptimiserSettings) -> float:
    """Learning rate of one optimiser step: linear warm-up, then half a cosine down to the minimum.

    Args:
        step: Number of the step, from 0 to `steps` - 1.
        steps: Optimiser steps of the whole stage.
        settings: Rates and the fraction of steps that warms up.

    Returns:
        `warmup_learning_rate` at step 0 (if there is a warm-up), `learning_rate` at its end,
        `min_learning_rate` at the last step.
    """
    warmup = round(settings.warmup_fraction * steps)
    if step < warmup:
        start, peak = settings.warmup_learning_rate, settings.learning_rate
        return start + (peak - start) * step / warmup
    done = (step - warmup) / max(steps - 1 - warmup, 1)
    low, high = settings.min_learning_rate, settings.learning_rate
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * done))


def has_plateaued(aurocs: Sequence[float], settings: PlateauSettings | None) -> bool:
    """Whether the last `patience` epochs brought no rise of more than `min_delta` over the level before them.

    Args:
        aurocs: Mean validation AUROC of each epoch so far; NaN counts as no rise.
        settings: Patience and least rise; None never stops.
    """
    if settings is None:
        return False
    level, waited = -math.inf, 0
    for value in aurocs:
        risen = value > level + settings.min_delta
        level, waited = (value, 0) if risen else (level, waited + 1)
    return waited >= settings.patience
