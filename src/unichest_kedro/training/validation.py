"""Validation during training: AUROC of each source on its own findings."""

import warnings

import numpy as np
import torch
from accelerate import Accelerator
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader

from unichest_kedro.models.unichest import UniChest
from unichest_kedro.training.data import Batch, TrainingData


def mean_auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean AUROC over the findings that have both classes among the known labels.

    Args:
        labels: (N,Q): 1, 0 or -1 (unknown, left out).
        scores: (N,Q), larger for present.

    Returns:
        The mean, or NaN where no finding has both classes.
    """
    values = []
    for label, score in zip(labels.T, scores.T):
        known = label >= 0
        if 0 < label[known].sum() < known.sum():
            values.append(roc_auc_score(label[known], score[known]))
    return float(np.mean(values)) if values else float("nan")


def mean_over_sources(aurocs: dict[str, float]) -> float:
    """Mean over the sources that have a value, or NaN where none has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)  # of an empty mean
        return float(np.nanmean(list(aurocs.values()))) if aurocs else float("nan")


@torch.no_grad()
def validation_aurocs(
    model: UniChest,
    loader: DataLoader,
    data: TrainingData,
    ratios: tuple[float, float],
    accelerator: Accelerator,
    is_oracle: bool = False,
) -> dict[str, float]:
    """AUROC of each source on its validation images, asked about the source's own findings only.

    Args:
        model: In evaluation mode.
        loader: Validation batches, prepared by the accelerator.
        data: Labels and findings.
        ratios: Weights of main network and experts.
        accelerator: For precision, and to gather the processes' parts.
        is_oracle: Whether each image has the expert of its own source alone.

    Returns:
        Source to mean AUROC (NaN where no finding has both classes or there are no images).
    """
    rows, scores = [], []
    for batch in loader:
        with accelerator.autocast():
            scored = _score(model, batch, data, ratios, is_oracle)
        batch_rows, batch_scores = accelerator.gather_for_metrics((batch.rows, scored))
        rows.append(batch_rows.cpu().numpy())
        scores.append(batch_scores.cpu().numpy())
    if not rows:
        return dict.fromkeys(data.sources, float("nan"))
    return _aurocs(data, np.concatenate(rows), np.concatenate(scores))


def oracle_gate(sources: torch.Tensor, experts: int) -> torch.Tensor:
    """The gate (B,K) that gives each row the expert with the number of its source, int64 (B,), alone."""
    return torch.nn.functional.one_hot(sources, experts).float()


def _score(
    model: UniChest, batch: Batch, data: TrainingData, ratios: tuple[float, float], is_oracle: bool
) -> torch.Tensor:
    patches = model.encode_images(batch.images).patches
    scores = torch.full((len(patches), len(data.findings)), torch.nan, device=patches.device)
    for number, source in enumerate(data.sources):
        chosen = (batch.sources == number).nonzero()[:, 0]
        findings = data.findings_by_source.get(source, ())
        if len(chosen) and len(findings):
            own = data.queries_by_source(findings, patches.device)
            queries = model.queries_for(findings) if own is None else own[number]
            gate = oracle_gate(batch.sources[chosen], model.settings.experts) if is_oracle else None
            output = model.mixture(
                patches[chosen], queries, main_ratio=ratios[0], expert_ratio=ratios[1], gate_override=gate
            )
            columns = torch.as_tensor(data.columns(findings), device=patches.device)
            scores[chosen[:, None], columns[None, :]] = output.probabilities.float()
    return scores


def _aurocs(data: TrainingData, rows: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    aurocs = {}
    for number, source in enumerate(data.sources):
        own = data.source_of[rows] == number
        findings = data.findings_by_source.get(source, ())
        labels = data.labels_of(source, rows[own], findings)
        aurocs[source] = mean_auroc(labels, scores[own][:, data.columns(findings)])
    return aurocs
