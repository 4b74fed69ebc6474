"""VinDr-CXR 1.0.0 as PhysioNet ships it: DICOM films, three readers in train, a consensus in test."""

import tempfile
from pathlib import Path

import gdcm
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
)

from unichest_kedro.phantoms.cohort import Cohort, Plan, seed_of, truth_table
from unichest_kedro.phantoms.definitions import Opinion, judge, labels_of, shows, with_mistakes
from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import DrawnBox
from unichest_kedro.phantoms.grid import Field

SOURCE = "vindr_cxr"
ROOT = ""
COHORT = Cohort(lateral=0.0, another_study=0.0, splits={"train": 0.75, "test": 0.25}, added={"tuberculosis": 0.07})
NO_FINDING = "No finding"
READER_COLUMN = "rad_ID"
READERS = tuple(f"R{i}" for i in range(1, 18))
PER_IMAGE = 3
DIAGNOSES = ("COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases")
"""Global labels: they have no boxes."""

TEST_SPELLING = {"Other diseases": "Other disease"}
"""The test table names one column differently."""

UID_ROOT = "1.2.826.0.1.3680043.8.498.1."


def name_films(plans: list[Plan], seed: int) -> list[str]:
    """Return each film's path below the root."""
    return [f"{plan.split}/{_image_id(plan)}.dicom" for plan in plans]


def write_film(film: Field, plan: Plan, path: Path, index: int) -> None:
    """Write a film (H, W) in [0, 1] as a DICOM file of 12, 14 or 16 bits.

    One in five is MONOCHROME1; one in six is JPEG 2000, one in twelve JPEG-lossless; a few need the modality
    LUT.
    """
    rng = np.random.default_rng([plan.seed, 8])
    bits = (12, 14, 16)[index % 3]
    dataset = _dataset(film, plan, bits, inverted=index % 5 == 2, rescaled=index % 7 == 3, rng=rng)
    if index % 12 == 5:
        _compress_jpeg_lossless(dataset, path.parent)
    elif index % 6 == 1:
        dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)


def write_tables(
    root: Path, plans: list[Plan], names: list[str], boxes: list[list[DrawnBox]], profile: Profile, seed: int
) -> None:
    """Write image labels and boxes: per reader in train, the consensus in test."""
    rng = np.random.default_rng(seed_of(SOURCE, seed, 2))
    opinion = judge(truth_table(plans), SOURCE, profile, rng)
    opinion = opinion._replace(present=opinion.present.assign(**dict.fromkeys(profile.unlabelled, False)))
    folder = root / "annotations"
    folder.mkdir()
    in_test = np.array([plan.split == "test" for plan in plans])
    labels, marks = _read(plans, opinion, boxes, profile, rng, np.flatnonzero(~in_test))
    labels.to_csv(folder / "image_labels_train.csv", index=False)
    marks.to_csv(folder / "annotations_train.csv", index=False)
    labels, marks = _agree(plans, opinion, boxes, profile, rng, np.flatnonzero(in_test))
    labels.to_csv(folder / "image_labels_test.csv", index=False)
    marks.to_csv(folder / "annotations_test.csv", index=False)


