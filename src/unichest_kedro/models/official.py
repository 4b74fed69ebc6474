"""Reads checkpoints as the published UniChest code writes them (docs/method.md, section 7), each section alone too.

The file is unpickled with torch's safe loader, which builds tensors and plain values and executes nothing. Sizes
are read from the tensors; then every tensor must have its place here, or stand on `IGNORED`. Whatever is missing,
left over or of another shape is named, everything in one message.
"""

import argparse
import logging
import math
import pickle
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from unichest_kedro.errors import CheckpointError
from unichest_kedro.models.image_encoder import ImageEncoder
from unichest_kedro.models.mixture import QueryMixture

import timm  # isort: skip  (after image_encoder, which sees to torchvision)

logger = logging.getLogger(__name__)

SECTIONS = ("model", "image_encoder", "text_encoder")
IGNORED = {
    "model": (r"logit_scale", r"decoder\..+"),
    "image_encoder": (r"resnet\..+",),
    "text_encoder": (r"logit_scale", r"bert_model\.embeddings\.(position_ids|token_type_ids)"),
}
"""Patterns of names, per section, that the published forward pass does not use.

`logit_scale` and `model.decoder` are never called; `resnet` is the trunk once more, which is read as `res_features`;
the two buffers of the text encoder are row numbers and zeros. `num_batches_tracked` is taken where it is there.
"""

PAPER_HEADS = 4
PAPER_LAM = (1.0, 0.4)
PAPER_IMAGE_SIZE = 512
PAPER_SOURCES = ("mimic_cxr", "chestxray14", "chexpert", "vindr_cxr")
PAPER_FINDINGS = (
    *("normal", "pleural effusion", "opacity", "pneumothorax", "edema", "atelectasis", "tube", "consolidation"),
    *("enlarged cardiomediastinum", "tip", "pneumonia", "line", "cardiomegaly", "fracture", "calcification", "device"),
    *("engorgement", "nodule", "wire", "pacemaker", "pleural thicken", "marking", "scar", "hyperinflate", "blunt"),
    *("collapse", "emphysema", "aerate", "mass", "infiltration", "obscure", "deformity", "hernia", "drainage"),
    *("distention", "shift", "stent", "lesion", "hardware", "dilation", "aspiration"),
    *("fibrosis", "No Finding", "Pleural Other", "Support Devices", "Aortic enlargement", "Clavicle fracture"),
    *("Enlarged PA", "ILD", "Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pulmonary fibrosis"),
    *("Rib fracture", "Other lesion", "COPD", "Lung tumor", "Tuberculosis", "Other diseases"),
)
"""What the published training asks, in these very words and in this order."""

MIMIC_FINDINGS = PAPER_FINDINGS[: PAPER_FINDINGS.index("aspiration") + 1]
"""What it asks where it trains a network without experts, which it does on MIMIC-CXR alone."""

SMALLEST_IMAGE = 32
MOST_LISTED = 8
BERT_HEAD = 64
"""Width of a BERT attention head, at every size that was published."""

STAGES = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""Names that timm has for the numbered parts of `res_features` which hold weights."""

NO_EXPERTS = "it has no experts"
UNTRAINED = "its experts were never trained"
"""Why a checkpoint's experts are left out of its answer."""

_COUNTER = "num_batches_tracked"
_OF_EXPERTS = r"(decoderV1_\d+|mlp_head_\d+|gate_head|cl_head)\."
_RESNETS = {
    (False, (2, 2, 2, 2), 1, 64): "resnet18",
    (False, (3, 4, 6, 3), 1, 64): "resnet34",
    (True, (3, 4, 6, 3), 1, 64): "resnet50",
    (True, (3, 4, 23, 3), 1, 64): "resnet101",
    (True, (3, 8, 36, 3), 1, 64): "resnet152",
    (True, (3, 4, 6, 3), 32, 4): "resnext50_32x4d",
    (True, (3, 4, 23, 3), 32, 8): "resnext101_32x8d",
    (True, (3, 4, 6, 3), 1, 128): "wide_resnet50_2",
    (True, (3, 4, 23, 3), 1, 128): "wide_resnet101_2",
}

