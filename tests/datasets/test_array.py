import numpy as np
import pytest
from kedro.io import DataCatalog, DatasetError

from unichest_kedro.datasets.array import ArrayDataset


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.zeros((0, 128), dtype=np.float32),
        np.array(5, dtype=np.int8),
        np.array(["a", "bc"]),
    ],
)
def test_saved_and_loaded_it_is_the_same(tmp_path, array):
    dataset = ArrayDataset(filepath=str(tmp_path / "deep" / "array.npy"))
    dataset.save(array)
    loaded = dataset.load()
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)


def test_loading_maps_the_file_read_only(tmp_path):
    path = str(tmp_path / "array.npy")
    ArrayDataset(filepath=path).save(np.ones(3))
    mapped = ArrayDataset(filepath=path).load()
    assert isinstance(mapped, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 2
    assert not isinstance(ArrayDataset(filepath=path, load_args={"mmap_mode": None}).load(), np.memmap)


def test_saving_leaves_a_mapped_array_whole_and_no_other_file(tmp_path):
    dataset = ArrayDataset(filepath=str(tmp_path / "array.npy"))
    dataset.save(np.ones(1000))
    mapped = dataset.load()
    dataset.save(np.zeros(2))
    assert mapped.sum() == 1000
    assert dataset.load().tolist() == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["array.npy"]


def test_failed_save_keeps_the_former_array(tmp_path, monkeypatch):
    dataset = ArrayDataset(filepath=str(tmp_path / "array.npy"))
    dataset.save(np.ones(2))

    def half(file, data, allow_pickle):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "save", half)
    with pytest.raises(DatasetError, match="disk full"):
        dataset.save(np.zeros(2))
    assert dataset.load().tolist() == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["array.npy"]


def test_only_plain_arrays_are_saved(tmp_path):
    dataset = ArrayDataset(filepath=str(tmp_path / "array.npy"))
    with pytest.raises(DatasetError, match="not array of object"):
        dataset.save(np.array([{}]))
    with pytest.raises(DatasetError, match="not list"):
        dataset.save([1])
    assert not dataset.exists()


def test_missing_cut_and_pickled_files_are_named(tmp_path):
    path = tmp_path / "array.npy"
    dataset = ArrayDataset(filepath=str(path), load_args={"allow_pickle": True})
    with pytest.raises(DatasetError, match=r"no array at .*array\.npy"):
        dataset.load()
    dataset.save(np.ones(100))
    for content in (path.read_bytes()[:200], path.read_bytes()[:20], b""):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"array\.npy is not a whole"):
            dataset.load()
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"array\.npy is not a whole"):
        dataset.load()


def test_from_a_catalog(tmp_path):
    config = {
        "type": "unichest_kedro.datasets.array.ArrayDataset",
        "filepath": str(tmp_path / "array.npy"),
        "metadata": {"kedro-viz": {"layer": "feature"}},
    }
    catalog = DataCatalog.from_config({"array": config})
    assert not catalog.exists("array")
    catalog.save("array", np.ones(2))
    assert catalog.exists("array")
    assert catalog.get("array").metadata == config["metadata"]
    assert "array.npy" in repr(catalog.get("array"))
