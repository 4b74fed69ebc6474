"""The prepared twin says what the model says; what cannot be prepared is computed as it is."""

import copy

import pytest
import torch

from unichest_kedro.prediction import speed
from unichest_kedro.prediction.answers import answer
from unichest_kedro.prediction.questions import ask
from unichest_kedro.prediction.speed import computing, prepared_twin, resolve

from .conftest import SIZE, make_model


def pictures(count=3, size=SIZE):
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, 1, size, size), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("backbone", [{"backbone": "resnet10t"}, {"backbone": "resnet10t", "reduction": 8}])
@torch.inference_mode()
def test_a_prepared_backbone_gives_the_same_answers(backbone):
    model = make_model(**backbone, image_size=64)
    with torch.no_grad():
        for module in model.modules():  # batch norms that would show a mistake in folding
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
    images, queries = pictures(size=64), model.finding_embeddings
    expected = model(images, queries).image
    twin = prepared_twin(model)
    assert twin is not model
    given = twin(images, queries).image
    torch.testing.assert_close(given.probabilities, expected.probabilities, atol=1e-5, rtol=0)
    torch.testing.assert_close(given.gate, expected.gate, atol=1e-5, rtol=0)
    assert all(one is other for one, other in zip(twin.mixture.parameters(), model.mixture.parameters(), strict=True))
    assert all(layer.multihead_attn.few_queries for layer in twin.mixture.main.layers)
    assert not any(layer.multihead_attn.few_queries for layer in model.mixture.main.layers)
    half = prepared_twin(model, torch.bfloat16)
    torch.testing.assert_close(half(images, queries).image.probabilities, expected.probabilities, atol=0.05, rtol=0)


def test_the_model_is_left_as_it_is():
    model = make_model(backbone="resnet10t", image_size=64)
    before, backbone = copy.deepcopy(model.state_dict()), model.image_encoder.backbone
    with computing(model, "float32", pictures=1000) as compute, torch.inference_mode():
        compute(pictures(size=64), [model.finding_embeddings])
    assert model.image_encoder.backbone is backbone
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_backbone_that_cannot_be_prepared_is_computed_as_it_is():
    model = make_model(backbone="test_vit", image_size=160)
    for dtype in (torch.float32, torch.bfloat16):
        assert prepared_twin(model, dtype) is model
    with computing(model, "bfloat16", 1000) as compute, torch.inference_mode():
        given = compute(pictures(size=160), [model.finding_embeddings])[0].probabilities
        expected = model(pictures(size=160), model.finding_embeddings).image.probabilities
    torch.testing.assert_close(given, expected)


def test_a_twin_that_says_something_else_is_not_used(monkeypatch):
    model = make_model(backbone="resnet10t", image_size=64)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)

    def wrong(module):
        for child in module.modules():
            if isinstance(child, torch.nn.BatchNorm2d):
                child.running_mean.zero_()

    monkeypatch.setattr(speed, "_fold", wrong)
    assert prepared_twin(model) is model


def test_a_changed_weight_makes_a_new_twin():
    model = make_model(backbone="resnet10t", image_size=64)
    first = speed._kept_twin(model, torch.float32)
    assert speed._kept_twin(model, torch.float32) is first
    with torch.no_grad():
        model.image_encoder.backbone.conv1[0].weight.mul_(2)
    second = speed._kept_twin(model, torch.float32)
    assert second is not first
    images, queries = pictures(size=64), model.finding_embeddings
    with torch.inference_mode():
        torch.testing.assert_close(
            second(images, queries).image.probabilities, model(images, queries).image.probabilities, atol=1e-5, rtol=0
        )


def test_auto_is_bfloat16_only_where_the_processor_has_units_for_it(monkeypatch):
    model = make_model()
    for units in ("amx_bf16", "avx512_bf16"):
        for has, dtype in ((True, torch.bfloat16), (False, torch.float32)):
            monkeypatch.setattr(torch.cpu, "get_capabilities", lambda units=units, has=has: {units: has})
            assert resolve("auto", model) == dtype
    assert resolve("float32", model) == torch.float32
    assert resolve("bfloat16", model) == torch.bfloat16


def test_many_pictures_get_the_answers_of_few(films):
    model = make_model(backbone="resnet10t", image_size=64)
    few = next(answer(model, ask(model), films[:2], precision="float32")).probabilities
    many = answer(model, ask(model), films[:2] * speed.WORTH_IT, precision="float32", batch_size=2)
    for batch in many:
        assert abs(batch.probabilities - few).max() < 1e-5
