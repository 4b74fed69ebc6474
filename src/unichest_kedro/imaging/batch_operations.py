"""Operations on batches of grey films, each image with its own strength, without a loop over the images.

Tone operations (brightness, contrast, autocontrast, equalise) look at one grey level at a time, so they are
composed as curves over the 256 levels and applied to the pixels in one look-up. A curve is float32 (B, 256):
the value in [0, 1] that each stored level of an image is shown as, never decreasing from left to right.
`counts` int64 (B, 256) says how many pixels have each level.
"""

import torch
from torch.nn.functional import grid_sample

LEVELS = 256


def identity_curve(batch: int, device: torch.device) -> torch.Tensor:
    """The curve that shows every level as it is: float32 (batch, 256), 0 to 1."""
    return torch.linspace(0, 1, LEVELS, device=device).repeat(batch, 1)


def level_counts(levels: torch.Tensor) -> torch.Tensor:
    """Histogram of each image: uint8 (B, pixels) -> int64 (B, 256)."""
    return torch.bincount(_numbered(levels), minlength=len(levels) * LEVELS).view(len(levels), LEVELS)


def shown(curve: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Pixels as a curve shows them: curve (B, 256), levels uint8 (B, pixels) -> float32 (B, pixels)."""
    return curve.flatten().index_select(0, _numbered(levels)).view(levels.shape)


def _numbered(levels: torch.Tensor) -> torch.Tensor:
    """Each pixel's place in a table of all images' levels: uint8 (B, pixels) -> int32 (B * pixels,)."""
    first = torch.arange(0, len(levels) * LEVELS, LEVELS, dtype=torch.int32, device=levels.device)
    return levels.int().add_(first[:, None]).flatten()


def brighter(curve: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Multiply by a factor >= 0 per image, float (B,), and clip to [0, 1]."""
    return (curve * factor[:, None]).clamp(0, 1)


def contrasted(curve: torch.Tensor, counts: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Stretch about the image's mean by a factor >= 0 per image, float (B,), and clip to [0, 1]."""
    mean = (curve * counts).sum(1, keepdim=True) / counts.sum(1, keepdim=True)
    return (mean + (curve - mean) * factor[:, None]).clamp(0, 1)


def autocontrasted(curve: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Stretch the values that occur to the whole of [0, 1]; an image of one value stays as it is."""
    low = curve.masked_fill(counts == 0, 1).amin(1, keepdim=True)
    high = curve.masked_fill(counts == 0, 0).amax(1, keepdim=True)
    stretched = ((curve - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    return torch.where(high > low, stretched, curve)


def equalised(curve: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Equalise the histogram: a value becomes (pixels darker than it) / (pixels darker than the brightest).

    Levels that the curve shows alike count as one value. An image of one value stays as it is.
    """
    darker_levels = torch.searchsorted(curve, curve, side="left")
    below = (counts.cumsum(1) - counts).gather(1, darker_levels)
    below_brightest = below.masked_fill(counts == 0, 0).amax(1, keepdim=True)
    return torch.where(below_brightest > 0, (below / below_brightest.clamp_min(1)).clamp(0, 1), curve)


def sharpened(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Move away from a smoothed copy by `factor` (1 is no change, 0 the smoothed copy), clipped to [0, 1].

    The smoothing weights a pixel 5 and its eight neighbours 1 each, over 13; the outermost pixels stay as
    they are (as Pillow's ImageEnhance.Sharpness).

    Args:
        images: float32 (B, 1, H, W) in [0, 1].
        factor: 0 or more.
    """
    inner = images[:, :, 1:-1, 1:-1]
    # Sums of shifted views: several times faster on a CPU than a convolution of one channel.
    columns = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    around = columns[..., :-2] + columns[..., 1:-1] + columns[..., 2:]
    smooth = (around + 4 * inner) / 13
    result = images.clone()
    result[:, :, 1:-1, 1:-1] += (inner - smooth) * (factor - 1)
    return result.clamp_(0, 1)


def warped(images: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Resample (bilinear, black outside) under an affine map per image.

    Args:
        images: float32 (B, 1, S, S).
        matrices: float (B, 2, 3) from output to input position, both in (x, y, 1) with x to the right and y
            down, -1 and 1 the outer edges of the image.
    """
    grid = _grid(matrices.to(images), images.shape[-1])
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _grid(matrices: torch.Tensor, side: int) -> torch.Tensor:
    """Input position (x, y) of every output pixel: (B, 2, 3) -> (B, side, side, 2).

    A column's and a row's share, added up: a quarter of the time of torch's `affine_grid`, which multiplies matrices.
    """
    middles = (torch.arange(side, device=matrices.device, dtype=matrices.dtype) + 0.5) * (2 / side) - 1
    across, down, shift = (part[:, None] for part in matrices.unbind(-1))
    of_columns, of_rows = middles[:, None] * across, middles[:, None] * down + shift
    return of_columns[:, None] + of_rows[:, :, None]
