import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from unichest_kedro.errors import SettingsError
from unichest_kedro.models import text_fitting
from unichest_kedro.models.text_encoder import TextEncoder, TextEncoderSettings, build_text_encoder
from unichest_kedro.models.text_fitting import PhraseSampler, contrastive_loss, fit_tokenizer

from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizer  # isort: skip
from transformers import DistilBertConfig, DistilBertModel  # isort: skip

SYNONYMS = {
    "pleural effusion": ("effusion", "pleural fluid", "hydrothorax"),
    "pneumothorax": ("ptx", "pleural air"),
    "cardiomegaly": ("enlarged heart", "cardiac enlargement"),
    "edema": ("vascular congestion", "fluid overload"),
    "fracture": ("broken bone", "fx"),
    "nodule": ("small round shadow",),
    "COPD": ("chronic obstructive pulmonary disease",),
}
PROMPTS = {name: f"{name} seen" for name in SYNONYMS}
CORPUS = ["[ENT] no effusion [SEP] [ENT] mass [SEP]", "pleural effusion [SEP] edema [SEP]"] * 3
SMALL = {
    "width": 64,
    "layers": 1,
    "heads": 2,
    "feed_forward": 64,
    "steps": 150,
    "fitting_batch": 48,
    "max_tokens": 64,
}
TEXTS = [
    "effusion",
    "",
    "[ENT] no edema [ENT] ptx [SEP] [ENT] nodule [SEP]",
    "COPD [SEP]",
    "heart " * 300,
    "café β",
]


def build(seed=1, **changes):
    settings = TextEncoderSettings(**{**SMALL, "learning_rate": 2e-3, **changes})
    return build_text_encoder(SYNONYMS, PROMPTS, CORPUS, settings, seed)


@pytest.fixture(scope="module")
def encoder():
    return build()


def save_foreign(folder, model_class, config):
    """A model as others save them: its own tokenizer without [ENT], no projection."""
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "no",
        *sorted({w for s in SYNONYMS.values() for w in s}),
    ]
    BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model_class(config(vocab_size=len(words))).save_pretrained(folder)
    return folder


def small_bert(vocab_size):
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )


def small_distilbert(vocab_size):
    return DistilBertConfig(vocab_size=vocab_size, dim=16, n_layers=1, n_heads=2, hidden_dim=32)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return save_foreign(tmp_path_factory.mktemp("foreign"), BertModel, small_bert)


def cosines(encoder, first, second):
    first, second = (torch.tensor(encoder.encode(texts, progress=False)) for texts in (first, second))
    return functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T


def test_encode_agrees_with_one_text_at_a_time(encoder):
    fast = encoder.encode(TEXTS, batch_size=2, max_tokens=64, progress=False)
    with torch.no_grad():
        slow = torch.cat([encoder([text], 64) for text in TEXTS]).numpy()
    assert fast.shape == (len(TEXTS), encoder.width) == (6, 64)
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, slow, atol=1e-5)
    assert encoder.encode([], progress=False).shape == (0, 64)


def test_projection_is_linear_gelu_linear_on_the_pooler(encoder):
    tokens = encoder.tokenizer(["effusion"], return_tensors="pt")
    first, _, second = encoder.projection
    with torch.no_grad():
        pooled = encoder.model(**tokens).pooler_output
        hidden = functional.gelu(pooled @ first.weight.T + first.bias)
        expected = hidden @ second.weight.T + second.bias
        torch.testing.assert_close(encoder(["effusion"]), expected)


def test_markers_are_single_tokens(encoder):
    assert encoder.tokenizer.tokenize("[ENT] no pleural effusion [SEP]") == [
        "[ENT]",
        "no",
        "pleural",
        "effusion",
        "[SEP]",
    ]


def test_long_texts_are_cut(encoder):
    long, cut = encoder.encode(["heart " * 300, "heart " * 62], progress=False)
    np.testing.assert_allclose(long, cut, atol=1e-6)


def test_synonyms_lie_close_and_different_findings_apart(encoder):
    for name, words in SYNONYMS.items():
        others = [other for other in SYNONYMS if other != name]
        own = cosines(encoder, words, [PROMPTS[name]]).mean()
        assert own > 0.7
        assert own > cosines(encoder, words, [PROMPTS[other] for other in others]).max() + 0.2


