"""Augmentation of training films (docs/method.md, section 4), and the resizing of films for evaluation.

Two halves: per film on the CPU while loading (crop, flip; NumPy and Pillow, 8-bit), and per batch on the
training device (everything else). Both are a function of the generator they are given.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from unichest_kedro.imaging.batch_operations import (
    autocontrasted,
    brighter,
    contrasted,
    equalised,
    identity_curve,
    level_counts,
    sharpened,
    shown,
    warped,
)
from unichest_kedro.imaging.fourier import fourier_mix_within

OPERATIONS = (
    "identity",
    "autocontrast",
    "equalise",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
)
"""RandAugment's operations, as the published code chooses them."""

MAX_MAGNITUDE = 10
MAX_SHEAR = 0.3
MAX_TRANSLATION = 10 / 256
"""Share of the side; the published code shifts by up to 10 pixels, whatever the size."""
MAX_ROTATION = math.radians(30)
_FIRST_GEOMETRIC = OPERATIONS.index("shear_x")
_IMAGES_AT_ONCE = 8
"""On a CPU, larger pieces spend half their time getting memory from the system."""
_CROP_ATTEMPTS = 10


class AugmentationSettings(BaseModel):
    """Strengths of the augmentation; the defaults are the paper's. Each part can be switched off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop_scale: tuple[float, float] | None = Field(
        default=(0.2, 1.0),
        description="share of the film's area that a crop covers; null uses the whole film",
    )
    crop_ratio: tuple[float, float] = Field(default=(3 / 4, 4 / 3), description="width / height of a crop")
    flip_probability: float = Field(default=0.5, ge=0, le=1, description="of a left-right flip; 0 is off")
    jitter: float = Field(default=0.4, ge=0, le=1, description="brightness and contrast 1 ± this; 0 is off")
    randaugment_operations: int = Field(default=2, ge=0, le=10, description="operations per film; 0 is off")
    randaugment_magnitude: float = Field(default=7, ge=0, le=MAX_MAGNITUDE, description="their strength")
    fourier_probability: float = Field(default=0.5, ge=0, le=1, description="per batch; 0 is off")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.crop_scale is not None and not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(f"crop_scale {self.crop_scale}: allowed is 0 < lowest <= highest <= 1, or null")
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise ValueError(f"crop_ratio {self.crop_ratio}: allowed is 0 < lowest <= highest")
        return self


def random_resized_crop(
    image: np.ndarray, size: int, settings: AugmentationSettings, rng: np.random.Generator
) -> np.ndarray:
    """Cut out a random rectangle, resize it to a square (bicubic), and flip it left-right at random.

    Args:
        image: uint8 (height, width).
        size: Side of the result in pixels.
        settings: Crop and flip settings.
        rng: All randomness.

    Returns:
        uint8 (size, size).
    """
    height, width = image.shape
    box = (0, 0, width, height)
    if settings.crop_scale is not None:
        box = _random_box(height, width, settings.crop_scale, settings.crop_ratio, rng)
    square = _resized(image, size, box)
    flip = rng.random() < settings.flip_probability
    return np.ascontiguousarray(square[:, ::-1]) if flip else square


def resize_square(image: np.ndarray, size: int) -> np.ndarray:
    """The whole film as a square, for evaluation: uint8 (height, width) -> uint8 (size, size), bicubic."""
    return _resized(image, size, (0, 0, image.shape[1], image.shape[0]))


def _resized(image: np.ndarray, size: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """Resize a box (left, top, right, bottom); Pillow's filter widens when it shrinks: nothing aliases."""
    resized = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized)


