"""The text encoder: a transformers encoder, its pooled output through Linear - GELU - Linear; always frozen.

Two ways to have one (`build_text_encoder`): by hub name or folder, or the embedded default, a small BERT made
from the vocabulary and the reports at hand, which needs no download.

A named encoder is taken as it is, and a projection that it lacks is fitted on the findings' names and synonyms: no
prompt changes either, so a changed prompt is one text to read. The embedded encoder is fitted on all wordings,
prompts included, and made anew when one changes.
"""

import copy
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm import tqdm

from unichest_kedro.errors import SettingsError
from unichest_kedro.models import torchvision_import  # noqa: F401  (must come before transformers)
from unichest_kedro.models.device import pick_device
from unichest_kedro.models.text_cache import PooledBatch, TextCache
from unichest_kedro.models.text_fitting import PhraseSampler, alternate, fit, fit_tokenizer
from unichest_kedro.reports.markup import ENT, SEP

from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig, BertModel  # isort: skip
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase  # isort: skip
from transformers.models.auto.modeling_auto import (  # isort: skip
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)
from transformers.utils import cached_file  # isort: skip

PROJECTION_FILE = "projection.safetensors"
_WAVE_HEIGHT = 0.05
_BANK_BATCHES = 16
_ALLOWED_KINDS = "an encoder (BERT, RoBERTa, DistilBERT, DeBERTa, ModernBERT, MPNet, ...)"
# Of a configuration: where it came from and who wrote it, on which no output depends.
_PROVENANCE = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
_LOAD_ERRORS = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError)


