import pytest
from kedro.io import DataCatalog, DatasetError

from unichest_kedro.datasets.text_encoder import TextEncoderDataset
from unichest_kedro.errors import MissingArtefact
from unichest_kedro.models.text_encoder import TextEncoder, TextEncoderSettings, build_embedded_text_encoder


@pytest.fixture(scope="module")
def encoders():
    settings = TextEncoderSettings(width=16, layers=1, heads=2, feed_forward=16, steps=1, fitting_batch=2)
    return [build_embedded_text_encoder({"mass": (), "edema": ()}, {}, ["mass"], settings, seed) for seed in (1, 2)]


def test_saving_replaces_the_former_encoder_as_a_whole(tmp_path, encoders):
    dataset = TextEncoderDataset(filepath=str(tmp_path / "deep" / "encoder"))
    assert not dataset.exists()
    for encoder in encoders:
        dataset.save(encoder)
        assert dataset.load().fingerprint() == encoder.fingerprint()
    assert dataset.exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["encoder"]


def test_failed_save_keeps_the_former_encoder(tmp_path, encoders, monkeypatch):
    dataset = TextEncoderDataset(filepath=str(tmp_path / "encoder"))
    dataset.save(encoders[0])

    def half(self, folder):

        (folder / "config.json").write_text("{}")
        raise OSError("disk full")

    monkeypatch.setattr(TextEncoder, "save_pretrained", half)
    with pytest.raises(DatasetError, match="disk full"):
        dataset.save(encoders[1])
    assert dataset.load().fingerprint() == encoders[0].fingerprint()
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]


def test_missing_and_broken_folders_are_named(tmp_path, encoders):
    dataset = TextEncoderDataset(filepath=str(tmp_path / "encoder"))
    with pytest.raises(DatasetError, match=r"no text encoder in .*encoder yet.*--pipeline=text") as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, MissingArtefact)
    dataset.save(encoders[0])
    (tmp_path / "encoder" / "config.json").unlink()
    with pytest.raises(DatasetError, match="not a whole transformers encoder"):
        dataset.load()
    with pytest.raises(DatasetError, match="not str"):
        dataset.save("encoder")


def test_from_a_catalog(tmp_path, encoders):
    config = {
        "type": "unichest_kedro.datasets.text_encoder.TextEncoderDataset",
        "filepath": str(tmp_path / "encoder"),
        "metadata": {"kedro-viz": {"layer": "models"}},
    }
    catalog = DataCatalog.from_config({"text_encoder": config})
    catalog.save("text_encoder", encoders[0])
    assert catalog.load("text_encoder").width == 16
    assert catalog.get("text_encoder").metadata == config["metadata"]
