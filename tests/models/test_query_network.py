"""Attention and query network against torch's own modules and a loop in float64."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.query_network import Attention, Memory, QueryLayer, QueryNetwork

D, Q, B, P, H = 12, 5, 3, 4, 3


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights of order one: with the small initial ones a mistake would hide behind the tolerance."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4)
    return module


def tensors(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_attention(attention: Attention, query: Tensor, memory: Tensor) -> Tensor:
    """One query, one head, one key at a time: query (Q,D), memory (M,D) -> (Q,D)."""
    weight_q, weight_k, weight_v = attention.in_proj_weight.chunk(3)
    bias_q, bias_k, bias_v = attention.in_proj_bias.chunk(3)
    rows = []
    for x in query:
        heads = []
        for head in range(attention.heads):
            part = slice(head * D // H, (head + 1) * D // H)
            asks = (weight_q @ x + bias_q)[part]
            scores = torch.stack([asks @ (weight_k @ m + bias_k)[part] for m in memory]) / (D // H) ** 0.5
            values = torch.stack([(weight_v @ m + bias_v)[part] for m in memory])
            heads.append((scores.softmax(0)[:, None] * values).sum(0))
        rows.append(attention.out_proj.weight @ torch.cat(heads) + attention.out_proj.bias)
    return torch.stack(rows)


def slow_layer(layer: QueryLayer, x: Tensor, patches: Tensor, pooled: Tensor | None) -> Tensor:
    """One image: x (Q,D), patches (P,D), pooled (1,D)."""
    own = layer.norm1(x)
    x = x + slow_attention(layer.self_attn, own, own)
    seen = slow_attention(layer.multihead_attn, layer.norm2(x), patches)
    if pooled is not None:
        coarse = slow_attention(layer.multihead_attn, layer.norm2(x), pooled)
        seen = layer.lam_fine * seen + layer.lam_global * coarse
    x = x + seen
    return x + layer.linear2(torch.relu(layer.linear1(layer.norm3(x))))


@pytest.fixture
def network() -> QueryNetwork:
    return randomised(QueryNetwork(D, 2, H, 7, 0.1, 1.0, 0.4))


@pytest.mark.parametrize("single", [False, True])
def test_network_is_the_slow_one(network: QueryNetwork, single: bool) -> None:
    patches = tensors(B, 1 if single else P, D, seed=1)
    pooled = None if single else patches.mean(1, keepdim=True)
    queries, norm = tensors(Q, D, seed=2), randomised(nn.LayerNorm(D), 3)
    answers = network(queries[None], Memory(patches, pooled), norm)
    for image in range(B):
        x = queries
        for layer in network.layers:
            x = slow_layer(layer, x, patches[image], None if pooled is None else pooled[image])
        expected = network.head(norm(x))[:, 0]
        torch.testing.assert_close(answers.logits[image], expected)


@pytest.mark.parametrize("single", [False, True])
def test_gradients_are_those_of_the_slow_one(network: QueryNetwork, single: bool) -> None:
    """Of inputs and of every parameter; the cross-attention's weights get theirs from fine and global attention."""
    patches, queries = tensors(B, 1 if single else P, D, seed=1), tensors(Q, D, seed=2)
    norm, factors = randomised(nn.LayerNorm(D), 3), tensors(B, Q, seed=4)
    patches.requires_grad_()
    queries.requires_grad_()
    pooled = None if single else patches.mean(1, keepdim=True)
    asked = dict(network.named_parameters()) | {f"norm.{n}": p for n, p in norm.named_parameters()}
    asked |= {"patches": patches, "queries": queries}
    fast = (network(queries[None], Memory(patches, pooled), norm).logits * factors).sum()
    slow = torch.zeros((), dtype=torch.float64)
    for image in range(B):
        x = queries
        for layer in network.layers:
            x = slow_layer(layer, x, patches[image], None if pooled is None else pooled[image])
        slow = slow + (network.head(norm(x))[:, 0] * factors[image]).sum()
    got, expected = (
        torch.autograd.grad(loss, list(asked.values()), allow_unused=True, retain_graph=True) for loss in (fast, slow)
    )
    for name, value, one, other in zip(asked, asked.values(), got, expected):
        zeros = torch.zeros_like(value)  # a single patch's attention does not depend on the queries at all
        torch.testing.assert_close(
            zeros if one is None else one,
            zeros if other is None else other,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("queries", "patches", "few"), [(2, 9, True), (9, 4, False)])
