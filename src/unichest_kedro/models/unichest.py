"""The whole model: image encoder, mixture of query networks, temperature, and the findings it knows."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from unichest_kedro.errors import MissingArtefact, SettingsError
from unichest_kedro.models.image_encoder import ImageEncoder, ImageFeatures, check_backbone
from unichest_kedro.models.mixture import GATE_EMBEDDING, GateInput, MixtureOutput, QueryMixture
from unichest_kedro.models.official import PAPER_HEADS, OfficialCheckpoint, Source, load_image_encoder
from unichest_kedro.models.query_network import check_heads

if TYPE_CHECKING:
    import pandas as pd

    from unichest_kedro.prediction.reading import Picture
    from unichest_kedro.prediction.settings import Precision

WEIGHTS_FILE = "model.safetensors"
VOCABULARY_FILE = "vocabulary.yml"
CARD_FILE = "README.md"
FACTS_FILE = "facts.json"
INITIAL_TEMPERATURE = 0.07
LARGEST_SCALE = 100.0
"""Upper limit of `exp(logit_scale)`, as in CLIP."""

CARD_TEMPLATE = """---
{{ card_data }}
---

# UniChest chest X-ray model

Probabilities of findings in chest X-rays. For research use only; not a medical device.
{% for name, value in facts.items() %}
* **{{ name }}**: {{ value }}
{%- endfor %}

Load it with `UniChest.from_pretrained(folder)`; the method is UniChest (Dai et al., IEEE TMI 43(8), 2024).
"""


class ModelSettings(BaseModel):
    """Shape of the model. The defaults are the paper's.

    `backbone_options` are what timm is to build otherwise than the backbone's name says. `channels_last` changes the
    order of the backbone's maps in memory, not the weights: it is a matter of speed. `gate_temperature` and
    `gate_input` depart from the paper (docs/ablations.md).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str = "resnet50"
    backbone_options: dict[str, bool | int | float | str | list[int]] = Field(default_factory=dict)
    pretrained: bool = False
    reduction: Literal[4, 8, 16, 32] | None = None
    image_size: int = Field(default=512, ge=32)
    width: int = Field(default=768, ge=1)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    feedforward: int = Field(default=1024, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    experts: int = Field(default=3, ge=1)
    gate_embedding: int = Field(default=GATE_EMBEDDING, ge=1)
    gate_temperature: float = Field(default=1.0, gt=0)
    gate_input: GateInput = "pooled"
    lam_fine: float = 1.0
    lam_global: float = 0.4
    channels_last: bool = True

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, name: str) -> str:
        try:
            check_backbone(name)
        except SettingsError as error:
            raise ValueError(str(error)) from error
        return name

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by heads {self.heads}")
        return self


class UniChestOutput(NamedTuple):
    """Outputs of one batch.

    Attributes:
        image: What the mixture says about the images.
        text: What it says about the texts (T rows, those given), or None without texts.
        pooled: (B,D), pooled image features before any normalisation.
        logit_scale: Scalar, the logarithm of the contrastive loss's inverse temperature.
    """

    image: MixtureOutput
    text: MixtureOutput | None
    pooled: Tensor
    logit_scale: Tensor


def _encode_settings(settings: ModelSettings) -> dict[str, Any]:
    # A saved model brings its own weights: rebuilding it must not download the backbone's.
    return settings.model_dump() | {"pretrained": False}


