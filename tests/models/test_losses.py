"""Each loss, value and gradient, against a slow version with loops in float64."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unichest_kedro.models.losses import asymmetric_loss, contrastive_loss, source_contrastive_loss


def slow_asymmetric(p: Tensor, y: Tensor, g_neg: float, g_pos: float, margin: float) -> Tensor:
    total = torch.zeros((), dtype=p.dtype)
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            q = min(1 - p[i, j] + margin, torch.ones((), dtype=p.dtype))
            if y[i, j] == 1:
                focus = float(1 - p[i, j].detach()) ** g_pos
                total = total - torch.log(torch.clamp(p[i, j], min=1e-8)) * focus
            elif y[i, j] == 0:
                focus = float(1 - q.detach()) ** g_neg
                total = total - torch.log(torch.clamp(q, min=1e-8)) * focus
    return total


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum() / (a.norm() * b.norm())


def slow_contrastive(pooled: Tensor, text: Tensor, scale: Tensor, ids: list[int]) -> Tensor:
    rows = [i for i, number in enumerate(ids) if number >= 0]
    total = torch.zeros((), dtype=pooled.dtype)
    for i in rows:
        same = [j for j in rows if ids[j] == ids[i]]
        by_row = torch.stack([scale.exp() * cosine(pooled[i], text[j]) for j in rows]).logsumexp(0)
        by_column = torch.stack([scale.exp() * cosine(pooled[j], text[i]) for j in rows]).logsumexp(0)
        for j in same:
            total = total - (scale.exp() * cosine(pooled[i], text[j]) - by_row) / len(same)
            total = total - (scale.exp() * cosine(pooled[j], text[i]) - by_column) / len(same)
    return total / (2 * len(rows))


def slow_source_contrastive(embedding: Tensor, sources: list[int], t: float) -> Tensor:
    terms = []
    for i, source in enumerate(sources):
        others = [k for k in range(len(sources)) if k != i]
        for j in others:
            if sources[j] == source:
                below = sum(torch.exp(cosine(embedding[i], embedding[k]) / t) for k in others)
                terms.append(-torch.log(torch.exp(cosine(embedding[i], embedding[j]) / t) / below))
    return torch.stack(terms).mean() if terms else 0 * embedding.sum()


def same_value_and_gradient(fast: Callable[..., Tensor], slow: Callable[..., Tensor], *inputs: Tensor) -> None:
    first = [x.clone().requires_grad_() for x in inputs]
    second = [x.clone().requires_grad_() for x in inputs]
    value, expected = fast(*first), slow(*second)
    torch.testing.assert_close(value, expected)
    for got, wanted in zip(torch.autograd.grad(value, first), torch.autograd.grad(expected, second)):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(("g_neg", "g_pos", "margin"), [(6, 0, 0.05), (4, 1, 0.0), (0, 0, 0.2), (2, 2, 0.05)])
def test_asymmetric(g_neg: float, g_pos: float, margin: float) -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(5, 7, generator=generator, dtype=torch.float64) * 0.98 + 0.01
    p[0, :2] = torch.tensor([0.01, 0.03])  # within the margin: q is cut off at 1
    y = torch.randint(-1, 2, (5, 7), generator=generator)
    same_value_and_gradient(
        lambda x: asymmetric_loss(x, y, g_neg, g_pos, margin),
        lambda x: slow_asymmetric(x, y, g_neg, g_pos, margin),
        p,
    )


def test_asymmetric_ignores_unknown_labels() -> None:
    p = torch.tensor([[0.3, 0.9]], requires_grad=True)
    loss = asymmetric_loss(p, torch.tensor([[-1, -1]]))
    loss.backward()
    assert loss == 0
    assert p.grad is not None
    assert torch.equal(p.grad, torch.zeros(1, 2))


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_asymmetric_is_finite_at_the_ends(certain: float) -> None:
    p = torch.full((1, 2), certain, requires_grad=True)
    loss = asymmetric_loss(p, torch.tensor([[0, 1]]))
    loss.backward()
    assert torch.isfinite(loss)
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [3, 3, 1, -1, 1], [7, 7, 7, 7, 7], [-1, 2, -1, 5, -1]])
def test_contrastive(ids: list[int]) -> None:
    generator = torch.Generator().manual_seed(1)
    pooled = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    text = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    scale = torch.tensor(math.log(1 / 0.07), dtype=torch.float64)
    same_value_and_gradient(
        lambda *x: contrastive_loss(*x, torch.tensor(ids)),
        lambda *x: slow_contrastive(*x, ids),
        pooled,
        text,
        scale,
    )


@pytest.mark.parametrize("ids", [[-1, -1, -1], [-1, 4, -1]])
def test_contrastive_is_zero_below_two_texts(ids: list[int]) -> None:
    pooled = torch.randn(3, 4, requires_grad=True)
    scale = torch.tensor(2.0, requires_grad=True)
    loss = contrastive_loss(pooled, torch.randn(3, 4), scale, torch.tensor(ids))
    loss.backward()
    assert loss == 0
    assert pooled.grad is not None
    assert torch.equal(pooled.grad, torch.zeros(3, 4))
    assert scale.grad == 0


@pytest.mark.parametrize(
    "sources",
    [
        [0, 0, 1, 1, 2, 2],
        [0, 0, 0, 0, 0, 1],  # a source with one sample
        [3, 3, 3, 3, 3, 3],  # one source only
        [0, 1, 2, 3, 4, 4],  # one pair only
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_source_contrastive(sources: list[int], temperature: float) -> None:
    embedding = torch.randn(6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    same_value_and_gradient(
        lambda x: source_contrastive_loss(x, torch.tensor(sources), temperature),
        lambda x: slow_source_contrastive(x, sources, temperature),
        embedding,
    )


def test_source_contrastive_of_one_sample_sources_is_what_the_pair_alone_says() -> None:
    """A source with one sample has no pair of its own, but stands among the others that pairs are measured by."""
    embedding = torch.randn(4, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64, requires_grad=True)
    loss = source_contrastive_loss(embedding, torch.tensor([0, 0, 1, 2]))
    alone = source_contrastive_loss(embedding[:2], torch.tensor([0, 0]))
    assert float(alone.detach()) == pytest.approx(0)
    assert float(loss.detach()) > 0
    (gradient,) = torch.autograd.grad(loss, embedding)
    assert gradient[2].any()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("sources", [[0, 1, 2], [0], []])
def test_source_contrastive_is_zero_without_a_pair(sources: list[int]) -> None:
    embedding = torch.randn(len(sources), 4, requires_grad=True)
    loss = source_contrastive_loss(embedding, torch.tensor(sources, dtype=torch.long))
    loss.backward()
    assert loss == 0
    assert embedding.grad is not None
    assert torch.equal(embedding.grad, torch.zeros(len(sources), 4))