def test_denial_is_kept_apart(encoder):
    words = [word for words in SYNONYMS.values() for word in words]
    assert cosines(encoder, words, [f"no {word}" for word in words]).diagonal().mean() < 0.6


def test_frozen_in_eval_mode_whatever_train_says(encoder, foreign):
    for one in (encoder, TextEncoder.from_pretrained(foreign)):
        one.train()
        assert not any(module.training for module in one.modules())
        assert not any(parameter.requires_grad for parameter in one.parameters())


def test_same_seed_same_encoder_and_global_randomness_untouched(encoder):
    state = torch.random.get_rng_state()
    again = build()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert again.fingerprint() == encoder.fingerprint()
    assert build(seed=2, steps=1).fingerprint() != build(seed=1, steps=1).fingerprint()


def test_tokenizer_is_the_same_in_every_process():
    endings = ("thorax", "megaly", "gram")
    parts = [f"{first}{ending}" for first in ("hydro", "pneumo", "cardi") for ending in endings]
    here = sorted(fit_tokenizer(["pleural effusion"], parts * 3, 140, 64).get_vocab().items())
    code = (
        "from unichest_kedro.models.text_fitting import fit_tokenizer\n"
        f"print(sorted(fit_tokenizer(['pleural effusion'], {parts} * 3, 140, 64).get_vocab().items()))"
    )
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert there.strip() == str(here)


def test_fingerprint_ignores_use_and_sees_weights_and_tokens(encoder, tmp_path):
    before = encoder.fingerprint()
    encoder.encode(TEXTS, progress=False)
    assert encoder.fingerprint() == before
    encoder.save_pretrained(tmp_path)
    changed = TextEncoder.from_pretrained(tmp_path)
    changed.projection[2].bias[0] += 1e-6
    assert changed.fingerprint() != before
    renamed = TextEncoder.from_pretrained(tmp_path)
    renamed.tokenizer.add_tokens(["zzz"])
    assert renamed.fingerprint() != before


def test_saved_and_loaded_it_is_the_same(encoder, tmp_path):
    encoder.save_pretrained(tmp_path)
    loaded = TextEncoder.from_pretrained(tmp_path)
    assert not loaded.projection_is_new
    assert loaded.fingerprint() == encoder.fingerprint()
    np.testing.assert_array_equal(loaded.encode(TEXTS, progress=False), encoder.encode(TEXTS, progress=False))
    assert not [path.name for path in tmp_path.iterdir() if path.suffix in (".bin", ".pt", ".pkl")]


def test_foreign_model_gets_a_fitted_projection_and_stays_as_it_is(foreign):
    loaded = TextEncoder.from_pretrained(foreign, seed=1)
    assert loaded.projection_is_new
    assert loaded.width == 16
    assert loaded.tokenizer.tokenize("[ENT] effusion") == ["[ENT]", "effusion"]
    fitted = build(name=str(foreign))
    assert not fitted.projection_is_new
    for name, weight in loaded.model.state_dict().items():
        assert torch.equal(weight, fitted.model.state_dict()[name]), name
    assert not torch.equal(loaded.projection[0].weight, fitted.projection[0].weight)
    assert build(name=str(foreign)).fingerprint() == fitted.fingerprint()
    # An untrained encoder tells words apart only faintly; the fit finds what there is.
    assert separation(fitted) > 0.02 > separation(loaded)


def separation(encoder):
    """Mean cosine of prompts to their own finding's synonyms, minus that to other findings'."""
    names = list(SYNONYMS)
    means = torch.tensor([[cosines(encoder, SYNONYMS[a], [b]).mean() for b in names] for a in names])
    own = torch.eye(len(names), dtype=torch.bool)
    return float(means[own].mean() - means[~own].mean())


@pytest.mark.parametrize(
    ("model_class", "config"), [(BertForMaskedLM, small_bert), (DistilBertModel, small_distilbert)]
)
def test_without_a_trained_pooler_the_first_token_stands_in(tmp_path, model_class, config):
    encoder = TextEncoder.from_pretrained(save_foreign(tmp_path / "model", model_class, config), seed=1)
    tokens = encoder.tokenizer(["effusion"], return_tensors="pt")
    with torch.no_grad():
        first = encoder.model(**tokens).last_hidden_state[:, 0]
        torch.testing.assert_close(encoder.pool(["effusion"], 64), first)
    encoder.save_pretrained(tmp_path / "again")
    assert TextEncoder.from_pretrained(tmp_path / "again").fingerprint() == encoder.fingerprint()


