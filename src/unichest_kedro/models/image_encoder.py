"""Image encoder: a timm backbone without pooling and classifier, and a small projection of each patch."""

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unichest_kedro.errors import SettingsError
from unichest_kedro.models import torchvision_import  # noqa: F401  (must come before timm)

import timm  # isort: skip
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD  # isort: skip


class ImageFeatures(NamedTuple):
    """What the image encoder returns: `patches` (B,P,D), row by row from the top left, and `pooled` (B,D)."""

    patches: Tensor
    pooled: Tensor


def check_backbone(name: str) -> None:
    """Checks that timm knows a backbone by this name.

    Raises:
        SettingsError: it does not; the message lists the closest names.
    """
    if ":" not in name and timm.is_model(name):
        return
    close = difflib.get_close_matches(name, timm.list_models(), n=5, cutoff=0.5)
    hint = f"close names: {', '.join(close)}" if close else "timm.list_models() lists the names"
    raise SettingsError(f"backbone: '{name}' is not a model that timm knows; {hint}")


def is_safe_channels_last(backbone: nn.Module) -> bool:
    """Whether a processor may run a backbone on channels-last images.

    The kernel of torch 2.13 for strided 1 x 1 convolutions of fewer than 16 channels writes outside its memory there
    (all seven trials, of 1 to 15 channels, died under a checking allocator on two threads; none of the eleven of 16 to
    1,024 channels did, nor of those without a stride or with a larger kernel).
    """
    convolutions = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    return not any(
        set(conv.kernel_size) == {1} and max(conv.stride) > 1 and conv.in_channels // conv.groups < 16
        for conv in convolutions
    )


class ImageEncoder(nn.Module):
    """Backbone feature map to patches: per patch Linear(C,C) - ReLU - Linear(C,D) (docs/method.md, section 2).

    Args:
        backbone: Name of a timm model (convolutional or transformer).
        width: D, the size of a patch embedding.
        pretrained: Whether to download ImageNet weights for the backbone. Never by default.
        image_size: Side in pixels of the square images. Needed by backbones whose input size is fixed when
            they are built (transformers); others take any size.
        reduction: Pixels per patch side (4, 8, 16, 32): the backbone is cut after the stage that has it, which
            keeps small films from shrinking to a handful of patches. None takes the whole backbone.
        options: What timm is to build otherwise than the name says, such as `{"layers": [1, 1, 1, 1]}`.
        channels_last: Whether the backbone's maps lie in memory with the channels of a pixel side by side, which most
            convolutions are faster on. Left out where it is not safe (`is_safe_channels_last`).

    Raises:
        SettingsError: timm does not know the backbone, or it cannot be built with these settings.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str,
        width: int = 768,
        pretrained: bool = False,
        image_size: int | None = None,
        reduction: int | None = None,
        options: Mapping[str, Any] | None = None,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        if reduction is None:
            self.backbone = _build_backbone(backbone, pretrained, image_size, options or {})
            channels = self.backbone.num_features
        else:
            self.backbone = _build_cut_backbone(backbone, pretrained, reduction, options or {})
            channels = self.backbone.feature_info.channels()[-1]
        self.channels_last = channels_last
        self.is_safe_on_processors = is_safe_channels_last(self.backbone)
        self.project = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, width))
        self.register_buffer("mean", torch.tensor(IMAGENET_DEFAULT_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_DEFAULT_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> ImageFeatures:
        """Encodes images.

        Args:
            images: Float (B,1,H,W) or (B,3,H,W) in [0, 1]; the ImageNet normalisation happens here.

        Returns:
            Patches (B,P,D) and their mean (B,D).
        """
        normalised = (images - self.mean) / self.std  # one channel becomes three by broadcasting
        if self.channels_last and (normalised.is_cuda or self.is_safe_on_processors):
            normalised = normalised.contiguous(memory_format=torch.channels_last)
        features = self._features(normalised)
        patches = self.project(self._tokens(features))
        return ImageFeatures(patches, patches.mean(dim=1))

    def _features(self, normalised: Tensor) -> Tensor:
        if hasattr(self.backbone, "feature_info") and not hasattr(self.backbone, "forward_features"):
            return self.backbone(normalised)[-1]  # a cut backbone lists the features of its last stage only
        return self.backbone.forward_features(normalised)

    def _tokens(self, features: Tensor) -> Tensor:
        if features.ndim == 3:
            return features[:, getattr(self.backbone, "num_prefix_tokens", 0) :]
        if str(getattr(self.backbone, "output_fmt", "NCHW")) == "NHWC":
            return features.flatten(1, 2)
        return features.flatten(2).transpose(1, 2)


def _build_backbone(name: str, pretrained: bool, image_size: int | None, options: Mapping[str, Any]) -> nn.Module:
    check_backbone(name)
    options = dict(options)
    if image_size is not None and getattr(timm.get_pretrained_cfg(name), "fixed_input_size", False):
        options["img_size"] = image_size
    try:
        backbone = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except (TypeError, NotImplementedError, AssertionError) as error:
        raise SettingsError(f"backbone: '{name}' cannot be built with {options}: {error}") from error
    # The feature map is used before pooling and classifier: a head's parameters would never be trained.
    if hasattr(backbone, "global_pool") and isinstance(backbone.global_pool, nn.Module):
        backbone.global_pool = nn.Identity()
    return backbone


def _build_cut_backbone(name: str, pretrained: bool, reduction: int, options: Mapping[str, Any]) -> nn.Module:
    """The backbone up to its last stage of `reduction` pixels per patch side; later stages are not built."""
    check_backbone(name)
    try:
        every = timm.create_model(name, features_only=True, **options).feature_info.reduction()
    except (RuntimeError, TypeError, NotImplementedError, AssertionError, AttributeError) as error:
        raise SettingsError(f"reduction: backbone '{name}' cannot be cut ({error}); leave it out") from error
    if reduction not in every:
        raise SettingsError(f"reduction: {reduction} is none of those of backbone '{name}', which are {every}")
    last = len(every) - 1 - every[::-1].index(reduction)
    return timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=(last,), **options)
