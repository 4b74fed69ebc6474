"""Small made-up scores, gates and tables with awkward cases: ties, unknown labels, missing classes."""

from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
import pytest

FINDINGS = {"mimic_cxr": ["cardiomegaly", "edema", "No Finding"], "vindr_cxr": ["cardiomegaly", "ILD"]}
MODELS = ("Conquer", "Conquer continued", "Conquer + Divide")


EIGHT = {
    "mimic_cxr": ["pleural effusion", "edema", "pneumonia", "No Finding"],
    "chestxray14": ["cardiomegaly", "edema", "hernia", "mass", "nodule", "No Finding"],
    "chexpert": ["cardiomegaly", "edema", "pleural effusion"],
    "vindr_cxr": ["cardiomegaly", "ILD", "Aortic enlargement"],
    "shenzhen": ["Tuberculosis"],
    "open_i": ["cardiomegaly", "edema", "hernia"],
    "siim_acr": ["pneumothorax"],
    "padchest": ["cardiomegaly", "pneumothorax", "hernia", "Tuberculosis", "scar"],
}
TRAINED_ON = ("mimic_cxr", "chestxray14", "chexpert", "vindr_cxr")


def make_scores(images=40, models=MODELS, findings=FINDINGS, seed=0, trained_on=TRAINED_ON):
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
                        "query": names * images,
                        "score": score.ravel(),
                        "label": np.where(unknown, -1, label).ravel(),
                        "fingerprint": f"weights of {model}",
                        "trained_on": source in trained_on,
                        "leaked": False,
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


def make_teachers():
    """`Teachers` with a finding of every verdict."""
    rows = [
        ("cardiomegaly", 2, "mimic_cxr, vindr_cxr", "", "", "several"),
        ("ILD", 1, "vindr_cxr", "", "", "one source"),
        ("edema", 0, "", "mimic_cxr", "", "one-sided"),
        ("scar", 0, "", "", "", "untaught"),
    ]
    columns = ["finding", "teachers", "taught_by", "only_positive", "only_negative", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def make_contradictions():
    """`Contradictions` of two sources."""
    rows = [
        ("mimic_cxr", "edema", "No Finding", "excludes", 1234, 34, "No Finding is absent", "m1, m2"),
        ("vindr_cxr", "nodule", "Nodule/Mass", "implies", 1, 0, "Nodule/Mass is present", "v<1>"),
    ]
    columns = ["source", "present", "contradicted", "kind", "count", "silent", "resolution", "examples"]
    return pd.DataFrame(rows, columns=columns)


def make_leakage_summary(sources=tuple(FINDINGS), known=()):
    """`LeakageSummary`: three pairs between the first two sources, one within the first."""
    rows = []
    for a, b in combinations_with_replacement(range(len(sources)), 2):
        row = dict.fromkeys(("same_pixels", "near_copies", "across_splits", "leaked_val", "leaked_test"), 0)
        row |= {"shared_names": 0, "shared_example": "", "films": 40 * (a == b), "not_comparable": int(a == b == 0)}
        row |= {"known": "Known to share films." if (sources[a], sources[b]) in known else ""}
        if (a, b) == (0, 1):
            row |= {"same_pixels": 2, "near_copies": 1, "across_splits": 3, "leaked_test": 3}
        if (a, b) == (0, 0):
            row |= {"near_copies": 1}
        rows.append({"source_a": sources[a], "source_b": sources[b], **row, "patients_in_two_splits": 0})
    return pd.DataFrame(rows)


def make_leakage_pairs():
    """`LeakagePairs` that go with the summary, more than are shown."""
    rows = [("mimic_cxr", f"<m{k}>", "train", "vindr_cxr", f"v{k}", "test", "near copy", k, 0.95) for k in range(5)] + [
        ("mimic_cxr", "m7", "test", "mimic_cxr", "m8", "test", "negative", 2, 0.99)
    ]
    columns = ["source_a", "image_a", "split_a", "source_b", "image_b", "split_b", "kind", "distance", "correlation"]
    return pd.DataFrame(rows, columns=columns)


def make_leaked_films():
    """`LeakedFilms`: one film seen in MIMIC-CXR, one in VinDr-CXR and one in both."""
    rows = [
        ("vindr_cxr", "vindr_cxr_001", "test", "mimic_cxr", "same pixels of the training film mimic_cxr/m1"),
        ("mimic_cxr", "mimic_cxr_002", "test", "vindr_cxr", "near copy of the training film vindr_cxr/v1"),
        ("vindr_cxr", "vindr_cxr_003", "test", "mimic_cxr", "negative of the training film mimic_cxr/m2"),
        ("vindr_cxr", "vindr_cxr_003", "test", "vindr_cxr", "its patient has films in the training split"),
    ]
    return pd.DataFrame(rows, columns=["source", "image_id", "split", "seen_in", "reason"])


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
