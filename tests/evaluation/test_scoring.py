from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.scoring import require_complete, score
from unichest_kedro.schemas import Gates, Scores

FINDINGS = ("edema", "ILD", "scar")
ASKED = {"mimic_cxr": ("edema", "scar"), "vindr_cxr": ("ILD",)}


LEAKED = pd.DataFrame(
    [
        ("mimic_cxr", "m2", "test", "mimic_cxr", "its patient has films in the training split"),
        ("vindr_cxr", "v1", "test", "mimic_cxr", "same pixels of the training film mimic_cxr/m0"),
        ("vindr_cxr", "v2", "test", "vindr_cxr", "same pixels of the training film vindr_cxr/v0"),
    ],
    columns=["source", "image_id", "split", "seen_in", "reason"],
)


class Brightness(torch.nn.Module):
    """Answers the mean brightness times the query's first number; counts how it is called."""

    def __init__(self):
        super().__init__()
        self.batches = []
        self.ratios = None

    def queries_for(self, findings):
        return torch.tensor([[0.5 + FINDINGS.index(finding) / 10] for finding in findings])

    def fingerprint(self):
        return "b719"

    def forward(self, images, queries, **ratios):
        assert not self.training and not torch.is_grad_enabled()
        self.batches.append(len(images))
        self.ratios = ratios
        bright = images.float().mean(dim=(1, 2, 3)) / 255
        gate = torch.full((len(images), 2), 0.5)
        return SimpleNamespace(image=SimpleNamespace(probabilities=bright[:, None] * queries[:, 0], gate=gate))


def no_resize(image, size):
    assert size == image.shape[0]
    return image


@pytest.fixture
def data():
    """Seven MIMIC and three VinDr films; image and label rows run backwards, one film is in train."""
    generator = np.random.default_rng(0)
    stores = {
        source: generator.integers(0, 256, (n, 4, 4), dtype=np.uint8)
        for source, n in (("mimic_cxr", 7), ("vindr_cxr", 3))
    }
    examples, labels = [], {}
    for source, store in stores.items():
        n = len(store)
        ids = [f"{source[0]}{i}" for i in range(n)]
        values = generator.choice([1, 0, -1], (n, 3)).astype(np.int8)
        labels[source] = pd.DataFrame(values, columns=list(FINDINGS)).assign(source=source, image_id=ids)
        examples.append(
            pd.DataFrame(
                {
                    "source": source,
                    "image_id": ids[::-1],
                    "patient_id": [f"p{i}" for i in ids[::-1]],
                    "split": ["test"] * (n - 1) + ["train"],
                    "image_row": range(n - 1, -1, -1),
                    "label_row": range(n - 1, -1, -1),
                    "text_row": -1,
                }
            )
        )
    return {"examples": pd.concat(examples, ignore_index=True), "stores": stores, "labels": labels}


def run(model, data, **options):
    arguments = {"findings_by_source": ASKED, "trained_on": ["mimic_cxr"], "leaked_films": LEAKED}
    arguments |= {"image_size": 4, "batch_size": 4, "resize": no_resize} | options
    return score(model, "m", data["examples"], data["stores"], data["labels"], **arguments)


def test_every_test_image_is_scored_once_with_its_own_findings(data):
    model = Brightness().train()
    scores, gates = run(model, data)
    Scores.validate(scores)
    Gates.validate(gates)
    assert model.batches == [4, 2, 2]
    assert model.training
    assert len(scores) == 6 * 2 + 2 * 1
    assert list(gates["image_id"]) == ["m6", "m5", "m4", "m3", "m2", "m1", "v2", "v1"]
    for row in scores.itertuples():
        film = int(row.image_id[1])
        expected = data["stores"][row.source][film].mean() / 255 * (0.5 + FINDINGS.index(row.finding) / 10)
        assert row.score == pytest.approx(expected, abs=1e-6)
        assert row.label == data["labels"][row.source].loc[film, row.finding]
        assert row.patient_id == f"p{row.image_id}"


def test_batch_size_changes_nothing_and_ratios_and_splits_are_passed_on(data):
    model = Brightness()
    first, _ = run(model, data, batch_size=1)
    second, _ = run(model, data, batch_size=100, ratios={"main_ratio": 1.0, "expert_ratio": 0.0})
    assert model.ratios == {"main_ratio": 1.0, "expert_ratio": 0.0}
    pd.testing.assert_frame_equal(first, second)
    both, _ = run(model, data, splits=("train", "test"))
    assert both["image_id"].nunique() == 10


def test_sources_trained_on_and_films_seen_there_are_marked_and_scored_all_the_same(data):
    scores, _ = run(Brightness(), data)
    films = scores.drop_duplicates("image_id").set_index("image_id")
    assert films.groupby("source")["trained_on"].unique().map(list).to_dict() == {
        "mimic_cxr": [True],
        "vindr_cxr": [False],
    }
    assert list(films.index[films["leaked"]]) == ["m2", "v1"]
    # What a model has not been trained on, it has not seen.
    scores, _ = run(Brightness(), data, trained_on=[])
    assert not scores["leaked"].any() and not scores["trained_on"].any()


def test_nothing_to_score_is_an_error(data):
    with pytest.raises(UniChestError, match="no image in split val to score"):
        run(Brightness(), data, splits=("val",))


def test_a_finding_without_labels_is_an_error(data):
    data["labels"]["vindr_cxr"] = data["labels"]["vindr_cxr"].drop(columns="ILD")
    with pytest.raises(UniChestError, match="source 'vindr_cxr' is asked about 'ILD'"):
        run(Brightness(), data)


@pytest.mark.parametrize("value", [float("nan"), 1.5, -0.2])
def test_an_answer_that_is_no_probability_is_an_error_and_the_mode_is_restored(data, value):
    model = Brightness().train()
    model.queries_for = lambda findings: torch.full((len(findings), 1), value * 1000)
    with pytest.raises(UniChestError, match=r"model 'm', probabilities: .* are no probability"):
        run(model, data)
    assert model.training


def test_an_answer_of_the_wrong_shape_is_an_error(data):
    model = Brightness()
    model.queries_for = lambda findings: torch.ones((5, 1))
    with pytest.raises(UniChestError, match="some image or finding has no answer"):
        run(model, data)


def test_an_image_listed_twice_is_an_error(data):
    data["examples"].loc[1, "image_id"] = "m6"
    with pytest.raises(UniChestError, match="2 image-finding pairs are scored twice"):
        run(Brightness(), data)


def test_require_complete_finds_a_missing_pair(data):
    scores, _ = run(Brightness(), data)
    with pytest.raises(
        UniChestError, match="11 scores on source 'mimic_cxr'; every image with every finding would be 12"
    ):
        require_complete(scores.drop(index=3))


def test_the_model_itself_can_be_scored(data):
    unichest = pytest.importorskip("unichest_kedro.models.unichest")
    settings = unichest.ModelSettings(
        backbone="resnet10t", image_size=32, width=16, layers=1, heads=2, feedforward=16, experts=3
    )
    model = unichest.build_unichest(settings, FINDINGS, np.random.default_rng(0).normal(size=(3, 16)).astype("f4"), 0)
    stores = {
        source: [np.kron(film, np.ones((8, 8), np.uint8)) for film in store] for source, store in data["stores"].items()
    }
    scores, gates = run(model, data | {"stores": stores}, image_size=32)
    Scores.validate(scores)
    np.testing.assert_allclose(Gates.validate(gates).filter(like="expert_").sum(axis=1), 1, atol=1e-6)
