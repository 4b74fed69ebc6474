"""How a model is asked that wants to know a film's source: by the oracle gate, or in words that name the source."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from unichest_kedro.models.unichest import UniChest
from unichest_kedro.training.validation import oracle_gate


class AskedAbout:
    """A model for the films of one source; scoring takes it for a model.

    Args:
        model: The model.
        source: Number of the source among those that it was trained on, in their order.
        is_oracle: Whether the expert of the source alone answers.
        prompts: float32 (F,D), the model's findings in words that name the source; None for its own.
    """

    def __init__(self, model: UniChest, source: int, is_oracle: bool, prompts: np.ndarray | None) -> None:
        self.model, self.source, self.is_oracle = model, source, is_oracle
        self.prompts = None if prompts is None else torch.as_tensor(prompts).to(model.finding_embeddings)

    @property
    def training(self) -> bool:
        """Whether the model is in training mode."""
        return self.model.training

    def train(self, mode: bool = True) -> Self:
        """Switch the model to training (or evaluation) mode."""
        self.model.train(mode)
        return self

    def fingerprint(self) -> str:
        """A digest of the model's weights."""
        return self.model.fingerprint()

    def queries_for(self, findings: Sequence[str]) -> Tensor:
        """Queries (Q,D) of findings."""
        own = self.model.queries_for(findings)
        if self.prompts is None:
            return own
        return self.prompts[[self.model.findings.index(finding) for finding in findings]]

    def __call__(self, images: Tensor, queries: Tensor, **ratios: float) -> Any:
        """Ask about films uint8 (B,1,S,S); see `UniChest.forward`."""
        gate = None
        if self.is_oracle:
            told = torch.full((len(images),), self.source, device=images.device)
            gate = oracle_gate(told, self.model.settings.experts)
        return self.model(images, queries, gate_override=gate, **ratios)