def _random_box(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """A rectangle whose area is uniform in `scale` and whose ratio is log-uniform in `ratio`.

    If none fits in ten attempts: the largest in the middle whose ratio is allowed.
    """
    for _ in range(_CROP_ATTEMPTS):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            left = int(rng.integers(width - box_width + 1))
            top = int(rng.integers(height - box_height + 1))
            return left, top, left + box_width, top + box_height
    box_width = min(width, max(1, round(height * ratio[1])))
    box_height = min(height, max(1, round(width / ratio[0])))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


class Drawn(NamedTuple):
    """What was drawn for the images of a batch, on the CPU.

    `brightness` and `contrast` are float (B,) factors. `operations` int64 (B, N) are numbers into
    `OPERATIONS`, and `signs` float (B, N) the direction, +1 or -1, that each of them takes.
    """

    brightness: torch.Tensor
    contrast: torch.Tensor
    operations: torch.Tensor
    signs: torch.Tensor


def draw(batch: int, settings: AugmentationSettings, generator: torch.Generator) -> Drawn:
    """Draw jitter factors of 1 ± jitter, and operations with replacement, each equally likely."""
    factors = 1 + (2 * torch.rand(2, batch, generator=generator) - 1) * settings.jitter
    shape = (batch, settings.randaugment_operations)
    operations = torch.randint(len(OPERATIONS), shape, generator=generator)
    signs = torch.randint(2, shape, generator=generator) * 2.0 - 1
    return Drawn(*factors, operations, signs)


class BatchAugmentation(nn.Module):
    """Colour jitter, RandAugment and Fourier mixing of a batch of films, on the device the batch is on.

    Of colour jitter only brightness and contrast are left, applied in that order: saturation, hue and random
    greyscale do nothing to a grey film. An image's RandAugment operations are applied in this order: tone
    operations as drawn, then sharpness, then all geometric ones in a single resampling, about the film's
    middle, black outside.
    """

    def __init__(self, settings: AugmentationSettings) -> None:
        """Keep the settings; there are no parameters to learn."""
        super().__init__()
        self.settings = settings

    def forward(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Augment a batch.

        Args:
            images: uint8 (B, 1, S, S).
            generator: All randomness; a CPU generator, so that every device draws the same.

        Returns:
            float32 (B, 1, S, S) in [0, 1], where `images` are; Fourier mixing may go slightly outside.
        """
        drawn = draw(len(images), self.settings, generator)
        changed = [self._changed(some, Drawn(*parts)) for some, *parts in _in_pieces(images, *drawn)]
        return self._mixed(torch.cat(changed), generator)

    def _changed(self, images: torch.Tensor, drawn: Drawn) -> torch.Tensor:
        """Everything that looks at one image only: uint8 to float32 [0, 1]."""
        return self._moved(self._sharpened(self._toned(images, drawn), drawn), drawn)

    def _toned(self, images: torch.Tensor, drawn: Drawn) -> torch.Tensor:
        """Jitter and the tone operations."""
        levels = images.flatten(1)
        counts = level_counts(levels)
        curve = identity_curve(len(images), images.device)
        if self.settings.jitter > 0:
            curve = brighter(curve, drawn.brightness.to(curve))
            curve = contrasted(curve, counts, drawn.contrast.to(curve))
        for column in drawn.operations.T.to(curve.device):
            curve = self._tone_operation(curve, counts, column[:, None])
        return shown(curve, levels).view(images.shape)

    def _tone_operation(self, curve: torch.Tensor, counts: torch.Tensor, operations: torch.Tensor) -> torch.Tensor:
        """One RandAugment operation per image, where it is one of tone: operations int64 (B, 1)."""
        lift = curve.new_full((len(curve),), enhancement(self.settings.randaugment_magnitude))
        results = {
            "autocontrast": autocontrasted(curve, counts),
            "equalise": equalised(curve, counts),
            "brightness": brighter(curve, lift),
        }
        for name, result in results.items():
            curve = torch.where(operations == OPERATIONS.index(name), result, curve)
        return curve

    def _sharpened(self, images: torch.Tensor, drawn: Drawn) -> torch.Tensor:
        for column in drawn.operations.T:
            rows = _rows_where(column == OPERATIONS.index("sharpness"), images.device)
            if len(rows):
                images[rows] = sharpened(images[rows], enhancement(self.settings.randaugment_magnitude))
        return images

    def _moved(self, images: torch.Tensor, drawn: Drawn) -> torch.Tensor:
        chosen = (drawn.operations >= _FIRST_GEOMETRIC).any(1)
        rows = _rows_where(chosen, images.device)
        if len(rows):
            matrices = affine_matrices(drawn, self.settings.randaugment_magnitude)
            images[rows] = warped(images[rows], matrices[chosen])
        return images

    def _mixed(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Fourier mixing of the whole batch, or of none of it."""
        mix = torch.rand((), generator=generator).item() < self.settings.fourier_probability
        partners = torch.randperm(len(images), generator=generator)
        weights = torch.rand(len(images), generator=generator)
        if not mix:
            return images
        return fourier_mix_within(images, partners.to(images.device), weights, _at_once(images))


def enhancement(magnitude: float) -> float:
    """Factor of brightness and sharpness: 0.1 to 1.9 over the magnitudes, 1.36 at 7, no change at 5."""
    return 0.1 + 1.8 * magnitude / MAX_MAGNITUDE


def affine_matrices(drawn: Drawn, magnitude: float) -> torch.Tensor:
    """Compose each image's geometric operations into one map.

    Returns:
        float32 (B, 2, 3) from output to input position, coordinates as in `batch_operations.warped`.
    """
    total = torch.eye(3).repeat(len(drawn.operations), 1, 1)
    for operations, signs in zip(drawn.operations.T, drawn.signs.T):
        # Output to input: the map of the operation that comes last is the first one applied to a position.
        total = total @ _one_map_each(operations, signs * magnitude / MAX_MAGNITUDE)
    return total[:, :2]


def _one_map_each(operations: torch.Tensor, strengths: torch.Tensor) -> torch.Tensor:
    """The map of one operation per image, identity where it is no geometric one: (B,) twice -> (B, 3, 3)."""
    maps = torch.eye(3).repeat(len(operations), 1, 1)
    # Positions run from -1 to 1, so a share of the side counts twice.
    for name, (row, column), largest in (
        ("shear_x", (0, 1), MAX_SHEAR),
        ("shear_y", (1, 0), MAX_SHEAR),
        ("translate_x", (0, 2), 2 * MAX_TRANSLATION),
        ("translate_y", (1, 2), 2 * MAX_TRANSLATION),
    ):
        chosen = operations == OPERATIONS.index(name)
        maps[chosen, row, column] = strengths[chosen] * largest
    chosen = operations == OPERATIONS.index("rotate")
    angle = strengths[chosen] * MAX_ROTATION
    cosine, sine = angle.cos(), angle.sin()
    maps[chosen, :2, :2] = torch.stack([cosine, -sine, sine, cosine], dim=-1).view(-1, 2, 2)
    return maps


def _in_pieces(images: torch.Tensor, *others: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Cut tensors of a batch alike: one piece on an accelerator, a few images each on a CPU."""
    step = _at_once(images)
    return zip(images.split(step), *(other.split(step) for other in others))


def _at_once(images: torch.Tensor) -> int:
    return _IMAGES_AT_ONCE if images.device.type == "cpu" else len(images)


def _rows_where(chosen: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Row numbers of a mask that is on the CPU, for use on a device that need not wait for it."""
    return chosen.nonzero().flatten().to(device)
