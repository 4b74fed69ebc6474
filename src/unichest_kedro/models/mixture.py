"""Mixture of query networks: a main network, K experts and a gate (docs/method.md, section 2)."""

from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from unichest_kedro.models.query_network import Memory, QueryNetwork, initialise_linear

GATE_EMBEDDING = 32
"""Width of the gate embedding, which the source-contrastive loss looks at, in the paper."""

GateInput = Literal["pooled", "standardised"]
"""What the gate sees: the pooled patch, as in the paper, or each of its D numbers less its mean over its deviation."""


class MixtureOutput(NamedTuple):
    """What the mixture returns; every number but the embedding is a probability.

    Attributes:
        probabilities: (B,Q), `main_ratio * main + expert_ratio * sum_k gate_k * experts_k`.
        gate: (B,K), weights of the experts, sum one.
        gate_embedding: (B,E), Linear(K,E) of the gate; E is 32 in the paper.
        main: (B,Q), the main network's own probabilities.
        experts: (B,K,Q), each expert's own probabilities; None where the experts were not run.
        attention: (B,Q,P), the main network's last fine attention, averaged over heads; None unless asked
            for. Of images only, where texts are answered with them.
    """

    probabilities: Tensor
    gate: Tensor
    gate_embedding: Tensor
    main: Tensor
    experts: Tensor | None
    attention: Tensor | None = None

    def split(self, images: int) -> tuple[Self, Self]:
        """The outputs of the first `images` rows, and those of the texts after them."""
        parts = [(None, None) if part is None else (part[:images], part[images:]) for part in self[:-1]]
        first, others = zip(*parts)
        return type(self)(*first, self.attention), type(self)(*others)


