"""What the experts of a Divide model are good for: gate by source, each expert alone, and the model without one.

One pass over the films collects the answers of the main network and of every expert, and the gate (`collect`). All the
rest recombines these numbers: `p = main_ratio * main + expert_ratio * sum_k gate_k * expert_k` (METHOD, section 2).
"""

import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.leaks import is_leaked
from unichest_kedro.evaluation.metrics import (
    auroc_table,
    difference_table,
    expert_columns,
    macro_samples,
    macro_table,
    mutual_information,
)
from unichest_kedro.evaluation.scoring import ROUNDING, Films, Images, Resize, evaluation_mode, require_complete
from unichest_kedro.models.unichest import UniChest

MIXTURE = "Mixture"
MAIN = "Main network"
EQUAL = "Equal weights"
"""The mixture with the gate's weights replaced by 1/K: what the gate itself is worth."""

TRAINED = "sources trained on"
ALL = "all sources"
_IMAGE = ["model", "source", "split", "image_id", "patient_id"]


class ExpertResults(NamedTuple):
    """What `judge_experts` finds.

    Attributes:
        metrics: `Metrics` per variant (in the column `model`), source and finding.
        aurocs: `ExpertAurocs`: macro AUROC of every variant on every source.
        differences: `ExpertDifferences`: every variant minus the mixture, paired.
    """

    metrics: pd.DataFrame
    aurocs: pd.DataFrame
    differences: pd.DataFrame


def alone(k: int) -> str:
    """Name of the variant in which expert k (from 1) answers alone."""
    return f"Expert {k}"


def without(k: int) -> str:
    """Name of the variant that lacks expert k (from 1), the gate's weights shared out among the others."""
    return f"Without expert {k}"


def collect(
    model: UniChest,
    name: str,
    examples: pd.DataFrame,
    stores: Mapping[str, Images],
    labels: Mapping[str, pd.DataFrame],
    findings_by_source: Mapping[str, Sequence[str]],
    trained_on: Collection[str],
    leaked_films: pd.DataFrame,
    *,
    image_size: int,
    batch_size: int,
    resize: Resize,
    splits: Sequence[str] = ("test",),
    workers: int = 0,
) -> pd.DataFrame:
    """Ask main network, experts and gate about every film of the wanted splits, in one pass.

    Args:
        model: A Divide model, on the device it is to run on; left in the mode in which it came.
        name: What the `model` column will say.
        examples: `Examples`.
        stores: Image store of each source.
        labels: `Labels` of each source.
        findings_by_source: Findings asked of each source.
        trained_on: Sources that the model was trained on.
        leaked_films: `LeakedFilms`; they are marked.
        image_size: Side of the square images, in pixels.
        batch_size: Images per forward pass.
        resize: How a film becomes a square of that side.
        splits: Splits to ask about.
        workers: Processes that read images ahead.

    Returns:
        `ExpertAnswers`, in the order of `examples`.

    Raises:
        UniChestError: there is no film, the model does not use its experts, or an answer is no probability.
    """
    _require_experts(model, name)
    wanted = examples[examples["split"].isin(list(splits))]
    if wanted.empty:
        raise UniChestError(f"no image in split {', '.join(splits)} to ask the experts about; ask about another split")
    tables = []
    with evaluation_mode(model), tqdm(total=len(wanted), desc=f"ask the experts of {name}", unit="image") as bar:
        for source, part in wanted.groupby("source", sort=False):
            findings = list(findings_by_source[source])
            films = Films(stores[source], part["image_row"].tolist(), image_size, resize)
            loader = DataLoader(films, batch_size=batch_size, shuffle=False, num_workers=workers)
            answers = _answers(model, loader, findings, bar)
            _require_probabilities(name, str(source), answers)
            truth = labels[source][findings].to_numpy()[part["label_row"].to_numpy()]
            tables.append(_table(name, part, findings, answers, truth))
    table = pd.concat(tables, ignore_index=True)
    require_complete(table)
    table["trained_on"] = table["source"].isin(list(trained_on))
    table["leaked"] = is_leaked(table, leaked_films, trained_on)
    return table


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


