"""Settings of training, as they come from the parameters files; wrong values fail by name."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unichest_kedro.imaging.augment import AugmentationSettings

_NOT_DECISIVE = {"num_workers", "compile", "trackers", "restart", "save_every", "log_every"}
"""Settings of training that change nothing in its result."""

_ADDED = {"gate": "learned"}
"""Settings that came later: left out at their default, so that a state saved before still agrees."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimiserSettings(_Settings):
    """AdamW and its learning rate: linear warm-up, then cosine down to the minimum (docs/method.md, section 5).

    `warmup_fraction` is the part of all steps that warms up. `weight_decay` spares biases and 1-d parameters.
    """

    learning_rate: float = Field(default=5e-5, gt=0)
    min_learning_rate: float = Field(default=1e-6, ge=0)
    warmup_learning_rate: float = Field(default=1e-6, ge=0)
    warmup_fraction: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=0.02, ge=0)

    @model_validator(mode="after")
    def _peak_is_highest(self) -> Self:
        for field in ("min_learning_rate", "warmup_learning_rate"):
            if getattr(self, field) > self.learning_rate:
                raise ValueError(
                    f"{field} is {getattr(self, field)}; allowed is at most learning_rate {self.learning_rate}"
                )
        return self


class PlateauSettings(_Settings):
    """Stop when the mean validation AUROC has not risen by more than `min_delta` for `patience` epochs."""

    patience: int = Field(ge=1)
    min_delta: float = Field(default=0.0, ge=0, lt=1)


class AsymmetricLossSettings(_Settings):
    """Focusing powers and margin of the classification loss."""

    gamma_negative: float = Field(default=6.0, ge=0)
    gamma_positive: float = Field(default=0.0, ge=0)
    margin: float = Field(default=0.05, ge=0, lt=1)


class TrainingSettings(_Settings):
    """What both stages share.

    `sampling` says how an epoch is drawn: `proportional` takes every image once; `balanced` gives every
    source the same number of draws; `temperature` gives a source of n images a share proportional to n ** (1
    / temperature). An epoch has as many draws as there are training images. `gradient_clip` is the largest
    gradient norm, or none. `precision` auto is bf16 where the device has units for it (GPUs, processors with
    AMX) and float32 elsewhere, where bf16 can be many times slower. With `compile` torch compiles image
    encoder and query networks before the first step, which takes minutes and needs a C++ compiler (on a GPU,
    Triton). `trackers` are names that accelerate knows. With `restart` a saved state is ignored.

    The state is saved every `save_every` steps and after each epoch; trackers hear of every `log_every`-th step.
    With `ema_decay` an exponential moving average of the weights is validated and kept instead of the weights.
    `freeze` names parts of the model (`image_encoder.backbone.conv1`, ...) that the stage is not to train,
    `also_train` parts that it otherwise would not (the last stage of the encoder in Divide, say). With several
    workers `batch_size` is that of all of them together.
    """

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=32, ge=1)
    accumulation: int = Field(default=1, ge=1)
    num_workers: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu"] = "auto"
    precision: Literal["auto", "no", "bf16", "fp16"] = "no"
    compile: bool = False
    gradient_clip: float | None = Field(default=None, gt=0)
    sampling: Literal["proportional", "balanced", "temperature"] = "proportional"
    temperature: float = Field(default=2.0, ge=1)
    seed: int = Field(default=42, ge=0)
    optimiser: OptimiserSettings = OptimiserSettings()
    classification: AsymmetricLossSettings = AsymmetricLossSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    plateau: PlateauSettings | None = None
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    freeze: tuple[str, ...] = ()
    also_train: tuple[str, ...] = ()
    save_every: int = Field(default=500, ge=1)
    log_every: int = Field(default=50, ge=1)
    trackers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ("tensorboard",)
    restart: bool = False

    def identity(self) -> dict[str, Any]:
        """The settings on which the weights depend, flat: what a saved state must agree with."""
        values = flatten(self.model_dump(mode="json", exclude=_NOT_DECISIVE))
        return {name: value for name, value in values.items() if name not in _ADDED or value != _ADDED[name]}


class TrainerSettings(_Settings):
    """Where training runs.

    `local` is this process (or the processes that `accelerate launch` started). `ray` are `num_workers` workers of Ray
    Train (extra `[ray]`), on the Ray cluster at `address` (`auto`: the one this machine belongs to), or without an
    address on a Ray of its own on this machine. A run whose worker dies starts again from the last saved state, up to
    `max_failures` times. `storage` is the folder, or the address of cloud storage, to which the workers save; all of
    them must reach it; null is a folder `ray` beside the stage's own checkpoints on this machine.
    """

    engine: Literal["local", "ray"] = "local"
    num_workers: int = Field(default=1, ge=1)
    cpus_per_worker: float = Field(default=1, gt=0)
    gpu: bool | Literal["auto"] = "auto"
    address: str | None = None
    max_failures: int = Field(default=3, ge=0)
    storage: str | None = None


class ConquerSettings(TrainingSettings):
    """Conquer: image encoder and main network; classification plus `contrastive_weight` * contrastive."""

    contrastive_weight: float = Field(default=1.0, ge=0)


class DivideSettings(TrainingSettings):
    """Divide: main network, experts and gate, with the image encoder frozen.

    `experts_from` says where the experts start: `random`, as in the paper, or from the `main` network. With the
    `oracle` gate an image has the expert of its own source alone, which needs an expert for every source; such a model
    is no use where the source is not known, and only says what a gate could do at best.
    """

    main_ratio: float = Field(default=0.5, ge=0, le=1)
    expert_ratio: float = Field(default=0.5, ge=0, le=1)
    source_contrastive_weight: float = Field(default=1.0, ge=0)
    source_contrastive_temperature: float = Field(default=1.0, gt=0)
    experts_from: Literal["main", "random"] = "random"
    gate: Literal["learned", "oracle"] = "learned"

    @model_validator(mode="after")
    def _ratios_sum_to_one(self) -> Self:
        if abs(self.main_ratio + self.expert_ratio - 1) > 1e-6:
            raise ValueError(
                f"main_ratio {self.main_ratio} and expert_ratio {self.expert_ratio} must sum to 1, "
                "so that their mixture is a probability"
            )
        return self


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turns nested mappings into one level with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
