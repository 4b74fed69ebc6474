"""Validation AUROC against counted pairs."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from unichest_kedro.models.unichest import UniChest
from unichest_kedro.training.data import EvaluationExamples, TrainingData, collate
from unichest_kedro.training.validation import mean_auroc, mean_over_sources, validation_aurocs


def slow_auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    pairs = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in scores[labels == 1]
        for low in scores[labels == 0]
    ]
    return float(np.mean(pairs)) if pairs else float("nan")


def slow_mean(labels: np.ndarray, scores: np.ndarray) -> float:
    return float(np.nanmean([slow_auroc(labels[:, j], scores[:, j]) for j in range(labels.shape[1])]))


def test_mean_auroc() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 2, (40, 5))
    labels[:, 2] = np.where(labels[:, 2] == 0, 1, labels[:, 2])  # no negative: left out
    scores = rng.random((40, 5)).round(1)  # with ties
    assert mean_auroc(labels, scores) == pytest.approx(slow_mean(labels, scores))
    assert np.isnan(mean_auroc(labels[:, 2:3], scores[:, 2:3]))


def test_mean_over_sources() -> None:
    assert mean_over_sources({"a": 0.5, "b": float("nan"), "c": 0.7}) == pytest.approx(0.6)
    assert np.isnan(mean_over_sources({"a": float("nan")}))


def test_each_source_is_asked_about_its_own_findings(model: UniChest, make_toy: Callable[..., TrainingData]) -> None:
    data = make_toy(validation=15)
    model.eval()
    examples = EvaluationExamples(data, data.rows("val"), 64)
    loader = DataLoader(examples, batch_size=4, collate_fn=collate)
    result = validation_aurocs(model, loader, data, (0.5, 0.5), Accelerator(cpu=True))
    model.set_ratios(0.5, 0.5)
    for source, findings in data.findings_by_source.items():
        rows = data.rows("val", source)
        images = collate([EvaluationExamples(data, rows, 64)[i] for i in range(len(rows))]).images
        scores = model.predict_probabilities(images, findings)
        expected = slow_mean(data.labels_of(source, rows, findings), scores.numpy())
        assert result[source] == pytest.approx(expected)


def test_no_validation_images(model: UniChest, data: TrainingData) -> None:
    with torch.no_grad():
        assert np.isnan(list(validation_aurocs(model, [], data, (1, 0), Accelerator(cpu=True)).values())).all()
