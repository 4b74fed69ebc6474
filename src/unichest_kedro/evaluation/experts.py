"""What the networks of a Divide model answer by themselves, and what the model would answer without some of them.

One pass over the films collects the answers of the main network and of every expert, and the gate
(`score_with_experts`). All the rest (`expert_measures`, `gates`) recombines these numbers (docs/method.md, section 2):
`p = main_ratio * main + expert_ratio * sum_k gate_k * expert_k`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.asking import Findings
from unichest_kedro.evaluation.metrics import expert_columns
from unichest_kedro.evaluation.scoring import (
    Answered,
    Images,
    Resize,
    ask_films,
    films_by_findings,
    gates_of_films,
    marked,
    scores_of,
)
from unichest_kedro.models.unichest import UniChest

MIXTURE = "Mixture"
MAIN = "Main network"
EQUAL = "Equal weights"
"""The mixture with the gate's weights replaced by 1/K: what the gate itself is worth."""


def alone(k: int) -> str:
    """Name of the variant in which expert k (from 1) answers alone."""
    return f"Expert {k}"


def without(k: int) -> str:
    """Name of the variant that lacks expert k (from 1), the gate's weights shared out among the others."""
    return f"Without expert {k}"


class ScoresAndExperts(NamedTuple):
    """`Scores`, `Gates` and `ExpertAnswers` of one pass over the films."""

    scores: pd.DataFrame
    gates: pd.DataFrame
    answers: pd.DataFrame


def score_with_experts(
    model: UniChest,
    name: str,
    examples: pd.DataFrame,
    stores: Mapping[str, Images],
    labels: Mapping[str, pd.DataFrame],
    findings_by_source: Mapping[str, Findings],
    trained_on: Collection[str],
    leaked_films: pd.DataFrame,
    *,
    image_size: int,
    batch_size: int,
    resize: Resize,
    splits: Sequence[str] = ("test",),
    expert_splits: Sequence[str] = ("test",),
    workers: int = 0,
) -> ScoresAndExperts:
    """Score a model's films and keep what each of its networks says, in one pass.

    Args:
        model: A Divide model, on the device it is to run on; left in the mode in which it came.
        name: What the `model` column will say.
        examples: `Examples`.
        stores: Image store of each source.
        labels: `Labels` of each source.
        findings_by_source: Findings asked of each source, as for `score`.
        trained_on: Sources that the model was trained on.
        leaked_films: `LeakedFilms`; they are marked.
        image_size: Side of the square images, in pixels.
        batch_size: Images per forward pass.
        resize: How a film becomes a square of that side.
        splits: Splits to ask about; all their films are scored.
        expert_splits: Splits of whose films the answers of the networks are kept.
        workers: Processes that read images ahead.

    Returns:
        `Scores`, `Gates` and `ExpertAnswers`, in the order of `examples`.

    Raises:
        UniChestError: there is no film, the model does not use its experts, or an answer is no probability.
    """
    _require_experts(model, name)
    answered = ask_films(
        model,
        name,
        examples,
        stores,
        labels,
        findings_by_source,
        image_size=image_size,
        batch_size=batch_size,
        resize=resize,
        splits=splits,
        fields=("experts", "main", "gate", "probabilities"),
        workers=workers,
    )
    tables = [
        (scores_of(name, of_source), gates_of_films(name, of_source), _answers_of(name, of_source, expert_splits))
        for of_source in answered
    ]
    scores, gates, answers = (pd.concat(parts, ignore_index=True) for parts in zip(*tables))
    scores["fingerprint"] = answers["fingerprint"] = model.fingerprint()
    return ScoresAndExperts(marked(scores, trained_on, leaked_films), gates, marked(answers, trained_on, leaked_films))


def has_experts(model: UniChest) -> bool:
    """Whether the model's experts have a say in its answers: not after Conquer, whose experts nobody has trained."""
    return model.ratios.tolist()[1] != 0


def no_answers() -> pd.DataFrame:
    """An empty table of `ExpertAnswers`."""
    texts = ("source", "split", "image_id", "patient_id", "finding", "query")
    table = pd.DataFrame({name: pd.Series(dtype="str") for name in ("model", *texts, "fingerprint")})
    return table.assign(
        label=pd.Series(dtype="int64"),
        main=pd.Series(dtype="float64"),
        trained_on=pd.Series(dtype=bool),
        leaked=pd.Series(dtype=bool),
    )


