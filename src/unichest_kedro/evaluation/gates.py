"""How the gate of a Divide model treats each source, and how far it tells the sources apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from unichest_kedro.evaluation.expert_measures import table_of
from unichest_kedro.evaluation.experts import only_model
from unichest_kedro.evaluation.metrics import expert_columns, mutual_information
from unichest_kedro.evaluation.resampling import generator_for, limits, times_drawn

TRAINED = "sources trained on"
ALL = "all sources"

GATE_COLUMNS = {"model": "str", "source": "str", "images": "int64", "expert": "int64"} | dict.fromkeys(
    ("weight", "low", "high", "chosen", "sharpness"), "float64"
)
SUMMARY_COLUMNS = {"model": "str", "over": "str", "sources": "int64", "experts": "int64"} | dict.fromkeys(
    (
        *("mutual_information", "mutual_information_low", "mutual_information_high", "chosen_information"),
        *("possible", "sharpness", "sharpness_low", "sharpness_high"),
    ),
    "float64",
)


def gate_by_source(
    answers: pd.DataFrame, resamples: int = 1000, seed: int = 42, split: str = "test"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How the gate treats each source, and how far it tells the sources apart, with 95 % limits by patient.

    Args:
        answers: `ExpertAnswers` of one model.
        resamples: Bootstrap resamples by patient.
        seed: Seed of the draws.
        split: The split to judge.

    Returns:
        `GateBySource`, one row per source and expert, and `GateSummary`, one row over the sources that the model was
        trained on and one over all; both empty where there is no answer. The latter has the mutual information in bits
        between source and expert, every source counting alike: of the gate's weights, and (`chosen_information`) of the
        expert with the largest weight.
    """
    images = answers[answers["split"] == split].drop_duplicates(["source", "image_id"])
    if images.empty:
        return table_of([], GATE_COLUMNS), table_of([], SUMMARY_COLUMNS)
    model = only_model(answers)
    gates = {
        source: _resample(str(source), part, resamples, seed) for source, part in images.groupby("source", sort=False)
    }
    table = pd.concat([_gate_rows(str(source), gate) for source, gate in gates.items()], ignore_index=True)
    trained = [source for source, part in images.groupby("source", sort=False) if part["trained_on"].iloc[0]]
    kinds = {TRAINED: trained, ALL: list(gates)}
    rows = [_summary(over, [gates[source] for source in chosen]) for over, chosen in kinds.items() if chosen]
    summary = table_of([{"model": model, **row} for row in rows], SUMMARY_COLUMNS)
    return table.assign(model=model)[list(GATE_COLUMNS)].astype(GATE_COLUMNS), summary


class _Gate(NamedTuple):
    """Gate of one source: number of images; mean weights, chosen shares and mean maximum, and those of resamples."""

    images: int
    weights: np.ndarray
    chosen: np.ndarray
    sharpness: float
    weight_samples: np.ndarray
    chosen_samples: np.ndarray
    sharpness_samples: np.ndarray


def _resample(source: str, images: pd.DataFrame, resamples: int, seed: int) -> _Gate:
    """Means over the images of one source, and over patients drawn with replacement."""
    weights = images[[f"gate_{k}" for k in range(1, len(expert_columns(images)) + 1)]].to_numpy(dtype=np.float64)
    experts = weights.shape[1]
    chosen = np.eye(experts)[weights.argmax(axis=1)]
    values = np.column_stack([weights, chosen, weights.max(axis=1)])
    patients = pd.factorize(images["patient_id"])[0]
    people = patients.max() + 1
    sums = np.zeros((people, values.shape[1]))
    np.add.at(sums, patients, values)
    draws = times_drawn(generator_for(source, seed), people, resamples)
    samples = draws @ sums / (draws @ np.bincount(patients))[:, None]
    mean = values.mean(axis=0)
    parts = slice(0, experts), slice(experts, 2 * experts)
    return _Gate(
        len(images), *(mean[part] for part in parts), mean[-1], *(samples[:, part] for part in parts), samples[:, -1]
    )


def _gate_rows(source: str, gate: _Gate) -> pd.DataFrame:
    low, high = limits(gate.weight_samples.T)
    return pd.DataFrame(
        {
            "source": source,
            "images": gate.images,
            "expert": np.arange(1, len(gate.weights) + 1),
            "weight": gate.weights,
            "low": low,
            "high": high,
            "chosen": gate.chosen,
            "sharpness": gate.sharpness,
        }
    )


def _summary(over: str, gates: list[_Gate]) -> dict[str, object]:
    """One row of `GateSummary`."""
    experts = len(gates[0].weights)
    resampled = zip(*(gate.weight_samples for gate in gates))
    information = [mutual_information(np.stack(weights)) for weights in resampled]
    sharpness = np.mean([gate.sharpness_samples for gate in gates], axis=0)
    return {
        "over": over,
        "sources": len(gates),
        "experts": experts,
        "mutual_information": mutual_information(np.stack([gate.weights for gate in gates])),
        **_limits("mutual_information", information),
        "chosen_information": mutual_information(np.stack([gate.chosen for gate in gates])),
        "possible": float(np.log2(min(len(gates), experts))),
        "sharpness": float(np.mean([gate.sharpness for gate in gates])),
        **_limits("sharpness", sharpness),
    }


def _limits(name: str, samples: Sequence[float] | np.ndarray) -> dict[str, float]:
    low, high = limits(np.asarray(samples))
    return {f"{name}_low": float(low), f"{name}_high": float(high)}
