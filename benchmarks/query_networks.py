"""Time of the mixture of query networks on one thread, beside the same network of torch's own attention modules.

    python benchmarks/query_networks.py [repeats]

Eight films of 49 patches and eight texts of one, 60 findings, width 768, three experts: the shapes of a step at 224
pixels. Processor time is taken, which other work on the machine disturbs little; the smallest of the repeats counts.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from unichest_kedro.models.mixture import QueryMixture

IMAGES, PATCHES, QUERIES, WIDTH, EXPERTS = 8, 49, 60, 768, 3
STAGES = {"Conquer": (1.0, 0.0), "Divide": (0.5, 0.5)}


class PlainLayer(nn.Module):
    """A decoder layer of `nn.MultiheadAttention` modules, which return their weights as the published code's do."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.own = nn.MultiheadAttention(WIDTH, 4, dropout)
        self.cross = nn.MultiheadAttention(WIDTH, 4, dropout)
        self.inner = nn.Sequential(nn.Linear(WIDTH, 1024), nn.ReLU(), nn.Dropout(dropout), nn.Linear(1024, WIDTH))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, patches: Tensor, pooled: Tensor) -> Tensor:
        """(Q,B,D) queries, (P,B,D) patches, (1,B,D) pooled to (Q,B,D)."""
        own = self.norms[0](x)
        x = x + self.dropout(self.own(own, own, own)[0])
        asks = self.norms[1](x)
        seen = self.cross(asks, patches, patches)[0]
        if len(patches) > 1:
            seen = seen + 0.4 * self.cross(asks, pooled, pooled)[0]
        x = x + self.dropout(seen)
        return x + self.dropout(self.inner(self.norms[2](x)))


class PlainMixture(nn.Module):
    """Main network and experts as they are written in docs/method.md, nothing shared or left out."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.networks = nn.ModuleList(nn.ModuleList(PlainLayer(dropout) for _ in range(4)) for _ in range(1 + EXPERTS))
        self.heads = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(1 + EXPERTS))
        self.gate = nn.Linear(WIDTH, EXPERTS)

    def forward(self, patches: Tensor, queries: Tensor, *, main_ratio: float, expert_ratio: float) -> Tensor:
        """(B,P,D) patches, (Q,D) queries to (B,Q) probabilities."""
        seen = self.norm(patches.transpose(0, 1))
        asked = self.norm(queries[:, None].repeat(1, len(patches), 1))
        pooled = seen.mean(0, keepdim=True)
        gate = self.gate(pooled[0]).softmax(1)
        answers = []
        for layers, head in zip(self.networks, self.heads):
            x = asked
            for layer in layers:
                x = layer(x, seen, pooled)
            answers.append(head(self.norm(x))[..., 0].T.sigmoid())
            if not expert_ratio:
                return main_ratio * answers[0]
        experts = sum(gate[:, k, None] * answer for k, answer in enumerate(answers[1:]))
        return main_ratio * answers[0] + expert_ratio * experts


def seconds(step: Callable[[], None], repeats: int) -> float:
    """Smallest processor time of a step, after one that is not counted."""
    step()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return min(times)


def step_of(mixture: nn.Module, stage: str, training: bool) -> Callable[[], None]:
    """Image branch and text branch (here in one call); in training the gradient too."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(IMAGES, PATCHES, WIDTH, generator=generator)
    texts = torch.randn(IMAGES, 1, WIDTH, generator=generator)
    queries = torch.randn(QUERIES, WIDTH, generator=generator)
    main_ratio, expert_ratio = STAGES[stage]
    if stage == "Conquer":
        patches.requires_grad_()  # the image encoder learns there
    mixture.train(training)

    ratios = {"main_ratio": main_ratio, "expert_ratio": expert_ratio}

    def answer() -> Tensor:
        if isinstance(mixture, QueryMixture):
            return mixture(patches, queries, texts=texts[:, 0], **ratios).probabilities.sum()
        return mixture(patches, queries, **ratios).sum() + mixture(texts, queries, **ratios).sum()

    def step() -> None:
        with torch.set_grad_enabled(training):
            loss = answer()
        if training:
            mixture.zero_grad()
            loss.backward()

    return step


def main() -> None:
    """Print one line per stage, mode and implementation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repeats", type=int, nargs="?", default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'stage':8} {'mode':24} {'plain s':>9} {'here s':>9} {'times':>6}")
    for dropout in (0.0, 0.1):
        plain, here = PlainMixture(dropout), QueryMixture(WIDTH, dropout=dropout, experts=EXPERTS)
        for stage in STAGES:
            for training in (False, True) if dropout == 0 else (True,):
                mode = f"training, dropout {dropout}" if training else "evaluation"
                slow, fast = (seconds(step_of(mixture, stage, training), repeats) for mixture in (plain, here))
                print(f"{stage:8} {mode:24} {slow:9.3f} {fast:9.3f} {slow / fast:6.2f}", flush=True)


if __name__ == "__main__":
    main()
