"""The mixture: probabilities as written, shared norm, gate, single patch, experts left out."""

import pytest
import torch
from torch import Tensor, nn

from unichest_kedro.models.mixture import GATE_EMBEDDING, QueryMixture, mix
from unichest_kedro.models.query_network import Memory

D, Q, B, P, K = 12, 5, 3, 4, 3


@pytest.fixture
def mixture() -> QueryMixture:
    torch.manual_seed(0)
    mixture = QueryMixture(D, 2, 3, 7, 0.1, K).double().eval()
    with torch.no_grad():
        for parameter in mixture.parameters():
            parameter.normal_(std=0.4)
    return mixture


def inputs(patches: int = P) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(B, patches, D, generator=generator, dtype=torch.float64),
        torch.randn(Q, D, generator=generator, dtype=torch.float64),
    )


def slow_probabilities(mixture: QueryMixture, patches: Tensor, queries: Tensor, main: float, expert: float) -> Tensor:
    """One image, one finding, one expert at a time, from the networks' logits."""
    result = torch.zeros(len(patches), len(queries), dtype=torch.float64)
    for b in range(len(patches)):
        seen = mixture.norm(patches[b : b + 1])
        mean = sum(seen[0]) / len(seen[0])
        memory = Memory(seen, None if len(seen[0]) == 1 else mean[None, None])
        asked = mixture.norm(queries)[None]
        exponentials = [torch.exp(row @ mean + bias) for row, bias in zip(mixture.gate.weight, mixture.gate.bias)]
        gate = [value / sum(exponentials) for value in exponentials]
        for q in range(len(queries)):
            result[b, q] = main * mixture.main(asked, memory, mixture.norm).logits[0, q].sigmoid()
            for k in range(K):
                answer = mixture.experts[k](asked, memory, mixture.norm).logits[0, q].sigmoid()
                result[b, q] += expert * gate[k] * answer
    return result


def slow_embedding(mixture: QueryMixture, patches: Tensor) -> Tensor:
    """Gate embeddings, one image, one expert, one number at a time."""
    rows = []
    for seen in patches:
        normalised = [mixture.norm(patch) for patch in seen]
        mean = sum(normalised) / len(normalised)
        exponentials = [torch.exp(row @ mean + bias) for row, bias in zip(mixture.gate.weight, mixture.gate.bias)]
        gate = [value / sum(exponentials) for value in exponentials]
        linear = mixture.gate_embedding
        rows.append([sum(w * g for w, g in zip(row, gate)) + bias for row, bias in zip(linear.weight, linear.bias)])
    return torch.stack([torch.stack(row) for row in rows])