class UniChest(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="unichest_kedro",
    license="apache-2.0",
    pipeline_tag="image-classification",
    tags=["chest-x-ray"],
    model_card_template=CARD_TEMPLATE,
    coders={ModelSettings: (_encode_settings, ModelSettings.model_validate)},
):
    """UniChest (docs/method.md, section 2), with the text embeddings of the findings it knows.

    Args:
        settings: Shape of the model.
        findings: Names of the F findings that can be asked for without a text encoder.
        finding_embeddings: Their text embeddings (F,D); zeros where weights are loaded afterwards.

    Raises:
        SettingsError: the embeddings do not fit the names or the model's width.

    Attributes:
        facts: What is known of the model, name to value as JSON has it: all in `facts.json`, the texts among them in
            the model card. Set it before saving.
        vocabulary: Text of the vocabulary file that the findings come from. Set it before saving.
        folder: The model folder it was loaded from, None for none.
    """

    finding_embeddings: Tensor
    ratios: Tensor

    def __init__(
        self,
        settings: ModelSettings,
        findings: Sequence[str] = (),
        finding_embeddings: Tensor | np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.findings = tuple(findings)
        self.facts: dict[str, Any] = {}
        self.vocabulary = ""
        self.folder: Path | None = None
        s = settings
        self.image_encoder = ImageEncoder(
            s.backbone, s.width, s.pretrained, s.image_size, s.reduction, s.backbone_options, s.channels_last
        )
        self.mixture = QueryMixture(
            s.width,
            s.layers,
            s.heads,
            s.feedforward,
            s.dropout,
            s.experts,
            s.lam_fine,
            s.lam_global,
            s.gate_embedding,
            s.gate_temperature,
            s.gate_input,
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / INITIAL_TEMPERATURE)))
        self.register_buffer("finding_embeddings", self._checked(finding_embeddings))
        self.register_buffer("ratios", torch.tensor([1.0, 0.0]))

    def forward(
        self,
        images: Tensor,
        queries: Tensor,
        main_ratio: float | None = None,
        expert_ratio: float | None = None,
        texts: Tensor | None = None,
        gate_override: Tensor | None = None,
        need_attention: bool = False,
    ) -> UniChestOutput:
        """Asks queries about images and, in the text branch, about texts.

        Args:
            images: uint8 (B,1,H,W), or float in [0, 1].
            queries: (Q,D), text embeddings of the findings asked about, or (B,Q,D), with texts (B+T,Q,D), where each
                row is asked in its own words.
            main_ratio: Weight of the main network; None for the model's own `ratios`.
            expert_ratio: Weight of the experts; None for the model's own `ratios`.
            texts: (T,D), text embeddings that stand in as a single patch each.
            gate_override: (B,K), used in place of the gate for the images, or (B+T,K), for the texts as well.
            need_attention: Whether to return the main network's attention over the image patches.
        """
        own = self.ratios.tolist() if main_ratio is None or expert_ratio is None else (0.0, 0.0)
        ratios = {
            "main_ratio": own[0] if main_ratio is None else main_ratio,
            "expert_ratio": own[1] if expert_ratio is None else expert_ratio,
        }
        patches, pooled = self.encode_images(images)
        answers = self.mixture(
            patches, queries, texts=texts, gate_override=gate_override, need_attention=need_attention, **ratios
        )
        image, text = (answers, None) if texts is None else answers.split(len(patches))
        return UniChestOutput(image, text, pooled, self.logit_scale)

    def encode_images(self, images: Tensor) -> ImageFeatures:
        """Encodes uint8 (B,1,H,W), or float in [0, 1], to patches (B,P,D) and their mean (B,D)."""
        if images.dtype == torch.uint8:
            images = images.to(self.logit_scale.dtype) / 255
        return self.image_encoder(images)

    def queries_for(self, findings: Sequence[str]) -> Tensor:
        """Text embeddings (Q,D) of known findings.

        Raises:
            SettingsError: a finding is not one of those the model knows.
        """
        unknown = [finding for finding in findings if finding not in self.findings]
        if unknown:
            raise SettingsError(
                f"findings: the model does not know {', '.join(map(repr, unknown))}; it knows "
                f"{', '.join(self.findings) or 'none'}. Other findings need the text encoder"
            )
        rows = [self.findings.index(finding) for finding in findings]
        return self.finding_embeddings[rows]

    @torch.no_grad()
    def predict_probabilities(self, images: Tensor, findings: Sequence[str]) -> Tensor:
        """Probabilities (B,Q) of known findings, in evaluation mode and with the model's own `ratios`.

        Args:
            images: uint8 (B,1,H,W), or float in [0, 1], of the model's `settings.image_size`.
            findings: Names of Q findings.

        Raises:
            SettingsError: a finding is not one of those the model knows.
        """
        was_training = self.training
        self.eval()
        try:
            return self(images, self.queries_for(findings)).image.probabilities
        finally:
            self.train(was_training)

    def predict(
        self,
        images: "Picture | Sequence[Picture]",
        findings: str | Sequence[str] | None = None,
        *,
        batch_size: int = 8,
        answer_anyway: bool = False,
        precision: "Precision" = "auto",
        together: bool = True,
    ) -> "pd.DataFrame":
        """Asks any pictures about any findings, and says which of them are no frontal chest films.

        Films are prepared as for evaluation, so that their answers are those of `kedro run --pipeline=predict`. For
        many films use that: it streams, and goes on after a stop.

        Args:
            images: A path, Pillow picture, array or pydicom dataset, a list of them (of any kinds and sizes), or a
                folder. Arrays: (H,W), uint8 from 0 black to 255 white, other whole numbers from their lowest to their
                highest, or floats from 0 to 1; (H,W,3) uint8 or floats from 0 to 1.
            findings: Names or synonyms of findings that the model knows, or any words, for which the model folder must
                hold a text encoder. None for those asked in training.
            batch_size: Pictures per forward pass.
            answer_anyway: Whether a picture with a warning keeps its answers.
            precision: "float32" for exactly evaluation's answers; "bfloat16", or "auto" where the processor has units
                for it, is faster and differs by 0.01 at most.
            together: Whether to ask in the company of all that was asked in training, so that an answer does not depend
                on what else is asked; False asks nothing but `findings`, as evaluation asks those of a benchmark.

        Returns:
            One row per picture and finding, in the order given (schema `prediction.table.Predictions`): `film` (path,
            or "image 0", ...), `path`, `finding`, `asked_as`, `probability`, `calibrated` and `threshold` (0 to 1),
            `above`, `trained`, `expert_1` ... `expert_K` (weights, sum one) and `warning`. A picture that cannot be
            read has rows without numbers, whose warning says why.

        Raises:
            SettingsError: a finding is unknown and the folder has no text encoder, or there is no picture.
        """
        from unichest_kedro.prediction.in_memory import predict  # prediction is built on models, not the reverse

        options = {"batch_size": batch_size, "answer_anyway": answer_anyway, "precision": precision}
        return predict(self, images, findings, together=together, **options)

    def set_ratios(self, main_ratio: float, expert_ratio: float) -> None:
        """Sets how inference mixes main network and experts: Conquer (1, 0), Divide (0.5, 0.5)."""
        self.ratios.copy_(torch.tensor([main_ratio, expert_ratio]))

    @torch.no_grad()
    def clamp_logit_scale(self) -> None:
        """Keeps the contrastive temperature at 0.01 or above, as CLIP does after each step."""
        self.logit_scale.clamp_(max=math.log(LARGEST_SCALE))

    def fingerprint(self) -> str:
        """SHA-256 over names, types, shapes and bytes of all weights and buffers."""
        digest = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @classmethod
    def from_pretrained(cls, folder_or_id: str | Path, **options: Any) -> Self:
        """Loads a model folder, or one from the Hugging Face hub, in evaluation mode. No code is executed.

        Args:
            folder_or_id: Folder, or a hub id such as `user/model`. A `Path`, or a text of more parts, is a folder.
            options: Options of `PyTorchModelHubMixin.from_pretrained`, such as `revision` or `cache_dir`.

        Raises:
            MissingArtefact: the folder or one of its files is not there, or does not fit the settings in it.
        """
        folder = Path(folder_or_id)
        is_no_id = isinstance(folder_or_id, Path) or folder.is_absolute() or len(folder.parts) > 2
        if not folder.is_dir() and is_no_id:
            raise MissingArtefact(
                f"{folder}: there is no model folder here; train or import a model, or correct the path"
            )
        if folder.is_dir() and not (folder / "config.json").is_file():
            raise MissingArtefact(f"{folder}: config.json is missing, so this is not a model folder")
        return super().from_pretrained(folder_or_id, **options)

    @classmethod
    def from_official(
        cls,
        source: Source | OfficialCheckpoint,
        findings: Sequence[str] = (),
        finding_embeddings: Tensor | np.ndarray | None = None,
        *,
        heads: int = PAPER_HEADS,
        dropout: float = 0.1,
        lam: tuple[float, float] | None = None,
        image_size: int | None = None,
        main_ratio: float | None = None,
        expert_ratio: float | None = None,
    ) -> Self:
        """Reads a checkpoint of the published code (docs/method.md, section 7), in evaluation mode.

        Nothing in the file is executed; sizes are read from its tensors. Optimiser and schedule are left out. The
        text encoder is checked where it is there, and loaded by `official_text.official_text_encoder`: it needs a
        tokenizer.

        Args:
            source: The file, such as `best_valid.pt`, its loaded content, or the checkpoint that was read already.
            findings: Names of the findings that can be asked for without a text encoder.
            finding_embeddings: Their text embeddings (F,D), of the checkpoint's own text encoder.
            heads: Attention heads of the query networks, which the tensors do not show.
            dropout: For training on.
            lam: Weights of the fine and the global attention; None for the checkpoint's `config`, or (1.0, 0.4).
            image_size: Side of the images in pixels; None for the checkpoint's `config`, or 512.
            main_ratio: Weight of the main network: Divide and evaluation 0.5, Conquer 1. None for Conquer's where the
                checkpoint has no experts or they were never trained, else for Divide's.
            expert_ratio: Weight of the experts: Divide and evaluation 0.5, Conquer 0. None as above.

        Raises:
            CheckpointError: the file cannot be read safely, or is not as published; every problem is named.
            SettingsError: the width is not divisible by `heads`, or the embeddings do not fit.
        """
        checkpoint = source if isinstance(source, OfficialCheckpoint) else OfficialCheckpoint(source)
        readings = checkpoint.sections(required=("model", "image_encoder"))
        query_networks, images = readings["model"], readings["image_encoder"]
        lam_fine, lam_global = lam or checkpoint.lam
        check_heads(query_networks.sizes["width"], heads)
        settings = ModelSettings(
            **query_networks.sizes,
            backbone=images.sizes["backbone"],
            backbone_options=images.sizes["options"],
            image_size=image_size or checkpoint.image_size,
            heads=heads,
            dropout=dropout,
            lam_fine=lam_fine,
            lam_global=lam_global,
        )
        with torch.random.fork_rng():
            model = cls(settings=settings, findings=tuple(findings), finding_embeddings=finding_embeddings)
        model.mixture.load_state_dict(query_networks.state)
        load_image_encoder(model.image_encoder, images)
        main, experts = (1.0, 0.0) if query_networks.without else (0.5, 0.5)
        model.set_ratios(main if main_ratio is None else main_ratio, experts if expert_ratio is None else expert_ratio)
        return model.eval()

    def generate_model_card(self, *args: Any, **options: Any) -> ModelCard:
        """The model card, from the `facts` the caller has set."""
        facts = {name: value for name, value in self.facts.items() if isinstance(value, str)}
        return super().generate_model_card(*args, **({"facts": facts} | options))

    def _checked(self, embeddings: Tensor | np.ndarray | None) -> Tensor:
        shape = (len(self.findings), self.settings.width)
        if embeddings is None:
            return torch.zeros(shape)
        values = torch.as_tensor(np.array(embeddings), dtype=torch.float32)
        if tuple(values.shape) != shape:
            raise SettingsError(
                f"finding_embeddings: shape {tuple(values.shape)} does not fit {shape[0]} findings and a "
                f"model of width {shape[1]}; the text encoder's width must be the model's width"
            )
        return values

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(self, str(save_directory / WEIGHTS_FILE))
        (save_directory / VOCABULARY_FILE).write_text(self.vocabulary, encoding="utf-8")
        facts = json.dumps(self.facts, indent=1, ensure_ascii=False)
        (save_directory / FACTS_FILE).write_text(facts, encoding="utf-8")
        self.generate_model_card().save(save_directory / CARD_FILE)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        map_location: str = "cpu",
        strict: bool = True,
        settings: ModelSettings,
        findings: Sequence[str] = (),
        finding_embeddings: None = None,
        **hub_options: Any,
    ) -> Self:
        model = cls(settings=settings, findings=findings)
        weights = _fetch(model_id, WEIGHTS_FILE, hub_options)
        try:
            load_model(model, weights, strict=strict, device=map_location)
        except (RuntimeError, SafetensorError) as error:
            raise MissingArtefact(f"{weights}: the weights cannot be loaded: {error}") from error
        vocabulary = _fetch(model_id, VOCABULARY_FILE, hub_options)
        model.vocabulary = vocabulary.read_text(encoding="utf-8")
        model.facts = _facts_of(model_id, hub_options)
        model.folder = vocabulary.parent
        return model.to(map_location).eval()


