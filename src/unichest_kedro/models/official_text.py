"""The text encoder of a published checkpoint, whose tokenizer comes from elsewhere."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.official import BERT_HEAD, OfficialCheckpoint, Source
from unichest_kedro.models.text_encoder import TextEncoder

from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerBase  # isort: skip

logger = logging.getLogger(__name__)

PUBLISHED_TOKENIZER = "GanjinZero/UMLSBert_ENG"


def official_bert(
    source: Source, *, heads: int | None = None, config: dict[str, Any] | None = None
) -> tuple[BertModel, nn.Sequential]:
    """The BERT and the projection of its pooler output, frozen and in evaluation mode; no tokenizer is needed.

    Args:
        source: A checkpoint file, a loaded checkpoint, or its section `text_encoder`.
        heads: Attention heads, which the tensors do not show; None for width / 64.
        config: What else the tensors do not show, by BERT's own names, such as `layer_norm_eps`.

    Returns:
        The model, whose pooler output is (N,D), and Linear - GELU - Linear, (N,D) to (N,D).

    Raises:
        CheckpointError: the section is missing or not as published; every problem is named.
        SettingsError: the width is not divisible by the heads.
    """
    reading = OfficialCheckpoint(source).section("text_encoder")
    sizes = reading.sizes
    width = sizes["width"]
    heads = heads or width // BERT_HEAD
    if not heads or width % heads:
        raise SettingsError(
            f"text_heads: the text encoder's width {width} is not divisible by {heads} heads; give text_heads"
        )
    shape = {
        "vocab_size": sizes["tokens"],
        "hidden_size": width,
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": heads,
        "intermediate_size": sizes["feedforward"],
        "max_position_embeddings": sizes["positions"],
        "type_vocab_size": sizes["types"],
    }
    with torch.random.fork_rng(devices=[]):
        bert = BertModel(BertConfig(**((config or {}) | shape)))
        projection = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
    for module, start in ((bert, "bert."), (projection, "projection.")):
        module.load_state_dict({n.removeprefix(start): v for n, v in reading.state.items() if n.startswith(start)})
        module.requires_grad_(False).eval()
    return bert, projection


def official_text_encoder(
    source: Source, tokenizer: Path | str, *, heads: int | None = None, allow_download: bool = False
) -> TextEncoder:
    """The text encoder of a checkpoint, from its section `text_encoder` alone, with a tokenizer.

    The tokenizer reads lower case, as in the published code. It learns `[ENT]` as one token where it lacks it, as
    with every text encoder of this project; texts without that mark are embedded as the published code does.

    Args:
        source: A checkpoint file, a loaded checkpoint, or its section `text_encoder`.
        tokenizer: Folder or hub name; a `config.json` of a BERT of the same width there is heeded.
        heads: Attention heads; None for what that `config.json` says, or width / 64.
        allow_download: Whether a hub name may be fetched; otherwise it must be in the local cache.

    Raises:
        CheckpointError: the section is missing or not as published; every problem is named.
        SettingsError: there is no such tokenizer, or it has more tokens than the text encoder.
    """
    width = OfficialCheckpoint(source).section("text_encoder").sizes["width"]
    reader = _tokenizer(tokenizer, allow_download)
    config = _config(tokenizer, allow_download, width)
    bert, projection = official_bert(source, heads=heads or config.pop("num_attention_heads", None), config=config)
    rows = bert.config.vocab_size
    if len(reader) > rows:
        raise SettingsError(
            f"tokenizer: '{tokenizer}' has {len(reader)} tokens, the checkpoint's text encoder knows {rows}; "
            "give the tokenizer that it was trained with"
        )
    if len(reader) < rows:
        logger.warning("tokenizer: '%s' has %d tokens, the text encoder knows %d", tokenizer, len(reader), rows)
    return TextEncoder(bert, reader, projection, seed=0)


def _tokenizer(name: Path | str, allow_download: bool) -> PreTrainedTokenizerBase:
    folder = Path(name).expanduser()
    where = str(folder) if folder.is_dir() else str(name)
    try:
        return AutoTokenizer.from_pretrained(where, do_lower_case=True, local_files_only=not allow_download)
    except (OSError, ValueError, KeyError, ImportError) as error:
        place = "the folder holds none" if folder.is_dir() else "it is neither a folder nor in the local cache"
        hint = "" if allow_download or folder.is_dir() else ", or set allow_download"
        raise SettingsError(
            f"tokenizer: '{name}' cannot be loaded: {place}; give the folder or hub name of the text encoder's "
            f"tokenizer (the published one is {PUBLISHED_TOKENIZER}){hint}"
        ) from error


def _config(name: Path | str, allow_download: bool, width: int) -> dict[str, Any]:
    """What a BERT's `config.json` beside the tokenizer says and tensors do not show; nothing where there is none."""
    folder = Path(name).expanduser()
    where = str(folder) if folder.is_dir() else str(name)
    try:
        found, _ = BertConfig.get_config_dict(where, local_files_only=not allow_download)
    except (OSError, ValueError):
        return {}
    if found.get("hidden_size") != width:
        return {}
    heeded = ("num_attention_heads", "hidden_act", "layer_norm_eps", "pad_token_id")
    return {key: found[key] for key in heeded if key in found}