@pytest.mark.parametrize("ratios", [(1.0, 0.0), (0.5, 0.5), (0.2, 0.8)])
@pytest.mark.parametrize("patches", [P, 1])
def test_gradients_are_those_of_the_slow_version(
    mixture: QueryMixture, ratios: tuple[float, float], patches: int
) -> None:
    """Of patches, queries and every parameter, through the mixed probabilities and the gate embedding."""
    seen, queries = (x.requires_grad_() for x in inputs(patches))
    generator = torch.Generator().manual_seed(7)
    factors = torch.randn(B, Q, generator=generator, dtype=torch.float64)
    others = torch.randn(B, GATE_EMBEDDING, generator=generator, dtype=torch.float64)
    output = mixture(seen, queries, main_ratio=ratios[0], expert_ratio=ratios[1])
    fast = (output.probabilities * factors).sum() + (output.gate_embedding * others).sum()
    slow = (slow_probabilities(mixture, seen, queries, *ratios) * factors).sum()
    slow = slow + (slow_embedding(mixture, seen) * others).sum()
    asked = dict(mixture.named_parameters()) | {"patches": seen, "queries": queries}
    got, expected = (torch.autograd.grad(loss, list(asked.values()), allow_unused=True) for loss in (fast, slow))
    for name, value, one, other in zip(asked, asked.values(), got, expected):
        zeros = torch.zeros_like(value)  # parts that are not run
        torch.testing.assert_close(
            zeros if one is None else one,
            zeros if other is None else other,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("ratios", [(1.0, 0.0), (0.5, 0.5), (0.2, 0.8), (0.0, 1.0)])
@pytest.mark.parametrize("patches", [P, 1])
@torch.no_grad()
def test_probabilities_mix_as_written(mixture: QueryMixture, ratios: tuple[float, float], patches: int) -> None:
    seen, queries = inputs(patches)
    output = mixture(seen, queries, main_ratio=ratios[0], expert_ratio=ratios[1])
    expected = slow_probabilities(mixture, seen, queries, *ratios)
    torch.testing.assert_close(output.probabilities, expected)
    assert output.gate.shape == (B, K)
    torch.testing.assert_close(output.gate.sum(1), torch.ones(B, dtype=output.gate.dtype))


@torch.no_grad()
def test_gate_override(mixture: QueryMixture) -> None:
    seen, queries = inputs()
    oracle = torch.eye(K, dtype=torch.float64)[:B]
    output = mixture(seen, queries, main_ratio=0.5, expert_ratio=0.5, gate_override=oracle)
    assert output.experts is not None
    for b in range(B):
        torch.testing.assert_close(output.probabilities[b], 0.5 * output.main[b] + 0.5 * output.experts[b, b])


@pytest.mark.parametrize("ratios", [(1.0, 0.0), (0.5, 0.5)])
@pytest.mark.parametrize("patches", [P, 1])
def test_texts_are_answered_as_in_a_call_of_their_own(
    mixture: QueryMixture, ratios: tuple[float, float], patches: int
) -> None:
    """Every output of images and texts, and the gradients."""
    seen, queries = inputs(patches)
    texts = torch.randn(2, D, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    asked = {"main_ratio": ratios[0], "expert_ratio": ratios[1]}
    together = mixture(seen, queries, texts=texts, need_attention=True, **asked).split(B)
    apart = mixture(seen, queries, need_attention=True, **asked), mixture(texts[:, None], queries, **asked)
    for one, other in zip(together, apart):
        for name, value, expected in zip(one._fields, one, other):
            torch.testing.assert_close(value, expected, msg=lambda text, name=name: f"{name}: {text}")
    losses = ((some[0].probabilities.sum() + some[1].gate_embedding.square().sum()) for some in (together, apart))
    got, expected = (torch.autograd.grad(loss, list(mixture.parameters()), allow_unused=True) for loss in losses)
    for parameter, one, other in zip(mixture.parameters(), got, expected):
        zeros = torch.zeros_like(parameter)
        torch.testing.assert_close(zeros if one is None else one, zeros if other is None else other)


@torch.no_grad()
def test_gate_override_is_of_the_images_only(mixture: QueryMixture) -> None:
    seen, queries = inputs()
    texts, oracle = seen[:2, 0], torch.eye(K, dtype=torch.float64)[:B]
    asked = {"main_ratio": 0.5, "expert_ratio": 0.5}
    images, others = mixture(seen, queries, texts=texts, gate_override=oracle, **asked).split(B)
    assert torch.equal(images.gate, oracle)
    torch.testing.assert_close(others.gate, mixture(texts[:, None], queries, **asked).gate)


@torch.no_grad()
def test_gate_embedding_is_linear_in_the_gate(mixture: QueryMixture) -> None:
    seen, queries = inputs()
    output = mixture(seen, queries, main_ratio=0.5, expert_ratio=0.5)
    expected = output.gate @ mixture.gate_embedding.weight.T + mixture.gate_embedding.bias
    assert output.gate_embedding.shape == (B, GATE_EMBEDDING)
    torch.testing.assert_close(output.gate_embedding, expected)


def test_experts_are_not_run_for_ratio_zero(mixture: QueryMixture, monkeypatch: pytest.MonkeyPatch) -> None:
    for expert in mixture.experts:
        monkeypatch.setattr(expert, "forward", None)
    seen, queries = inputs()
    output = mixture(seen, queries, main_ratio=1, expert_ratio=0)
    assert output.experts is None
    output.probabilities.sum().backward()
    assert all(parameter.grad is None for parameter in mixture.experts.parameters())
    assert all(parameter.grad is None for parameter in mixture.gate.parameters())
    assert all(parameter.grad is not None for parameter in mixture.main.parameters())


def test_one_norm_is_shared(mixture: QueryMixture) -> None:
    norms = [name for name, module in mixture.named_modules() if isinstance(module, nn.LayerNorm)]
    assert [name for name in norms if "layers" not in name] == ["norm"]


@torch.no_grad()
def test_experts_start_from_main(mixture: QueryMixture) -> None:
    mixture.start_experts_from_main()
    seen, queries = inputs()
    output = mixture(seen, queries, main_ratio=0.5, expert_ratio=0.5)
    assert output.experts is not None
    for k in range(K):
        torch.testing.assert_close(output.experts[:, k], output.main)
    mixture.main.head.weight.zero_()
    assert mixture.experts[0].head.weight.any(), "experts must own their weights"


def test_initial_weights_have_the_papers_deviation() -> None:
    torch.manual_seed(0)
    mixture = QueryMixture(256, 1, 4, 256, experts=8, gate_embedding=128)
    heads = torch.cat([mixture.main.head.weight, *(expert.head.weight for expert in mixture.experts)])
    for weight in (heads, mixture.gate.weight, mixture.gate_embedding.weight):
        assert abs(float(weight.detach().std()) - 0.02) < 0.002
    for linear in (mixture.main.head, mixture.gate, mixture.gate_embedding):
        assert not linear.bias.any()


def test_initial_experts_differ() -> None:
    experts = QueryMixture(16, 1, 2, 8).experts
    assert not torch.equal(experts[0].head.weight, experts[1].head.weight)


@torch.no_grad()
def test_attention_of_the_main_network(mixture: QueryMixture) -> None:
    seen, queries = inputs()
    ratios = {"main_ratio": 0.5, "expert_ratio": 0.5}
    assert mixture(seen, queries, **ratios).attention is None
    attention = mixture(seen, queries, need_attention=True, **ratios).attention
    torch.testing.assert_close(attention.sum(-1), torch.ones(B, Q, dtype=torch.float64))


def test_mix_without_experts() -> None:
    assert torch.equal(mix(torch.ones(1, 2), None, torch.ones(1, 3), 0.5, 0.5), torch.full((1, 2), 0.5))


def test_layout_of_the_published_checkpoint_fits(real: object, project: object) -> None:
    """Every parameter that the published forward pass uses has its counterpart, by name and shape."""
    import json
    from pathlib import Path

    path = Path(str(real)).parent / "official_checkpoint_keys.json"
    if not path.is_file():
        pytest.skip(f"no {path.name} beside the real data")
    published = json.loads(path.read_text())["model"]
    with torch.device("meta"):
        ours = {name: list(value.shape) for name, value in QueryMixture().state_dict().items()}
    theirs = {}
    networks = {"": "main", "_1": "experts.0", "_2": "experts.1", "_3": "experts.2"}
    for suffix, network in networks.items():
        start = f"decoderV1{suffix}.layers."
        theirs |= {f"{network}.layers.{k[len(start) :]}": v for k, v in published.items() if k.startswith(start)}
        for kind in ("weight", "bias"):
            theirs[f"{network}.head.{kind}"] = published[f"mlp_head{suffix}.0.{kind}"]
    for kind in ("weight", "bias"):
        theirs[f"norm.{kind}"] = published[f"decoder_norm.{kind}"]
        theirs[f"gate.{kind}"] = published[f"gate_head.0.{kind}"]
        theirs[f"gate_embedding.{kind}"] = published[f"cl_head.0.{kind}"]
    assert ours == theirs