class TextEncoderSettings(BaseModel):
    """Which text encoder, and for the embedded default its size and fitting.

    `name` is a hub name or a folder; None asks for the embedded default, whose `width` must be the model's D.
    `steps`, `learning_rate` and `temperature` are those of the fitting (`text_fitting.fit`). `cache_gib` bounds the
    cache of what was read (`text_cache.TextCache`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(default=None, min_length=1)
    allow_download: bool = False
    max_tokens: int = Field(default=256, ge=8)
    batch_size: int = Field(default=64, ge=1)
    device: Literal["auto", "cpu"] = "auto"
    cache_gib: float = Field(default=4.0, gt=0)
    width: int = Field(default=128, ge=8)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=2, ge=1)
    feed_forward: int = Field(default=512, ge=8)
    vocabulary_size: int = Field(default=2000, ge=100)
    tokenizer_texts: int = Field(default=20_000, ge=0)
    steps: int = Field(default=250, ge=1)
    fitting_batch: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    temperature: float = Field(default=0.1, gt=0)

    @model_validator(mode="after")
    def _width_divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width is {self.width}; allowed are multiples of heads, which is {self.heads}")
        return self


class TextEncoder(nn.Module):
    """Maps texts to vectors of `width` numbers. Frozen: no gradients, eval mode whatever `train` is told."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        projection: nn.Sequential | None,
        seed: int,
    ) -> None:
        """Join the parts.

        Args:
            model: a transformers encoder; its token table is enlarged by `[ENT]` where the tokenizer lacks
                it.
            tokenizer: the model's own.
            projection: Linear - GELU - Linear of the model's width; None makes a new one.
            seed: of the new projection's first values.
        """
        super().__init__()
        self.tokenizer = tokenizer
        self.model = model
        _add_entity_token(model, tokenizer)
        self.projection_is_new = projection is None
        self.projection = _new_projection(self.width, seed) if projection is None else projection
        self.requires_grad_(False)
        self.eval()

    @property
    def width(self) -> int:
        """D, the encoder's hidden size and the embeddings' length."""
        return self.model.config.hidden_size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.projection[0].weight.device

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: frozen means that dropout is off too."""
        return super().train(False)

    @property
    def longest(self) -> int:
        """Tokens that the model can read at once, by its tokenizer's word and by its table of positions."""
        limit = self.tokenizer.model_max_length
        positions = getattr(self.model.config, "max_position_embeddings", None) or 0
        return min(limit, positions - _positions_before_the_first(self.model)) if positions > 0 else limit

    def pool(self, texts: Sequence[str], max_tokens: int) -> torch.Tensor:
        """Encode one batch up to the projection: float32 (B, D), the pooler's output or the first token's.

        Texts are padded to the longest of the batch and cut at `max_tokens`, or at the model's own limit.
        """
        separator = self.tokenizer.sep_token or " "
        tokens = self.tokenizer(
            [text.replace(SEP, separator) for text in texts],
            padding=True,
            truncation=True,
            max_length=min(max_tokens, self.longest),
            return_tensors="pt",
        ).to(self.device)
        output = self.model(**tokens)
        pooled = getattr(output, "pooler_output", None)
        return output.last_hidden_state[:, 0] if pooled is None else pooled

    def forward(self, texts: Sequence[str], max_tokens: int = 256) -> torch.Tensor:
        """Encode one batch of texts to float32 (B, D)."""
        return self.projection(self.pool(texts, max_tokens))

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 64,
        max_tokens: int = 256,
        device: str | torch.device | None = None,
        progress: bool = True,
    ) -> np.ndarray:
        """Encode many texts, longest first so that a batch is padded little; the order of `texts` is kept.

        Args:
            texts: N texts; `[ENT]` and `[SEP]` in them are read as single tokens.
            batch_size: texts per batch.
            max_tokens: a longer text is cut.
            device: where to compute; the module stays there. None: where it is.
            progress: whether to show the bar.

        Returns:
            float32 (N, D).
        """
        if device is not None:
            self.to(device)
        texts = list(texts)
        embeddings = np.zeros((len(texts), self.width), dtype=np.float32)
        batches = self.pool_in_batches(texts, batch_size=batch_size, max_tokens=max_tokens, progress=progress)
        for places, pooled in batches:
            embeddings[places] = self.project(pooled)
        return embeddings

    def pool_in_batches(
        self, texts: Sequence[str], *, batch_size: int, max_tokens: int, progress: bool = True
    ) -> Iterator[PooledBatch]:
        """Encode many texts up to the projection, longest first, and yield them batch by batch."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]), reverse=True)
        with tqdm(total=len(texts), desc="Embedding texts", unit="text", disable=not progress) as bar:
            for start in range(0, len(order), batch_size):
                places = order[start : start + batch_size]
                with torch.inference_mode():
                    pooled = self.pool([texts[place] for place in places], max_tokens)
                yield PooledBatch(places, pooled.float().cpu().numpy())
                bar.update(len(places))

    def project(self, pooled: np.ndarray) -> np.ndarray:
        """Map pooled outputs to embeddings: float32 (N, D) to float32 (N, D).

        Computed in float64: pooled outputs differ little from their mean, which the projection takes off, and in
        float32 a processor's last digits would then depend on how many texts are mapped at once.
        """
        projection = copy.deepcopy(self.projection).double()
        with torch.inference_mode():
            pooled64 = torch.tensor(pooled, device=self.device, dtype=torch.float64)
            return projection(pooled64).float().cpu().numpy()

    def embed(
        self, texts: Sequence[str], cache: Path, settings: TextEncoderSettings, progress: bool = True
    ) -> np.ndarray:
        """Encode many texts, reading only those that this encoder has not read before.

        Args:
            texts: N texts.
            cache: folder of what was read (`TextCache`); the module's device becomes that of the settings.
            settings: batch size, largest number of tokens, device, and the cache's limit.
            progress: whether to show the bar.

        Returns:
            float32 (N, D), memory-mapped where it is large.
        """
        return self._collect(texts, cache, settings, self.project, progress)

    def embed_pooled(
        self, texts: Sequence[str], cache: Path, settings: TextEncoderSettings, progress: bool = True
    ) -> np.ndarray:
        """Like `embed`, up to the projection."""
        return self._collect(texts, cache, settings, lambda pooled: pooled, progress)

    def _collect(
        self,
        texts: Sequence[str],
        cache: Path,
        settings: TextEncoderSettings,
        transform: Callable[[np.ndarray], np.ndarray],
        progress: bool,
    ) -> np.ndarray:
        self.to(pick_device(settings.device))
        return TextCache(cache, settings.cache_gib).collect(
            self,
            texts,
            batch_size=settings.batch_size,
            max_tokens=settings.max_tokens,
            transform=transform,
            progress=progress,
        )

    def fingerprint(self) -> str:
        """Hash everything that an embedding depends on: weights and tokenizer; sha256, 64 hex digits."""
        return _digest_of(self.state_dict(), _tokenizer_state(self.tokenizer))

    def pooling_fingerprint(self, max_tokens: int) -> str:
        """Hash everything that a pooled output depends on beside the text: all but the projection."""
        config = {name: value for name, value in self.model.config.to_dict().items() if name not in _PROVENANCE}
        about = json.dumps(config, sort_keys=True, default=str)
        cut = f"cut at {min(max_tokens, self.longest)} tokens"
        return _digest_of(self.model.state_dict(), _tokenizer_state(self.tokenizer), about, cut)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write model, tokenizer and `projection.safetensors` into a folder that `from_pretrained` reads."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.projection.state_dict().items()}
        save_file(weights, folder / PROJECTION_FILE)

    @classmethod
    def from_pretrained(cls, name_or_folder: Path | str, *, allow_download: bool = False, seed: int = 0) -> Self:
        """Load from a folder, or by hub name from the local cache (from the hub with `allow_download`).

        Without `projection.safetensors` the projection is new (`projection_is_new`), seeded, and to be
        fitted. Nothing is executed that comes with the weights.

        Raises:
            SettingsError: if there is no such folder or cached model, it is not a whole text encoder, or it is a
                model of another kind (one that writes text).
        """
        name = _checked_name(name_or_folder, allow_download)
        local = {"local_files_only": not allow_download}
        try:
            _check_kind(name, AutoConfig.from_pretrained(name, **local))
            tokenizer = AutoTokenizer.from_pretrained(name, **local)
            model = _load_model(name, seed, local)
            path = cached_file(name, PROJECTION_FILE, _raise_exceptions_for_missing_entries=False, **local)
            projection = None if path is None else _load_projection(Path(path), model.config.hidden_size)
        except _LOAD_ERRORS as error:
            raise SettingsError(_load_message(name, allow_download, error)) from error
        try:
            encoder = cls(model, tokenizer, projection, seed)
            # One word is read, so that what cannot be used as a text encoder is refused at once, by name.
            shape = tuple(encoder(["normal"], max_tokens=8).shape)
        except Exception as error:
            raise SettingsError(
                _kind_message(name, model.config, f"cannot read a text: {_first_line(error)}")
            ) from error
        if shape != (1, encoder.width):
            what = f"gives an output of shape {shape} for a text, not (1, {encoder.width})"
            raise SettingsError(_kind_message(name, model.config, what))
        return encoder


def build_text_encoder(
    synonyms: Mapping[str, Sequence[str]],
    prompts: Mapping[str, str],
    corpus: Iterable[str],
    settings: TextEncoderSettings,
    seed: int,
    *,
    model_width: int | None = None,
    cache: Path | None = None,
) -> TextEncoder:
    """Load the encoder that `settings.name` asks for, or build the embedded one; fit what is new.

    Args:
        synonyms: finding to its synonyms, in the vocabulary's order.
        prompts: finding to its prompt; only the embedded encoder is fitted on them.
        corpus: training texts, for the embedded encoder's tokenizer.
        settings: see `TextEncoderSettings`.
        seed: of every random choice.
        model_width: D of the model that the embeddings are for; None does not check it.
        cache: folder where what a named encoder read is kept (`TextCache`); None keeps nothing.

    Raises:
        SettingsError: if `settings.name` cannot be loaded, or the encoder's width is not the model's.
    """
    if settings.name is None:
        _check_width("the embedded text encoder", settings.width, model_width)
        return build_embedded_text_encoder(synonyms, prompts, corpus, settings, seed)
    encoder = TextEncoder.from_pretrained(settings.name, allow_download=settings.allow_download, seed=seed)
    _check_width(f"text encoder '{settings.name}'", encoder.width, model_width)
    if encoder.projection_is_new:
        _fit_projection(encoder, PhraseSampler(synonyms), settings, seed, cache)
    return encoder


def check_text_encoder(settings: TextEncoderSettings, model_width: int) -> None:
    """Check in a moment, before there is any text, that the encoder can be found and fits the model.

    Args:
        settings: which encoder.
        model_width: D of the model that the embeddings are for.

    Raises:
        SettingsError: there is no such folder or cached model, it is one that writes text, or it has another width.
    """
    if settings.name is None:
        _check_width("the embedded text encoder", settings.width, model_width)
        return
    name = _checked_name(settings.name, settings.allow_download)
    try:
        config = AutoConfig.from_pretrained(name, local_files_only=not settings.allow_download)
    except _LOAD_ERRORS as error:
        raise SettingsError(_load_message(name, settings.allow_download, error)) from error
    _check_kind(name, config)
    _check_width(f"text encoder '{settings.name}'", config.hidden_size, model_width)


def build_embedded_text_encoder(
    synonyms: Mapping[str, Sequence[str]],
    prompts: Mapping[str, str],
    corpus: Iterable[str],
    settings: TextEncoderSettings,
    seed: int,
) -> TextEncoder:
    """Make a small BERT with a tokenizer of its own and fit both; see `build_text_encoder`."""
    sampler = PhraseSampler(synonyms, prompts)
    wordings = [word for words in sampler.wordings for word in words]
    texts = islice(corpus, settings.tokenizer_texts)
    tokenizer = fit_tokenizer(wordings, texts, settings.vocabulary_size, settings.max_tokens)
    encoder = TextEncoder(_new_bert(len(tokenizer), settings, seed), tokenizer, None, seed)
    batches = alternate(sampler, settings.steps, settings.fitting_batch, np.random.default_rng(seed))
    arguments = _fit_arguments(sampler, encoder.width, settings, seed)
    encoder.requires_grad_(True)
    with _one_thread():
        fit(lambda texts: encoder(texts, settings.max_tokens), batches, encoder.parameters(), **arguments)
    encoder.requires_grad_(False)
    encoder.projection_is_new = False
    return encoder


def _check_width(what: str, width: int, model_width: int | None) -> None:
    if model_width is not None and width != model_width:
        whose = "text_encoder.width" if what.startswith("the embedded") else "another encoder"
        raise SettingsError(
            f"model.width is {model_width}, but {what} gives vectors of {width} numbers: set `model.width: {width}` "
            f"(a multiple of `model.heads`), or choose {whose} to fit."
        )


def _fit_projection(
    encoder: TextEncoder, sampler: PhraseSampler, settings: TextEncoderSettings, seed: int, cache: Path | None
) -> None:
    """Fit the projection alone, on the pooled outputs of a few batches that the encoder reads once.

    Pooled outputs of trained encoders differ little from their mean; the fit sees them standardised, and the
    first Linear takes the standardisation over afterwards.
    """
    rng = np.random.default_rng(seed)
    drawn = list(alternate(sampler, _BANK_BATCHES, settings.fitting_batch, rng))
    pooled = _pooled_phrases(encoder, [text for batch in drawn for text in batch.texts], settings, cache)
    deviation, mean = torch.std_mean(pooled, dim=0)
    deviation = deviation.clamp(min=1e-6)
    parts = ((pooled - mean) / deviation).split([len(batch.texts) for batch in drawn])
    bank = [(part, batch.targets) for part, batch in zip(parts, drawn, strict=True)]
    batches = (bank[step % len(bank)] for step in range(settings.steps))
    encoder.projection.requires_grad_(True)
    arguments = _fit_arguments(sampler, encoder.width, settings, seed)
    with _one_thread():
        fit(encoder.projection, batches, encoder.projection.parameters(), **arguments)
    encoder.projection.requires_grad_(False)
    first = encoder.projection[0]
    first.weight /= deviation
    first.bias -= first.weight @ mean
    encoder.projection_is_new = False


def _pooled_phrases(
    encoder: TextEncoder, phrases: list[str], settings: TextEncoderSettings, cache: Path | None
) -> torch.Tensor:
    """Read phrases, or find them in the cache: float32 (N, D), on the encoder's device."""
    with nullcontext(cache) if cache is not None else TemporaryDirectory() as folder:
        pooled = encoder.embed_pooled(phrases, Path(folder), settings)
    return torch.from_numpy(pooled).to(encoder.device)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: more slow matrices this small, and would let the cores decide the sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fit_arguments(sampler: PhraseSampler, width: int, settings: TextEncoderSettings, seed: int) -> dict[str, Any]:
    return {
        "classes": sampler.classes,
        "width": width,
        "steps": settings.steps,
        "learning_rate": settings.learning_rate,
        "temperature": settings.temperature,
        "seed": seed,
    }


