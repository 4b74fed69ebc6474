"""A toy world of two sources: bright squares are findings, and each source labels other ones."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest
from unichest_kedro.training.data import TrainingData
from unichest_kedro.training.settings import ConquerSettings, DivideSettings

FINDINGS = ("top", "bottom", "left", "never")
CORNERS = {"top": (2, 14), "bottom": (26, 14), "left": (14, 2)}
WIDTH = 16
CALM = {"crop_scale": None, "randaugment_operations": 0, "fourier_probability": 0.0, "jitter": 0.1}


def draw(present: dict[str, bool], rng: np.random.Generator) -> np.ndarray:
    image = rng.integers(40, 80, (36, 40), dtype=np.uint8)
    for name, (row, column) in CORNERS.items():
        if present[name]:
            image[row : row + 8, column : column + 8] = 230
    return image


def make_data(images: int = 24, validation: int = 12, seed: int = 0) -> TrainingData:
    rng = np.random.default_rng(seed)
    stores, labels, tables = {}, {}, []
    per_source = images + validation
    for source, known in (("a", ("top", "bottom")), ("b", ("bottom", "left"))):
        truth = pd.DataFrame({name: rng.random(per_source) < 0.5 for name in CORNERS})
        stores[source] = [draw(row, rng) for row in truth.to_dict("records")]
        labels[source] = np.full((per_source, len(FINDINGS)), -1, dtype=np.int8)
        for name in known:
            labels[source][:, FINDINGS.index(name)] = truth[name]
        code = sum(truth[name] * 2**bit for bit, name in enumerate(known))
        tables.append(
            pd.DataFrame(
                {
                    "source": source,
                    "image_id": [f"{source}{i}" for i in range(per_source)],
                    "patient_id": [f"{source}{i}" for i in range(per_source)],
                    "split": ["train"] * images + ["val"] * validation,
                    "image_row": np.arange(per_source),
                    "label_row": np.arange(per_source),
                    "text_row": code - 1 if source == "a" else code * 0 - 1 + (code > 0) * (3 + code),
                }
            )
        )
    return TrainingData(
        examples=pd.concat(tables, ignore_index=True),
        stores=stores,
        labels=labels,
        findings=FINDINGS,
        text_embeddings=rng.normal(size=(8, WIDTH)).astype(np.float32),
        findings_by_source={"a": ("top", "bottom"), "b": ("bottom", "left")},
    )


@pytest.fixture
def data() -> TrainingData:
    return make_data()


@pytest.fixture
def make_toy() -> Callable[..., TrainingData]:
    return make_data


@pytest.fixture
def model() -> UniChest:
    settings = ModelSettings(
        backbone="test_resnet", image_size=64, width=WIDTH, layers=1, heads=2, feedforward=24, experts=3
    )
    embeddings = np.random.default_rng(1).normal(size=(len(FINDINGS), WIDTH)).astype(np.float32)
    return build_unichest(settings, FINDINGS, embeddings, seed=3)


@pytest.fixture
def conquer_settings() -> Callable[..., ConquerSettings]:
    def make(**changes: object) -> ConquerSettings:
        plain = {"epochs": 2, "batch_size": 8, "trackers": (), "augmentation": CALM, "device": "cpu"}
        return ConquerSettings.model_validate(plain | {"optimiser": {"learning_rate": 1e-3}} | changes)

    return make


@pytest.fixture
def divide_settings() -> Callable[..., DivideSettings]:
    def make(**changes: object) -> DivideSettings:
        plain = {"epochs": 2, "batch_size": 8, "trackers": (), "augmentation": CALM, "device": "cpu"}
        return DivideSettings.model_validate(plain | {"optimiser": {"learning_rate": 1e-3}} | changes)

    return make