def mixed(answers: pd.DataFrame, ratios: tuple[float, float], leave_out: Collection[int] = ()) -> np.ndarray:
    """The model's answers, as they are or without some experts.

    The weights of the experts that stay are scaled to sum to one again, so that the experts as a whole count as much as
    before; where all weight lay on experts that left, those that stay share it evenly. With no expert left, the main
    network answers alone.

    Args:
        answers: `ExpertAnswers` of n images and findings.
        ratios: `main_ratio, expert_ratio`, as in `UniChest.ratios`.
        leave_out: Numbers of experts, from 1.

    Returns:
        float64 (n,) probabilities.

    Raises:
        UniChestError: There is no such expert.
    """
    experts = expert_columns(answers)
    strangers = sorted(set(leave_out) - set(range(1, len(experts) + 1)))
    if strangers:
        raise UniChestError(f"expert {strangers[0]} cannot be left out: the experts are numbers 1 to {len(experts)}")
    kept = [k for k in range(1, len(experts) + 1) if k not in set(leave_out)]
    main = answers["main"].to_numpy(dtype=np.float64)
    if not kept:
        return main
    weights = answers[[f"gate_{k}" for k in kept]].to_numpy(dtype=np.float64)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, total, out=np.full_like(weights, 1 / len(kept)), where=total > 0)
    said = answers[[f"expert_{k}" for k in kept]].to_numpy(dtype=np.float64)
    return ratios[0] * main + ratios[1] * (weights * said).sum(axis=1)


def variants(answers: pd.DataFrame, ratios: tuple[float, float]) -> dict[str, np.ndarray]:
    """The answers (n,) of the mixture, of each of its networks alone, with an even gate, and without each expert."""
    experts = expert_columns(answers)
    numbers = range(1, len(experts) + 1)
    said = answers[["main", *experts]].astype(np.float64)
    even = ratios[0] * said["main"] + ratios[1] * said[experts].mean(axis=1)
    return {
        MIXTURE: mixed(answers, ratios),
        MAIN: said["main"].to_numpy(),
        **{alone(k): said[f"expert_{k}"].to_numpy() for k in numbers},
        EQUAL: even.to_numpy(),
        **{without(k): mixed(answers, ratios, [k]) for k in numbers},
    }


def gates_of(answers: pd.DataFrame) -> pd.DataFrame:
    """`Gates`: the gate's weights, one row per image."""
    gates = answers.drop_duplicates(["source", "image_id"]).reset_index(drop=True)
    named = {f"gate_{k}": f"expert_{k}" for k in range(1, len(expert_columns(answers)) + 1)}
    return gates[["model", "source", "split", "image_id", *named]].rename(columns=named)


def only_model(answers: pd.DataFrame) -> str:
    """The one model whose answers a table holds.

    Raises:
        UniChestError: there are several, or none.
    """
    models = list(answers["model"].unique())
    if len(models) != 1:
        raise UniChestError(f"experts are judged one model at a time; the table holds {', '.join(models) or 'none'}")
    return str(models[0])


def _answers_of(name: str, answered: Answered, splits: Sequence[str]) -> pd.DataFrame:
    """`ExpertAnswers` of one source, image by image, still without fingerprint and marks."""
    table = films_by_findings(name, answered)
    count = len(answered.words)
    said = answered.said
    experts = np.clip(said["experts"].transpose(1, 0, 2), 0, 1)
    gate = np.clip(np.repeat(said["gate"], count, axis=0), 0, 1)
    table = table.assign(
        main=np.clip(said["main"].ravel(), 0, 1),
        **{f"expert_{k}": values.ravel() for k, values in enumerate(experts, 1)},
        **{f"gate_{k}": weights for k, weights in enumerate(gate.T, 1)},
    )
    return table[table["split"].isin(list(splits))]


def _require_experts(model: UniChest, name: str) -> None:
    if not has_experts(model):
        raise UniChestError(
            f"model {name!r} does not use its experts (their ratio is 0), as after Conquer: judge the experts "
            "of a model that Divide has trained"
        )