def test_few_queries_carried_to_the_patches_see_the_same(
    network: QueryNetwork, shared: bool, queries: int, patches: int, few: bool
) -> None:
    layer = network.layers[0]
    memory = Memory(tensors(B, patches, D, seed=1), tensors(B, 1, D, seed=2))
    x = tensors(1 if shared else B, queries, D, seed=3)
    attention = layer.multihead_attn
    expected = attention.attend_twice(x, memory, 0.7, 0.4)
    slow = torch.stack(
        [
            0.7 * slow_attention(attention, row, seen) + 0.4 * slow_attention(attention, row, pooled)
            for row, seen, pooled in zip(x.expand(B, -1, -1), memory.patches, memory.pooled)
        ]
    )
    attention.few_queries = True
    assert attention._are_few(queries, memory) is few
    torch.testing.assert_close(attention.attend_twice(x, memory, 0.7, 0.4), slow, atol=1e-12, rtol=0)
    torch.testing.assert_close(expected, slow, atol=1e-12, rtol=0)


def test_texts_beside_images_are_answered_as_apart(network: QueryNetwork) -> None:
    """In one call, the logits and all gradients of two."""
    patches, texts, queries = tensors(B, P, D, seed=1), tensors(2, 1, D, seed=8), tensors(Q, D, seed=2)
    norm, factors = randomised(nn.LayerNorm(D), 3), tensors(B + 2, Q, seed=4)
    asked = [x.requires_grad_() for x in (patches, texts, queries)] + [*network.parameters(), *norm.parameters()]
    pooled = patches.mean(1, keepdim=True)
    memory = Memory(patches, pooled, texts)
    assert memory.rows == B + 2
    together = network(queries[None], memory, norm).logits
    apart = torch.cat(
        [network(queries[None], some, norm).logits for some in (Memory(patches, pooled), Memory(texts, None))]
    )
    torch.testing.assert_close(together, apart)
    got, expected = (torch.autograd.grad((x * factors).sum(), asked, retain_graph=True) for x in (together, apart))
    for one, other in zip(got, expected):
        torch.testing.assert_close(one, other)


def test_fine_attention_is_that_of_the_images_alone(network: QueryNetwork) -> None:
    patches, norm, queries = tensors(B, P, D, seed=1), nn.LayerNorm(D).double(), tensors(1, Q, D, seed=2)
    pooled = patches.mean(1, keepdim=True)
    both = network(queries, Memory(patches, pooled, tensors(2, 1, D, seed=8)), norm, need_attention=True)
    alone = network(queries, Memory(patches, pooled), norm, need_attention=True)
    torch.testing.assert_close(both.attention, alone.attention)


def test_fine_attention_of_the_last_layer(network: QueryNetwork) -> None:
    patches = tensors(B, P, D, seed=1)
    memory = Memory(patches, patches.mean(1, keepdim=True))
    queries, norm = tensors(1, Q, D, seed=2), nn.LayerNorm(D).double()
    answers = network(queries, memory, norm, need_attention=True)
    x = network.layers[0](queries, memory)
    last = network.layers[1]
    x = last.norm2(x + last.self_attn.attend_to_self(last.norm1(x), B))
    _, expected = as_torch(last.multihead_attn)(x, patches, patches)
    torch.testing.assert_close(answers.attention, expected)
    torch.testing.assert_close(answers.logits, network(queries, memory, norm).logits)


def as_torch(attention: Attention) -> nn.MultiheadAttention:
    reference = nn.MultiheadAttention(D, H, attention.dropout, batch_first=True).double()
    reference.load_state_dict(attention.state_dict())
    return reference.train(attention.training)


