"""The node of the ingestion stage."""

import pytest

from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.errors import SettingsError
from unichest_kedro.pipelines.ingestion.nodes import ingest_source
from unichest_kedro.sources import IngestionSettings, source_entry


@pytest.fixture
def folder(tmp_path) -> SourceFolder:
    names = [f"{number}.png" for number in range(10)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "films.csv").write_text("file,wet\n" + "".join(f"{name},1\n" for name in names))
    described = {"root": tmp_path, "table": "films.csv", "columns": {"path": "file"}, "labels": {"wet": "edema"}}
    root, options = source_entry("mine", described)
    return SourceFolder("mine", root, phantom=False, options=options)


def test_train_on_decides_how_a_source_without_splits_is_used(folder):
    studies, _, _ = ingest_source(folder, IngestionSettings(test_fraction=0.3), ["mine"], seed=1)
    assert studies["split"].value_counts().to_dict() == {"train": 6, "test": 3, "val": 1}
    studies, _, _ = ingest_source(folder, IngestionSettings(), ["chexpert"], seed=1)
    assert set(studies["split"]) == {"test"}


def test_the_seed_is_the_projects(folder):
    first, again, other = (
        ingest_source(folder, IngestionSettings(), ["mine"], seed=seed)[0]["split"].tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_train_on_is_a_list_and_said_once(folder):
    with pytest.raises(SettingsError, match="train_on: 'mine' is not a list"):
        ingest_source(folder, IngestionSettings(), "mine", seed=1)
    with pytest.raises(SettingsError, match=r"ingestion.train_on: train_on is said once"):
        ingest_source(folder, IngestionSettings(train_on=("mine",)), ["mine"], seed=1)
