"""Asks a model about every image of every source, once each, and lays the answers out as a table."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.leaks import is_leaked
from unichest_kedro.schemas import UNKNOWN

Resize = Callable[[np.ndarray, int], np.ndarray]
"""uint8 (h, w), size -> uint8 (size, size)."""

ROUNDING = 1e-5  # how far float32 sums of gate weights may carry a probability beyond [0, 1]


class Images(Protocol):
    """What scoring needs of an image store."""

    def __getitem__(self, row: int) -> np.ndarray:
        """uint8 (h, w) film of a row."""


class Asked(Protocol):
    """What scoring needs of a model; `UniChest` is one."""

    training: bool

    def train(self, mode: bool = True) -> Any:
        """Switch to training (or evaluation) mode."""

    def queries_for(self, findings: Sequence[str]) -> torch.Tensor:
        """Float (Q, D) queries of the named findings."""

    def __call__(self, images: torch.Tensor, queries: torch.Tensor, **ratios: float) -> Any:
        """For uint8 (B, 1, S, S): an output whose `image` has `probabilities` (B, Q) and `gate` (B, K)."""


class Films(Dataset):
    """The images of one source that are to be scored, resized to a square, in the order of their rows."""

    def __init__(self, store: Images, rows: Sequence[int], size: int, resize: Resize) -> None:
        self.store, self.rows, self.size, self.resize = store, [int(row) for row in rows], size, resize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        """uint8 (1, size, size)."""
        film = self.resize(self.store[self.rows[index]], self.size)
        return torch.from_numpy(np.array(film))[None]  # a copy: stores hand out read-only views


def score(
    model: Asked,
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
    ratios: Mapping[str, float] | None = None,
    workers: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every image of the wanted splits of every source exactly once.

    Each source is asked its own findings (METHOD section 5: the benchmark's class names). The last batch is
    never dropped, and the model is left in the mode (training or evaluation) in which it came.

    Args:
        model: Its answers; asked in evaluation mode, without gradients, on the device it lies on.
        name: What the `model` column will say.
        examples: `Examples`.
        stores: Image store of each source.
        labels: `Labels` of each source.
        findings_by_source: Findings asked of each source.
        trained_on: Sources that the model was trained on; the others are zero-shot.
        leaked_films: `LeakedFilms`; they are scored as every other film, and marked.
        image_size: Side of the square images, in pixels.
        batch_size: Images per forward pass.
        resize: How a film becomes a square of that side.
        splits: Splits to score.
        ratios: `main_ratio` and `expert_ratio`, where they are not to be the model's own.
        workers: Processes that read images ahead.

    Returns:
        `Scores` and `Gates`, in the order of `examples`.

    Raises:
        UniChestError: Nothing to score, a finding the labels lack, an answer that is not a probability, or an
            image and finding that is not answered exactly once.
    """
    wanted = _wanted(examples, splits)
    tables = []
    with evaluation_mode(model), tqdm(total=len(wanted), desc=f"score {name}", unit="image") as bar:
        for source, part in wanted.groupby("source", sort=False):
            findings = list(findings_by_source[source])
            films = Films(stores[source], part["image_row"].tolist(), image_size, resize)
            loader = DataLoader(films, batch_size=batch_size, shuffle=False, drop_last=False, num_workers=workers)
            probabilities, gates = _answers(model, loader, findings, dict(ratios or {}), bar)
            truth = _truth(str(source), labels[source], part["label_row"].to_numpy(), findings)
            _check(name, str(source), probabilities, truth)
            tables.append((_scores(name, part, findings, probabilities, truth), _gates(name, part, gates)))
    scores, gate_weights = (pd.concat(parts, ignore_index=True) for parts in zip(*tables))
    scores["trained_on"] = scores["source"].isin(list(trained_on))
    scores["leaked"] = is_leaked(scores, leaked_films, trained_on)
    return scores, gate_weights


def _wanted(examples: pd.DataFrame, splits: Sequence[str]) -> pd.DataFrame:
    wanted = examples[examples["split"].isin(list(splits))]
    if wanted.empty:
        raise UniChestError(
            f"no image in split {', '.join(splits)} to score: the sources have none on disk; "
            "add images of that split, or score another one"
        )
    return wanted