Source = str | Path | Mapping[str, Any]
"""A checkpoint file, a loaded checkpoint, or one section of it."""


class OfficialSettings(BaseModel):
    """What a published checkpoint does not say about itself, and where it is.

    Attributes:
        checkpoint: The file, such as `best_valid.pt`.
        tokenizer: Folder or hub name of the text encoder's tokenizer, which the checkpoint does not hold.
        allow_download: Whether a hub name may be fetched; otherwise it must be in the local cache.
        heads: Attention heads of the query networks.
        text_heads: Attention heads of the BERT; None for what the tokenizer's folder says, or width / 64.
        lam: Weights of the fine and the global attention; None for the checkpoint's `config`, or (1.0, 0.4).
        image_size: Side of the square images; None for the checkpoint's `config`, or 512.
        dropout: For training on; it plays no part in evaluation.
        main_ratio: Weight of the main network's probabilities: Divide 0.5, Conquer 1. None for what the checkpoint's
            experts are: 1 where there are none or they were never trained, else 0.5.
        expert_ratio: Weight of the experts' probabilities: Divide 0.5, Conquer 0. None as above: 0 or 0.5.
        findings_asked: What it was asked in training, in these words; None for what the published code asks.
        trained_on: Keys of the sources it was trained on; all others are zero-shot for it.
        max_tokens: Longest text in tokens.
        batch_size: Texts embedded at once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: Path | None = None
    tokenizer: str | None = Field(default=None, min_length=1)
    allow_download: bool = False
    heads: int = Field(default=PAPER_HEADS, ge=1)
    text_heads: int | None = Field(default=None, ge=1)
    lam: tuple[float, float] | None = None
    image_size: int | None = Field(default=None, ge=SMALLEST_IMAGE)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    main_ratio: float | None = Field(default=None, ge=0, le=1)
    expert_ratio: float | None = Field(default=None, ge=0, le=1)
    findings_asked: tuple[Annotated[str, Field(min_length=1)], ...] | None = None
    trained_on: tuple[str, ...] = PAPER_SOURCES
    max_tokens: int = Field(default=256, ge=8)
    batch_size: int = Field(default=64, ge=1)

    @model_validator(mode="after")
    def _ratios_mix(self) -> Self:
        if (self.main_ratio is None) != (self.expert_ratio is None):
            raise ValueError("give main_ratio and expert_ratio, or neither: Divide 0.5 and 0.5, Conquer 1 and 0")
        if self.main_ratio is not None and not math.isclose(self.main_ratio + self.expert_ratio, 1):
            raise ValueError(
                f"main_ratio {self.main_ratio:g} and expert_ratio {self.expert_ratio:g} must have the sum 1, or "
                "answers are no probabilities: Divide 0.5 and 0.5, Conquer 1 and 0"
            )
        return self


class Reading(NamedTuple):
    """One section, read: `sizes` by argument name, `state` by this project's names (float32), `problems` in words.

    With problems, sizes and state may be incomplete. `without` says of the section `model` why its experts are to be
    left out of the answer ("" where they are not): there are none, or they were never trained.
    """

    sizes: dict[str, Any]
    state: dict[str, Tensor]
    problems: list[str]
    without: str = ""


class _Place(NamedTuple):
    """Where one tensor stands there, where it goes here, and its shape."""

    theirs: str
    ours: str
    shape: tuple[int, ...]


class _UnrecognisedError(Exception):
    """A section is not what its name says; the message is one problem of the section."""


class OfficialCheckpoint:
    """A checkpoint of the published code: its sections, read and checked on demand.

    Args:
        source: A file, a loaded checkpoint, or one section of it (then only that section can be read).

    Raises:
        CheckpointError: there is no such file, or it holds more than tensors and plain values.
    """

    def __init__(self, source: Source) -> None:
        self.name = "checkpoint" if isinstance(source, Mapping) else str(source)
        self._content = dict(source) if isinstance(source, Mapping) else _read_file(Path(source).expanduser())
        self._is_section = bool(self._content) and all(isinstance(x, Tensor) for x in self._content.values())

    def section(self, name: str) -> Reading:
        """Reads and checks one section.

        Raises:
            CheckpointError: it is missing or not as published; every problem is named.
        """
        if not self._is_section:
            return self.sections(required=(name,), read=(name,))[name]
        reading = READERS[name](_tensors(self._content))
        self._raise([f"{name}: {problem}" for problem in reading.problems])
        return reading

    def sections(self, required: Sequence[str] = SECTIONS, read: Sequence[str] = SECTIONS) -> dict[str, Reading]:
        """Reads and checks those of the sections `read` that are there.

        Raises:
            CheckpointError: a required section is missing, one is not as published, or the widths of the sections
                differ; every problem is named.
        """
        readings = {name: READERS[name](_tensors(self._content[name])) for name in read if name in self._content}
        problems = [
            f"{name}: the section is missing (there is {self._listed()})" for name in required if name not in readings
        ]
        problems += [f"{name}: {problem}" for name, reading in readings.items() for problem in reading.problems]
        widths = {name: reading.sizes["width"] for name, reading in readings.items() if "width" in reading.sizes}
        if len(set(widths.values())) > 1:
            listed = ", ".join(f"{name} {width}" for name, width in widths.items())
            problems.append(f"the sections differ in width ({listed})")
        self._raise(problems)
        return readings

    @property
    def lam(self) -> tuple[float, float]:
        """Weights of the fine and the global attention: `lam` of the checkpoint's `config`, or the paper's.

        Raises:
            CheckpointError: `lam` is there, but is not two numbers.
        """
        lam = self._config("lam")
        if lam is None:
            return PAPER_LAM
        numbers = isinstance(lam, list | tuple) and len(lam) == 2 and all(isinstance(x, int | float) for x in lam)
        if not numbers:
            raise CheckpointError(
                f"{self.name}: config: lam is {lam!r}, not two numbers (fine, global); give lam yourself"
            )
        return float(lam[0]), float(lam[1])

    @property
    def image_size(self) -> int:
        """Side of the images in pixels: `image_res` of the checkpoint's `config`, or the paper's 512."""
        size = self._config("image_res")
        return size if isinstance(size, int) and size >= SMALLEST_IMAGE else PAPER_IMAGE_SIZE

    def _listed(self) -> str:
        names = [str(name) for name in self._content]
        more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
        return (", ".join(names[:MOST_LISTED]) or "nothing") + more

    def _config(self, key: str) -> Any:
        config = self._content.get("config")
        if isinstance(config, argparse.Namespace):
            config = vars(config)
        return config.get(key) if isinstance(config, Mapping) else None

    def _raise(self, problems: Sequence[str]) -> None:
        if problems:
            raise CheckpointError(f"{self.name}: not a checkpoint of the published code. {'; '.join(problems)}")


def official_mixture(
    source: Source, *, heads: int = PAPER_HEADS, lam: tuple[float, float] | None = None, dropout: float = 0.1
) -> QueryMixture:
    """The query networks of a checkpoint, in evaluation mode, from its section `model` alone.

    Args:
        source: A checkpoint file, a loaded checkpoint, or its section `model`.
        heads: Attention heads, which the tensors do not show.
        lam: Weights of the fine and the global attention; None for the checkpoint's `config`, or (1.0, 0.4).
        dropout: For training on.

    Raises:
        CheckpointError: the section is missing or not as published; every problem is named.
        SettingsError: the width is not divisible by `heads`.
    """
    checkpoint = OfficialCheckpoint(source)
    reading = checkpoint.section("model")
    fine, coarse = lam or checkpoint.lam
    with torch.random.fork_rng(devices=[]):
        mixture = QueryMixture(**reading.sizes, heads=heads, dropout=dropout, lam_fine=fine, lam_global=coarse)
    mixture.load_state_dict(reading.state)
    return mixture.eval()


def official_image_encoder(source: Source) -> ImageEncoder:
    """The image encoder of a checkpoint, in evaluation mode, from its section `image_encoder` alone.

    It takes images in [0, 1]: the ImageNet normalisation, which the published code does while it loads images, is
    part of the encoder here.

    Args:
        source: A checkpoint file, a loaded checkpoint, or its section `image_encoder`.

    Raises:
        CheckpointError: the section is missing or not as published; every problem is named.
    """
    reading = OfficialCheckpoint(source).section("image_encoder")
    with torch.random.fork_rng(devices=[]):
        encoder = ImageEncoder(**reading.sizes)
    load_image_encoder(encoder, reading)
    return encoder.eval()


def load_image_encoder(encoder: nn.Module, reading: Reading) -> None:
    """Loads a read section into an encoder of its sizes; batch counters that the checkpoint lacks stay zero."""
    lacking = encoder.load_state_dict(reading.state, strict=False)
    wrong = [name for name in (*lacking.missing_keys, *lacking.unexpected_keys) if not name.endswith(_COUNTER)]
    if wrong:
        raise CheckpointError(f"image_encoder: no place for {', '.join(wrong)}")


def _read_model(tensors: Mapping[str, Any]) -> Reading:
    """Section `model`: the main network, its experts, the shared LayerNorm, gate and gate embedding."""
    if not any(re.match(_OF_EXPERTS, name) for name in tensors):
        return _read_main_alone(tensors)
    try:
        sizes = {
            "width": _size(tensors, r"decoderV1[_\d]*\.layers\.\d+\.norm\d\.weight", 0),
            "layers": _count(tensors, r"decoderV1\.layers\.(\d+)\.", first=0),
            "feedforward": _size(tensors, r"decoderV1[_\d]*\.layers\.\d+\.linear1\.weight", 0),
            "experts": _count(tensors, r"decoderV1_(\d+)\.", first=1),
            "gate_embedding": _size(tensors, r"cl_head\.0\.(weight|bias)", 0),
        }
    except _UnrecognisedError as error:
        return Reading({}, {}, [str(error)])
    places = list(_model_places(**sizes))
    state, problems = _fit("model", tensors, places)
    problems += _differing_norms(tensors, sizes["experts"])
    return Reading(sizes, state, problems, UNTRAINED if _experts_are_as_made(state) else "")


def _read_main_alone(tensors: Mapping[str, Any]) -> Reading:
    """Section `model` of the published network without experts: one stands in for them, a copy of the main network.

    So its answer is the main network's, whatever the ratios.
    """
    try:
        sizes = {
            "width": _size(tensors, r"decoderV1\.layers\.\d+\.norm\d\.weight", 0),
            "layers": _count(tensors, r"decoderV1\.layers\.(\d+)\.", first=0),
            "feedforward": _size(tensors, r"decoderV1\.layers\.\d+\.linear1\.weight", 0),
        }
    except _UnrecognisedError as error:
        return Reading({}, {}, [str(error)])
    state, problems = _fit("model", tensors, list(_network_places(experts=0, **sizes)))
    problems += _differing_norms(tensors, 0)
    copy = {name.replace("main.", "experts.0.", 1): value for name, value in state.items() if name.startswith("main.")}
    gates = {"gate": (1, sizes["width"]), "gate_embedding": (1, 1)}
    zeros = {f"{name}.weight": torch.zeros(shape) for name, shape in gates.items()}
    zeros |= {f"{name}.bias": torch.zeros(shape[0]) for name, shape in gates.items()}
    return Reading(sizes | {"experts": 1, "gate_embedding": 1}, state | copy | zeros, problems, NO_EXPERTS)


def _experts_are_as_made(state: Mapping[str, Tensor]) -> bool:
    """Whether all LayerNorms within the experts are the identity, which the first step of training changes."""
    norms = {name: value for name, value in state.items() if re.fullmatch(r"experts\..+\.norm\d\.(weight|bias)", name)}
    return bool(norms) and all(bool((value == name.endswith("weight")).all()) for name, value in norms.items())


def _model_places(width: int, layers: int, feedforward: int, experts: int, gate_embedding: int) -> Iterator[_Place]:
    yield from _network_places(width, layers, feedforward, experts)
    yield from _linear("gate_head.0", "gate", experts, width)
    yield from _linear("cl_head.0", "gate_embedding", gate_embedding, experts)


def _network_places(width: int, layers: int, feedforward: int, experts: int) -> Iterator[_Place]:
    yield _Place("decoder_norm.weight", "norm.weight", (width,))
    yield _Place("decoder_norm.bias", "norm.bias", (width,))
    networks = {"": "main"} | {f"_{k + 1}": f"experts.{k}" for k in range(experts)}
    for suffix, network in networks.items():
        for layer in range(layers):
            for name, shape in _layer_shapes(width, feedforward):
                place = f"layers.{layer}.{name}"
                yield _Place(f"decoderV1{suffix}.{place}", f"{network}.{place}", shape)
        yield from _linear(f"mlp_head{suffix}.0", f"{network}.head", 1, width)


def _layer_shapes(width: int, feedforward: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for attention in ("self_attn", "multihead_attn"):
        yield f"{attention}.in_proj_weight", (3 * width, width)
        yield f"{attention}.in_proj_bias", (3 * width,)
        yield f"{attention}.out_proj.weight", (width, width)
        yield f"{attention}.out_proj.bias", (width,)
    yield from (("linear1.weight", (feedforward, width)), ("linear1.bias", (feedforward,)))
    yield from (("linear2.weight", (width, feedforward)), ("linear2.bias", (width,)))
    for norm in ("norm1", "norm2", "norm3"):
        yield from ((f"{norm}.weight", (width,)), (f"{norm}.bias", (width,)))


def _differing_norms(tensors: Mapping[str, Any], experts: int) -> list[str]:
    """The shared LayerNorm stands once more under each network's name, and must be the same there."""
    problems = []
    for network in ("decoderV1", *(f"decoderV1_{k + 1}" for k in range(experts))):
        for kind in ("weight", "bias"):
            shared, copy = f"decoder_norm.{kind}", f"{network}.norm.{kind}"
            if copy not in tensors:
                problems.append(f"missing {copy}")
            elif shared in tensors and not _same(tensors[shared], tensors[copy]):
                problems.append(f"{copy} differs from {shared}, but they are one LayerNorm")
    return problems