def _new_bert(tokens: int, settings: TextEncoderSettings, seed: int) -> BertModel:
    """Make a BERT without dropout, which needs no random numbers after its first values."""
    config = BertConfig(
        vocab_size=tokens,
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.feed_forward,
        max_position_embeddings=settings.max_tokens,
        # BERT's own deviation at its own width; narrower layers need larger weights to pass on as much.
        initializer_range=0.02 * math.sqrt(768 / settings.width),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config)
    # Waves instead of noise: fitting is too short to learn from noise that a "no" belongs to the next word.
    waves = _position_waves(settings.max_tokens, settings.width)
    model.embeddings.position_embeddings.weight.data.copy_(_WAVE_HEIGHT * waves)
    return model


def _position_waves(positions: int, width: int) -> torch.Tensor:
    """Sines and cosines at wavelengths 2 pi to 20,000 pi (Vaswani et al. 2017): (positions, width)."""
    frequencies = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(positions)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]


def _new_projection(width: int, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))


def _load_model(name: str, seed: int, local: dict[str, bool]) -> PreTrainedModel:
    """Load the weights; a pooler that the checkpoint lacks is taken off: the first token stands in."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, report = AutoModel.from_pretrained(name, output_loading_info=True, dtype=torch.float32, **local)
    missing = {key for key in report["missing_keys"] if not key.startswith("pooler.")}
    if missing:
        raise ValueError(f"weights are missing: {', '.join(sorted(missing)[:3])}")
    if report["missing_keys"]:
        model.pooler = None
    return model


def _load_projection(path: Path, width: int) -> nn.Sequential:
    projection = _new_projection(width, seed=0)
    projection.load_state_dict(load_file(path))
    return projection


def _add_entity_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Teach the tokenizer `[ENT]` where it lacks it; the new token starts as the mean of all others."""
    if ENT in tokenizer.get_vocab():
        return
    tokenizer.add_special_tokens({"additional_special_tokens": [ENT]}, replace_extra_special_tokens=False)
    known = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) <= known:
        return
    mean = model.get_input_embeddings().weight.detach().mean(dim=0)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        table = model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        table.weight[known:] = mean


