import pytest
from kedro.io import DatasetError

from unichest_kedro.datasets.atomic_text import AtomicTextDataset


def test_a_text_comes_back(tmp_path):
    dataset = AtomicTextDataset(filepath=str(tmp_path / "folder" / "README.md"))
    assert not dataset.exists()
    dataset.save("– ü\n")
    assert dataset.exists() and dataset.load() == "– ü\n"


def test_a_save_that_fails_leaves_the_old_text_and_nothing_else(tmp_path):
    dataset = AtomicTextDataset(filepath=str(tmp_path / "README.md"))
    dataset.save("old")
    with pytest.raises(DatasetError, match="surrogates not allowed"):
        dataset.save("new \ud800")
    assert dataset.load() == "old"
    dataset.save("newer")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"] and dataset.load() == "newer"
