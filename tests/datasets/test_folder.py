"""Working folders and raw folders of the catalog."""

import pytest
from kedro.io import DatasetError

from unichest_kedro.datasets.folder import FolderDataset
from unichest_kedro.datasets.official_folder import OfficialFolderDataset, SourceFolder


def official(tmp_path, roots, **phantoms):
    small = {"images_per_source": 24, "image_size": 48, "seed": 1} | phantoms
    return OfficialFolderDataset(
        filepath=str(tmp_path / "phantoms"), source="chestxray14", roots=[roots], phantoms=small
    )


def test_working_folder_is_made_on_load(tmp_path):
    folder = FolderDataset(filepath=str(tmp_path / "a/b"))
    assert folder.exists()
    assert folder.load().is_dir()


def test_working_folder_is_not_saved_to(tmp_path):
    with pytest.raises(DatasetError, match="working folder"):
        FolderDataset(filepath=str(tmp_path)).save("x")


def test_a_listed_source_is_the_users_folder(tmp_path):
    assert official(tmp_path, {"chestxray14": str(tmp_path)}).load() == SourceFolder(
        "chestxray14", tmp_path, phantom=False
    )


def test_no_listed_source_makes_the_phantom(tmp_path):
    folder = official(tmp_path, {}).load()
    assert folder.phantom
    assert (folder.root / "train_val_list.txt").is_file()


def test_a_source_beside_the_listed_ones_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="'chestxray14' is not listed under `sources`"):
        official(tmp_path, {"chexpert": str(tmp_path)}).load()


def test_a_wrong_phantom_setting_names_itself(tmp_path):
    with pytest.raises(DatasetError, match=r"images_per_source"):
        official(tmp_path, {}, images_per_source=-1).load()
