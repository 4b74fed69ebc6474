"""Names of the means over benchmarks, and what a gate's weights say of the sources."""

import numpy as np
import pandas as pd

MEAN = "mean"
"""Name of the row (or column) that holds the plain mean over the benchmarks of sources that were trained on."""

ZERO_SHOT_MEAN = "mean_zero_shot"
"""The same over the benchmarks of sources that were only scored; the two kinds are never averaged together."""

MEANS = {True: MEAN, False: ZERO_SHOT_MEAN}
"""Name of the mean by whether its sources were trained on."""


def mutual_information(gates: np.ndarray) -> float:
    """Mutual information in bits between source and expert, every source counting alike.

    `I = mean_s sum_k p(k|s) log2(p(k|s) / p(k))`, the expert being drawn with the gate's weights.

    Args:
        gates: (sources, K) mean gate weights of each source; rows sum to one.
    """
    overall = gates.mean(axis=0, keepdims=True)
    ratio = np.divide(gates, overall, out=np.ones_like(gates), where=gates > 0)
    return float(np.mean(np.sum(gates * np.log2(ratio), axis=1)))


def expert_columns(gates: pd.DataFrame) -> list[str]:
    """Names of the experts' columns in a `Gates` table, in order of their numbers."""
    names = [name for name in gates.columns if name.startswith("expert_")]
    return sorted(names, key=lambda name: int(name.removeprefix("expert_")))
