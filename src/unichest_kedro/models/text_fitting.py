"""Fits a text encoder to the vocabulary in seconds: wordings of one finding close, different findings apart.

The loss is a supervised contrastive one against learned proxies (Movshovitz-Attias et al. 2017): two proxies
per finding, one for "present" and one for "absent", so that "no pleural effusion" does not lie on "pleural
effusion". A text of several findings is drawn to all its proxies alike, which places reports among what they
mention.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from unichest_kedro.models import torchvision_import  # noqa: F401  (must come before transformers)
from unichest_kedro.reports.markup import (
    ENT,
    HISTORICAL,
    NEGATED,
    SEP,
    UNCERTAIN,
    closed_text,
    entities_text,
    entity_phrase,
)

from transformers import BertTokenizer  # isort: skip

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", SEP, "[MASK]", ENT]
_ALPHABET = list("abcdefghijklmnopqrstuvwxyz0123456789")
# Counted this often beside the reports, each word of the vocabulary becomes a token of its own.
_WORDING_WEIGHT = 50
_MOST_ENTITIES = 8
Inputs = TypeVar("Inputs")


class Batch(NamedTuple):
    """Texts and what they say: `targets` float32 (B, 2F), rows sum to one; columns F to 2F mean "absent"."""

    texts: list[str]
    targets: torch.Tensor


class PhraseSampler:
    """Draws short texts about the vocabulary's findings, written as reports and label lists are written."""

    def __init__(self, synonyms: Mapping[str, Sequence[str]], prompts: Mapping[str, str] | None = None) -> None:
        """Collect each finding's wordings: its prompt if given, its name and its synonyms, lower case, each once."""
        self.findings = tuple(synonyms)
        self.wordings = [
            list(dict.fromkeys(word.lower() for word in ((prompts or {}).get(name, name), name, *synonyms[name])))
            for name in self.findings
        ]
        self._claims: dict[str, list[int]] = {}
        for number, words in enumerate(self.wordings):
            for word in words:
                self._claims.setdefault(word, []).append(number)

    @property
    def classes(self) -> int:
        """Number of proxies, two per finding."""
        return 2 * len(self.findings)

    def single(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw `size` texts of one wording each: bare, as an entity, or closed; three in ten say "absent"."""
        drawn = [self._draw(rng) for _ in range(size)]
        texts = [_written_alone(phrase, rng) for phrase, _ in drawn]
        return Batch(texts, self._targets([[column] for _, column in drawn]))

    def composed(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw `size` texts of several findings: report entities, or lists of present findings."""
        texts, columns = [], []
        for _ in range(size):
            count = int(rng.integers(2, _MOST_ENTITIES + 1))
            text, said = self._report(count, rng) if rng.random() < 0.5 else self._list(count, rng)
            texts.append(text)
            columns.append(said)
        return Batch(texts, self._targets(columns))

    def _draw(self, rng: np.random.Generator) -> tuple[str, list[int]]:
        """Draw a phrase and the proxies it belongs to: several where findings share the wording."""
        words = self.wordings[int(rng.integers(len(self.findings)))]
        word = words[int(rng.integers(len(words)))]
        fate = rng.random()
        phrase = entity_phrase(word, negated=fate < 0.3, uncertain=fate > 0.9)
        shift = len(self.findings) if fate < 0.3 else 0
        return phrase, [claimed + shift for claimed in self._claims[word]]

    def _report(self, count: int, rng: np.random.Generator) -> tuple[str, list[list[int]]]:
        drawn = [self._draw(rng) for _ in range(count)]
        cuts = sorted({0, *rng.integers(0, count, size=2).tolist(), count})
        sentences = [drawn[start:end] for start, end in pairwise(cuts)]
        text = " ".join(entities_text(phrase for phrase, _ in sentence) for sentence in sentences)
        return text, [columns for _, columns in drawn]

    def _list(self, count: int, rng: np.random.Generator) -> tuple[str, list[list[int]]]:
        size = min(count, len(self.findings))
        present = sorted(rng.choice(len(self.findings), size=size, replace=False).tolist())
        return closed_text(self.findings[number] for number in present), [[number] for number in present]

    def _targets(self, said: list[list[list[int]]]) -> torch.Tensor:
        targets = torch.zeros(len(said), self.classes)
        for row, phrases in enumerate(said):
            for columns in phrases:
                targets[row, columns] += 1.0 / (len(columns) * len(phrases))
        return targets


def fit_tokenizer(
    wordings: Iterable[str], corpus: Iterable[str], vocabulary_size: int, max_tokens: int
) -> BertTokenizer:
    """Fit a lower-case WordPiece tokenizer with the special tokens `SPECIAL_TOKENS` (ids 0 to 5).

    Args:
        wordings: phrases whose every word becomes one token.
        corpus: texts that the remaining tokens are fitted on.
        vocabulary_size: largest number of tokens.
        max_tokens: longest text in tokens, remembered by the tokenizer.
    """
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = list(_tokenizer_texts(wordings, corpus))
    letters = sorted({*_ALPHABET, *(letter for text in texts for letter in tokenizer.normalizer.normalize_str(text))})
    trainer = WordPieceTrainer(
        vocab_size=vocabulary_size,
        min_frequency=2,
        # Equally frequent pairs are merged in the order of their ids, and continuing letters get theirs in
        # the order of a randomised hash table; reserving them in advance makes the result the same in every
        # process.
        special_tokens=[*SPECIAL_TOKENS, *(f"##{letter}" for letter in letters if letter.isalnum())],
        initial_alphabet=letters,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return BertTokenizer(vocab=tokenizer.get_vocab(), additional_special_tokens=[ENT], model_max_length=max_tokens)


def fit(
    embed: Callable[[Inputs], torch.Tensor],
    batches: Iterable[tuple[Inputs, torch.Tensor]],
    parameters: Iterable[nn.Parameter],
    *,
    classes: int,
    width: int,
    steps: int,
    learning_rate: float,
    temperature: float,
    seed: int,
) -> list[float]:
    """Train `parameters` so that `embed(inputs)` lies near the proxies that its targets name.

    The loss is the cross-entropy between the targets and softmax(cosine / temperature) over the proxies;
    AdamW, gradients clipped to norm 1, linear warm-up, then a cosine rate that ends at zero.

    Args:
        embed: maps inputs to (B, width).
        batches: inputs and targets (B, classes); the first `steps` are used.
        parameters: what is trained beside the proxies.
        classes: number of proxies.
        width: D.
        steps: number of updates.
        learning_rate: the highest rate.
        temperature: of the softmax.
        seed: of the proxies' first values.

    Returns:
        The loss at each step.
    """
    generator = torch.Generator().manual_seed(seed)
    proxies = nn.Parameter(torch.randn(classes, width, generator=generator))
    trained = [*parameters, proxies]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
    losses = []
    for step, (inputs, targets) in enumerate(tqdm(batches, total=steps, desc="Fitting text encoder", unit="step")):
        optimizer.param_groups[0]["lr"] = learning_rate * _rate(step, steps)
        embedded = embed(inputs)
        directions = functional.normalize(proxies, dim=-1).to(embedded.device)
        logits = functional.normalize(embedded, dim=-1) @ directions.T / temperature
        loss = contrastive_loss(logits, targets.to(embedded.device))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def _rate(step: int, steps: int) -> float:
    """Share of the full learning rate: linear warm-up over the first tenth, then a cosine to zero."""
    warm_up = max(1, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def contrastive_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over all proxies, plus one between "present" and "absent" of each mentioned finding.

    The second term makes the encoder tie a "no" to the entity it belongs to, which the first, spread over all
    proxies, learns late.

    Args:
        logits: (B, 2F), the first F "present".
        targets: (B, 2F), rows sum to one.

    Returns:
        A scalar, each term averaged over its texts or mentions; a finding both present and absent is left out
        of the second term.
    """
    present, absent = targets.chunk(2, dim=1)
    margins = torch.sub(*logits.chunk(2, dim=1))
    stated = (present > 0) ^ (absent > 0)
    right = (present > 0).to(logits)
    polarity = functional.binary_cross_entropy_with_logits(margins[stated], right[stated], reduction="sum")
    return functional.cross_entropy(logits, targets) + polarity / stated.sum().clamp(min=1)


def alternate(sampler: PhraseSampler, steps: int, size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield `steps` batches, by turns of single phrases and of composed texts (half as many)."""
    for step in range(steps):
        yield sampler.composed(size // 2, rng) if step % 2 else sampler.single(size, rng)


def _tokenizer_texts(wordings: Iterable[str], corpus: Iterable[str]) -> Iterator[str]:
    for wording in (*wordings, NEGATED, UNCERTAIN, HISTORICAL):
        yield from [wording.lower()] * _WORDING_WEIGHT
    for text in corpus:
        yield text.replace(ENT, " ").replace(SEP, " ")


def _written_alone(phrase: str, rng: np.random.Generator) -> str:
    forms = (phrase, entities_text([phrase]), closed_text([phrase]))
    return forms[int(rng.integers(len(forms)))]
