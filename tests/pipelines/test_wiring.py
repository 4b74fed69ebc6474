"""Small helpers of the wiring."""

import pytest

from unichest_kedro.cli import user_error
from unichest_kedro.errors import SourceError
from unichest_kedro.pipeline_registry import register_pipelines
from unichest_kedro.pipelines.per_source import by_source, of_every
from unichest_kedro.pipelines.seeding import seeded
from unichest_kedro.sources import SOURCES, IngestionSettings
from unichest_kedro.sources.configured import RESERVED


def test_tables_of_every_source_are_gathered_by_source():
    inputs = of_every(["chexpert", "vindr_cxr"], "images", "labels")
    assert list(inputs) == ["chexpert_images", "vindr_cxr_images", "chexpert_labels", "vindr_cxr_labels"]
    tables = {name: name.upper() for name in inputs}
    assert by_source(tables, "labels") == {"chexpert": "CHEXPERT_LABELS", "vindr_cxr": "VINDR_CXR_LABELS"}


def test_no_own_source_can_be_called_as_a_shared_artefact_begins(monkeypatch):
    monkeypatch.setattr("unichest_kedro.active_sources._told", SOURCES)
    names = {name for pipeline in register_pipelines().values() for name in pipeline.datasets()}
    of_sources = tuple(f"{source}_" for source in SOURCES)
    shared = {name for name in names if "_" in name and not name.startswith((*of_sources, "params:"))}
    assert {name.split("_")[0] for name in shared} <= set(RESERVED)


def test_the_projects_seed_counts_unless_a_block_names_its_own():
    assert seeded(IngestionSettings(), 7).seed == 7
    assert seeded(IngestionSettings(seed=3), 7).seed == 3


def test_a_users_error_is_found_behind_the_frameworks():
    with pytest.raises(RuntimeError) as caught:
        try:
            raise SourceError("train.csv has no column Path")
        except SourceError as error:
            raise RuntimeError("failed while loading") from error
    assert str(user_error(caught.value)) == "train.csv has no column Path"
    assert user_error(RuntimeError("a bug")) is None
