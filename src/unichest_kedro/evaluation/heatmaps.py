"""Where the query network looks: attention over the patches as heat maps, and films with a heat map over them.

A heat map is a small grid over the whole film, its cells row by row from the top left, and is stretched to whatever
size it is drawn at. The model sees films as squares; stretching the grid to the film's height and width undoes that.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.asking import Asker
from unichest_kedro.models.query_network import Memory, QueryNetwork
from unichest_kedro.models.unichest import UniChest

STRONGEST = 0.65
"""How much of the colour covers the film where the heat map is 1; where it is 0 the film is as it was."""

BOX_COLOUR = "#56B4E9"
"""Sky blue of Okabe and Ito: apart from the map's purple to yellow for any colour vision."""

_COLOURS_FROM = 0.3
"""Inferno without its darkest part, which on a film would pass for shadow."""


class HeatmapSettings(BaseModel):
    """Whose attention a heat map shows.

    `networks`: that of the main network, or of main network and experts, mixed as their answers are (ratios and gate
    of the model). `layers`: that of the last decoder layer (what `MixtureOutput.attention` holds), or the mean over all
    layers. Heads are always averaged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    networks: Literal["main", "mixture"] = "main"
    layers: Literal["last", "mean"] = "mean"


def attention_maps(
    model: UniChest, images: Tensor, findings: Sequence[str] | Tensor, settings: HeatmapSettings | None = None
) -> Tensor:
    """Heat maps of findings on images, in evaluation mode; the model is left in the mode in which it came.

    Args:
        model: The model.
        images: uint8 (B,1,H,W), or float in [0, 1], on the model's device.
        findings: Names of Q findings that the model knows, or queries (Q,D).
        settings: Whose attention; by default the main network's, mean over layers.

    Returns:
        float32 (B,Q,h,w) on the model's device, h x w the patches: each map from 0 (least) to 1 (most); all 0 where
        the attention is the same everywhere.

    Raises:
        SettingsError: a finding is not one of those the model knows.
        UniChestError: the patches form no grid of the image's shape.
    """
    weights = attention(model, images, findings, settings or HeatmapSettings())
    lowest, highest = weights.amin(dim=(-2, -1), keepdim=True), weights.amax(dim=(-2, -1), keepdim=True)
    spread = highest - lowest
    even = spread <= _ROUNDING * highest
    return torch.where(even, 0, (weights - lowest) / torch.where(even, 1, spread))


def look_with(model: UniChest, settings: HeatmapSettings | None = None) -> Callable[[Tensor, Sequence[str]], Tensor]:
    """Heat maps of a model as a function of images and of the words in which findings are asked (`Asker`).

    Args:
        model: The model.
        settings: As of `attention_maps`.

    Returns:
        uint8 (B,1,S,S), names or words of Q findings -> heat maps (B,Q,h,w).
    """
    queries = Asker(model)
    return lambda images, words: attention_maps(model, images, queries(words), settings)


@torch.inference_mode()
def attention(
    model: UniChest, images: Tensor, findings: Sequence[str] | Tensor, settings: HeatmapSettings | None = None
) -> Tensor:
    """Attention weights float32 (B,Q,h,w), the sum of each map 1; arguments and errors as of `attention_maps`."""
    settings = settings or HeatmapSettings()
    was_training = model.training
    model.eval()
    try:
        queries = findings if isinstance(findings, Tensor) else model.queries_for(findings)
        patches, _ = model.encode_images(images)
        weights = _mixture_weights(model, patches, queries, settings)
    finally:
        model.train(was_training)
    height, width = patch_grid(patches.shape[1], images.shape[-2], images.shape[-1])
    return weights.float().unflatten(-1, (height, width))


def patch_grid(patches: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the patches of an image of height x width pixels.

    Raises:
        UniChestError: so many patches form no grid of the image's shape.
    """
    rows = max(1, round((patches * height / width) ** 0.5))
    columns = patches // rows
    if rows * columns != patches or abs(rows / columns - height / width) > 1 / columns:
        raise UniChestError(
            f"{patches} patches form no grid over an image of {height} x {width} pixels, so that their attention "
            "cannot be drawn; heat maps need a backbone whose patches cover the image row by row"
        )
    return rows, columns


