"""Checkpoints with the names and shapes of the published code, at any size, and random weights."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def model_shapes(
    width: int = 768, layers: int = 4, experts: int = 3, feedforward: int = 1024, gate: int = 32
) -> Shapes:
    yield "logit_scale", ()
    norm = (("norm.weight", (width,)), ("norm.bias", (width,)))
    yield from ((f"decoder_{name}", shape) for name, shape in norm)
    networks = ["decoder", "decoderV1", *(f"decoderV1_{k}" for k in range(1, experts + 1))]
    for network in networks:
        for layer in range(layers):
            start = f"{network}.layers.{layer}"
            for attention in ("self_attn", "multihead_attn"):
                yield f"{start}.{attention}.in_proj_weight", (3 * width, width)
                yield f"{start}.{attention}.in_proj_bias", (3 * width,)
                yield f"{start}.{attention}.out_proj.weight", (width, width)
                yield f"{start}.{attention}.out_proj.bias", (width,)
            yield f"{start}.linear1.weight", (feedforward, width)
            yield f"{start}.linear1.bias", (feedforward,)
            yield f"{start}.linear2.weight", (width, feedforward)
            yield f"{start}.linear2.bias", (width,)
            for number in (1, 2, 3):
                yield f"{start}.norm{number}.weight", (width,)
                yield f"{start}.norm{number}.bias", (width,)
        yield from ((f"{network}.{name}", shape) for name, shape in norm)
    for head in ("mlp_head", *(f"mlp_head_{k}" for k in range(1, experts + 1))):
        yield f"{head}.0.weight", (1, width)
        yield f"{head}.0.bias", (1,)
    yield "gate_head.0.weight", (experts, width)
    yield "gate_head.0.bias", (experts,)
    yield "cl_head.0.weight", (gate, experts)
    yield "cl_head.0.bias", (gate,)


def norm_shapes(name: str, channels: int) -> Shapes:
    for kind in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{kind}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def stage_shapes(deep: bool, blocks: int, inputs: int, planes: int, groups: int, per_group: int) -> Shapes:
    """One stage of torchvision's ResNet; names start with the block's number."""
    outputs = 4 * planes if deep else planes
    inner = planes * per_group // 64 * groups if deep else planes
    for block in range(blocks):
        first = inputs if block == 0 else outputs
        convolutions = [(inner, first, 1), (inner, inner // groups, 3), (outputs, inner, 1)]
        if not deep:
            convolutions = [(planes, first, 3), (planes, planes, 3)]
        for number, (out, into, side) in enumerate(convolutions, 1):
            yield f"{block}.conv{number}.weight", (out, into, side, side)
            yield from norm_shapes(f"{block}.bn{number}", out)
        if block == 0 and (planes > 64 or first != outputs):
            yield f"{block}.downsample.0.weight", (outputs, first, 1, 1)
            yield from norm_shapes(f"{block}.downsample.1", outputs)


def image_shapes(
    width: int = 768,
    blocks: tuple[int, ...] = (3, 4, 6, 3),
    deep: bool = True,
    groups: int = 1,
    per_group: int = 64,
) -> Shapes:
    channels = (4 if deep else 1) * 512
    for trunk, names in (("resnet", "conv1 bn1 layer1 layer2 layer3 layer4"), ("res_features", "0 1 4 5 6 7")):
        convolution, norm, *stages = names.split()
        yield f"{trunk}.{convolution}.weight", (64, 3, 7, 7)
        yield from norm_shapes(f"{trunk}.{norm}", 64)
        inputs = 64
        for stage, count, planes in zip(stages, blocks, (64, 128, 256, 512)):
            for name, shape in stage_shapes(deep, count, inputs, planes, groups, per_group):
                yield f"{trunk}.{stage}.{name}", shape
            inputs = planes * (4 if deep else 1)
    yield "resnet.fc.weight", (1000, channels)
    yield "resnet.fc.bias", (1000,)
    yield "res_l1.weight", (channels, channels)
    yield "res_l1.bias", (channels,)
    yield "res_l2.weight", (width, channels)
    yield "res_l2.bias", (width,)


def text_shapes(
    width: int = 768, layers: int = 12, feedforward: int = 3072, tokens: int = 28895, positions: int = 512
) -> Shapes:
    yield "logit_scale", ()
    start = "bert_model.embeddings"
    yield f"{start}.word_embeddings.weight", (tokens, width)
    yield f"{start}.position_embeddings.weight", (positions, width)
    yield f"{start}.token_type_embeddings.weight", (2, width)
    yield f"{start}.LayerNorm.weight", (width,)
    yield f"{start}.LayerNorm.bias", (width,)
    for layer in range(layers):
        start = f"bert_model.encoder.layer.{layer}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            yield f"{start}.attention.{name}.weight", (width, width)
            yield f"{start}.attention.{name}.bias", (width,)
        yield f"{start}.intermediate.dense.weight", (feedforward, width)
        yield f"{start}.intermediate.dense.bias", (feedforward,)
        yield f"{start}.output.dense.weight", (width, feedforward)
        yield f"{start}.output.dense.bias", (width,)
        for name in ("attention.output", "output"):
            yield f"{start}.{name}.LayerNorm.weight", (width,)
            yield f"{start}.{name}.LayerNorm.bias", (width,)
    for name in ("bert_model.pooler.dense", "mlp_embed.0", "mlp_embed.2"):
        yield f"{name}.weight", (width, width)
        yield f"{name}.bias", (width,)


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Weights that keep signals of order one, so that a mistake anywhere shows in the probabilities."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    value = torch.randn(shape, generator=generator)
    if name.endswith("running_var"):
        return value.abs() * 0.5 + 0.5
    if len(shape) <= 1:
        is_scale = name.endswith("weight")
        return 1 + 0.2 * value if is_scale else 0.2 * value
    gain = 2.0 if "in_proj" in name or "head" in name else 1.0
    return gain * value / value[0].numel() ** 0.5


def random_section(shapes: Shapes, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {name: random_tensor(name, shape, generator) for name, shape in shapes}
    for name in state:
        if name.startswith("decoder") and ".norm." in name:  # one LayerNorm under several names
            state[name] = state[f"decoder_norm.{name.rsplit('.', 1)[1]}"]
        if name.startswith("resnet."):
            numbers = {"conv1": "0", "bn1": "1"} | {f"layer{k}": str(k + 3) for k in range(1, 5)}
            _, stage, *rest = name.split(".")
            if stage in numbers:
                state[name] = state[".".join(("res_features", numbers[stage], *rest))]
    return state


@pytest.fixture(scope="session")
def published_shapes() -> dict[str, Callable[..., Shapes]]:
    return {"model": model_shapes, "image_encoder": image_shapes, "text_encoder": text_shapes}


@pytest.fixture(scope="session")
def make_section(published_shapes: dict[str, Callable[..., Shapes]]) -> Callable[..., dict[str, Tensor]]:
    """A section by its name, sizes and seed."""

    def make(name: str, seed: int = 0, **sizes: Any) -> dict[str, Tensor]:
        return random_section(published_shapes[name](**sizes), seed)

    return make


def without_experts(section: dict[str, Tensor]) -> dict[str, Tensor]:
    """The section `model` as the published code writes it of its network without experts."""
    of_experts = ("decoderV1_", "mlp_head_", "gate_head.", "cl_head.")
    return {name: value for name, value in section.items() if not name.startswith(of_experts)}


SMALL_SIZES = {
    "model": {"width": 24, "layers": 2, "experts": 2, "feedforward": 20, "gate": 5},
    "image_encoder": {"width": 24, "blocks": (1, 1, 1, 1), "deep": False},
    "text_encoder": {"width": 24, "layers": 2, "feedforward": 40, "tokens": 30, "positions": 16},
}


@pytest.fixture
def small_checkpoint(make_section: Callable[..., dict[str, Tensor]]) -> dict[str, Any]:
    """A whole checkpoint of odd sizes, with the optimiser's state and the rest that the published code writes."""
    sections = {name: make_section(name, seed, **sizes) for seed, (name, sizes) in enumerate(SMALL_SIZES.items())}
    rest = {
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-5}]},
        "lr_scheduler": {"warmup_t": 20, "noise_range_t": None},
        "config": {"lam": [1.0, 0.4], "image_res": 64, "optimizer": {"opt": "adamW"}},
        "epoch": 3,
    }
    return sections | rest