def as_scores(answers: pd.DataFrame, said: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """`Scores` of variants of one model, so that every metric is there for them; `model` holds the variant."""
    shared = answers[["source", "split", "image_id", "patient_id", "finding", "label", "trained_on", "leaked"]]
    tables = [
        shared.assign(model=variant, score=np.clip(probabilities, 0, 1)) for variant, probabilities in said.items()
    ]
    return pd.concat(tables, ignore_index=True)


def judge_experts(
    answers: pd.DataFrame, ratios: tuple[float, float], resamples: int = 1000, seed: int = 42, split: str = "test"
) -> ExpertResults:
    """AUROC of every variant by source, and what each changes against the mixture, with 95 % limits by patient.

    Args:
        answers: `ExpertAnswers` of one model; leave out leaked films beforehand (`leaks.judged`).
        ratios: `main_ratio, expert_ratio` of the mixture.
        resamples: Bootstrap resamples by patient, the same for all variants.
        seed: Seed of the draws.
        split: The split to judge.

    Returns:
        Tables per finding, per source, and of differences.
    """
    model = _only_model(answers)
    answers = answers[answers["split"] == split]
    tables, samples = [], []
    # One variant at a time: the draws depend on seed and source alone, so they are the same for all.
    for variant, said in tqdm(variants(answers, ratios).items(), desc="judge the experts", unit="variant"):
        scores = as_scores(answers, {variant: said})
        tables.append(auroc_table(scores))
        samples.append(macro_samples(scores, resamples, seed, split))
    metrics, sampled = pd.concat(tables, ignore_index=True), pd.concat(samples, axis=1)
    aurocs = macro_table(metrics, sampled, split)
    others = [variant for variant in aurocs["model"].unique() if variant != MIXTURE]
    differences = pd.concat(
        [difference_table(aurocs, sampled, other, MIXTURE).assign(variant=other) for other in others], ignore_index=True
    )
    return ExpertResults(
        metrics,
        _named(aurocs.rename(columns={"model": "variant"}), model),
        _named(differences[["variant", "source", "difference", "low", "high"]], model),
    )


def gates_of(answers: pd.DataFrame) -> pd.DataFrame:
    """`Gates`: the gate's weights, one row per image."""
    gates = answers.drop_duplicates(["source", "image_id"]).reset_index(drop=True)
    named = {f"gate_{k}": f"expert_{k}" for k in range(1, len(expert_columns(answers)) + 1)}
    return gates[["model", "source", "split", "image_id", *named]].rename(columns=named)


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
        trained on and one over all. The latter has the mutual information in bits between source and expert, every
        source counting alike: of the gate's weights, and (`chosen_information`) of the expert with the largest weight.
    """
    model = _only_model(answers)
    images = answers[answers["split"] == split].drop_duplicates(["source", "image_id"])
    gates = {
        source: _resample(str(source), part, resamples, seed) for source, part in images.groupby("source", sort=False)
    }
    table = pd.concat([_gate_rows(str(source), gate) for source, gate in gates.items()], ignore_index=True)
    trained = [source for source, part in images.groupby("source", sort=False) if part["trained_on"].iloc[0]]
    kinds = {TRAINED: trained, ALL: list(gates)}
    rows = [_summary(over, [gates[source] for source in chosen]) for over, chosen in kinds.items() if chosen]
    return _named(table, model), _named(pd.DataFrame(rows), model)


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
    draws = np.random.default_rng([seed, zlib.crc32(source.encode())]).multinomial(
        people, np.full(people, 1 / people), size=resamples
    )
    samples = draws @ sums / (draws @ np.bincount(patients))[:, None]
    mean = values.mean(axis=0)
    parts = slice(0, experts), slice(experts, 2 * experts)
    return _Gate(
        len(images), *(mean[part] for part in parts), mean[-1], *(samples[:, part] for part in parts), samples[:, -1]
    )


def _gate_rows(source: str, gate: _Gate) -> pd.DataFrame:
    low, high = np.percentile(gate.weight_samples, [2.5, 97.5], axis=0)
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
    low, high = np.percentile(samples, [2.5, 97.5])
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


@torch.inference_mode()
def _answers(model: UniChest, loader: DataLoader, findings: list[str], bar: tqdm) -> dict[str, np.ndarray]:
    """Main (N,Q), experts (N,K,Q) and gate (N,K) of all images of a loader, float64."""
    queries = model.queries_for(findings)
    parts: dict[str, list[np.ndarray]] = {"main": [], "experts": [], "gate": []}
    for films in loader:
        answer = model(films.to(queries.device), queries, main_ratio=0.5, expert_ratio=0.5).image
        for name, values in parts.items():
            values.append(getattr(answer, name).double().cpu().numpy())
        bar.update(len(films))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _table(
    name: str, part: pd.DataFrame, findings: list[str], answers: dict[str, np.ndarray], truth: np.ndarray
) -> pd.DataFrame:
    """`ExpertAnswers` of one source, image by image."""
    rows = part.assign(model=name)[_IMAGE]
    table = rows.iloc[np.repeat(np.arange(len(rows)), len(findings))].reset_index(drop=True)
    table["model"] = table["model"].astype("str")
    table["finding"] = pd.Series(findings * len(rows), dtype="str")
    table["label"] = truth.ravel().astype(np.int64)
    table["main"] = np.clip(answers["main"].ravel(), 0, 1)
    experts = answers["experts"].transpose(1, 0, 2)
    said = {f"expert_{k}": np.clip(values.ravel(), 0, 1) for k, values in enumerate(experts, 1)}
    gate = np.clip(np.repeat(answers["gate"], len(findings), axis=0), 0, 1)
    return table.assign(**said, **{f"gate_{k}": weights for k, weights in enumerate(gate.T, 1)})


def _named(table: pd.DataFrame, model: str) -> pd.DataFrame:
    table = table.copy()
    table.insert(0, "model", pd.Series(model, index=table.index, dtype="str"))
    return table


def _only_model(answers: pd.DataFrame) -> str:
    models = list(answers["model"].unique())
    if len(models) != 1:
        raise UniChestError(f"experts are judged one model at a time; the table holds {', '.join(models) or 'none'}")
    return str(models[0])


def _require_experts(model: UniChest, name: str) -> None:
    if model.ratios.tolist()[1] == 0:
        raise UniChestError(
            f"model {name!r} does not use its experts (their ratio is 0), as after Conquer: judge the experts "
            "of a model that Divide has trained"
        )


def _require_probabilities(name: str, source: str, answers: Mapping[str, np.ndarray]) -> None:
    for part, values in answers.items():
        wrong = ~((values >= -ROUNDING) & (values <= 1 + ROUNDING))
        if wrong.any():
            raise UniChestError(
                f"model {name!r}, {part}: {int(wrong.sum())} of {wrong.size} answers of source {source!r} are no "
                f"probability, the first {values[wrong][0]}; it has diverged: train it again with a lower learning rate"
            )