def test_parameters_are_those_of_multihead_attention() -> None:
    attention = randomised(Attention(D, H, 0.1))
    reference = as_torch(attention)
    x, patches = tensors(B, Q, D, seed=4), tensors(B, P, D, seed=5)
    torch.testing.assert_close(attention.attend_to_self(x, B), reference(x, x, x)[0])
    pooled = patches.mean(1, keepdim=True)
    expected = 0.7 * reference(x, patches, patches)[0] + 0.3 * reference(x, pooled, pooled)[0]
    torch.testing.assert_close(attention.attend_twice(x, Memory(patches, pooled), 0.7, 0.3), expected)


@torch.no_grad()
def same_distribution(one: Callable[[], Tensor], other: Callable[[], Tensor], times: int = 2500) -> None:
    first, second = (torch.stack([draw() for _ in range(times)]) for draw in (one, other))
    error = ((first.var(0) + second.var(0)) / times).sqrt()
    assert ((first.mean(0) - second.mean(0)).abs() < 5 * error).all()
    torch.testing.assert_close(first.var(0), second.var(0), atol=0, rtol=0.25)


@pytest.mark.parametrize("single", [False, True])
def test_dropout_has_the_distribution_of_multihead_attention(single: bool) -> None:
    torch.manual_seed(0)
    attention = randomised(Attention(D, H, 0.3)).train()
    reference = as_torch(attention)
    x = tensors(1, Q, D, seed=4)
    patches = tensors(2, 1 if single else P, D, seed=5)
    pooled = None if single else patches.mean(1, keepdim=True)
    spread = x.expand(2, -1, -1)

    def slow() -> Tensor:
        seen = reference(spread, patches, patches)[0]
        return seen if pooled is None else seen + 0.4 * reference(spread, pooled, pooled)[0]

    same_distribution(lambda: attention.attend_twice(x, Memory(patches, pooled), 1.0, 0.4), slow)


def test_dropout_of_texts_beside_images_is_that_of_texts_alone() -> None:
    torch.manual_seed(0)
    attention = randomised(Attention(D, H, 0.3)).train()
    x, patches, texts = tensors(1, Q, D, seed=4), tensors(1, P, D, seed=5), tensors(2, 1, D, seed=6)
    memory = Memory(patches, patches.mean(1, keepdim=True), texts)
    same_distribution(
        lambda: attention.attend_twice(x, memory, 1.0, 0.4)[1:],
        lambda: attention.attend_twice(x, Memory(texts, None), 1.0, 0.4),
    )


def test_shared_queries_draw_their_own_dropout() -> None:
    torch.manual_seed(0)
    attention = randomised(Attention(D, H, 0.3)).train()
    x = tensors(1, Q, D, seed=4)
    shared = attention.attend_to_self(x, batch=2)
    assert shared.shape == (2, Q, D)
    assert not torch.equal(shared[0], shared[1])
    reference = as_torch(attention)
    spread = x.expand(2, -1, -1)
    same_distribution(lambda: attention.attend_to_self(x, batch=2), lambda: reference(spread, spread, spread)[0])


def test_training_without_dropout_is_evaluation(network: QueryNetwork) -> None:
    still = copy.deepcopy(network)
    for module in still.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, Attention):
            module.dropout = 0.0
    patches = tensors(B, P, D, seed=1)
    memory, queries = Memory(patches, patches.mean(1, keepdim=True)), tensors(1, Q, D, seed=2)
    norm = nn.LayerNorm(D).double()
    torch.testing.assert_close(still.train()(queries, memory, norm).logits, network(queries, memory, norm).logits)


def test_initial_weights() -> None:
    network = QueryNetwork(128, 1, 4, 256)
    for name, parameter in network.named_parameters():
        if "norm" not in name and parameter.ndim == 1:
            assert not parameter.any(), name
        elif parameter.numel() > 1000:
            assert abs(float(parameter.detach().std()) - 0.02) < 0.001, name


def test_heads_must_divide_width() -> None:
    with pytest.raises(SettingsError, match="heads: width 10 is not divisible by 4"):
        Attention(10, 4, 0.0)


def test_attention_is_softmax_of_scaled_products() -> None:
    attention = randomised(Attention(D, H, 0.1))
    weights = attention.weights(tensors(B, Q, D, seed=6), tensors(B, P, D, seed=7))
    assert weights.shape == (B, Q, P)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, Q, dtype=torch.float64))
    assert F.relu(-weights).sum() == 0
