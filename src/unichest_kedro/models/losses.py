"""The three losses of docs/method.md, section 3, without loops."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_PROBABILITY = 1e-8


def asymmetric_loss(
    probabilities: Tensor,
    labels: Tensor,
    gamma_negative: float = 6.0,
    gamma_positive: float = 0.0,
    margin: float = 0.05,
) -> Tensor:
    """Asymmetric loss on probabilities, summed over the known labels.

    `q = min(1 - p + margin, 1)`; `- sum[ y log(max(p,1e-8)) (1-p)^g_pos + (1-y) log(max(q,1e-8)) (1-q)^g_neg
    ]`, the two focusing powers without gradient (Ridnik et al., "Asymmetric Loss For Multi-Label
    Classification", 2021).

    Args:
        probabilities: Float (B,Q) in [0, 1].
        labels: (B,Q): 1 present, 0 absent, -1 unknown (left out).
        gamma_negative: Focusing power of absent findings.
        gamma_positive: Focusing power of present findings.
        margin: How far a probability may be from zero without a loss for an absent finding.

    Returns:
        A scalar; zero where no label is known.
    """
    absent = (1 - probabilities + margin).clamp(max=1)
    with torch.no_grad():
        weight = torch.where(labels == 1, (1 - probabilities) ** gamma_positive, (1 - absent) ** gamma_negative)
        weight = weight * (labels >= 0)
    likelihood = torch.where(labels == 1, probabilities, absent)
    return -(weight * likelihood.clamp(min=SMALLEST_PROBABILITY).log()).sum()


def contrastive_loss(pooled: Tensor, text: Tensor, logit_scale: Tensor, text_ids: Tensor) -> Tensor:
    """Image-text contrastive loss in both directions; identical texts are positives of each other.

    `S = exp(logit_scale) * normalise(pooled) @ normalise(text).T`; the mean of the cross-entropies of rows
    and of columns, each target spread evenly over the entries with the same text.

    Args:
        pooled: Float (B,D), pooled image features.
        text: Float (B,D), text embeddings; rows without a text are ignored.
        logit_scale: Scalar, logarithm of the inverse temperature.
        text_ids: Integer (B,), equal for identical texts, -1 for no text.

    Returns:
        A scalar; zero where fewer than two rows have a text.
    """
    has_text = text_ids >= 0
    pooled, text, text_ids = pooled[has_text], text[has_text], text_ids[has_text]
    if len(text_ids) < 2:
        return 0.0 * (pooled.sum() + logit_scale)
    logits = logit_scale.exp() * F.normalize(pooled, dim=-1) @ F.normalize(text, dim=-1).T
    same = (text_ids[:, None] == text_ids[None, :]).to(logits.dtype)
    target = same / same.sum(dim=1, keepdim=True)
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))


def source_contrastive_loss(gate_embedding: Tensor, sources: Tensor, temperature: float = 1.0) -> Tensor:
    """Supervised contrastive loss on gate embeddings, the source being the class.

    With `s_ij` the cosine similarity: the mean over all ordered pairs i != j of one source of
    `- log( exp(s_ij/t) / sum_{k != i} exp(s_ik/t) )`.

    Args:
        gate_embedding: Float (B,E).
        sources: Integer (B,), the source of each row.
        temperature: t.

    Returns:
        A scalar; zero where no two rows are of one source.
    """
    itself = torch.eye(len(sources), dtype=torch.bool, device=sources.device)
    pairs = (sources[:, None] == sources[None, :]) & ~itself
    if not bool(pairs.any()):
        return 0.0 * gate_embedding.sum()
    unit = F.normalize(gate_embedding, dim=-1)
    similarity = (unit @ unit.T / temperature).masked_fill(itself, -math.inf)
    return -similarity.log_softmax(dim=-1)[pairs].mean()