class Standardised(nn.Module):
    """Each of D numbers less its mean and over its standard deviation, both running means over training batches.

    The running values are used in training too, so that a batch of one row has an answer as well; the first batch sets
    them.

    Args:
        width: D.
        momentum: Weight of a new batch.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, width: int, momentum: float = 0.05) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        """(B,D) to (B,D); in training mode the running values move first."""
        if self.training and len(x) > 1:
            self._move(x.detach())
        return (x - self.mean) / (self.variance + 1e-5).sqrt()

    @torch.no_grad()
    def _move(self, x: Tensor) -> None:
        weight = 1.0 if self.batches == 0 else self.momentum
        variance, mean = torch.var_mean(x.float(), dim=0, correction=0)
        self.mean.lerp_(mean, weight)
        self.variance.lerp_(variance, weight)
        self.batches += 1


class QueryMixture(nn.Module):
    """Main query network, K experts of the same shape with heads of their own, and the gate over the experts.

    One LayerNorm serves all networks: it normalises patches and queries once, and the output of each network.
    The pooled patch, which the global attention and the gate see, is the mean of the normalised patches.

    Args:
        width: D, the width of patches and queries.
        layers: Decoder layers of each network.
        heads: Attention heads.
        feedforward: Width of the feed-forward part.
        dropout: Dropout rate.
        experts: K, the number of experts.
        lam_fine: Weight of the attention over the patches.
        lam_global: Weight of the attention over the pooled patch.
        gate_embedding: E, the width of the gate embedding.
        gate_temperature: What the gate's logits are divided by; below 1 the gate is sharper.
        gate_input: What the gate sees. Standardised, images and texts have means and deviations of their own.
    """

    def __init__(
        self,
        width: int = 768,
        layers: int = 4,
        heads: int = 4,
        feedforward: int = 1024,
        dropout: float = 0.1,
        experts: int = 3,
        lam_fine: float = 1.0,
        lam_global: float = 0.4,
        gate_embedding: int = GATE_EMBEDDING,
        gate_temperature: float = 1.0,
        gate_input: GateInput = "pooled",
    ) -> None:
        super().__init__()
        shape = (width, layers, heads, feedforward, dropout, lam_fine, lam_global)
        self.norm = nn.LayerNorm(width)
        self.main = QueryNetwork(*shape)
        self.experts = nn.ModuleList(QueryNetwork(*shape) for _ in range(experts))
        self.gate = nn.Linear(width, experts)
        self.gate_embedding = nn.Linear(experts, gate_embedding)
        initialise_linear(self.gate)
        initialise_linear(self.gate_embedding)
        self.gate_temperature = gate_temperature
        is_standardised = gate_input == "standardised"  # else it has no buffers, as in models saved before
        self.image_gate_input = Standardised(width) if is_standardised else nn.Identity()
        self.text_gate_input = Standardised(width) if is_standardised else nn.Identity()

    def forward(
        self,
        patches: Tensor,
        queries: Tensor,
        *,
        main_ratio: float,
        expert_ratio: float,
        texts: Tensor | None = None,
        gate_override: Tensor | None = None,
        need_attention: bool = False,
    ) -> MixtureOutput:
        """Answers queries about patches, and about texts in the same call.

        Args:
            patches: (B,P,D). With P = 1 (the text branch) only the fine attention is used.
            queries: (Q,D), the text embeddings of the findings asked about, or (B,Q,D), with texts (B+T,Q,D), where
                each row is asked in its own words.
            main_ratio: Weight of the main network's probabilities.
            expert_ratio: Weight of the gated experts' probabilities; with 0 the experts are not run.
            texts: (T,D), each the single patch of a row of its own. The outputs then have B+T rows
                (`MixtureOutput.split`), the same as of two calls.
            gate_override: (B,K), used in place of the images' gate (the oracle gate), or (B+T,K), of the texts' too.
            need_attention: Whether to return the main network's fine attention.
        """
        memory, pooled = self._memory(patches, texts)
        asked = self.norm(queries if queries.ndim == 3 else queries[None])
        gate = self._gate(pooled, patches.shape[0])  # len() would fix the batch of an exported model
        if gate_override is not None:
            gate = torch.cat([gate_override, gate[len(gate_override) :]])
        answers = self.main(asked, memory, self.norm, need_attention)
        main = full_precision(answers.logits).sigmoid()
        experts = self._run_experts(asked, memory) if expert_ratio else None
        return MixtureOutput(
            probabilities=mix(main, experts, gate, main_ratio, expert_ratio),
            gate=gate,
            gate_embedding=self.gate_embedding(gate),
            main=main,
            experts=experts,
            attention=None if answers.attention is None else answers.attention[: len(patches)],
        )

    def start_experts_from_main(self) -> None:
        """Gives every expert the main network's weights."""
        for expert in self.experts:
            expert.load_state_dict(self.main.state_dict())

    def _memory(self, patches: Tensor, texts: Tensor | None = None) -> tuple[Memory, Tensor]:
        """What the networks look at, and what the gate does: (B,D), or (B+T,D) with texts."""
        normalised = self.norm(patches)
        told = None if texts is None else self.norm(texts)[:, None]
        if patches.shape[1] == 1:
            every = normalised if told is None else torch.cat([normalised, told])
            return Memory(every, None), every[:, 0]
        pooled = normalised.mean(dim=1, keepdim=True)
        every = pooled if told is None else torch.cat([pooled, told])
        return Memory(normalised, pooled, told), every[:, 0]

    def _gate(self, pooled: Tensor, images: int) -> Tensor:
        seen = torch.cat([self.image_gate_input(pooled[:images]), self.text_gate_input(pooled[images:])])
        return (full_precision(self.gate(seen)) / self.gate_temperature).softmax(dim=-1)

    def _run_experts(self, asked: Tensor, memory: Memory) -> Tensor:
        logits = [expert(asked, memory, self.norm).logits for expert in self.experts]
        return full_precision(torch.stack(logits, dim=1)).sigmoid()


def full_precision(logits: Tensor) -> Tensor:
    """Half-precision logits (of autocast) as float32, for the losses' logarithms; others as they are."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def mix(main: Tensor, experts: Tensor | None, gate: Tensor, main_ratio: float, expert_ratio: float) -> Tensor:
    """Mixes probabilities (not logits): `main_ratio * main + expert_ratio * sum_k gate_k * experts_k`.

    Args:
        main: (B,Q) probabilities of the main network.
        experts: (B,K,Q) probabilities of the experts, or None for none.
        gate: (B,K) weights.
        main_ratio: Weight of the main network.
        expert_ratio: Weight of the experts.

    Returns:
        (B,Q) probabilities.
    """
    mixed = main_ratio * main
    if experts is not None:
        mixed = mixed + expert_ratio * (gate.to(experts.dtype)[:, :, None] * experts).sum(dim=1)
    return mixed
