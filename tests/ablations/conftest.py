"""A toy world of two sources with train, validation and test films, and what the ablations need of it."""

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.ablations.plan import Shared
from unichest_kedro.ablations.running import Bench, Films
from unichest_kedro.models.unichest import ModelSettings
from unichest_kedro.training.data import TrainingData
from unichest_kedro.training.settings import ConquerSettings, DivideSettings

FINDINGS = ("top", "bottom", "left")
CORNERS = {"top": (2, 14), "bottom": (26, 14), "left": (14, 2)}
KNOWN = {"a": ("top", "bottom"), "b": ("bottom", "left"), "c": ("top",)}
SPLITS = ["train"] * 16 + ["val"] * 8 + ["test"] * 10
WIDTH = 16
CALM = {"crop_scale": None, "randaugment_operations": 0, "fourier_probability": 0.0, "jitter": 0.1}


def make_world(seed=0):
    rng = np.random.default_rng(seed)
    stores, tables, examples = {}, {}, []
    for source, known in KNOWN.items():
        splits = SPLITS if source != "c" else ["test"] * 10
        truth = pd.DataFrame({name: rng.random(len(splits)) < 0.5 for name in CORNERS})
        truth.iloc[:2] = [[True] * 3, [False] * 3]
        truth.iloc[-4:] = [[True] * 3, [False] * 3] * 2
        stores[source] = []
        for row in truth.to_dict("records"):
            image = rng.integers(40, 80, (36, 40), dtype=np.uint8)
            for name, (y, x) in CORNERS.items():
                if row[name]:
                    image[y : y + 8, x : x + 8] = 230
            stores[source].append(image)
        ids = [f"{source}{number}" for number in range(len(splits))]
        labels = truth.astype(np.int8)
        labels[[name for name in FINDINGS if name not in known]] = np.int8(-1)
        tables[source] = labels.assign(source=source, image_id=ids)
        rows = np.arange(len(ids))
        frame = pd.DataFrame({"source": source, "image_id": ids, "patient_id": ids, "split": splits})
        examples.append(frame.assign(image_row=rows, label_row=rows, text_row=rows % 4 - 1))
    return pd.concat(examples, ignore_index=True), stores, tables


@pytest.fixture(scope="session")
def bench():
    """`Bench` of the toy world; source c is only scored."""
    examples, stores, tables = make_world()
    texts = np.random.default_rng(1).normal(size=(4, WIDTH)).astype(np.float32)
    prompts = np.random.default_rng(2).normal(size=(len(FINDINGS), WIDTH)).astype(np.float32)
    made = {}

    def data_of(sources):
        if sources not in made:
            made[sources] = TrainingData(
                examples=examples[examples["source"].isin(sources)].reset_index(drop=True),
                stores={source: stores[source] for source in sources},
                labels={source: tables[source][list(FINDINGS)].to_numpy(np.int8) for source in sources},
                findings=FINDINGS,
                text_embeddings=texts,
                findings_by_source={source: KNOWN[source] for source in sources},
            )
        return made[sources]

    leaked = pd.DataFrame({"source": ["c"], "image_id": ["c3"], "seen_in": ["b"]})
    words = np.random.default_rng(3)  # not a shift: the shared LayerNorm takes that away
    own = {source: prompts + words.normal(size=prompts.shape).astype(np.float32) for source in ("a", "b")}
    return Bench(data_of, ("a", "b"), FINDINGS, prompts, own, Films(examples, stores, tables, KNOWN, leaked, 16, "cpu"))


@pytest.fixture(scope="session")
def shared():
    """Settings of a tiny model and two short stages."""
    plain = {
        "batch_size": 8,
        "trackers": (),
        "augmentation": CALM,
        "device": "cpu",
        "optimiser": {"learning_rate": 1e-3},
    }
    return Shared(
        ModelSettings(backbone="test_resnet", image_size=64, width=WIDTH, layers=1, heads=2, feedforward=24, experts=3),
        ConquerSettings.model_validate(plain | {"epochs": 2}),
        DivideSettings.model_validate(plain | {"epochs": 1}),
    )
