"""Probabilities of a read checkpoint against the published forward pass, written out slowly in float64.

The reference works on the checkpoint's own dictionary, by the published names, one image and one head at a time; it
shares no code with the project.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unichest_kedro.models.official import OfficialCheckpoint, official_image_encoder, official_mixture
from unichest_kedro.models.official_text import official_bert
from unichest_kedro.models.unichest import UniChest

from .conftest import without_experts

State = Mapping[str, Tensor]
Make = Callable[..., dict[str, Tensor]]
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
CONQUER, DIVIDE = (1.0, 0.0), (0.5, 0.5)


def get(state: State, name: str) -> Tensor:
    return state[name].double()


def linear(state: State, name: str, x: Tensor) -> Tensor:
    return x @ get(state, f"{name}.weight").T + get(state, f"{name}.bias")


def layer_norm(state: State, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return scaled * get(state, f"{name}.weight") + get(state, f"{name}.bias")


def heads_attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    size = query.shape[-1] // heads
    parts = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = query[:, part] @ key[:, part].T / math.sqrt(size)
        exponentials = (scores - scores.max(-1, keepdim=True).values).exp()
        parts.append(exponentials / exponentials.sum(-1, keepdim=True) @ value[:, part])
    return torch.cat(parts, dim=-1)


def attention(state: State, name: str, query: Tensor, memory: Tensor, heads: int) -> Tensor:
    width = query.shape[-1]
    weight, bias = get(state, f"{name}.in_proj_weight"), get(state, f"{name}.in_proj_bias")
    q, k, v = (
        x @ weight[i * width : (i + 1) * width].T + bias[i * width : (i + 1) * width]
        for i, x in enumerate((query, memory, memory))
    )
    return linear(state, f"{name}.out_proj", heads_attend(q, k, v, heads))


def decoder(state: State, name: str, text: Tensor, image: Tensor, heads: int, lam: tuple[float, float]) -> Tensor:
    """(Q,D) normalised queries, (P,D) normalised patches -> (Q,D)."""
    pooled = image.mean(0, keepdim=True)
    x, layer = text, 0
    while f"{name}.layers.{layer}.linear1.weight" in state:
        start = f"{name}.layers.{layer}"
        normed = layer_norm(state, f"{start}.norm1", x)
        x = x + attention(state, f"{start}.self_attn", normed, normed, heads)
        normed = layer_norm(state, f"{start}.norm2", x)
        seen = attention(state, f"{start}.multihead_attn", normed, image, heads)
        if len(image) > 1:
            coarse = attention(state, f"{start}.multihead_attn", normed, pooled, heads)
            seen = seen * lam[0] + coarse * lam[1]
        x = x + seen
        hidden = linear(state, f"{start}.linear1", layer_norm(state, f"{start}.norm3", x)).clamp(min=0)
        x = x + linear(state, f"{start}.linear2", hidden)
        layer += 1
    return layer_norm(state, f"{name}.norm", x)


def published_model(
    state: State,
    patches: Tensor,
    queries: Tensor,
    ratios: tuple[float, float],
    heads: int = 4,
    lam: tuple[float, float] = (1.0, 0.4),
) -> tuple[Tensor, Tensor]:
    """(B,P,D) patches, (Q,D) queries -> (B,Q) probabilities, (B,E) gate embeddings."""
    probabilities, embeddings = [], []
    for one in patches.double():
        image = layer_norm(state, "decoder_norm", one)
        text = layer_norm(state, "decoder_norm", queries.double())
        main = linear(state, "mlp_head.0", decoder(state, "decoderV1", text, image, heads, lam)).sigmoid()[:, 0]
        logits = linear(state, "gate_head.0", image.mean(0))
        gate = logits.exp() / logits.exp().sum()
        experts = torch.zeros_like(main)
        for k in range(len(gate)):
            features = decoder(state, f"decoderV1_{k + 1}", text, image, heads, lam)
            experts = experts + gate[k] * linear(state, f"mlp_head_{k + 1}.0", features).sigmoid()[:, 0]
        probabilities.append(ratios[0] * main + ratios[1] * experts)
        embeddings.append(linear(state, "cl_head.0", gate))
    return torch.stack(probabilities), torch.stack(embeddings)


def batch_norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, var = get(state, f"{name}.running_mean"), get(state, f"{name}.running_var")
    scale = get(state, f"{name}.weight") / (var + 1e-5).sqrt()
    return (x - mean[:, None, None]) * scale[:, None, None] + get(state, f"{name}.bias")[:, None, None]


def block(state: State, name: str, x: Tensor, stride: int) -> Tensor:
    deep = f"{name}.conv3.weight" in state
    strides = (1, stride, 1) if deep else (stride, 1)
    out = x
    for number, step in enumerate(strides, 1):
        weight = get(state, f"{name}.conv{number}.weight")
        groups = out.shape[1] // weight.shape[1]
        out = F.conv2d(out, weight, stride=step, padding=weight.shape[-1] // 2, groups=groups)
        out = batch_norm(state, f"{name}.bn{number}", out)
        out = out.clamp(min=0) if number < len(strides) else out
    if f"{name}.downsample.0.weight" in state:
        x = F.conv2d(x, get(state, f"{name}.downsample.0.weight"), stride=stride)
        x = batch_norm(state, f"{name}.downsample.1", x)
    return (out + x).clamp(min=0)


def published_image_encoder(state: State, images: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised (B,3,H,W) -> patches (B,P,D) and their mean (B,D)."""
    x = F.conv2d(images.double(), get(state, "res_features.0.weight"), stride=2, padding=3)
    x = batch_norm(state, "res_features.1", x).clamp(min=0)
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage in (4, 5, 6, 7):
        number = 0
        while f"res_features.{stage}.{number}.conv1.weight" in state:
            x = block(state, f"res_features.{stage}.{number}", x, 2 if number == 0 and stage > 4 else 1)
            number += 1
    rows = [torch.stack([x[b, :, i, j] for i in range(x.shape[2]) for j in range(x.shape[3])]) for b in range(len(x))]
    patches = torch.stack([linear(state, "res_l2", linear(state, "res_l1", each).clamp(min=0)) for each in rows])
    return patches, patches.mean(1)


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def published_text_encoder(state: State, tokens: Tensor, mask: Tensor, heads: int) -> Tensor:
    """(N,T) token numbers and mask -> (N,D)."""
    features = []
    for row, kept in zip(tokens, mask):
        length = int(kept.sum())  # padded tokens get no attention, so they may as well not be there
        start = "bert_model.embeddings"
        x = get(state, f"{start}.word_embeddings.weight")[row[:length]]
        x = x + get(state, f"{start}.position_embeddings.weight")[:length]
        x = x + get(state, f"{start}.token_type_embeddings.weight")[0]
        x = layer_norm(state, f"{start}.LayerNorm", x, 1e-12)
        layer = 0
        while f"bert_model.encoder.layer.{layer}.output.dense.weight" in state:
            start = f"bert_model.encoder.layer.{layer}"
            q, k, v = (linear(state, f"{start}.attention.self.{part}", x) for part in ("query", "key", "value"))
            seen = linear(state, f"{start}.attention.output.dense", heads_attend(q, k, v, heads))
            x = layer_norm(state, f"{start}.attention.output.LayerNorm", x + seen, 1e-12)
            hidden = gelu(linear(state, f"{start}.intermediate.dense", x))
            x = layer_norm(
                state, f"{start}.output.LayerNorm", x + linear(state, f"{start}.output.dense", hidden), 1e-12
            )
            layer += 1
        pooled = linear(state, "bert_model.pooler.dense", x[0]).tanh()
        features.append(linear(state, "mlp_embed.2", gelu(linear(state, "mlp_embed.0", pooled))))
    return torch.stack(features)


