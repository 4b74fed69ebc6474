"""Small made-up scores, gates and tables with awkward cases: ties, unknown labels, missing classes."""

import numpy as np
import pandas as pd
import pytest

FINDINGS = {"mimic_cxr": ["cardiomegaly", "edema", "No Finding"], "vindr_cxr": ["cardiomegaly", "ILD"]}
MODELS = ("Conquer", "Conquer continued", "Conquer + Divide")


def make_scores(images=40, models=MODELS, findings=FINDINGS, seed=0):
    """`Scores`: two images per patient, scores rounded so that they tie, a tenth of the labels unknown."""
    generator = np.random.default_rng(seed)
    tables = []
    for source, names in findings.items():
        label = (generator.random((images, len(names))) < 0.4).astype(int)
        unknown = generator.random(label.shape) < 0.1
        ids = [f"{source}_{i:03d}" for i in range(images)]
        for model in models:
            score = np.round(np.clip(0.3 * label + generator.random(label.shape) * 0.7, 0, 1), 1)
            tables.append(
                pd.DataFrame(
                    {
                        "model": model,
                        "source": source,
                        "split": "test",
                        "image_id": np.repeat(ids, len(names)),
                        "patient_id": np.repeat([f"p{i // 2}" for i in range(images)], len(names)),
                        "finding": names * images,
                        "score": score.ravel(),
                        "label": np.where(unknown, -1, label).ravel(),
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def make_gates(images=10, sources=tuple(FINDINGS), experts=3):
    """`Gates` of one model whose gate leans to another expert for each source."""
    generator = np.random.default_rng(1)
    tables = []
    for i, source in enumerate(sources):
        weight = generator.random((images, experts)) + 2 * np.eye(experts)[i % experts]
        weight /= weight.sum(axis=1, keepdims=True)
        table = pd.DataFrame({"model": MODELS[-1], "source": source, "split": "test"}, index=range(images))
        table["image_id"] = [f"{source}_{j:03d}" for j in range(images)]
        tables.append(table.assign(**{f"expert_{k + 1}": weight[:, k] for k in range(experts)}))
    return pd.concat(tables, ignore_index=True)


def make_coverage(findings=FINDINGS):
    """`Coverage` with one finding ("scar") that no source annotates."""
    rows = []
    for source, names in findings.items():
        for finding in ("cardiomegaly", "edema", "ILD", "No Finding", "scar"):
            known = finding in names
            rows.append((source, "train", finding, 30 * known, 60 * known, 10 if known else 100))
    return pd.DataFrame(rows, columns=["source", "split", "finding", "positive", "negative", "unknown"])


def make_history(epochs=5, sources=tuple(FINDINGS)):
    """A training history with a loss part that is never computed (all NaN)."""
    epoch = np.arange(1, epochs + 1)
    table = pd.DataFrame({"epoch": epoch, "loss": 10.0 / epoch, "loss_image": 5.0 / epoch, "loss_text": np.nan})
    for source in sources:
        table[f"val_auroc_{source}"] = 0.9 - 0.2 / epoch
    return table.assign(val_auroc=0.9 - 0.2 / epoch)


@pytest.fixture
def scores():
    return make_scores()


@pytest.fixture
def gates():
    return make_gates()


@pytest.fixture
def coverage():
    return make_coverage()


@pytest.fixture
def history():
    return make_history()