def stretch(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Heat maps at another size, bilinear between the centres of their cells; each covers the whole of the film.

    Args:
        maps: float (...,h,w) in [0, 1].
        height: Rows wanted.
        width: Columns wanted.

    Returns:
        float32 (...,height,width) in [0, 1].
    """
    maps = np.asarray(maps, dtype=np.float32)
    cells = torch.from_numpy(np.ascontiguousarray(maps)).reshape(1, -1, *maps.shape[-2:])
    stretched = F.interpolate(cells, size=(height, width), mode="bilinear", align_corners=False, antialias=False)
    return stretched.clamp_(0, 1).numpy().reshape(*maps.shape[:-2], height, width)


def overlay(film: np.ndarray, heat: np.ndarray, boxes: Iterable[Sequence[float]] = ()) -> np.ndarray:
    """A film with a heat map over it: purple to yellow, and denser where the map is higher.

    Both colour and density grow with the map, so that it reads the same without colour vision.

    Args:
        film: uint8 (H,W).
        heat: float (h,w) in [0, 1], of any size: it is stretched over the whole film.
        boxes: x_min, y_min, x_max, y_max in pixels of `film`, drawn in light blue with a black edge.

    Returns:
        uint8 (H,W,3), red, green, blue.

    Raises:
        UniChestError: the film is not uint8 (H,W), or the map not within [0, 1].
    """
    _check(film, heat)
    strength = stretch(heat, *film.shape)
    density = (STRONGEST * strength)[..., None]
    colours = _colours()[np.rint(strength * 255).astype(np.intp)]
    mixed = (1 - density) * film[..., None] + density * colours
    picture = np.rint(mixed).astype(np.uint8)
    for box in boxes:
        _draw_box(picture, box)
    return picture


_ROUNDING = 1e-5
"""Attention that differs by less than this part of its largest weight differs by rounding alone."""


def _mixture_weights(model: UniChest, patches: Tensor, queries: Tensor, settings: HeatmapSettings) -> Tensor:
    """Attention (B,Q,P) of the networks that the settings name."""
    mixture = model.mixture
    memory, pooled = mixture._memory(patches)
    asked = mixture.norm(queries)[None]
    main = _network_weights(mixture.main, asked, memory, settings)
    main_ratio, expert_ratio = model.ratios.tolist()
    if settings.networks == "main" or not expert_ratio:
        return main
    gate = mixture._gate(pooled, len(patches))
    experts = torch.stack([_network_weights(expert, asked, memory, settings) for expert in mixture.experts], dim=1)
    mixed = main_ratio * main + expert_ratio * (gate[:, :, None, None] * experts).sum(dim=1)
    return mixed / (main_ratio + expert_ratio)


def _network_weights(network: QueryNetwork, asked: Tensor, memory: Memory, settings: HeatmapSettings) -> Tensor:
    """Attention (B,Q,P) of one network: of its last layer, or the mean over its layers."""
    x, weights = asked, []
    for layer in network.layers:
        if settings.layers == "mean" or layer is network.layers[-1]:
            weights.append(layer.attention(x, memory))
        x = layer(x, memory)
    return torch.stack(weights).mean(dim=0)


@cache
def _colours() -> np.ndarray:
    """The map's 256 colours, float (256,3) from 0 to 255."""
    return 255 * colormaps["inferno"](np.linspace(_COLOURS_FROM, 1, 256))[:, :3]


def _check(film: np.ndarray, heat: np.ndarray) -> None:
    if film.dtype != np.uint8 or film.ndim != 2:
        raise UniChestError(f"film: {film.dtype} {film.shape} is no grey film; give uint8 of (height, width)")
    if heat.ndim != 2 or not (np.all(heat >= 0) and np.all(heat <= 1)):
        raise UniChestError(f"heat map: shape {heat.shape}; give (rows, columns) of numbers from 0 to 1")


def _draw_box(picture: np.ndarray, box: Sequence[float]) -> None:
    """Draws the edge of a box, as thick as suits the picture, inwards; a box beyond the film ends at its border."""
    thick = max(1, round(min(picture.shape[:2]) / 200))
    _draw_edge(picture, box, 0, 3 * thick, (0, 0, 0))
    _draw_edge(picture, box, thick, thick, tuple(round(255 * part) for part in to_rgb(BOX_COLOUR)))


def _draw_edge(picture: np.ndarray, box: Sequence[float], inset: int, thick: int, colour: tuple[int, int, int]) -> None:
    height, width = picture.shape[:2]
    left, right = (int(np.clip(round(x), 0, width)) for x in (box[0] + inset, box[2] - inset))
    top, bottom = (int(np.clip(round(y), 0, height)) for y in (box[1] + inset, box[3] - inset))
    for rows, columns in (
        (slice(top, min(top + thick, bottom)), slice(left, right)),
        (slice(max(bottom - thick, top), bottom), slice(left, right)),
        (slice(top, bottom), slice(left, min(left + thick, right))),
        (slice(top, bottom), slice(max(right - thick, left), right)),
    ):
        picture[rows, columns] = colour