def _digest_of(weights: Mapping[str, torch.Tensor], *texts: str) -> str:
    """Hash weights, with their names, types and shapes, and texts; sha256, 64 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.view(torch.uint8).numpy() if array.ndim else array.numpy().tobytes())
    for text in texts:
        digest.update(text.encode())
    return digest.hexdigest()


def _positions_before_the_first(model: PreTrainedModel) -> int:
    """Count the rows of the position table that no token takes: RoBERTa's kin number theirs after the padding's."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return 0 if module.padding_idx is None else module.padding_idx + 1
    return 0


def _tokenizer_state(tokenizer: PreTrainedTokenizerBase) -> str:
    """Serialise a tokenizer without the padding and truncation that the last call left behind."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state = {"vocab": tokenizer.get_vocab()} if backend is None else json.loads(backend.to_str())
    kept = {key: value for key, value in state.items() if key not in ("padding", "truncation")}
    return json.dumps(kept, sort_keys=True)


def _checked_name(name_or_folder: Path | str, allow_download: bool) -> str:
    """Return a folder's path or a hub name; a path that is no folder is refused before the hub is asked."""
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return str(folder)
    looks_like_path = isinstance(name_or_folder, Path) or folder.is_absolute() or str(name_or_folder)[:1] in ".~"
    if looks_like_path or len(folder.parts) > 2:
        raise SettingsError(f"Text encoder '{name_or_folder}': there is no such folder. Check `text_encoder.name`.")
    return str(name_or_folder)


