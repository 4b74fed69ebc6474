"""What training reads: examples, their images, labels and texts, as batches that depend on the seed alone.

Every draw of an epoch is a `Draw` that carries its own randomness, so neither the number of worker processes
nor a resumed run changes what is seen.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from unichest_kedro.errors import TrainingError
from unichest_kedro.imaging.augment import AugmentationSettings, random_resized_crop, resize_square


class Store(Protocol):
    """Images of one source by row number: uint8 (h,w)."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> np.ndarray: ...


class Draw(NamedTuple):
    """One draw of an epoch: row of the examples table, and what its augmentation is seeded by."""

    row: int
    epoch: int
    position: int


class Item(NamedTuple):
    """One example: `image` uint8 (1,S,S), `labels` int8 (F,), `text` float32 (D,), and its numbers.

    `text_id` is -1 (and `text` zero) without a text; `source` indexes `TrainingData.sources`; `row` the
    examples.
    """

    image: np.ndarray
    labels: np.ndarray
    text: np.ndarray
    text_id: int
    source: int
    row: int


class Batch(NamedTuple):
    """B examples: `images` uint8 (B,1,S,S), `labels` int8 (B,F), `text` float32 (B,D), others int64 (B,)."""

    images: Tensor
    labels: Tensor
    text: Tensor
    text_ids: Tensor
    sources: Tensor
    rows: Tensor


