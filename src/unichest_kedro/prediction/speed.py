"""How the forward pass is computed: as it is, or by a twin of the model whose backbone is prepared for the processor.

The twin's batch norms are folded into the convolutions before them, and its backbone runs in the memory layout of the
processor's own library (oneDNN), so that nothing is converted between layers; in `bfloat16`, where the processor
multiplies such numbers much faster. Its query networks carry a few findings to the patches of a film rather than the
patches to each network (`Attention.few_queries`). The model itself is left as it is. Not every backbone can be
prepared: the twin is compared with the model on a random picture first, and left out where it says anything else.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils import mkldnn

from unichest_kedro.models.device import has_bf16_units
from unichest_kedro.models.mixture import MixtureOutput, QueryMixture
from unichest_kedro.models.query_network import Attention
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.prediction.settings import Precision

logger = logging.getLogger(__name__)

Compute = Callable[[Tensor, Sequence[Tensor]], list[MixtureOutput]]
"""uint8 (B, 1, S, S) images and sets of (C, D) queries to what the mixture says of the images, for each set."""

WORTH_IT = 64
"""Pictures from which on the preparation, a second or two, is made up for."""

LARGEST_ERROR = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""Largest difference of a feature, relative to the largest feature, that is taken for rounding."""


@contextmanager
def computing(model: UniChest, precision: Precision = "auto", pictures: int = 1) -> Iterator[Compute]:
    """Give the function that answers a batch.

    Args:
        model: In evaluation mode; it is left as it is.
        precision: See `PredictSettings`.
        pictures: How many are to be answered.
    """
    on_cpu = model.finding_embeddings.device.type == "cpu"
    dtype = resolve(precision, model)
    prepare = on_cpu and (dtype == torch.bfloat16 or pictures >= WORTH_IT)
    asked = _kept_twin(model, dtype) if prepare else model
    # Without a prepared backbone, autocast on a processor converts at every layer, which is slower than float32.
    automatic = dtype == torch.bfloat16 and (not on_cpu or asked is not model)

    main_ratio, expert_ratio = model.ratios.tolist()

    def compute(images: Tensor, sets: Sequence[Tensor]) -> list[MixtureOutput]:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=automatic):
            patches = asked.encode_images(images).patches
            return [
                asked.mixture(patches, queries, main_ratio=main_ratio, expert_ratio=expert_ratio) for queries in sets
            ]

    yield compute


PROCESSOR_UNITS = ("amx_bf16", "avx512_bf16")


def resolve(precision: Precision, model: UniChest) -> torch.dtype:
    """What is computed in: for "auto" bfloat16 on a processor that has units for it, float32 everywhere else.

    Units are AMX's, or AVX-512's products of bfloat16 numbers, which double the speed of a prepared backbone. (Training
    looks for AMX only: what the others bring there has not been measured.)
    """
    if precision == "auto":
        device = model.finding_embeddings.device
        precision = "bfloat16" if device.type == "cpu" and has_bf16_units(device, PROCESSOR_UNITS) else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def prepared_twin(model: UniChest, dtype: torch.dtype = torch.float32) -> UniChest:
    """A twin of the model that shares all but the backbone, which is prepared; the model itself where it cannot be.

    Args:
        model: On the CPU, in evaluation mode.
        dtype: float32 or bfloat16, of the backbone's computation.
    """
    encoder = model.image_encoder
    try:
        backbone = _Prepared(encoder.backbone, dtype)
        twin_encoder = _shallow(encoder)
        twin_encoder.backbone = backbone
        error = _relative_error(encoder, twin_encoder, model.settings.image_size)
    # Whatever a backbone has that cannot be prepared (attention, pooling of its own, ...): it is computed as it is.
    except Exception as reason:
        logger.debug("The backbone is computed as it is: %s", reason)
        return model
    if not error <= LARGEST_ERROR[dtype]:
        logger.debug("The backbone is computed as it is: prepared, it differs by %.1e", error)
        return model
    twin = _shallow(model)
    twin.image_encoder = twin_encoder
    twin.mixture = _for_few_queries(model.mixture)
    return twin


_twins: WeakKeyDictionary[UniChest, tuple[Any, UniChest]] = WeakKeyDictionary()
"""Twins that were prepared: a page that answers one film at a time would otherwise prepare one for each."""


def _kept_twin(model: UniChest, dtype: torch.dtype) -> UniChest:
    """The twin of `prepared_twin`, made anew where a weight of the model has been changed or replaced since."""
    values = model.state_dict(keep_vars=True).values()
    versions = tuple((value.data_ptr(), 0 if value.is_inference() else value._version) for value in values)
    state = (dtype, versions)
    if model not in _twins or _twins[model][0] != state:
        _twins[model] = state, prepared_twin(model, dtype)
    return _twins[model][1]


class _Prepared(nn.Module):
    """A backbone with folded batch norms, in oneDNN's layout; it passes for the backbone it was made from."""

    def __init__(self, original: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        folded = copy.deepcopy(original)
        _fold(folded)
        self.inner = mkldnn.to_mkldnn(folded, dtype)
        self.dtype = dtype
        # As a plain attribute: the original is no part of this module.
        self.__dict__["original"] = original

    def __getattr__(self, name: str) -> Any:
        """What the image encoder asks its backbone about (layout, prefix tokens, ...) is the original's to say."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "forward_features" and hasattr(self.original, name):
                return self._forward_features
            return getattr(self.original, name)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of a cut backbone."""
        return [self._dense(part) for part in self.inner(self._blocked(images))]

    def _forward_features(self, images: Tensor) -> Tensor:
        return self._dense(self.inner.forward_features(self._blocked(images)))

    def _blocked(self, images: Tensor) -> Tensor:
        return images.float().contiguous().to_mkldnn(self.dtype)

    def _dense(self, features: Tensor) -> Tensor:
        return features.to_dense(torch.float32)


def _fold(module: nn.Module) -> None:
    """Fold each batch norm into the convolution that stands before it, in place.

    Standing before is not always running before; what this gets wrong shows in the comparison with the original.
    """
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None and isinstance(before[1], nn.Conv2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            # timm's batch norms carry the activation that follows them.
            setattr(module, name, getattr(child, "act", None) or nn.Identity())
        else:
            _fold(child)
        before = name, child


def _for_few_queries(mixture: QueryMixture) -> QueryMixture:
    """A mixture with the same weights, in which few queries are carried to the patches."""
    tensors = [*mixture.parameters(), *mixture.buffers()]
    twin = copy.deepcopy(mixture, {id(tensor): tensor for tensor in tensors})
    for module in twin.modules():
        if isinstance(module, Attention):
            module.few_queries = True
    return twin


def _shallow(module: nn.Module) -> Any:
    """A module of its own that shares the parts of another."""
    twin = copy.copy(module)
    twin.__dict__["_modules"] = dict(module._modules)
    return twin


@torch.inference_mode()
def _relative_error(encoder: nn.Module, twin: nn.Module, size: int) -> float:
    """Largest difference between the patches of two encoders, relative to the largest value."""
    picture = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    expected, given = encoder(picture).patches, twin(picture).patches
    if expected.shape != given.shape:
        return float("inf")
    return float((expected - given).abs().max() / expected.abs().max().clamp_min(1e-12))