def _read(
    plans: list[Plan],
    opinion: Opinion,
    boxes: list[list[DrawnBox]],
    profile: Profile,
    rng: np.random.Generator,
    rows: NDArray[np.intp],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels and boxes of three readers per image, who disagree on borderline findings and make mistakes."""
    votes = [_vote(opinion, profile, rng).iloc[rows] for _ in range(PER_IMAGE)]
    labels, marks = [], []
    for place, row in enumerate(rows):
        for reader, vote in zip(sorted(rng.choice(len(READERS), PER_IMAGE, replace=False)), votes):
            said = vote.iloc[place]
            keys = {"image_id": _image_id(plans[row]), READER_COLUMN: READERS[reader]}
            labels.append({**keys, **_as_labels(said)})
            drawn = _marks(said, boxes[row], profile.threshold - 0.1, 2.5, rng) or [_no_mark()]
            marks += [{**keys, **mark} for mark in drawn]
    return pd.DataFrame(labels), pd.DataFrame(marks)


def _agree(
    plans: list[Plan],
    opinion: Opinion,
    boxes: list[list[DrawnBox]],
    profile: Profile,
    rng: np.random.Generator,
    rows: NDArray[np.intp],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels and boxes of the consensus of five readers."""
    agreed = with_mistakes(opinion.present, profile, rng, care=0.25).iloc[rows]
    labels, marks = [], []
    for place, row in enumerate(rows):
        key = {"image_id": _image_id(plans[row])}
        said = agreed.iloc[place]
        labels.append({**key, **_as_labels(said)})
        marks += [{**key, **mark} for mark in _marks(said, boxes[row], profile.threshold, 0.0, rng) or [_no_mark()]]
    return pd.DataFrame(labels).rename(columns=TEST_SPELLING), pd.DataFrame(marks)


def _vote(opinion: Opinion, profile: Profile, rng: np.random.Generator) -> pd.DataFrame:
    """One reader's labels of all films: the opposite on some borderline findings, and some mistakes."""
    close = (opinion.doubt < 0.10) & (rng.random(opinion.doubt.shape) < 0.4 * profile.hesitant)
    close &= ~opinion.present.columns.isin(profile.unlabelled)
    return with_mistakes(opinion.present ^ close, profile, rng)


def _as_labels(said: pd.Series) -> dict[str, int]:
    labels = {label: int(said[label]) for label in labels_of(SOURCE)}
    return {**labels, NO_FINDING: int(not any(labels.values()))}


def _marks(
    said: pd.Series, drawn: list[DrawnBox], threshold: float, jitter: float, rng: np.random.Generator
) -> list[dict[str, object]]:
    """Boxes of the local labels called present, each corner moved by about `jitter` percent of the box."""
    marks = []
    for label in labels_of(SOURCE):
        if not said[label] or label in DIAGNOSES:
            continue
        for box in (box for box in drawn if shows(SOURCE, label, box.kind, box.severity, threshold)):
            width, height = box.x_max - box.x_min, box.y_max - box.y_min
            moved = np.clip(rng.normal(0, 0.01 * jitter, 4), -0.1, 0.1) * (width, height, width, height)
            corners = np.round(np.maximum(np.array(box[2:6]) + np.minimum(moved * (1, 1, -1, -1), moved), 0), 2)
            marks.append({"class_name": label, **dict(zip(("x_min", "y_min", "x_max", "y_max"), corners))})
    return marks


def _no_mark() -> dict[str, object]:
    return {"class_name": NO_FINDING, "x_min": np.nan, "y_min": np.nan, "x_max": np.nan, "y_max": np.nan}


def _image_id(plan: Plan) -> str:
    words = np.random.SeedSequence([plan.seed, 9]).generate_state(4)
    return "".join(f"{int(word):08x}" for word in words)


def _dataset(film: Field, plan: Plan, bits: int, inverted: bool, rescaled: bool, rng: np.random.Generator) -> Dataset:
    """Return a DICOM data set whose window shows the film as it was drawn."""
    slope, intercept = (2.0, -200.0) if rescaled and bits > 12 else (1.0, 0.0)
    top = 2**bits - 1
    low, high = 0.06 * top, (0.55 if slope == 2.0 else 0.92) * top
    stored = np.round(low + (1 - film if inverted else film) * (high - low)).astype(np.uint16)
    dataset = Dataset()
    dataset.file_meta = _file_meta(plan)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.Modality = "DX"
    dataset.PatientSex = plan.sex if rng.random() < 0.9 else "O"
    dataset.PatientAge = f"{plan.age:03d}Y"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = film.shape
    dataset.PixelSpacing = [0.14, 0.14]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.WindowCenter = round(slope * (low + high) / 2 + intercept, 1)
    dataset.WindowWidth = round(slope * (high - low), 1)
    dataset.RescaleIntercept, dataset.RescaleSlope = intercept, slope
    dataset.PixelData = stored.tobytes()
    return dataset


def _file_meta(plan: Plan) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = UID(UID_ROOT + str(plan.seed))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta


def _compress_jpeg_lossless(dataset: Dataset, folder: Path) -> None:
    """Replace the pixels by JPEG-lossless ones, which pydicom itself cannot write."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".jpeg-") as scratch:
        plain, packed = Path(scratch) / "plain.dcm", Path(scratch) / "packed.dcm"
        dataset.save_as(plain, enforce_file_format=True)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(plain))
        reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(packed))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.Write()
        dataset.PixelData = dcmread(packed).PixelData
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