@torch.no_grad()
def test_a_network_without_experts_answers_as_its_main_network(small_checkpoint: dict[str, Any]) -> None:
    whole = small_checkpoint["model"]
    model = UniChest.from_official(small_checkpoint | {"model": without_experts(whole)}, heads=3)
    assert model.ratios.tolist() == [1, 0]
    seen, asked = randn(2, 5, 24, seed=3), randn(4, 24, seed=4)
    expected, _ = published_model(whole, seen, asked, CONQUER, heads=3)
    for ratios in (CONQUER, DIVIDE):  # the expert that stands in is the main network again
        close(model.mixture(seen, asked, main_ratio=ratios[0], expert_ratio=ratios[1]).probabilities, expected)
    assert spread(expected)


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got.double(), expected, atol=1e-5, rtol=0)


def spread(probabilities: Tensor) -> bool:
    """Whether the probabilities differ enough for the comparison to mean something."""
    return bool(probabilities.std() > 0.05)


MIXTURES = [
    ({}, 4, (1.0, 0.4), 9, 7),
    ({"width": 36, "layers": 1, "experts": 1, "feedforward": 10, "gate": 3}, 3, (1.0, 0.4), 5, 4),
    ({"width": 40, "layers": 3, "experts": 5, "feedforward": 64, "gate": 8}, 4, (0.7, 1.3), 6, 11),
    ({"width": 16, "layers": 2, "experts": 11, "feedforward": 24}, 2, (1.0, 0.0), 3, 2),
]