def _check_kind(name: str, config: PretrainedConfig) -> None:
    """Refuse models that write text: their outputs are made to foretell the next word, not to stand for a text."""
    kind = config.model_type
    encodes = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if config.is_encoder_decoder or (kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES and not encodes):
        what = "has an encoder and a decoder"
    elif getattr(config, "is_decoder", False) or (kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not encodes):
        what = "is a decoder"
    else:
        return
    raise SettingsError(_kind_message(name, config, what))


def _kind_message(name: str, config: PretrainedConfig, what: str) -> str:
    return f"Text encoder '{name}' ({config.model_type}) {what}. Choose {_ALLOWED_KINDS} as `text_encoder.name`."


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _load_message(name: str, allow_download: bool, error: Exception) -> str:
    reason = _first_line(error)
    if Path(name).is_dir():
        return (
            f"Text encoder '{name}': the folder is not a whole transformers encoder with its tokenizer "
            f"({reason}). Give a folder that `save_pretrained` wrote as `text_encoder.name`."
        )
    if allow_download:
        return f"Text encoder '{name}' can be loaded neither from the cache nor from the hub ({reason})."
    return (
        f"Text encoder '{name}' is neither a folder nor a model in the local Hugging Face cache. Correct "
        "`text_encoder.name`, or set `text_encoder.allow_download: true` to fetch it from the hub."
    )
