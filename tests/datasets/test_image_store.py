import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError
from PIL import Image

from unichest_kedro.datasets.image_store import ImageStoreDataset
from unichest_kedro.imaging.store import ImagingSettings, update_image_store


@pytest.fixture
def make_store(tmp_path):
    """Make a store of five films of a given size."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(5):
        Image.new("L", (50, 40), number).save(folder / f"{number}.png")
    studies = pd.DataFrame(
        {
            "source": "chexpert",
            "image_id": [f"film{number}" for number in range(5)],
            "path": [f"{number}.png" for number in range(5)],
            "view": "frontal",
        }
    )

    def make(image_size=32):
        settings = ImagingSettings(image_size=image_size, n_jobs=1, part_size=2)
        return update_image_store(studies, folder, tmp_path / "cache", settings, description="test")[0]

    return make


@pytest.fixture
def entry(tmp_path):
    return ImageStoreDataset(filepath=str(tmp_path / "tables" / "images.parquet"))


def test_save_and_load(make_store, entry):
    assert not entry.exists()
    store = make_store()
    entry.save(store)
    assert entry.exists()
    loaded = entry.load()
    pd.testing.assert_frame_equal(loaded.manifest, store.manifest)
    assert loaded.image_size == 32
    np.testing.assert_array_equal(loaded[3], store[3])


def test_saving_removes_what_only_the_manifest_before_needed(make_store, entry, tmp_path):
    entry.save(make_store(32))
    entry.save(make_store(48))
    assert len(list((tmp_path / "cache").iterdir())) == 3
    assert entry.load().image_size == 48
    assert [path.name for path in (tmp_path / "tables").iterdir()] == ["images.parquet"]


def test_missing_part_is_noticed(make_store, entry, tmp_path):
    store = make_store()
    entry.save(store)
    (tmp_path / "cache" / store.manifest["part"][0]).unlink()
    assert not entry.exists()
    with pytest.raises(DatasetError, match=r"1 part files of .* run `kedro run --pipeline=images`"):
        entry.load()


def test_missing_manifest_is_noticed(entry):
    with pytest.raises(DatasetError, match="run `kedro run --pipeline=images`"):
        entry.load()


def test_damaged_manifest_does_not_exist(make_store, entry, tmp_path):
    entry.save(make_store())
    (tmp_path / "tables" / "images.parquet").write_bytes(b"")
    assert not entry.exists()


def test_folder_may_be_given(make_store, tmp_path):
    path = str(tmp_path / "images.parquet")
    store = make_store()
    entry = ImageStoreDataset(filepath=path, folder=str(tmp_path / "cache"))
    entry.save(store)
    assert len(entry.load()) == 5
    other = ImageStoreDataset(filepath=path, folder=str(tmp_path / "other"))
    assert not other.exists()
    with pytest.raises(DatasetError, match="the catalog entry says"):
        other.save(store)


def test_description(entry, tmp_path):
    assert "images.parquet" in str(entry)
    assert ImageStoreDataset(filepath="a", metadata={"x": 1}).metadata == {"x": 1}
