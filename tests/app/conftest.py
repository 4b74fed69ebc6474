"""A small model folder with text encoder and calibration, and films as files of every kind."""

from pathlib import Path

import pytest
from PIL import Image

from unichest_kedro.app.viewer import Viewer
from unichest_kedro.evaluation.calibration import Calibration, Calibrations, Platt, write_calibrations
from unichest_kedro.models.text_encoder import TextEncoderSettings, build_text_encoder
from unichest_kedro.models.unichest import UniChest

from ..prediction.conftest import FINDINGS, WIDTH, dicom_of, draw, make_model, save_dicom

CALIBRATIONS = Calibrations(
    origin="validation of phantoms",
    criterion="youden",
    findings={
        "pleural effusion": Calibration(threshold=0.05, curve=Platt(slope=2, intercept=1), positives=30, negatives=50),
        "pneumothorax": Calibration(threshold=0.95, curve=Platt(slope=1, intercept=-1), positives=30, negatives=50),
    },
)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """Its heat maps have 4 x 4 cells."""
    folder = tmp_path_factory.mktemp("app") / "unichest"
    make_model(image_size=128).save_pretrained(folder)
    settings = TextEncoderSettings(width=WIDTH, layers=1, heads=2, feed_forward=16, steps=2, fitting_batch=4)
    encoder = build_text_encoder(dict.fromkeys(FINDINGS, ()), {name: name for name in FINDINGS}, [], settings, 0)
    encoder.save_pretrained(folder / "text_encoder")
    write_calibrations(folder, CALIBRATIONS)
    return folder


@pytest.fixture(scope="session")
def viewer(model_folder) -> Viewer:
    """The viewer of that folder."""
    return Viewer(UniChest.from_pretrained(model_folder))


@pytest.fixture(scope="session")
def dropped(tmp_path_factory) -> dict[str, Path]:
    """Files to drop: a frontal film as PNG and as an inverted DICOM, a lateral one, and what cannot be read."""
    folder = tmp_path_factory.mktemp("dropped")
    first, second = draw(2, size=256)
    Image.fromarray(first).save(folder / "a.png")
    save_dicom(folder / "b.dcm", dicom_of(255 - second, PhotometricInterpretation="MONOCHROME1"))
    Image.fromarray(draw(1, lateral=True)[0]).save(folder / "side <b>.png")
    (folder / "notes.png").write_bytes(b"no picture")
    return {path.name: path for path in folder.iterdir()}
