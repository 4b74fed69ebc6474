"""A source's raw folder: the user's, or the phantom's where nothing is configured."""

from pathlib import Path

import pytest
from kedro.framework.context.context import _convert_paths_to_absolute_posix
from kedro.io import AbstractDataset, DataCatalog, DatasetError

from unichest_kedro.datasets.official_folder import OfficialFolderDataset, SourceFolder
from unichest_kedro.errors import SettingsError
from unichest_kedro.sources import OwnOptions
from unichest_kedro.sources.mimic_cxr import MimicOptions

PHANTOMS = {"images_per_source": 24, "image_size": 48, "n_jobs": 1}


def dataset(folder: Path, source: str, roots: dict | None, phantoms: dict = PHANTOMS) -> OfficialFolderDataset:
    return OfficialFolderDataset(filepath=str(folder), source=source, roots=[roots], phantoms=phantoms)


def described(tmp_path: Path) -> dict:
    (tmp_path / "films.csv").write_text("file,wet\na.png,1\n")
    return {
        "root": str(tmp_path),
        "table": "films.csv",
        "columns": {"path": "file"},
        "labels": {"wet": "edema"},
    }


def test_a_folder_with_and_without_options(tmp_path):
    assert dataset(tmp_path, "chexpert", {"chexpert": str(tmp_path)}).load() == SourceFolder(
        "chexpert", tmp_path, phantom=False
    )
    folder = dataset(tmp_path, "mimic_cxr", {"mimic_cxr": {"root": str(tmp_path), "labels": "negbio"}}).load()
    assert folder.root == tmp_path and folder.options == MimicOptions(labels="negbio")


def test_an_own_source(tmp_path):
    folder = dataset(tmp_path, "mine", {"mine": described(tmp_path)}).load()
    assert (folder.root, folder.phantom) == (tmp_path, False)
    assert isinstance(folder.options, OwnOptions)


@pytest.mark.parametrize("roots", [None, {}])
def test_without_any_source_the_phantom_is_drawn_once(tmp_path, roots):
    entry = dataset(tmp_path / "phantom", "shenzhen", roots)
    folder = entry.load()
    assert folder.phantom and folder.options is None
    films = {film: film.stat().st_mtime_ns for film in folder.root.rglob("*.png")}
    assert films
    entry.load()
    assert {film: film.stat().st_mtime_ns for film in folder.root.rglob("*.png")} == films


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(DatasetError, match=r"'vindr_cxr' is not listed .* listed are chexpert") as error:
        dataset(tmp_path, "vindr_cxr", {"chexpert": str(tmp_path)}).load()
    assert isinstance(error.value.__cause__, SettingsError)
    with pytest.raises(DatasetError, match=r"sources.chexpert: .*nowhere does not exist"):
        dataset(tmp_path, "chexpert", {"chexpert": str(tmp_path / "nowhere")}).load()
    with pytest.raises(DatasetError, match=r"phantoms\.images_per_source is"):
        dataset(tmp_path, "chexpert", {}, {"images_per_source": 0}).load()
    with pytest.raises(DatasetError, match="read only"):
        dataset(tmp_path, "chexpert", {}).save("anything")


def test_kedro_leaves_the_description_of_an_own_source_as_it_is(tmp_path):
    # Kedro makes whole paths of every `path:` in a mapping of the catalog; `columns: {path: file}` is none.
    catalog = {
        "{source}_root": {
            "type": "unichest_kedro.datasets.official_folder.OfficialFolderDataset",
            "filepath": "phantoms/{source}",
            "source": "{source}",
            "roots": [{"mine": described(tmp_path)}],
            "phantoms": PHANTOMS,
        }
    }
    loaded = DataCatalog.from_config(_convert_paths_to_absolute_posix(tmp_path, catalog)).load("mine_root")
    assert loaded.options.columns.path == "file"


def test_it_is_a_dataset_that_describes_itself(tmp_path):
    assert isinstance(dataset(tmp_path, "chexpert", None), AbstractDataset)
    assert str(tmp_path) in str(dataset(tmp_path, "chexpert", None))
    assert "films.csv" not in str(dataset(tmp_path, "mine", {"mine": described(tmp_path)}))
