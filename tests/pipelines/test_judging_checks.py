"""Wrong benchmarks and other models stop a run before any film is read."""

from types import SimpleNamespace

import pytest

from unichest_kedro.errors import SettingsError
from unichest_kedro.evaluation.benchmarks import Benchmarks
from unichest_kedro.evaluation.other_models import OtherModels
from unichest_kedro.hooks import ActiveSourcesHook
from unichest_kedro.pipelines.evaluation import create_measuring_pipeline
from unichest_kedro.vocabulary import read_yaml


@pytest.fixture
def start(project):
    """Start a run of the measuring pipeline with these benchmarks and other models."""

    def run(benchmarks=None, other_models=None):
        loaded = {
            "vocabulary": read_yaml(project / "conf/base/vocabulary.yml")[0],
            "params:benchmarks": Benchmarks.model_validate(benchmarks or {}),
            "params:other_models": OtherModels.model_validate(other_models or {}),
        }
        catalog = SimpleNamespace(load=loaded.__getitem__)
        ActiveSourcesHook().before_pipeline_run(create_measuring_pipeline(["open_i"]), catalog)

    return run


def test_what_is_right_starts(start):
    start({"mine": {"title": "Mine", "source": "siim_acr", "findings": ["pneumothorax"]}})


def test_a_benchmark_that_cannot_be_judged_is_named(start):
    with pytest.raises(SettingsError, match="benchmarks: mine: siim_acr does not annotate 'edema'"):
        start({"mine": {"title": "Mine", "source": "siim_acr", "findings": ["edema"]}})


def test_another_model_without_its_file_is_named(start, tmp_path):
    missing = {"predictions": tmp_path / "kad.csv", "trained_on": []}
    with pytest.raises(SettingsError, match=r"other_models: KAD: .*kad\.csv is not there"):
        start(other_models={"KAD": missing})
    with pytest.raises(SettingsError, match="Conquer: this is the title of one of our models"):
        start(other_models={"Conquer": missing})
