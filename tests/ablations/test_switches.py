"""The switches that variants need in model and training: each against a slow, obvious version, and off by default."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.mixture import QueryMixture, Standardised
from unichest_kedro.models.unichest import build_unichest
from unichest_kedro.training.settings import DivideSettings
from unichest_kedro.training.stages import train_divide
from unichest_kedro.training.validation import oracle_gate

RATIOS = {"main_ratio": 0.5, "expert_ratio": 0.5}


def mixture(**options):
    torch.manual_seed(0)
    return QueryMixture(width=16, layers=1, heads=2, feedforward=24, dropout=0.0, experts=3, **options).eval()


@pytest.fixture
def seen():
    torch.manual_seed(1)
    return torch.randn(4, 9, 16), torch.randn(5, 16), torch.randn(3, 16)  # patches, queries, texts


def test_each_row_may_be_asked_in_its_own_words(seen):
    patches, queries, texts = seen
    model = mixture()
    own = torch.stack([queries + 0.3 * row for row in range(7)])
    together = model(patches, own, texts=texts, **RATIOS)
    for row in range(4):
        alone = model(patches[row : row + 1], own[row], **RATIOS)
        torch.testing.assert_close(together.probabilities[row], alone.probabilities[0])
    for row in range(3):
        alone = model(texts[row : row + 1, None], own[4 + row], **RATIOS)
        torch.testing.assert_close(together.probabilities[4 + row], alone.probabilities[0])
    same = model(patches, queries.expand(7, -1, -1), texts=texts, **RATIOS)
    torch.testing.assert_close(same.probabilities, model(patches, queries, texts=texts, **RATIOS).probabilities)


def test_the_oracle_gate_lets_one_expert_answer(seen):
    patches, queries, texts = seen
    gate = oracle_gate(torch.tensor([0, 1, 2, 0, 1, 1, 0]), 3)
    output = mixture()(patches, queries, texts=texts, gate_override=gate, **RATIOS)
    for row, expert in enumerate([0, 1, 2, 0, 1, 1, 0]):
        expected = 0.5 * output.main[row] + 0.5 * output.experts[row, expert]
        torch.testing.assert_close(output.probabilities[row], expected)


def test_a_temperature_sharpens_the_gate(seen):
    patches, queries, _ = seen
    plain, sharp = mixture(), mixture(gate_temperature=0.1)
    logits = plain.gate(plain.norm(patches).mean(dim=1))
    torch.testing.assert_close(plain(patches, queries, **RATIOS).gate, logits.softmax(-1))
    torch.testing.assert_close(sharp(patches, queries, **RATIOS).gate, (10 * logits).softmax(-1))


def test_standardised_numbers_have_mean_zero_and_deviation_one():
    layer, rng = Standardised(3, momentum=0.5), np.random.default_rng(0)
    first, second = (torch.tensor(rng.normal(5, 3, (20, 3)), dtype=torch.float32) for _ in range(2))
    out = layer(first)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(0, correction=0), torch.ones(3), atol=1e-4, rtol=0)
    layer(second)
    torch.testing.assert_close(layer.mean, (first.mean(0) + second.mean(0)) / 2)
    layer.eval()
    before = copy.deepcopy(layer.state_dict())
    layer(second[:1])
    assert all(torch.equal(value, layer.state_dict()[name]) for name, value in before.items())


def test_a_standardised_gate_keeps_images_and_texts_apart(seen):
    patches, queries, texts = seen
    model = mixture(gate_input="standardised").train()
    model(patches, queries, texts=texts, **RATIOS)
    torch.testing.assert_close(model.image_gate_input.mean, model.norm(patches).mean(dim=1).mean(dim=0))
    torch.testing.assert_close(model.text_gate_input.mean, model.norm(texts).mean(dim=0))


def test_models_saved_before_have_all_the_weights_there_are():
    assert not any("gate_input" in name for name in mixture().state_dict())


def test_settings_saved_before_still_agree():
    assert "gate" not in DivideSettings().identity()
    assert DivideSettings(gate="oracle").identity()["gate"] == "oracle"


def test_an_oracle_needs_an_expert_for_every_source(bench, shared, tmp_path):
    settings = shared.divide.model_copy(update={"gate": "oracle"})
    model = build_unichest(shared.model.model_copy(update={"experts": 1}), bench.findings, bench.prompts, 0)
    with pytest.raises(SettingsError, match="needs an expert for each of the 2 sources, but the model has 1"):
        train_divide(model, bench.data_of(("a", "b")), settings, tmp_path)


def test_with_the_oracle_only_experts_of_sources_learn_and_the_gate_does_not(bench, shared, tmp_path):
    settings = shared.divide.model_copy(update={"gate": "oracle"})
    model = build_unichest(shared.model, bench.findings, bench.prompts, 0)
    trained = train_divide(model, bench.data_of(("a", "b")), settings, tmp_path).model

    def moved(part):
        pairs = zip(model.get_submodule(part).parameters(), trained.get_submodule(part).parameters())
        # Weight decay alone moves an expert that no film has; its biases, which are spared, stay.
        return any(not torch.equal(old, new) for old, new in pairs if old.ndim == 1)

    assert moved("mixture.experts.0")
    assert moved("mixture.experts.1")
    assert not moved("mixture.experts.2")
    assert not moved("mixture.gate")
    assert not moved("image_encoder")


def test_source_prompts_reach_training_and_its_identity(bench, shared, tmp_path):
    data = bench.data_of(("a", "b"))
    told = replace(data, source_prompts=bench.source_prompts)
    queries = told.queries_by_source(["left", "top"], torch.device("cpu"))
    np.testing.assert_array_equal(queries[1].numpy(), bench.source_prompts["b"][[2, 0]])
    assert data.queries_by_source(["top"], torch.device("cpu")) is None
    assert "data.source_prompts" in told.fingerprints()
    assert "data.source_prompts" not in data.fingerprints()
    model = build_unichest(shared.model, bench.findings, bench.prompts, 0)
    plain = train_divide(model, data, shared.divide, tmp_path / "plain").history["loss"].iloc[-1]
    same = replace(data, source_prompts=dict.fromkeys("ab", bench.prompts))
    assert train_divide(model, same, shared.divide, tmp_path / "same").history["loss"].iloc[-1] == pytest.approx(plain)
    other = train_divide(model, told, shared.divide, tmp_path / "told").history["loss"].iloc[-1]
    assert abs(other - plain) > 1e-3