@contextmanager
def evaluation_mode(model: Asked) -> Iterator[None]:
    """Evaluation mode inside; afterwards the model is in the mode in which it came."""
    was_training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(was_training)


@torch.inference_mode()
def _answers(
    model: Asked, loader: DataLoader, findings: list[str], ratios: dict[str, float], bar: tqdm
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, Q) and gate weights (N, K), float64, of all images of a loader."""
    queries = model.queries_for(findings)
    probabilities, gates = [], []
    for films in loader:
        answer = model(films.to(queries.device), queries, **ratios).image
        probabilities.append(answer.probabilities.double().cpu().numpy())
        gates.append(answer.gate.double().cpu().numpy())
        bar.update(len(films))
    return np.concatenate(probabilities), np.concatenate(gates)


def _truth(source: str, labels: pd.DataFrame, rows: np.ndarray, findings: list[str]) -> np.ndarray:
    """int8 (N, Q) labels of the asked findings."""
    missing = [finding for finding in findings if finding not in labels.columns]
    if missing:
        raise UniChestError(
            f"source {source!r} is asked about {', '.join(map(repr, missing))}, which its label table does "
            "not have; ask only findings of the vocabulary, or run the harmonise pipeline again"
        )
    return labels[findings].to_numpy(dtype=np.int8)[rows]


def _check(name: str, source: str, probabilities: np.ndarray, truth: np.ndarray) -> None:
    if probabilities.shape != truth.shape:
        raise UniChestError(
            f"model {name!r} answered {probabilities.shape} (images, findings) of source {source!r}, "
            f"asked were {truth.shape}: some image or finding has no answer"
        )
    wrong = ~((probabilities >= -ROUNDING) & (probabilities <= 1 + ROUNDING))
    if wrong.any():
        raise UniChestError(
            f"model {name!r} gave {int(wrong.sum())} of {wrong.size} answers of source {source!r} that are "
            f"no probability, the first {probabilities[wrong][0]}; it has diverged: train it again with a "
            "lower learning rate"
        )


def _scores(
    name: str, part: pd.DataFrame, findings: list[str], probabilities: np.ndarray, truth: np.ndarray
) -> pd.DataFrame:
    """`Scores` of one source, image by image."""
    rows = part[["source", "split", "image_id", "patient_id"]]
    table = rows.iloc[np.repeat(np.arange(len(rows)), len(findings))].reset_index(drop=True)
    table.insert(0, "model", pd.Series(name, index=table.index, dtype="str"))
    table["finding"] = pd.Series(findings * len(rows), dtype="str")
    table["score"] = np.clip(probabilities.ravel(), 0, 1)
    table["label"] = truth.ravel().astype(np.int64)
    require_complete(table)
    return table


def _gates(name: str, part: pd.DataFrame, gates: np.ndarray) -> pd.DataFrame:
    """`Gates` of one source, one row per image."""
    table = part[["source", "split", "image_id"]].reset_index(drop=True)
    table.insert(0, "model", pd.Series(name, index=table.index, dtype="str"))
    experts = {f"expert_{k + 1}": np.clip(gates[:, k], 0, 1) for k in range(gates.shape[1])}
    return table.assign(**experts)


def require_complete(scores: pd.DataFrame) -> None:
    """Raise `UniChestError` unless each image of a source has each of its findings exactly once, labelled."""
    twice = int(scores.duplicated(["model", "source", "image_id", "finding"]).sum())
    if twice:
        raise UniChestError(f"{twice} image-finding pairs are scored twice: an image stands in the examples twice")
    for (model, source), part in scores.groupby(["model", "source"], sort=False):
        expected = part["image_id"].nunique() * part["finding"].nunique()
        if len(part) != expected:
            raise UniChestError(
                f"model {model!r} has {len(part)} scores on source {source!r}; every image with every "
                f"finding would be {expected}: run the evaluate pipeline again"
            )
    if not scores["label"].isin((1, 0, UNKNOWN)).all():
        raise UniChestError(f"labels of scored images must be 1, 0 or {UNKNOWN} (unknown); found others")