def build_unichest(
    settings: ModelSettings,
    findings: Sequence[str],
    finding_embeddings: Tensor | np.ndarray,
    seed: int,
    vocabulary: str = "",
    facts: Mapping[str, Any] | None = None,
) -> UniChest:
    """Builds a model with initial weights from the seed alone; leaves torch's generator as it was.

    Args:
        settings: Shape of the model.
        findings: Names of the findings it knows.
        finding_embeddings: Their text embeddings (F,D).
        seed: Seed of the initial weights.
        vocabulary: Text of the vocabulary file, kept in the model folder.
        facts: What is known of the model (`UniChest.facts`).

    Raises:
        SettingsError: the embeddings do not fit the names or the model's width.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = UniChest(settings=settings, findings=tuple(findings), finding_embeddings=finding_embeddings)
    model.vocabulary = vocabulary
    model.facts = dict(facts or {})
    return model


def _facts_of(model_id: str, hub_options: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a saved model; nothing of one that was saved without."""
    try:
        return json.loads(_fetch(model_id, FACTS_FILE, hub_options).read_text(encoding="utf-8"))
    except MissingArtefact:
        return {}


def _fetch(model_id: str, name: str, hub_options: Mapping[str, Any]) -> Path:
    if Path(model_id).is_dir():
        path = Path(model_id) / name
        if not path.is_file():
            raise MissingArtefact(f"{path}: this file of the model folder is missing")
        return path
    try:
        return Path(hf_hub_download(repo_id=model_id, filename=name, **hub_options))
    except EntryNotFoundError as error:
        raise MissingArtefact(f"{model_id}: the hub repository has no file {name}") from error
