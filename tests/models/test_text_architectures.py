"""Text encoders of other families, each tiny and with random weights, as `save_pretrained` leaves them in a folder."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.text_encoder import (
    TextEncoder,
    TextEncoderSettings,
    build_text_encoder,
    check_text_encoder,
)

import transformers  # isort: skip

WORDS = ("no", "effusion", "edema", "heart", "pleural", "fluid")
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
TEXTS = ["[ENT] no edema [SEP] [ENT] heart [SEP]", "effusion", "", "pleural fluid " * 200, "heart"]


def wordpiece():
    tokens = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
    return transformers.BertTokenizer(vocab={token: number for number, token in enumerate(tokens)})


def byte_level():
    tokens = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(pre_tokenizers.ByteLevel.alphabet()))
    return transformers.RobertaTokenizer(vocab={token: number for number, token in enumerate(tokens)}, merges=[])


def word_level():
    tokens = ("<pad>", "</s>", "<unk>", *WORDS)
    tokenizer = Tokenizer(WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )


def save(folder, model_class, tokenizer, **config):
    tokenizer = tokenizer()
    config = model_class.config_class(vocab_size=len(tokenizer), **config)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model_class(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


ENCODERS = {
    "roberta": ("RobertaModel", byte_level, {**SIZES, "max_position_embeddings": 40, "pad_token_id": 1}),
    "roberta without pooler": (
        "RobertaForMaskedLM",
        byte_level,
        {**SIZES, "max_position_embeddings": 40, "pad_token_id": 1},
    ),
    "distilbert": (
        "DistilBertModel",
        wordpiece,
        {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 32},
    ),
    "modernbert": (
        "ModernBertModel",
        wordpiece,
        {**SIZES, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
    ),
    "deberta": (
        "DebertaV2Model",
        wordpiece,
        {**SIZES, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
    ),
    "electra, whose embeddings are narrower": ("ElectraModel", wordpiece, {**SIZES, "embedding_size": 8}),
    "mpnet": ("MPNetModel", wordpiece, {**SIZES, "max_position_embeddings": 40, "pad_token_id": 0}),
}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
OTHERS = {
    "t5": ("T5Model", T5, "has an encoder and a decoder"),
    "half of a t5": ("T5EncoderModel", T5, "has an encoder and a decoder"),
    "gpt2": ("GPT2Model", {"n_embd": 16, "n_layer": 1, "n_head": 2}, "is a decoder"),
    "llama": ("LlamaModel", {**SIZES, "num_key_value_heads": 2}, "is a decoder"),
    "bert made to write": ("BertModel", {**SIZES, "is_decoder": True}, "is a decoder"),
    "a picture model": ("ViTModel", {**SIZES, "image_size": 32, "patch_size": 16}, "cannot read a text"),
}


@pytest.mark.parametrize("family", ENCODERS)
def test_every_family_of_encoders_works(tmp_path, family):
    name, tokenizer, config = ENCODERS[family]
    encoder = TextEncoder.from_pretrained(save(tmp_path / "model", getattr(transformers, name), tokenizer, **config))
    assert encoder.width == 16
    fast = encoder.encode(TEXTS, batch_size=3, progress=False)
    slow = np.concatenate([encoder.encode([text], progress=False) for text in TEXTS])
    assert fast.shape == (len(TEXTS), 16)
    np.testing.assert_allclose(fast, slow, atol=1e-5)
    assert len(np.unique(fast.round(5), axis=0)) == len(TEXTS)
    encoder.save_pretrained(tmp_path / "again")
    again = TextEncoder.from_pretrained(tmp_path / "again")
    assert again.pooling_fingerprint(64) == encoder.pooling_fingerprint(64) != encoder.pooling_fingerprint(16)
    np.testing.assert_array_equal(again.encode(TEXTS, batch_size=3, progress=False), fast)


@pytest.mark.parametrize("family", OTHERS)
def test_models_that_are_no_text_encoders_are_refused_by_name(tmp_path, family):
    name, config, words = OTHERS[family]
    save(tmp_path / "model", getattr(transformers, name), word_level, **config)
    with pytest.raises(SettingsError, match=rf"model' \(\w+\) {words}.*Choose an encoder \(BERT"):
        TextEncoder.from_pretrained(tmp_path / "model")


def test_an_encoder_of_another_width_than_the_models_is_refused_before_it_is_fitted(tmp_path):
    save(tmp_path / "model", transformers.BertModel, wordpiece, **SIZES)
    settings = TextEncoderSettings(name=str(tmp_path / "model"))
    with pytest.raises(
        SettingsError, match=r"model.width is 128, but .*model' gives vectors of 16 numbers: set `model"
    ):
        build_text_encoder({"edema": ()}, {}, [], settings, 1, model_width=128)
    with pytest.raises(SettingsError, match=r"embedded text encoder gives vectors of 64 numbers.*text_encoder.width"):
        build_text_encoder({"edema": ()}, {}, [], TextEncoderSettings(width=64), 1, model_width=128)


def test_an_encoder_can_be_checked_before_there_is_any_text(tmp_path):
    save(tmp_path / "model", transformers.BertModel, wordpiece, **SIZES)
    check_text_encoder(TextEncoderSettings(name=str(tmp_path / "model")), 16)
    check_text_encoder(TextEncoderSettings(width=64), 64)
    with pytest.raises(SettingsError, match=r"model.width is 128, but .*model' gives vectors of 16 numbers"):
        check_text_encoder(TextEncoderSettings(name=str(tmp_path / "model")), 128)
    with pytest.raises(SettingsError, match=r"embedded text encoder gives vectors of 64 numbers"):
        check_text_encoder(TextEncoderSettings(width=64), 128)
    with pytest.raises(SettingsError, match=r"there is no such folder. Check `text_encoder.name`"):
        check_text_encoder(TextEncoderSettings(name=str(tmp_path / "none")), 16)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"the folder is not a whole transformers encoder"):
        check_text_encoder(TextEncoderSettings(name=str(tmp_path / "empty")), 16)
    name, config, words = OTHERS[next(iter(OTHERS))]
    save(tmp_path / "writes", getattr(transformers, name), word_level, **config)
    with pytest.raises(SettingsError, match=rf"writes' \(\w+\) {words}"):
        check_text_encoder(TextEncoderSettings(name=str(tmp_path / "writes")), 16)
