"""Asks a model about every image of every source, once each, and lays the answers out as a table."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.asking import Asker, Findings, words_of
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

    def fingerprint(self) -> str:
        """A digest of its weights."""

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


class Answered(NamedTuple):
    """What a model says of the films of one source.

    Attributes:
        source: Key of the source.
        part: Rows of `Examples`, N films.
        words: To each of the Q findings the words in which it was asked.
        said: By name of a field of `MixtureOutput`: `probabilities` and `main` (N,Q), `experts` (N,K,Q), `gate` (N,K),
            float64 in [0, 1].
        truth: int8 (N,Q) labels.
    """

    source: str
    part: pd.DataFrame
    words: dict[str, str]
    said: dict[str, np.ndarray]
    truth: np.ndarray


def score(
    model: Asked,
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
    ratios: Mapping[str, float] | None = None,
    workers: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every image of the wanted splits of every source exactly once.

    Each source is asked its own findings (docs/method.md, section 5: the benchmark's class names). The last batch is
    never dropped, and the model is left in the mode (training or evaluation) in which it came.

    Args:
        model: Its answers; asked in evaluation mode, without gradients, on the device it lies on.
        name: What the `model` column will say.
        examples: `Examples`.
        stores: Image store of each source.
        labels: `Labels` of each source.
        findings_by_source: Findings asked of each source, with the words in which they are asked where these are not
            their names.
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
        fields=("probabilities", "gate"),
        ratios=ratios,
        workers=workers,
    )
    tables = [(scores_of(name, of_source), gates_of_films(name, of_source)) for of_source in answered]
    scores, gate_weights = (pd.concat(parts, ignore_index=True) for parts in zip(*tables))
    scores["fingerprint"] = model.fingerprint()
    return marked(scores, trained_on, leaked_films), gate_weights


def ask_films(
    model: Asked,
    name: str,
    examples: pd.DataFrame,
    stores: Mapping[str, Images],
    labels: Mapping[str, pd.DataFrame],
    findings_by_source: Mapping[str, Findings],
    *,
    image_size: int,
    batch_size: int,
    resize: Resize,
    splits: Sequence[str],
    fields: Sequence[str],
    ratios: Mapping[str, float] | None = None,
    workers: int = 0,
) -> Iterator[Answered]:
    """Ask a model about every film of the wanted splits, source by source, each film once.

    Arguments and errors are those of `score`; `fields` says what is kept of the model's `MixtureOutput`.

    Yields:
        What it says of each source.
    """
    wanted = _wanted(examples, splits)
    asker = Asker(model)
    with evaluation_mode(model), tqdm(total=len(wanted), desc=f"ask {name}", unit="image") as bar:
        for source, part in wanted.groupby("source", sort=False):
            asked = findings_by_source[source]
            films = Films(stores[source], part["image_row"].tolist(), image_size, resize)
            loader = DataLoader(films, batch_size=batch_size, shuffle=False, drop_last=False, num_workers=workers)
            words = words_of(asked)
            queries = asker(list(words.values())) if isinstance(asked, Mapping) else model.queries_for(asked)
            said = _answers(model, loader, queries, fields, dict(ratios or {}), bar)
            truth = _truth(str(source), labels[source], part["label_row"].to_numpy(), list(words))
            _check(name, str(source), said, truth.shape)
            yield Answered(str(source), part, words, said, truth)


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
    model: Asked,
    loader: DataLoader,
    queries: torch.Tensor,
    fields: Sequence[str],
    ratios: dict[str, float],
    bar: tqdm,
) -> dict[str, np.ndarray]:
    """The wanted fields of a model's output on all images of a loader, float64."""
    parts: dict[str, list[np.ndarray]] = {field: [] for field in fields}
    for films in loader:
        answer = model(films.to(queries.device), queries, **ratios).image
        for field, values in parts.items():
            values.append(getattr(answer, field).double().cpu().numpy())
        bar.update(len(films))
    return {field: np.concatenate(values) for field, values in parts.items()}


def _truth(source: str, labels: pd.DataFrame, rows: np.ndarray, findings: list[str]) -> np.ndarray:
    """int8 (N, Q) labels of the asked findings."""
    missing = [finding for finding in findings if finding not in labels.columns]
    if missing:
        raise UniChestError(
            f"source {source!r} is asked about {', '.join(map(repr, missing))}, which its label table does "
            "not have; ask only findings of the vocabulary, or run the harmonise pipeline again"
        )
    return labels[findings].to_numpy(dtype=np.int8)[rows]


def _check(name: str, source: str, said: Mapping[str, np.ndarray], asked: tuple[int, int]) -> None:
    """Raise `UniChestError` unless every film and finding is answered, by probabilities."""
    for field, values in said.items():
        answered = values.shape if field != "gate" else (len(values), asked[1])
        if (answered[0], answered[-1]) != asked:
            raise UniChestError(
                f"model {name!r} answered {values.shape} (images, findings) of source {source!r}, "
                f"asked were {asked}: some image or finding has no answer"
            )
        wrong = ~((values >= -ROUNDING) & (values <= 1 + ROUNDING))
        if wrong.any():
            raise UniChestError(
                f"model {name!r}, {field}: {int(wrong.sum())} of {wrong.size} answers of source {source!r} are no "
                f"probability, the first {values[wrong][0]}; it has diverged: train it again with a lower learning rate"
            )


def films_by_findings(name: str, answered: Answered) -> pd.DataFrame:
    """The columns that say what was asked of which film, and its label: one row per film and finding, film by film."""
    rows = answered.part[["source", "split", "image_id", "patient_id"]]
    count = len(answered.words)
    table = rows.iloc[np.repeat(np.arange(len(rows)), count)].reset_index(drop=True)
    table.insert(0, "model", pd.Series(name, index=table.index, dtype="str"))
    table["finding"] = pd.Series(list(answered.words) * len(rows), dtype="str")
    table["query"] = pd.Series(list(answered.words.values()) * len(rows), dtype="str")
    return table.assign(label=answered.truth.ravel().astype(np.int64))


def scores_of(name: str, answered: Answered) -> pd.DataFrame:
    """`Scores` of one source, still without fingerprint and marks (`marked`)."""
    table = films_by_findings(name, answered)
    require_complete(table)
    return table.assign(score=np.clip(answered.said["probabilities"].ravel(), 0, 1))


def gates_of_films(name: str, answered: Answered) -> pd.DataFrame:
    """`Gates` of one source, one row per image."""
    table = answered.part[["source", "split", "image_id"]].reset_index(drop=True)
    table.insert(0, "model", pd.Series(name, index=table.index, dtype="str"))
    weights = np.clip(answered.said["gate"], 0, 1)
    return table.assign(**{f"expert_{k}": weight for k, weight in enumerate(weights.T, 1)})


def marked(table: pd.DataFrame, trained_on: Collection[str], leaked_films: pd.DataFrame) -> pd.DataFrame:
    """The table with `trained_on`, whether the model was trained on the source, and `leaked`, whether on the film."""
    table = table.assign(trained_on=table["source"].isin(list(trained_on)))
    return table.assign(leaked=is_leaked(table, leaked_films, trained_on))


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
