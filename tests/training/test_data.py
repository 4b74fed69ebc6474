"""Examples, batches, and how an epoch is drawn."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from unichest_kedro.errors import TrainingError
from unichest_kedro.imaging.augment import AugmentationSettings, resize_square
from unichest_kedro.training.data import (
    Draw,
    EpochBatches,
    EvaluationExamples,
    TrainingData,
    TrainingExamples,
    collate,
    draws_per_source,
    sampling_exponent,
)

ROWS = np.arange(100)
SOURCES = np.array([0] * 70 + [1] * 20 + [2] * 10)


def drawn(exponent: float, batch_size: int = 10, epoch: int = 0) -> list[int]:
    batches = EpochBatches(ROWS, SOURCES, batch_size, exponent, seed=5)
    batches.choose_epoch(epoch)
    return [draw.row for batch in batches for draw in batch]


def test_proportional_takes_each_image_once() -> None:
    rows = drawn(1.0)
    assert sorted(rows) == list(range(100))
    assert rows != sorted(rows)


def test_order_depends_on_epoch_and_seed_alone() -> None:
    assert drawn(1.0, epoch=3) == drawn(1.0, epoch=3)
    assert drawn(1.0, epoch=3) != drawn(1.0, epoch=4)


def test_balanced_repeats_evenly() -> None:
    counts = Counter(SOURCES[drawn(0.0)])
    assert sum(counts.values()) == 100
    assert set(counts.values()) <= {33, 34}
    repeats = Counter(row for row in drawn(0.0) if SOURCES[row] == 2)
    assert set(repeats.values()) <= {3, 4}, "whole permutations before repeats"


@pytest.mark.parametrize(
    ("sizes", "exponent", "expected"),
    [
        ([70, 20, 10], 1.0, [70, 20, 10]),
        ([70, 20, 10], 0.0, [34, 33, 33]),
        ([100, 25], 0.5, [83, 42]),
        ([5], 0.3, [5]),
    ],
)
def test_draws_per_source(sizes: list[int], exponent: float, expected: list[int]) -> None:
    assert draws_per_source(sizes, exponent).tolist() == expected


def test_sampling_exponent() -> None:
    assert [sampling_exponent(name, 4.0) for name in ("proportional", "balanced", "temperature")] == [
        1,
        0,
        0.25,
    ]


def test_only_a_smaller_last_batch_is_left_out() -> None:
    assert [len(batch) for batch in EpochBatches(ROWS, SOURCES, 30, 1.0, 0)] == [30, 30, 30]
    assert [len(batch) for batch in EpochBatches(ROWS[:7], SOURCES[:7], 30, 1.0, 0)] == [7]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_seen_does_not_depend_on_workers(data: TrainingData, workers: int) -> None:
    def images(num_workers: int) -> torch.Tensor:
        rows = data.rows("train")
        batches = EpochBatches(rows, data.source_of[rows], 8, 1.0, seed=1)
        batches.choose_epoch(2)
        examples = TrainingExamples(data, 32, AugmentationSettings(), seed=1)
        loader = DataLoader(examples, batch_sampler=batches, num_workers=num_workers, collate_fn=collate)
        return torch.cat([batch.images for batch in loader])

    assert torch.equal(images(workers), images(0))


def test_each_draw_has_its_own_crop(data: TrainingData) -> None:
    examples = TrainingExamples(data, 32, AugmentationSettings(), seed=1)
    first = examples[Draw(0, 1, 0)].image
    assert np.array_equal(first, examples[Draw(0, 1, 0)].image)
    assert not np.array_equal(first, examples[Draw(0, 2, 0)].image)
    assert not np.array_equal(first, examples[Draw(0, 1, 1)].image)


def test_batch_belongs_together(data: TrainingData) -> None:
    rows = np.array([0, 30, 40, 71])
    examples = EvaluationExamples(data, rows, 32)
    batch = collate([examples[i] for i in range(len(examples))])
    assert batch.images.shape == (4, 1, 32, 32)
    assert batch.images.dtype == torch.uint8
    assert batch.rows.tolist() == rows.tolist()
    for i, row in enumerate(rows):
        entry = data.examples.iloc[row]
        image = data.stores[entry["source"]][entry["image_row"]]
        assert np.array_equal(batch.images[i, 0], resize_square(image, 32))
        assert np.array_equal(batch.labels[i], data.labels[entry["source"]][entry["label_row"]])
        assert data.sources[batch.sources[i]] == entry["source"]
        expected = data.text_embeddings[entry["text_row"]] if entry["text_row"] >= 0 else np.zeros(16)
        assert np.array_equal(batch.text[i], expected.astype(np.float32))
        assert batch.text_ids[i] == entry["text_row"]


def test_only_findings_with_a_known_label_are_asked(data: TrainingData) -> None:
    assert data.asked == ("top", "bottom", "left")


def test_labels_are_taken_by_name(data: TrainingData) -> None:
    rows = data.rows("val", "b")
    labels = data.labels_of("b", rows, ("left", "top"))
    own = data.labels["b"][24:]
    assert np.array_equal(labels, own[:, [2, 0]])


def test_fingerprints_name_what_changed(data: TrainingData, make_toy: Callable[..., TrainingData]) -> None:
    assert data.fingerprints() == make_toy().fingerprints()
    changed = {source: values.copy() for source, values in data.labels.items()}
    changed["a"][0, 0] = -1
    other = replace(data, labels=changed).fingerprints()
    assert [name for name in other if other[name] != data.fingerprints()[name]] == ["data.labels"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stores": {"a": []}}, "stores: source 'b' of the examples is missing"),
        ({"findings": ("top", "bottom")}, "labels: source 'a' has 4 columns for 2 findings"),
        ({"findings_by_source": {"a": ("gout",)}}, r"'a' names \['gout'\], which have no label column"),
    ],
)
def test_mismatches_are_named(data: TrainingData, change: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        replace(data, **change)


def test_too_little_to_train_on(data: TrainingData) -> None:
    with pytest.raises(TrainingError, match="0 images in split 'train'; at least 2"):
        replace(data, examples=data.examples[data.examples["split"] == "val"])
    unknown = {source: np.full_like(values, -1) for source, values in data.labels.items()}
    with pytest.raises(TrainingError, match="no finding is present on one training image"):
        replace(data, labels=unknown)
