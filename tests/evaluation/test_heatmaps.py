"""Heat maps: whose attention they are, their geometry, and how they are drawn over films."""

import numpy as np
import pytest
import torch
from torch import nn

from unichest_kedro.errors import SettingsError, UniChestError
from unichest_kedro.evaluation.heatmaps import (
    BOX_COLOUR,
    HeatmapSettings,
    attention,
    attention_maps,
    overlay,
    patch_grid,
    stretch,
)
from unichest_kedro.models.unichest import ModelSettings, build_unichest

FINDINGS = ("mass", "edema", "scar")
SMALL = {
    "backbone": "test_resnet",
    "reduction": 8,
    "image_size": 32,
    "width": 16,
    "layers": 3,
    "heads": 2,
    "feedforward": 8,
    "experts": 2,
}
ASKED = ["scar", "mass"]


@pytest.fixture
def model():
    """A small model whose queries and keys are drawn wide, so that its attention is far from even."""
    embeddings = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    model = build_unichest(ModelSettings.model_validate(SMALL), FINDINGS, embeddings, 1)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in model.mixture.named_parameters():
            if "multihead_attn.in_proj_weight" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator))
        model.mixture.gate.weight.mul_(30)
    model.set_ratios(0.6, 0.3)
    return model.eval()


@pytest.fixture
def images():
    return torch.randint(0, 256, (2, 1, 32, 32), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


@torch.no_grad()
def slow_weights(model, network, images, findings):
    """Attention (layers,B,Q,P) of a network as torch's own multi-head attention computes it, heads averaged."""
    seen = []
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs: seen.append((layer, *inputs))) for layer in network.layers
    ]
    answer = model(images, model.queries_for(findings), 0.5, 0.5).image
    for hook in hooks:
        hook.remove()
    weights = []
    for layer, x, memory in seen:
        ours, batch = layer.multihead_attn, len(images)
        theirs = nn.MultiheadAttention(ours.width, ours.heads, batch_first=True).eval()
        theirs.load_state_dict(ours.state_dict())
        x = x.expand(batch, -1, -1)
        x = x + layer.self_attn.attend_to_self(layer.norm1(x), batch)
        weights.append(theirs(layer.norm2(x), memory.patches, memory.patches, need_weights=True)[1])
    return torch.stack(weights), answer.gate


@pytest.mark.parametrize("layers", ["last", "mean"])
def test_main_network_against_torchs_own_attention(model, images, layers):
    slow, _ = slow_weights(model, model.mixture.main, images, ASKED)
    expected = slow[-1] if layers == "last" else slow.mean(dim=0)
    got = attention(model, images, ASKED, HeatmapSettings(layers=layers))
    assert got.shape == (2, 2, 4, 4) and got.dtype == torch.float32
    assert expected.max() > 0.2  # far from the even 1/16
    torch.testing.assert_close(got.flatten(2), expected)
    torch.testing.assert_close(got.sum(dim=(-2, -1)), torch.ones(2, 2))


@torch.no_grad()
def test_last_layer_is_what_the_model_returns(model, images):
    queries = model.queries_for(ASKED)
    returned = model(images, queries, need_attention=True).image.attention
    got = attention(model, images, queries, HeatmapSettings(layers="last"))
    torch.testing.assert_close(got.flatten(2), returned)


@pytest.mark.parametrize("layers", ["last", "mean"])
def test_mixture_weighs_networks_as_their_answers(model, images, layers):
    def of(network):
        slow, gate = slow_weights(model, network, images, ASKED)
        return (slow[-1] if layers == "last" else slow.mean(dim=0)), gate

    main, gate = of(model.mixture.main)
    expected = 0.6 * main
    for k, expert in enumerate(model.mixture.experts):
        expected = expected + 0.3 * gate[:, k, None, None] * of(expert)[0]
    got = attention(model, images, ASKED, HeatmapSettings(networks="mixture", layers=layers))
    assert (gate - 0.5).abs().max() > 0.01
    torch.testing.assert_close(got.flatten(2), expected / 0.9)


def test_a_conquer_model_has_no_experts_to_mix(model, images):
    model.set_ratios(1, 0)
    one, other = (attention(model, images, ASKED, HeatmapSettings(networks=n)) for n in ("main", "mixture"))
    torch.testing.assert_close(one, other)


def test_maps_run_from_0_to_1_each(model, images):
    weights, maps = attention(model, images, ASKED), attention_maps(model, images, ASKED)
    for finding in range(2):
        for image in range(2):
            raw, got = weights[image, finding], maps[image, finding]
            torch.testing.assert_close(got, (raw - raw.min()) / (raw.max() - raw.min()))
    assert maps.amin() == 0 and maps.amax() == 1


