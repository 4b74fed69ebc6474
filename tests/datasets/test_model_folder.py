"""A model folder is saved whole, brings its text encoder along, and loads as it was."""

import numpy as np
import pytest
from kedro.io import DatasetError

from unichest_kedro.datasets.model_folder import ModelFolderDataset
from unichest_kedro.models.unichest import ModelSettings, build_unichest


@pytest.fixture(scope="module")
def model():
    settings = ModelSettings(
        backbone="test_resnet", image_size=32, width=16, layers=1, heads=2, feedforward=16, experts=2
    )
    embeddings = np.random.default_rng(0).normal(size=(3, 16))
    return build_unichest(settings, ("a", "b", "c"), embeddings, 1, "findings: []", {"Trained on": "phantoms"})


def test_round_trip_with_text_encoder(tmp_path, model):
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text("{}")
    dataset = ModelFolderDataset(filepath=str(tmp_path / "model"), text_encoder={"filepath": str(tmp_path / "encoder")})
    assert not dataset.exists()
    dataset.save(model)
    dataset.save(model)
    assert dataset.exists()
    loaded = dataset.load()
    assert loaded.fingerprint() == model.fingerprint()
    assert loaded.findings == ("a", "b", "c")
    assert not loaded.training
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"model.safetensors", "config.json", "vocabulary.yml", "README.md", "facts.json", "text_encoder"}
    assert "phantoms" in (tmp_path / "model" / "README.md").read_text()


def test_no_model_says_what_to_run(tmp_path):
    with pytest.raises(DatasetError, match="kedro run --pipeline=pretrain"):
        ModelFolderDataset(filepath=str(tmp_path / "model")).load()
