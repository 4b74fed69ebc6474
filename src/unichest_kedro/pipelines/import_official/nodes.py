"""Nodes of the import of a published checkpoint."""

import logging
from pathlib import Path
from typing import Any

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.official import (
    MIMIC_FINDINGS,
    NO_EXPERTS,
    PAPER_FINDINGS,
    OfficialCheckpoint,
    OfficialSettings,
)
from unichest_kedro.models.official_text import PUBLISHED_TOKENIZER, official_text_encoder
from unichest_kedro.models.text_encoder import TextEncoder
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def import_text_encoder(settings: OfficialSettings) -> TextEncoder:
    """Check the whole checkpoint, then read its text encoder and give it the tokenizer the user names.

    Raises:
        SettingsError: the checkpoint or the tokenizer is not named, or there is no such tokenizer.
        CheckpointError: the checkpoint cannot be read safely, or is not as published.
    """
    path = _checkpoint(settings)
    OfficialCheckpoint(path).sections()
    if settings.tokenizer is None:
        raise SettingsError(
            "official.tokenizer is not set: the checkpoint holds no tokenizer, and without one the findings' words "
            "cannot be embedded; give the folder or hub name of the text encoder's tokenizer (the published one is "
            f"{PUBLISHED_TOKENIZER})."
        )
    return official_text_encoder(
        path, settings.tokenizer, heads=settings.text_heads, allow_download=settings.allow_download
    )


def import_model(encoder: TextEncoder, vocabulary: dict[str, Any], settings: OfficialSettings) -> UniChest:
    """Read the checkpoint's image encoder and query networks, and embed the vocabulary's findings for them.

    What it was asked in training is embedded in the words of that training, every other finding in its prompt's.

    Raises:
        SettingsError: the checkpoint is not named, or a setting does not fit it.
        CheckpointError: the checkpoint cannot be read safely, or is not as published.
    """
    path = _checkpoint(settings)
    words = Vocabulary.from_mapping(vocabulary)
    checkpoint = OfficialCheckpoint(path)
    without = checkpoint.section("model").without
    asked = _asked(settings, words, without)
    told = [finding if finding in asked else words.prompts[finding] for finding in words.findings]
    embeddings = encoder.encode(told, batch_size=settings.batch_size, max_tokens=settings.max_tokens)
    model = UniChest.from_official(
        checkpoint,
        words.findings,
        embeddings,
        heads=settings.heads,
        dropout=settings.dropout,
        lam=settings.lam,
        image_size=settings.image_size,
        main_ratio=settings.main_ratio,
        expert_ratio=settings.expert_ratio,
    )
    model.vocabulary = words.to_yaml()
    model.facts = {
        "Imported from": f"{path.name}, a checkpoint of the published code, not trained here",
        "Answers with": _networks(model, without),
        "Trained on": ", ".join(settings.trained_on),
        "trained_on": list(settings.trained_on),
        "findings_asked": asked,
    }
    logger.info(
        "Imported %s: %d px, %s. Taken to be trained on %s (official.trained_on), and asked %d of the %d findings "
        "there (official.findings_asked).",
        path.name,
        model.settings.image_size,
        model.facts["Answers with"],
        model.facts["Trained on"],
        len(asked),
        len(words.findings),
    )
    return model


def _asked(settings: OfficialSettings, words: Vocabulary, without: str) -> list[str]:
    """What it was asked in training, as far as the vocabulary has it."""
    if settings.findings_asked is not None:
        unknown = [finding for finding in settings.findings_asked if finding not in words.findings]
        if unknown:
            raise SettingsError(
                f"official.findings_asked: the vocabulary has no finding {', '.join(map(repr, unknown))}; add them to "
                f"it or leave them out. It has {', '.join(words.findings)}."
            )
        return list(settings.findings_asked)
    asked = MIMIC_FINDINGS if without == NO_EXPERTS else PAPER_FINDINGS
    return [finding for finding in asked if finding in words.findings]


def _networks(model: UniChest, without: str) -> str:
    main, experts = model.ratios.tolist()
    if not experts:
        return f"the main network alone{f': {without}' if without else ''}"
    return f"{main:g} x the main network + {experts:g} x its {model.settings.experts} experts"


def _checkpoint(settings: OfficialSettings) -> Path:
    if settings.checkpoint is None:
        raise SettingsError(
            "official.checkpoint is not set: give the published file with "
            "--params=official.checkpoint=/path/best_valid.pt."
        )
    return settings.checkpoint
