"""Backbones of every kind give patches in reading order; unknown ones are refused by name."""

import pytest
import torch
from torch import Tensor, nn

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.image_encoder import ImageEncoder, is_safe_channels_last


@pytest.mark.parametrize(
    ("backbone", "patches"), [("test_resnet", 9), ("test_vit", 36), ("test_convnext", 9), ("resnet10t", 9)]
)
def test_shapes(backbone: str, patches: int) -> None:
    encoder = ImageEncoder(backbone, width=20, image_size=96)
    features = encoder(torch.rand(2, 1, 96, 96))
    assert features.patches.shape == (2, patches, 20)
    torch.testing.assert_close(features.pooled, features.patches.mean(1))


def test_projection_is_linear_relu_linear_of_each_patch() -> None:
    encoder = ImageEncoder("test_resnet", width=20).eval()
    images = torch.rand(2, 3, 64, 96)
    normalised = (images - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    maps = encoder.backbone.forward_features(normalised)
    first, _, second = encoder.project
    patches = encoder(images).patches
    for number, (row, column) in enumerate((r, c) for r in range(2) for c in range(3)):
        hidden = torch.relu(first.weight @ maps[0, :, row, column] + first.bias)
        torch.testing.assert_close(patches[0, number], second.weight @ hidden + second.bias)


def test_gradients_of_the_projection_are_those_of_loops() -> None:
    """Linear - ReLU - Linear of each patch and the mean over patches, one number at a time, in float64."""
    encoder = ImageEncoder("test_resnet", width=5).double().eval()
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, 64, 64, generator=generator, dtype=torch.float64)
    maps = encoder.backbone.forward_features((images - encoder.mean) / encoder.std).detach().requires_grad_()
    first, _, second = encoder.project
    by_patch, by_mean = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((2, 4, 5), (2, 5)))
    asked = [maps, *encoder.project.parameters()]
    encoder.backbone.forward_features = lambda normalised: maps
    patches, pooled = encoder(images)
    fast = (patches * by_patch).sum() + (pooled * by_mean).sum()
    slow = torch.zeros((), dtype=torch.float64)
    for image in range(2):
        rows = []
        for row in range(2):
            for column in range(2):
                hidden = first.weight @ maps[image, :, row, column] + first.bias
                hidden = torch.stack([value if value > 0 else 0 * value for value in hidden])
                rows.append(second.weight @ hidden + second.bias)
        slow = slow + sum((patch * factor).sum() for patch, factor in zip(rows, by_patch[image]))
        slow = slow + (sum(rows) / len(rows) * by_mean[image]).sum()
    torch.testing.assert_close(fast, slow)
    for got, expected in zip(torch.autograd.grad(fast, asked), torch.autograd.grad(slow, asked)):
        torch.testing.assert_close(got, expected)


def test_prefix_tokens_are_dropped() -> None:
    encoder = ImageEncoder("test_vit", width=20, image_size=32).eval()
    images = torch.rand(1, 3, 32, 32)
    tokens = encoder.backbone.forward_features((images - encoder.mean) / encoder.std)
    assert tokens.shape[1] == 5
    torch.testing.assert_close(encoder(images).patches, encoder.project(tokens[:, 1:]))


def test_one_channel_is_three_equal_ones() -> None:
    encoder = ImageEncoder("test_resnet", width=20).eval()
    grey = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(encoder(grey).patches, encoder(grey.expand(-1, 3, -1, -1)).patches)


def test_no_parameter_is_left_out_of_the_forward_pass() -> None:
    for backbone in ("test_resnet", "test_vit", "resnet10t", "regnetx_002"):
        encoder = ImageEncoder(backbone, width=20, image_size=64)
        encoder(torch.rand(2, 1, 64, 64)).pooled.sum().backward()
        assert [name for name, p in encoder.named_parameters() if p.grad is None] == [], backbone


