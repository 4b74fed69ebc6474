"""What the processes of one run tell each other inside a step, and batch norm over all of them.

Each process computes its part of the global batch. Losses that compare images with each other need all of them, so
their inputs are gathered, with gradients. The loss of every process is scaled such that the mean of the gradients over
the processes, which distributed training takes, is the gradient of the loss of the whole batch.
"""

import logging
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather, all_reduce

from unichest_kedro.models import torchvision_import  # noqa: F401  (must come before timm)

from timm.layers import convert_sync_batchnorm  # isort: skip

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Processes:
    """The processes that train together; `count` of them."""

    count: int = 1

    def gather(self, part: Tensor) -> Tensor:
        """Rows of all processes, (B,...) each, in the processes' order: (count * B,...), with gradients.

        The gradient of a gathered row is the sum over the processes' losses.
        """
        if self.count == 1:
            return part
        if not part.is_floating_point():
            parts = [torch.empty_like(part) for _ in range(self.count)]
            dist.all_gather(parts, part.contiguous())
            return torch.cat(parts)
        return torch.cat(all_gather(part.contiguous()))


ALONE = Processes()


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose statistics are those of the batches of all processes together.

    torch's own `SyncBatchNorm` does the same on GPUs only.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalises (B,C,H,W) over B, H and W of all processes in training mode, as `BatchNorm2d` otherwise."""
        if not self.training:
            return super().forward(input)
        mean, variance, count = _moments(input)
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return input * scale[:, None, None] + shift[:, None, None]

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def _moments(images: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and (biased) variance per channel over all processes, and the number of pixels."""
    count = dist.get_world_size() * images.numel() // images.shape[1]
    mean = all_reduce(images.sum(dim=(0, 2, 3))) / count
    variance = all_reduce((images - mean[:, None, None]).square().sum(dim=(0, 2, 3))) / count
    return mean, variance, count


def with_global_batch_norm(model: nn.Module, on_gpu: bool) -> nn.Module:
    """Makes every 2-d batch norm of a model one over all processes; names and weights stay.

    Returns:
        The model, changed in place. On processors, batch norms of another class than torch's own (timm fuses the
        activation into those of some backbones) keep the statistics of their own process, and a warning says so.
    """
    if on_gpu:
        return convert_sync_batchnorm(model)
    for name, module in list(model.named_modules()):
        if type(module) is nn.BatchNorm2d:
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, _shared(module))
    left = {type(module).__name__ for module in model.modules() if _keeps_own_statistics(module)}
    if left:
        logger.warning("%s keep the statistics of their own process on processors", ", ".join(sorted(left)))
    return model


def _keeps_own_statistics(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, GlobalBatchNorm2d)


def _shared(module: nn.BatchNorm2d) -> GlobalBatchNorm2d:
    new = GlobalBatchNorm2d(module.num_features, module.eps, module.momentum)
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        setattr(new, name, getattr(module, name))
    return new.train(module.training)