def test_missing_and_broken_models_are_named(encoder, tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere/here'.*neither a folder nor .*allow_download: true"):
        TextEncoder.from_pretrained("nowhere/here")
    with pytest.raises(SettingsError, match=r"gone'.*no such folder"):
        TextEncoder.from_pretrained(tmp_path / "gone")
    with pytest.raises(SettingsError, match=r"\./gone'.*no such folder"):
        build(name="./gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"empty'.*not a whole transformers encoder"):
        TextEncoder.from_pretrained(tmp_path / "empty")
    encoder.save_pretrained(tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(SettingsError, match=r"cut'.*not a whole transformers encoder"):
        TextEncoder.from_pretrained(tmp_path / "cut")


def test_projection_of_another_width_is_refused(encoder, foreign, tmp_path):
    save_foreign(tmp_path, BertModel, small_bert)
    encoder.save_pretrained(tmp_path / "wide")
    (tmp_path / "projection.safetensors").write_bytes((tmp_path / "wide" / "projection.safetensors").read_bytes())
    with pytest.raises(SettingsError, match=r"not a whole transformers encoder"):
        TextEncoder.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 30, "heads": 4}, "width is 30; allowed are multiples of heads, which is 4"),
        ({"steps": 0}, "steps"),
        ({"names": "x"}, "names"),
        ({"learning_rate": -1}, "learning_rate"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValidationError, match=message):
        TextEncoderSettings(**settings)


def test_sampled_targets_say_what_the_text_says():
    sampler = PhraseSampler({"a": ("x", "both"), "b": ("both",)}, {"a": "A", "b": "b"})
    assert sampler.wordings == [["a", "x", "both"], ["b", "both"]]
    rng = np.random.default_rng(0)
    for batch in (sampler.single(200, rng), sampler.composed(50, rng)):
        torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(len(batch.texts)))
    single = sampler.single(200, rng)
    for text, target in zip(single.texts, single.targets):
        words = text.replace("[ENT]", "").replace("[SEP]", "").split()
        shift = 2 if words[0] == "no" else 0
        said = {"a": [0], "x": [0], "b": [1], "both": [0, 1]}[words[-1]]
        expected = torch.zeros(4)
        expected[[column + shift for column in said]] = 1 / len(said)
        torch.testing.assert_close(target, expected)


def test_contrastive_loss_agrees_with_a_slow_loop():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, generator=generator)
    targets = torch.tensor([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0.5, 0.5, 0]])
    over_all = [-(targets[row] * logits[row].log_softmax(0)).sum() for row in range(3)]
    pairs = []
    for row in range(3):
        for finding in range(2):
            present, absent = targets[row, finding] > 0, targets[row, finding + 2] > 0
            if present != absent:
                right, wrong = (finding, finding + 2) if present else (finding + 2, finding)
                pairs.append(-logits[row, [right, wrong]].log_softmax(0)[0])
    expected = torch.stack(over_all).mean() + torch.stack(pairs).mean()
    torch.testing.assert_close(contrastive_loss(logits, targets), expected)


def test_loss_without_any_clear_statement_is_finite():
    loss = contrastive_loss(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]))
    assert torch.isfinite(loss)


def test_tokenizer_keeps_the_vocabulary_whole():
    tokenizer = fit_tokenizer(["hydropneumothorax"], [], vocabulary_size=500, max_tokens=32)
    assert tokenizer.tokenize("Hydropneumothorax") == ["hydropneumothorax"]
    assert [tokenizer.get_vocab()[token] for token in text_fitting.SPECIAL_TOKENS] == list(range(6))
    assert tokenizer.unk_token not in tokenizer.tokenize("unseen words 42")


def test_folder_given_relative_to_the_current_one(encoder, tmp_path, monkeypatch):
    encoder.save_pretrained(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert TextEncoder.from_pretrained("mine").fingerprint() == encoder.fingerprint()
    assert Path("mine").is_dir()
