"""The whole model: what it computes, what it knows, and its folder."""

import copy
import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from unichest_kedro.errors import MissingArtefact, SettingsError
from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest

FINDINGS = ("mass", "edema", "scar")
SMALL = {"backbone": "test_resnet", "image_size": 32, "width": 16, "layers": 1, "heads": 2, "feedforward": 8}


@pytest.fixture
def model() -> UniChest:
    embeddings = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    model = build_unichest(
        ModelSettings.model_validate(SMALL),
        FINDINGS,
        embeddings,
        1,
        "findings: []\n",
        {"Trained on": "nothing"},
    )
    model.set_ratios(0.5, 0.5)
    return model.eval()


def images(count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (count, 1, 32, 32), generator=generator, dtype=torch.uint8)


@torch.no_grad()
def test_forward_is_encoder_then_mixture(model: UniChest) -> None:
    queries, texts = model.queries_for(["scar", "mass"]), torch.randn(3, 16)
    output = model(images(), queries, 0.3, 0.7, texts=texts)
    patches, pooled = model.image_encoder(images() / 255)
    expected = model.mixture(patches, queries, main_ratio=0.3, expert_ratio=0.7)
    torch.testing.assert_close(output.image.probabilities, expected.probabilities)
    torch.testing.assert_close(output.pooled, pooled)
    expected = model.mixture(texts[:, None], queries, main_ratio=0.3, expert_ratio=0.7)
    torch.testing.assert_close(output.text.probabilities, expected.probabilities)


def test_own_ratios_are_the_default(model: UniChest) -> None:
    queries = model.queries_for(FINDINGS)
    model.set_ratios(1.0, 0.0)
    assert model(images(), queries).image.experts is None
    model.set_ratios(0.5, 0.5)
    output = model(images(), queries).image
    mixed = 0.5 * output.main + 0.5 * (output.gate[..., None] * output.experts).sum(1)
    torch.testing.assert_close(output.probabilities, mixed)


def test_predicting_keeps_the_mode_and_the_order_of_findings(model: UniChest) -> None:
    model.train()
    before = model.fingerprint()
    probabilities = model.predict_probabilities(images(), ["edema", "mass"])
    assert model.training
    assert model.fingerprint() == before
    assert probabilities.shape == (2, 2)
    torch.testing.assert_close(probabilities, model.predict_probabilities(images() / 255, ["edema", "mass"]))
    flipped = model.predict_probabilities(images(), ["mass", "edema"])
    torch.testing.assert_close(flipped.flip(1), probabilities)


def test_unknown_finding_is_named(model: UniChest) -> None:
    with pytest.raises(SettingsError, match="does not know 'gout'; it knows mass, edema, scar"):
        model.queries_for(["mass", "gout"])


def test_folder_round_trip(model: UniChest, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors",
        "config.json",
        "vocabulary.yml",
        "README.md",
        "facts.json",
    }
    loaded = UniChest.from_pretrained(folder)
    assert loaded.fingerprint() == model.fingerprint()
    assert (loaded.settings, loaded.findings, loaded.vocabulary) == (
        model.settings,
        FINDINGS,
        "findings: []\n",
    )
    assert not loaded.training
    assert torch.equal(
        loaded.predict_probabilities(images(), FINDINGS), model.predict_probabilities(images(), FINDINGS)
    )
    assert "**Trained on**: nothing" in (folder / "README.md").read_text()


def test_facts_come_back_and_only_texts_stand_in_the_card(model: UniChest, tmp_path: Path) -> None:
    model.facts = {"Trained on": "a (3 films)", "trained_on": ["a"], "training_films": {"a": 3}, "seed": 1}
    model.save_pretrained(tmp_path)
    assert UniChest.from_pretrained(tmp_path).facts == model.facts
    card = (tmp_path / "README.md").read_text()
    assert "**Trained on**: a (3 films)" in card
    assert "trained_on" not in card
    (tmp_path / "facts.json").unlink()
    assert UniChest.from_pretrained(tmp_path).facts == {}


def test_saving_again_replaces_the_card(model: UniChest, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    model.facts = {"Trained on": "everything"}
    model.save_pretrained(tmp_path)
    assert "everything" in (tmp_path / "README.md").read_text()


def test_saved_model_does_not_ask_for_backbone_weights(tmp_path: Path, model: UniChest) -> None:
    model._hub_mixin_config["settings"] = UniChest._encode_arg(ModelSettings(pretrained=True))
    assert not model._hub_mixin_config["settings"]["pretrained"]


def test_copy_is_whole(model: UniChest, tmp_path: Path) -> None:
    copied = copy.deepcopy(model)
    assert copied.fingerprint() == model.fingerprint()
    copied.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["findings"] == list(FINDINGS)


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "vocabulary.yml"])
def test_missing_file_is_named(model: UniChest, tmp_path: Path, missing: str) -> None:
    model.save_pretrained(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(MissingArtefact, match=missing):
        UniChest.from_pretrained(tmp_path)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefact, match="there is no model folder here"):
        UniChest.from_pretrained(tmp_path / "nowhere")


def test_broken_weights(model: UniChest, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(MissingArtefact, match="cannot be loaded"):
        UniChest.from_pretrained(tmp_path)


def test_weights_of_another_shape(model: UniChest, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["settings"]["feedforward"] = 12
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(MissingArtefact, match="size mismatch"):
        UniChest.from_pretrained(tmp_path)


def test_initial_weights_depend_on_the_seed_alone(model: UniChest) -> None:
    settings, embeddings = model.settings, model.finding_embeddings
    torch.manual_seed(99)
    state = torch.get_rng_state()
    first = build_unichest(settings, FINDINGS, embeddings, 7)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert build_unichest(settings, FINDINGS, embeddings, 7).fingerprint() == first.fingerprint()
    assert build_unichest(settings, FINDINGS, embeddings, 8).fingerprint() != first.fingerprint()


def test_temperature_starts_at_007_and_is_clamped_as_clip_does(model: UniChest) -> None:
    assert float(model.logit_scale.exp()) == pytest.approx(1 / 0.07)
    with torch.no_grad():
        model.logit_scale.fill_(9.0)
    model.clamp_logit_scale()
    assert float(model.logit_scale.exp()) == pytest.approx(100)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "resnet51"}, "'resnet51' is not a model that timm knows; close names: .*resnet50"),
        ({"width": 17}, "width 17 is not divisible by heads 2"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"reduction": 5}, "reduction\n.*8, 16"),
        ({"expert": 3}, "expert\n.*Extra inputs"),
    ],
)
def test_broken_settings_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelSettings.model_validate(SMALL | change)


def test_embeddings_must_fit(model: UniChest) -> None:
    with pytest.raises(SettingsError, match=r"shape \(3, 12\) does not fit 3 findings and a model of width 16"):
        UniChest(model.settings, FINDINGS, torch.zeros(3, 12))