@pytest.mark.parametrize(("sizes", "heads", "lam", "patches", "queries"), MIXTURES)
@torch.no_grad()
def test_query_networks(
    make_section: Make, sizes: dict[str, int], heads: int, lam: tuple[float, float], patches: int, queries: int
) -> None:
    state = make_section("model", 1, **sizes)
    mixture = official_mixture(state, heads=heads, lam=lam)
    width = sizes.get("width", 768)
    asked = randn(queries, width, seed=2)
    for count in (patches, 1):  # image branch, text branch
        seen = randn(2, count, width, seed=3)
        for ratios in (CONQUER, DIVIDE):
            expected, embedding = published_model(state, seen, asked, ratios, heads, lam)
            output = mixture(seen, asked, main_ratio=ratios[0], expert_ratio=ratios[1])
            close(output.probabilities, expected)
            close(output.gate_embedding, embedding)
            assert spread(expected)


@pytest.mark.parametrize("patches", [5, 1])
def test_gradients_of_query_networks(make_section: Make, patches: int) -> None:
    """Of every tensor, through mixed probabilities and gate embeddings, against the reference's own."""
    state = make_section("model", 1, width=16, layers=2, experts=2, feedforward=12, gate=3)
    mixture = official_mixture(state).double()
    seen, asked = randn(2, patches, 16, seed=2).double(), randn(3, 16, seed=3).double()
    factors, others = randn(2, 3, seed=4).double(), randn(2, 3, seed=5).double()
    output = mixture(seen, asked, main_ratio=0.5, expert_ratio=0.5)
    ((output.probabilities * factors).sum() + (output.gate_embedding * others).sum()).backward()
    leaves = {name: value.double().requires_grad_() for name, value in state.items()}
    probabilities, embeddings = published_model(leaves, seen, asked, DIVIDE)
    ((probabilities * factors).sum() + (embeddings * others).sum()).backward()
    gradients = {name: torch.zeros_like(x) if x.grad is None else x.grad for name, x in leaves.items()}
    for kind in ("weight", "bias"):  # one LayerNorm under several names: its gradient is their sum
        names = [name for name in gradients if name.endswith(f"norm.{kind}") and not name.startswith("decoder.")]
        total = torch.stack([gradients[name] for name in names]).sum(0)
        gradients |= dict.fromkeys(names, total)
    expected = OfficialCheckpoint(gradients).section("model").state
    for name, parameter in mixture.named_parameters():
        got = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(
            got.float(), expected[name], atol=1e-6, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


RESNETS = [
    {},
    {"width": 20, "blocks": (2, 2, 2, 2), "deep": False},
    {"width": 12, "blocks": (1, 2, 1, 1), "deep": True},
    {"width": 12, "blocks": (1, 1, 2, 1), "deep": True, "groups": 4, "per_group": 8},
    {"width": 12, "blocks": (1, 3, 1, 1), "deep": False},
]


@pytest.mark.parametrize("sizes", RESNETS)
@torch.no_grad()
def test_image_encoder(make_section: Make, sizes: dict[str, Any]) -> None:
    state = make_section("image_encoder", 4, **sizes)
    encoder = official_image_encoder(state)
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(5))
    patches, pooled = published_image_encoder(state, (images - MEAN[:, None, None]) / STD[:, None, None])
    assert patches.shape == (2, 6, sizes.get("width", 768))
    assert spread(patches)
    features = encoder(images)
    torch.testing.assert_close(features.patches.double(), patches, atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(features.pooled.double(), pooled, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize(
    ("sizes", "heads"),
    [({"layers": 3, "tokens": 50}, 12), ({"width": 24, "layers": 2, "feedforward": 40, "tokens": 30}, 3)],
)
@torch.no_grad()
def test_text_encoder(make_section: Make, sizes: dict[str, int], heads: int) -> None:
    state = make_section("text_encoder", 6, **sizes)
    bert, projection = official_bert(state, heads=None if heads == 12 else heads)
    tokens = torch.randint(0, sizes["tokens"], (3, 9), generator=torch.Generator().manual_seed(7))
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5, [1] + [0] * 8])
    expected = published_text_encoder(state, tokens, mask, heads)
    output = bert(input_ids=tokens, attention_mask=mask).pooler_output
    close(projection(output), expected)
    assert spread(expected)


@pytest.mark.parametrize("ratios", [CONQUER, DIVIDE])
@torch.no_grad()
def test_whole_network(small_checkpoint: dict[str, Any], ratios: tuple[float, float]) -> None:
    model = UniChest.from_official(small_checkpoint, heads=3, main_ratio=ratios[0], expert_ratio=ratios[1])
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(8))
    normalised = (images - MEAN[:, None, None]) / STD[:, None, None]
    queries, texts = randn(5, 24, seed=9), randn(3, 24, seed=10)
    patches, pooled = published_image_encoder(small_checkpoint["image_encoder"], normalised)
    seen, _ = published_model(small_checkpoint["model"], patches, queries, ratios, heads=3)
    read, _ = published_model(small_checkpoint["model"], texts[:, None], queries, ratios, heads=3)
    output = model(images, queries, texts=texts)
    close(output.image.probabilities, seen)
    close(output.text.probabilities, read)
    torch.testing.assert_close(output.pooled.double(), pooled, atol=2e-5, rtol=2e-5)