@dataclass(frozen=True)
class TrainingData:
    """Everything training needs of the data; tables and arrays are only read.

    Attributes:
        examples: Table of schema `Examples`, splits `train` and `val` (others are ignored).
        stores: Image store of each source.
        labels: int8 (N,F) of each source: 1, 0 or `UNKNOWN`; rows as `examples.label_row`.
        findings: Names of the F label columns.
        text_embeddings: float32 (T,D), rows as `examples.text_row`; may be memory-mapped.
        findings_by_source: Findings that each source labels, which its validation AUROC is the mean over.
        source_prompts: float32 (F,D) of each source, where its images are to be asked in words of its own.

    Raises:
        TrainingError: a source lacks images or labels, a label column a name, or there is too little to train
            on.
    """

    examples: pd.DataFrame
    stores: Mapping[str, Store]
    labels: Mapping[str, np.ndarray]
    findings: tuple[str, ...]
    text_embeddings: np.ndarray
    findings_by_source: Mapping[str, Sequence[str]]
    source_prompts: Mapping[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        for source in self.sources:
            self._check_source(source)
        if len(self.rows("train")) < 2:
            raise TrainingError(f"examples: {len(self.rows('train'))} images in split 'train'; at least 2 are needed")
        if not self.asked:
            raise TrainingError("labels: no finding is present on one training image and absent on another")

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, sorted."""
        return tuple(sorted(self.examples["source"].unique()))

    @cached_property
    def source_of(self) -> np.ndarray:
        """Index into `sources` of each row of the examples, int64."""
        return self.examples["source"].map({name: i for i, name in enumerate(self.sources)}).to_numpy(np.int64)

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """Findings known to be present on one training image and absent on another: what training asks about.

        Of a finding that is only ever absent (or present) nothing can be learnt but that answer.
        """
        present, absent = np.zeros((2, len(self.findings)), dtype=bool)
        for source, rows in self._label_rows("train"):
            present |= (self.labels[source][rows] == 1).any(axis=0)
            absent |= (self.labels[source][rows] == 0).any(axis=0)
        return tuple(name for name, both in zip(self.findings, present & absent) if both)

    def rows(self, split: str, source: str | None = None) -> np.ndarray:
        """Row numbers of the examples of one split, and of one source if given."""
        chosen = self.examples["split"] == split
        if source is not None:
            chosen &= self.examples["source"] == source
        return np.flatnonzero(chosen)

    def columns(self, findings: Sequence[str]) -> np.ndarray:
        """Label columns of findings, in the order given."""
        return np.array([self.findings.index(name) for name in findings], dtype=np.int64)

    def labels_of(self, source: str, rows: np.ndarray, findings: Sequence[str]) -> np.ndarray:
        """Labels int8 (len(rows), len(findings)) of examples of one source."""
        label_rows = self.examples["label_row"].to_numpy()[rows]
        return self.labels[source][label_rows][:, self.columns(findings)]

    def queries_by_source(self, findings: Sequence[str], device: torch.device) -> Tensor | None:
        """Queries float32 (S,Q,D) of findings in the words of each source; None where all are asked in the same."""
        if self.source_prompts is None:
            return None
        every = [self.source_prompts[source][self.columns(findings)] for source in self.sources]
        return torch.as_tensor(np.stack(every), device=device)

    def image_ids(self, rows: Sequence[int]) -> list[str]:
        """`source/image_id` of rows of the examples."""
        chosen = self.examples.iloc[list(rows)]
        return [f"{source}/{image}" for source, image in zip(chosen["source"], chosen["image_id"])]

    def fingerprints(self) -> dict[str, str]:
        """Digest of each part, by name: what a saved state must agree with. Pixels are not read."""
        table = pd.util.hash_pandas_object(self.examples, index=False).to_numpy()
        labels = [np.ascontiguousarray(self.labels[source]) for source in self.sources]
        own = [] if self.source_prompts is None else [self.source_prompts[source] for source in self.sources]
        return {
            **({"data.source_prompts": _digest(*map(np.ascontiguousarray, own))} if own else {}),
            "data.examples": _digest(table),
            "data.images": _digest(*(_store_digest(self.stores[source]) for source in self.sources)),
            "data.labels": _digest(*labels),
            "data.findings": _digest(np.array(self.findings, dtype=np.str_)),
            "data.text_embeddings": _digest(np.ascontiguousarray(self.text_embeddings)),
        }

    def _label_rows(self, split: str) -> Iterator[tuple[str, np.ndarray]]:
        label_row = self.examples["label_row"].to_numpy()
        for source in self.sources:
            yield source, label_row[self.rows(split, source)]

    def _check_source(self, source: str) -> None:
        for name, tables in (("stores", self.stores), ("labels", self.labels)):
            if source not in tables:
                raise TrainingError(f"{name}: source '{source}' of the examples is missing; there are {sorted(tables)}")
        if self.labels[source].shape[1] != len(self.findings):
            raise TrainingError(
                f"labels: source '{source}' has {self.labels[source].shape[1]} columns for "
                f"{len(self.findings)} findings"
            )
        unknown = set(self.findings_by_source.get(source, ())) - set(self.findings)
        if unknown:
            raise TrainingError(f"findings_by_source: '{source}' names {sorted(unknown)}, which have no label column")


class TrainingExamples(Dataset):
    """Augmented training examples, indexed by `Draw`.

    Args:
        data: What to read from.
        image_size: Side S of the square crops, in pixels.
        settings: Of the random crop and flip.
        seed: Together with epoch and position it fixes each crop.
    """

    def __init__(self, data: TrainingData, image_size: int, settings: AugmentationSettings, seed: int) -> None:
        self.reader = _Reader(data)
        self.image_size = image_size
        self.settings = settings
        self.seed = seed

    def __getitem__(self, draw: Draw) -> Item:
        rng = np.random.default_rng((self.seed, draw.epoch, draw.position))
        image = self.reader.image(draw.row)
        return self.reader.item(draw.row, random_resized_crop(image, self.image_size, self.settings, rng))


class EvaluationExamples(Dataset):
    """Whole images resized to a square, indexed by position in `rows`.

    Args:
        data: What to read from.
        rows: Row numbers of the examples.
        image_size: Side S in pixels.
    """

    def __init__(self, data: TrainingData, rows: np.ndarray, image_size: int) -> None:
        self.reader = _Reader(data)
        self.rows = rows
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> Item:
        row = int(self.rows[position])
        return self.reader.item(row, resize_square(self.reader.image(row), self.image_size))


class _Reader:
    """Reads one row of the examples from stores, labels and texts."""

    def __init__(self, data: TrainingData) -> None:
        self.stores = [data.stores[source] for source in data.sources]
        self.labels = [data.labels[source] for source in data.sources]
        self.texts = data.text_embeddings
        self.source = data.source_of
        columns = ("image_row", "label_row", "text_row")
        self.image_row, self.label_row, self.text_row = (data.examples[name].to_numpy() for name in columns)

    def image(self, row: int) -> np.ndarray:
        return self.stores[self.source[row]][int(self.image_row[row])]

    def item(self, row: int, image: np.ndarray) -> Item:
        source, text_id = int(self.source[row]), int(self.text_row[row])
        empty = np.zeros(self.texts.shape[1], dtype=np.float32)
        text = np.asarray(self.texts[text_id], dtype=np.float32) if text_id >= 0 else empty
        return Item(image[None], self.labels[source][self.label_row[row]], text, text_id, source, row)


def collate(items: Sequence[Item]) -> Batch:
    """Stacks examples into a batch."""
    images, labels, texts, text_ids, sources, rows = zip(*items)
    return Batch(
        images=torch.from_numpy(np.stack(images)),
        labels=torch.from_numpy(np.stack(labels)),
        text=torch.from_numpy(np.stack(texts)),
        text_ids=torch.tensor(text_ids),
        sources=torch.tensor(sources),
        rows=torch.tensor(rows),
    )


class EpochBatches(Sampler[list[Draw]]):
    """Batches of draws of one epoch; the same for the same seed and epoch, and the same in every process.

    A last, smaller batch is left out (each epoch leaves out other images) unless it is the only one.

    Args:
        rows: Row numbers of the training examples.
        sources: Source of each of these rows.
        batch_size: Draws per batch.
        exponent: A source of n images gets a share proportional to n ** exponent: 1 proportional, 0 balanced.
        seed: Seed of the order.
    """

    def __init__(self, rows: np.ndarray, sources: np.ndarray, batch_size: int, exponent: float, seed: int) -> None:
        self.rows_by_source = [rows[sources == source] for source in np.unique(sources)]
        self.counts = draws_per_source([len(rows) for rows in self.rows_by_source], exponent)
        self.batch_size = min(batch_size, len(rows))
        self.seed = seed
        self.epoch = 0
        self.first = 0

    def choose_epoch(self, epoch: int, first: int = 0) -> None:
        """Chooses the epoch that the next iteration draws, from its batch number `first` (from 0) on.

        Not called `set_epoch`: accelerate calls a method of that name with a count that restarts on
        resumption.
        """
        self.epoch = epoch
        self.first = first

    def __len__(self) -> int:
        return int(self.counts.sum()) // self.batch_size

    def __iter__(self) -> Iterator[list[Draw]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        drawn = [_repeat(rows, count, rng) for rows, count in zip(self.rows_by_source, self.counts)]
        order = rng.permutation(np.concatenate(drawn))
        draws = [Draw(int(row), self.epoch, position) for position, row in enumerate(order)]
        for start in range(self.first * self.batch_size, len(self) * self.batch_size, self.batch_size):
            yield draws[start : start + self.batch_size]


def sampling_exponent(sampling: str, temperature: float) -> float:
    """Exponent of a source's size in its share: 1 proportional, 0 balanced, else 1 / temperature."""
    return {"proportional": 1.0, "balanced": 0.0}.get(sampling, 1 / temperature)


def draws_per_source(sizes: Sequence[int], exponent: float) -> np.ndarray:
    """Splits as many draws as there are images among sources, in proportion to size ** exponent.

    Args:
        sizes: Number of images of each source, all positive.
        exponent: 1 gives each its own size, 0 the same to all.

    Returns:
        int64 counts that sum to `sum(sizes)` (largest remainders are rounded up).
    """
    share = np.asarray(sizes, dtype=np.float64) ** exponent
    exact = share / share.sum() * np.sum(sizes)
    counts = np.floor(exact + 1e-9).astype(np.int64)
    left = int(np.sum(sizes) - counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:left]] += 1
    return counts


def _repeat(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    # Whole permutations first: no image comes a third time before every image came twice.
    whole = [rng.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate(whole)[:count] if whole else rows[:0]


def _store_digest(store: Store) -> np.ndarray:
    """What says which pixels a store holds: its manifest, whose part names depend on the files and the size."""
    manifest = getattr(store, "manifest", None)
    return np.zeros(0) if manifest is None else pd.util.hash_pandas_object(manifest, index=False).to_numpy()


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(array.view(np.uint8) if array.size else b"")
    return digest.hexdigest()