def _read_image_encoder(tensors: Mapping[str, Any]) -> Reading:
    """Section `image_encoder`: a ResNet's trunk, then two linear layers per patch."""
    try:
        backbone, options = _recognise_resnet(tensors)
        width = _size(tensors, r"res_l2\.(weight|bias)", 0)
    except _UnrecognisedError as error:
        return Reading({}, {}, [str(error)])
    with torch.device("meta"):
        trunk = timm.create_model(backbone, num_classes=0, **options)
    numbers = {name: number for number, name in STAGES.items()}
    places = []
    for name, value in trunk.state_dict().items():
        stage, _, rest = name.partition(".")
        places.append(_Place(f"res_features.{numbers[stage]}.{rest}", f"backbone.{name}", tuple(value.shape)))
    channels = trunk.num_features
    places += _linear("res_l1", "project.0", channels, channels)
    places += _linear("res_l2", "project.2", width, channels)
    state, problems = _fit("image_encoder", tensors, places)
    _warn_of_another_trunk(tensors)
    return Reading({"backbone": backbone, "options": options, "width": width}, state, problems)


def _recognise_resnet(tensors: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name timm has for a ResNet, and what differs from it, from blocks per stage and widths of the first one."""
    layers = tuple(_count(tensors, rf"res_features\.{stage}\.(\d+)\.", first=0) for stage in range(4, 8))
    first = "res_features.4.0.conv"
    if not hasattr(tensors.get(f"{first}3.weight"), "shape"):
        cardinality, base_width, deep = 1, 64, False
    else:
        inner = _size(tensors, rf"{re.escape(first)}1\.weight", 0)
        per_group = _size(tensors, rf"{re.escape(first)}2\.weight", 1)
        cardinality = max(1, inner // max(1, per_group))
        base_width, deep = inner // cardinality, True
    name = _RESNETS.get((deep, layers, cardinality, base_width))
    if name is not None:
        return name, {}
    options = {"layers": list(layers), "cardinality": cardinality, "base_width": base_width}
    return ("resnet50", options) if deep else ("resnet18", {"layers": list(layers)})


def _warn_of_another_trunk(tensors: Mapping[str, Any]) -> None:
    """The trunk stands twice; a file whose copies differ is read as the published code would, by `res_features`."""
    differing = []
    for number, stage in STAGES.items():
        start = f"res_features.{number}."
        for name in (name for name in tensors if name.startswith(start)):
            copy = f"resnet.{stage}.{name[len(start) :]}"
            if copy in tensors and not _same(tensors[name], tensors[copy]):
                differing.append(copy)
    if differing:
        logger.warning(
            "image_encoder: %s and %d more differ from their copies in res_features, which are the ones used",
            differing[0],
            len(differing) - 1,
        )


def _read_text_encoder(tensors: Mapping[str, Any]) -> Reading:
    """Section `text_encoder`: a BERT with its pooler, then Linear - GELU - Linear."""
    start = r"bert_model\.embeddings\."
    try:
        sizes = {
            "width": _size(tensors, r"bert_model\.encoder\.layer\.\d+\.output\.LayerNorm\.weight", 0),
            "layers": _count(tensors, r"bert_model\.encoder\.layer\.(\d+)\.", first=0),
            "feedforward": _size(tensors, r"bert_model\.encoder\.layer\.\d+\.intermediate\.dense\.weight", 0),
            "tokens": _size(tensors, rf"{start}word_embeddings\.weight", 0),
            "positions": _size(tensors, rf"{start}position_embeddings\.weight", 0),
            "types": _size(tensors, rf"{start}token_type_embeddings\.weight", 0),
        }
    except _UnrecognisedError as error:
        return Reading({}, {}, [str(error)])
    places = list(_text_places(**sizes))
    state, problems = _fit("text_encoder", tensors, places)
    return Reading(sizes, state, problems)


def _text_places(
    width: int, layers: int, feedforward: int, tokens: int, positions: int, types: int
) -> Iterator[_Place]:
    rows = {"word": tokens, "position": positions, "token_type": types}
    for name, count in rows.items():
        yield _bert(f"embeddings.{name}_embeddings.weight", count, width)
    yield from (_bert(f"embeddings.LayerNorm.{kind}", width) for kind in ("weight", "bias"))
    for number in range(layers):
        layer = f"encoder.layer.{number}"
        inner = [f"attention.self.{part}" for part in ("query", "key", "value")]
        shapes = dict.fromkeys((*inner, "attention.output.dense"), (width, width))
        shapes |= {"intermediate.dense": (feedforward, width), "output.dense": (width, feedforward)}
        for name, shape in shapes.items():
            yield _bert(f"{layer}.{name}.weight", *shape)
            yield _bert(f"{layer}.{name}.bias", shape[0])
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            yield from (_bert(f"{layer}.{norm}.{kind}", width) for kind in ("weight", "bias"))
    yield _bert("pooler.dense.weight", width, width)
    yield _bert("pooler.dense.bias", width)
    for number in (0, 2):
        yield from _linear(f"mlp_embed.{number}", f"projection.{number}", width, width)


def _bert(name: str, *shape: int) -> _Place:
    return _Place(f"bert_model.{name}", f"bert.{name}", shape)


def _linear(theirs: str, ours: str, outputs: int, inputs: int) -> Iterator[_Place]:
    yield _Place(f"{theirs}.weight", f"{ours}.weight", (outputs, inputs))
    yield _Place(f"{theirs}.bias", f"{ours}.bias", (outputs,))


READERS = {"model": _read_model, "image_encoder": _read_image_encoder, "text_encoder": _read_text_encoder}


def _fit(section: str, tensors: Mapping[str, Any], places: Sequence[_Place]) -> tuple[dict[str, Tensor], list[str]]:
    """Puts every tensor in its place, as float32; names what is missing, misshapen or has no place."""
    state, problems = {}, []
    for place in places:
        value = tensors.get(place.theirs)
        counter = place.theirs.endswith(_COUNTER)
        if place.theirs not in tensors:
            problems += [] if counter else [f"missing {place.theirs}"]
        elif not isinstance(value, Tensor):
            problems.append(f"{place.theirs} is a {type(value).__name__}, not a tensor")
        elif tuple(value.shape) != place.shape:
            problems.append(f"{place.theirs} has shape {list(value.shape)}, not {list(place.shape)}")
        elif not counter and not value.is_floating_point():
            problems.append(f"{place.theirs} is of {value.dtype}, not of floating point")
        else:
            state[place.ours] = value if counter else value.float()
    known = {place.theirs for place in places}
    ignored = [*IGNORED[section], *([r"decoderV1[_\d]*\.norm\.(weight|bias)"] if section == "model" else [])]
    strange = [n for n in tensors if n not in known and not any(re.fullmatch(pattern, n) for pattern in ignored)]
    return state, problems + [f"{name} has no place in the published network" for name in strange]


def _size(tensors: Mapping[str, Any], pattern: str, axis: int) -> int:
    """The commonest length of an axis among the tensors of these names, so that one odd tensor is named as odd."""
    found = [value for name, value in tensors.items() if re.fullmatch(pattern, name)]
    lengths = Counter(value.shape[axis] for value in found if isinstance(value, Tensor) and value.ndim > axis)
    if not lengths:
        raise _UnrecognisedError(f"this is not the published network: no tensor is named {_readable(pattern)}")
    return lengths.most_common(1)[0][0]


def _count(tensors: Mapping[str, Any], pattern: str, first: int) -> int:
    """How many numbered parts there are."""
    matches = (re.match(pattern, name) for name in tensors)
    numbers = sorted({int(match[1]) for match in matches if match})
    if not numbers:
        raise _UnrecognisedError(f"this is not the published network: no tensor is named {_readable(pattern)}*")
    if numbers != list(range(first, first + len(numbers))):
        listed = ", ".join(map(str, numbers))
        raise _UnrecognisedError(f"{_readable(pattern)}* is numbered {listed}, not from {first} on without a gap")
    return len(numbers)


def _readable(pattern: str) -> str:
    """A pattern as a name with stars."""
    return re.sub(r"\(\\d\+\)|\\d\+?|\[_\\d\]\*|\([a-z|]+\)", "*", pattern).replace("\\", "")


def _tensors(section: Any) -> dict[str, Any]:
    """A section without the prefix that distributed training puts before every name."""
    if not isinstance(section, Mapping):
        return {}
    if section and all(str(name).startswith("module.") for name in section):
        return {str(name).removeprefix("module."): value for name, value in section.items()}
    return {str(name): value for name, value in section.items()}


def _same(first: Any, second: Any) -> bool:
    return isinstance(first, Tensor) and isinstance(second, Tensor) and torch.equal(first, second)


def _read_file(path: Path) -> dict[str, Any]:
    """Loads a file on the CPU without executing anything in it; its tensors stay on disk until used."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; give the published checkpoint, such as best_valid.pt")
    try:
        # A bag of attributes with nothing to execute, in which training scripts keep their options.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        raise CheckpointError(_refusal(path, error)) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not sections {', '.join(SECTIONS)}")
    return dict(content)


def _refusal(path: Path, error: Exception) -> str:
    """Names what the safe loader refused."""
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # not a file of torch.save at all; the loader's own words are left
        unsafe = []
    refused = sorted(set(unsafe) - {"argparse.Namespace"}) or re.findall(r"GLOBAL (\S+)", str(error))
    if refused:
        return (
            f"{path}: refused, because it holds more than tensors and plain values ({', '.join(refused)}), and "
            "loading that would execute code from the file. If you trust the file, load it where it was made and "
            f"save the sections {', '.join(SECTIONS)} alone"
        )
    told = str(error).strip()
    # The loader's longer words advise to load without its care, which nobody should read here.
    own = re.search(r"WeightsUnpickler error:\s*(.+)", told)
    reason = own[1] if own else told.splitlines()[0] if told else type(error).__name__
    return f"{path}: not a file that torch.save wrote, or not a whole one ({reason}); nothing in it was executed"