@pytest.mark.parametrize(("backbone", "reduction"), [("test_resnet", None), ("resnet10t", 8), ("test_vit", None)])
def test_order_in_memory_changes_no_number(backbone: str, reduction: int | None) -> None:
    """Features, batch-norm statistics and gradients, in float64."""
    results = []
    for channels_last in (True, False):
        torch.manual_seed(0)
        encoder = ImageEncoder(backbone, 8, image_size=64, reduction=reduction, channels_last=channels_last).double()
        images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        features = encoder(images)
        (features.patches.square().sum() + features.pooled.sum()).backward()
        results.append([features.patches, *(p.grad for p in encoder.parameters()), *encoder.buffers()])
    for one, other in zip(*results):
        torch.testing.assert_close(one, other)


def laid_out(encoder: ImageEncoder) -> bool:
    """Whether the backbone is given channels-last images."""
    seen: list[Tensor] = []
    encoder.backbone.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder(torch.rand(2, 1, 32, 32))
    return seen[0].is_contiguous(memory_format=torch.channels_last)


def test_channels_last_only_where_asked_and_safe() -> None:
    assert laid_out(ImageEncoder("test_resnet", 8))
    assert not laid_out(ImageEncoder("test_resnet", 8, channels_last=False))
    unsafe = ImageEncoder("test_resnet", 8)
    unsafe.is_safe_on_processors = False
    assert not laid_out(unsafe)


@pytest.mark.parametrize(
    ("convolution", "safe"),
    [
        (nn.Conv2d(8, 16, 1, stride=2), False),
        (nn.Conv2d(15, 16, 1, stride=(1, 2)), False),
        (nn.Conv2d(64, 64, 1, stride=2, groups=8), False),
        (nn.Conv2d(16, 16, 1, stride=2), True),
        (nn.Conv2d(8, 16, 1), True),
        (nn.Conv2d(3, 16, 3, stride=2), True),
    ],
)
def test_strided_points_of_few_channels_are_not_safe(convolution: nn.Module, safe: bool) -> None:
    assert is_safe_channels_last(nn.Sequential(nn.Conv2d(3, 8, 7), convolution)) is safe


def test_resnet50_is_safe() -> None:
    assert ImageEncoder("resnet50", 8).is_safe_on_processors


@pytest.mark.parametrize(("reduction", "patches"), [(32, 4), (16, 16), (8, 64)])
def test_a_cut_backbone_keeps_more_patches_and_trains_all_it_has(reduction: int, patches: int) -> None:
    encoder = ImageEncoder("resnet10t", 8, reduction=reduction)
    features = encoder(torch.rand(2, 1, 64, 64))
    assert features.patches.shape == (2, patches, 8)
    features.pooled.sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


def test_a_cut_backbone_is_the_beginning_of_the_whole_one() -> None:
    whole = ImageEncoder("resnet10t", 8).eval()
    cut = ImageEncoder("resnet10t", 8, reduction=16).eval()
    state = whole.backbone.state_dict()
    cut.backbone.load_state_dict({name: state[name] for name in cut.backbone.state_dict()})
    stages = []
    whole.backbone.layer3.register_forward_hook(lambda module, inputs, output: stages.append(output))
    images = torch.rand(1, 3, 64, 64)
    whole.backbone.forward_features(images)
    torch.testing.assert_close(cut.backbone(images)[-1], stages[0])


def test_impossible_cuts_are_named() -> None:
    with pytest.raises(SettingsError, match=r"reduction: 4 is none of those of backbone 'test_vit'|cannot be cut"):
        ImageEncoder("test_vit", 8, reduction=4)


@pytest.mark.parametrize(
    ("name", "hint"), [("resnet51", "resnet50"), ("qqqqqqqq", "list_models"), ("hf-hub:a/b", "timm knows")]
)
def test_unknown_backbone(name: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=hint) as error:
        ImageEncoder(name)
    assert f"'{name}'" in str(error.value)
