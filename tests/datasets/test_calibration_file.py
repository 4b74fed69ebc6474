"""The calibration goes with its model folder."""

import pytest
import torch
from kedro.io import DatasetError

from unichest_kedro.datasets.calibration_file import CalibrationFileDataset
from unichest_kedro.datasets.model_folder import ModelFolderDataset
from unichest_kedro.evaluation.calibration import Calibration, Calibrations, Platt, read_calibrations
from unichest_kedro.models.unichest import ModelSettings, build_unichest

FITTED = Calibrations(
    origin="validation of a",
    criterion="youden",
    findings={"mass": Calibration(threshold=0.3, curve=Platt(slope=1.5, intercept=-0.2), positives=7, negatives=9)},
)


@pytest.fixture
def dataset(tmp_path):
    return CalibrationFileDataset(filepath=str(tmp_path / "model" / "calibration.json"))


def test_what_is_saved_is_loaded_and_found_in_the_folder(dataset, tmp_path):
    assert not dataset.exists()
    dataset.save(FITTED)
    assert dataset.exists() and dataset.load() == FITTED == read_calibrations(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["calibration.json"]


def test_without_one_it_is_said_what_to_run(dataset):
    with pytest.raises(DatasetError, match="kedro run --pipeline=score"):
        dataset.load()


def test_another_name_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"is called calibration\.json"):
        CalibrationFileDataset(filepath=str(tmp_path / "platt.json"))


def test_a_model_that_is_saved_anew_takes_it_away(dataset, tmp_path):
    settings = ModelSettings(backbone="test_resnet", image_size=32, width=16, layers=1, heads=2, feedforward=8)
    models = ModelFolderDataset(filepath=str(tmp_path / "model"))
    model = build_unichest(settings, ("mass",), torch.randn(1, 16), 1)
    models.save(model)
    dataset.save(FITTED)
    assert models.load().fingerprint() == model.fingerprint()
    models.save(model)
    assert not dataset.exists()