def test_even_attention_is_no_map(model, images):
    with torch.no_grad():
        for layer in model.mixture.main.layers:
            layer.multihead_attn.in_proj_weight.zero_()
    assert attention_maps(model, images, ASKED).abs().max() == 0


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_kept_and_dropout_is_off(model, images, training):
    model.train(training)
    one, other = attention_maps(model, images, ASKED), attention_maps(model, images, ASKED)
    assert model.training == training
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_an_unknown_finding_is_named(model, images):
    with pytest.raises(SettingsError, match="'gout'"):
        attention_maps(model, images, ["gout"])


def test_patch_grid_has_the_images_shape():
    assert patch_grid(256, 512, 512) == (16, 16)
    assert patch_grid(12, 96, 128) == (3, 4)
    assert patch_grid(1, 32, 32) == (1, 1)
    for patches in (15, 257):
        with pytest.raises(UniChestError, match=f"{patches} patches"):
            patch_grid(patches, 512, 512)


def test_a_patch_is_where_its_pixels_are(model, images):
    """Patches run row by row: what is bright in one corner of the image changes that corner's cell most."""
    encoder = model.image_encoder
    dark = torch.zeros(1, 1, 32, 32)
    bright = dark.clone()
    bright[..., 26:32, 2:6] = 1  # bottom left
    with torch.no_grad():
        change = (encoder(bright).patches - encoder(dark).patches).norm(dim=-1).unflatten(-1, (4, 4))[0]
    assert divmod(int(change.argmax()), 4) == (3, 0)


def slow_stretch(grid, height, width):
    """Bilinear between cell centres; beyond the outermost centres the outermost cell."""
    out = np.zeros((height, width))
    rows, columns = grid.shape
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) / height * rows - 0.5, 0), rows - 1)
            x = min(max((j + 0.5) / width * columns - 0.5, 0), columns - 1)
            top, left = int(y), int(x)
            down, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            b, a = y - top, x - left
            upper = (1 - a) * grid[top, left] + a * grid[top, right]
            lower = (1 - a) * grid[down, left] + a * grid[down, right]
            out[i, j] = (1 - b) * upper + b * lower
    return out


@pytest.mark.parametrize(("height", "width"), [(9, 14), (4, 4), (2, 3)])
def test_stretch_against_the_formula(height, width):
    grid = np.random.default_rng(0).random((4, 4))
    stretched = stretch(np.stack([grid, grid.T]), height, width)
    assert stretched.shape == (2, height, width) and stretched.dtype == np.float32
    np.testing.assert_allclose(stretched[0], slow_stretch(grid, height, width), atol=1e-6)
    np.testing.assert_allclose(stretched[1], slow_stretch(grid.T, height, width), atol=1e-6)


def test_overlay_leaves_cold_places_and_colours_hot_ones():
    film = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    before = film.copy()
    heat = np.zeros((2, 3))
    heat[1, 2] = 1
    picture = overlay(film, heat)
    assert picture.shape == (20, 30, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(film, before)
    np.testing.assert_array_equal(picture[:5, :10], np.repeat(film[:5, :10, None], 3, axis=2))
    hot = picture[-1, -1].astype(int)
    assert hot[0] > hot[2] + 50  # yellow: more red than blue
    assert (overlay(film, np.zeros((3, 3))) == film[..., None]).all()


def test_overlay_grows_brighter_without_colour_vision():
    """On a black film the luminance of the overlay rises with the map."""
    heat = np.linspace(0, 1, 64)[None].repeat(2, axis=0)
    picture = overlay(np.zeros((2, 64), dtype=np.uint8), heat).astype(float)
    luminance = picture[0] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luminance) >= -0.5).all() and luminance[-1] > 90


def test_overlay_draws_boxes_within_their_corners():
    film = np.full((200, 100), 128, dtype=np.uint8)
    picture = overlay(film, np.zeros((1, 1)), [(20, 40, 60, 120)])
    changed = (picture != 128).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (40, 120, 20, 60)
    assert not changed[50:110, 30:50].any()
    assert (picture == [int(BOX_COLOUR[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=2).any()


def test_a_box_beyond_the_film_ends_at_its_border():
    picture = overlay(np.zeros((50, 50), dtype=np.uint8), np.zeros((2, 2)), [(-10, 20, 80, 70)])
    assert picture.shape == (50, 50, 3)


@pytest.mark.parametrize(
    ("film", "heat", "words"),
    [
        (np.zeros((4, 4), dtype=np.float32), np.zeros((2, 2)), "no grey film"),
        (np.zeros((4, 4, 3), dtype=np.uint8), np.zeros((2, 2)), "no grey film"),
        (np.zeros((4, 4), dtype=np.uint8), np.full((2, 2), 1.5), "from 0 to 1"),
        (np.zeros((4, 4), dtype=np.uint8), np.full((2, 2), np.nan), "from 0 to 1"),
        (np.zeros((4, 4), dtype=np.uint8), np.zeros((1, 2, 2)), "rows, columns"),
    ],
)
def test_overlay_refuses_what_is_no_film_or_map(film, heat, words):
    with pytest.raises(UniChestError, match=words):
        overlay(film, heat)
