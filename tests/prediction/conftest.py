"""Phantom films as files of every kind, and small model folders with a text encoder and a vocabulary."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
import yaml
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from unichest_kedro.models.text_encoder import TextEncoderSettings, build_text_encoder
from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest
from unichest_kedro.phantoms.acquisition import take_film
from unichest_kedro.phantoms.differences import Differences, profile_of
from unichest_kedro.phantoms.make import plan_source
from unichest_kedro.phantoms.settings import PhantomSettings
from unichest_kedro.pipelines import prediction
from unichest_kedro.prediction.settings import ExportSettings, PredictSettings

FINDINGS = ("pleural effusion", "pneumothorax", "hernia", "No Finding")
ASKED = ("pleural effusion", "pneumothorax", "No Finding")
VOCABULARY = """
findings:
  - {name: pleural effusion, prompt: pleural effusion seen, synonyms: [effusion, pleural fluid]}
  - {name: pneumothorax, prompt: air in the pleural space, synonyms: [ptx]}
  - {name: hernia, prompt: hiatal hernia, synonyms: [hiatus hernia]}
  - {name: No Finding, prompt: no finding}
sources: {}
"""
WIDTH = 16
SIZE = 32


def draw(
    count: int, lateral: bool = False, size: int = 128, source: str = "chexpert", seed: int = 5
) -> list[np.ndarray]:
    """Phantom films, uint8."""
    plans = plan_source(source, PhantomSettings(images_per_source=60, image_size=size, seed=seed))
    plans = [plan for plan in plans if not plan.lateral][:count]
    films = (take_film(replace(plan, lateral=lateral), size, profile_of(source, Differences()))[0] for plan in plans)
    return [np.rint(film * 255).astype(np.uint8) for film in films]


def dicom_of(film: np.ndarray, **tags) -> FileDataset:
    """A grey DICOM that holds these pixels as they are."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    header = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    header.Rows, header.Columns = film.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation = 7, 0
    header.WindowCenter, header.WindowWidth = 128, 256
    header.PixelData = film.tobytes() + b"\0" * (film.size % 2)
    for name, value in ({"Modality": "DX"} | tags).items():
        setattr(header, name, value)
    return header


def save_dicom(path: Path, header: pydicom.Dataset) -> Path:
    """Write a DICOM file."""
    header.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="session")
def films() -> list[np.ndarray]:
    """Six frontal phantom films."""
    return draw(6)


@pytest.fixture(scope="session")
def lateral() -> np.ndarray:
    """A lateral phantom film."""
    return draw(1, lateral=True)[0]


@pytest.fixture
def folder(tmp_path, films) -> Path:
    """Four films: PNG, JPEG and DICOM, in two folders; beside them a table and a text."""
    root = tmp_path / "films"
    (root / "deep" / "er").mkdir(parents=True)
    Image.fromarray(films[0]).save(root / "a.png")
    Image.fromarray(films[1]).save(root / "deep" / "b.JPG", format="JPEG", quality=95)
    save_dicom(root / "deep" / "er" / "IM0001", dicom_of(films[2]))
    Image.fromarray(films[3]).save(root / "deep" / "c.png")
    (root / "table.csv").write_text("path\n")
    (root / "notes.txt").write_text("nothing")
    return root


@pytest.fixture(scope="session")
def encoder():
    """A text encoder of the model's width."""
    settings = TextEncoderSettings(width=WIDTH, layers=1, heads=2, feed_forward=16, steps=2, fitting_batch=4)
    synonyms = {"pleural effusion": ("effusion",), "pneumothorax": ("ptx",), "hernia": (), "No Finding": ()}
    prompts = {name: f"{name} seen" for name in synonyms}
    return build_text_encoder(synonyms, prompts, ["no effusion"], settings, 0)


def make_model(**changes) -> UniChest:
    """A small untrained model whose answers differ from film to film and finding to finding."""
    settings = {
        "backbone": "test_resnet",
        "image_size": SIZE,
        "width": WIDTH,
        "layers": 1,
        "heads": 2,
        "feedforward": 8,
    }
    embeddings = torch.randn(len(FINDINGS), WIDTH, generator=torch.Generator().manual_seed(0))
    facts = {"Trained on": "phantoms", "findings_asked": list(ASKED), "trained_on": ["chexpert"]}
    model = build_unichest(ModelSettings(**settings | changes), FINDINGS, embeddings, 1, VOCABULARY, facts)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.mixture.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    model.set_ratios(0.5, 0.5)
    return model.eval()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, encoder) -> Path:
    """A model folder with a text encoder."""
    folder = tmp_path_factory.mktemp("models") / "unichest"
    make_model().save_pretrained(folder)
    encoder.save_pretrained(folder / "text_encoder")
    return folder


@pytest.fixture
def model(model_folder) -> UniChest:
    """The model of that folder."""
    return UniChest.from_pretrained(model_folder)


@pytest.fixture
def configured(project, tmp_path):
    """The shipped catalog and parameters, with `data` in a temporary folder."""
    base = tmp_path / "conf" / "base"
    base.mkdir(parents=True)
    for name in ("catalog_prediction.yml", "parameters_prediction.yml"):
        shutil.copy(project / "conf" / "base" / name, base / name)
    (base / "globals.yml").write_text(yaml.safe_dump({"data": str(tmp_path / "data")}))
    return OmegaConfigLoader(conf_source=str(tmp_path / "conf"), base_env="base", default_run_env="base")


@pytest.fixture
def run(configured):
    """Run one of the pipelines with changed parameters; returns its catalog."""

    def run(pipeline, **changes):
        catalog = DataCatalog.from_config(configured["catalog"])
        name, settings = ("predict", PredictSettings) if pipeline is prediction else ("export", ExportSettings)
        catalog[f"params:{name}"] = settings.model_validate(configured["parameters"][name] | changes)
        SequentialRunner().run(pipeline.create_pipeline(), catalog)
        return catalog

    return run
