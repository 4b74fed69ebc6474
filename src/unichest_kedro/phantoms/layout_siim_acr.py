"""SIIM-ACR Pneumothorax (stage 1) as Kaggle shipped it: DICOM films and one table of masks as runs of pixels.

As in the release, films are of ChestX-ray14: a fifth of them are films of that source's phantom, drawn again and
saved again, so that whoever trains on the one and scores on the other has leaked films to find. All films are
1024 x 1024, whatever the size they are drawn at, because the masks' offsets count on it.
"""

import io
import uuid
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import DataElement, Dataset, FileMetaDataset
from pydicom.config import IGNORE
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEGBaseline8Bit, SecondaryCaptureImageStorage

from unichest_kedro.phantoms.cohort import Cohort, Plan, seed_of, truth_table
from unichest_kedro.phantoms.definitions import judge, with_mistakes
from unichest_kedro.phantoms.differences import Profile
from unichest_kedro.phantoms.findings import DrawnBox
from unichest_kedro.phantoms.grid import Field
from unichest_kedro.phantoms.layout_chestxray14 import record_of
from unichest_kedro.phantoms.masks import Mask, runs_of

SOURCE = "siim_acr"
ROOT = ""
COHORT = Cohort(
    lateral=0.0, another_study=0.1, splits={"": 1.0}, added={"hernia": 0.05}, copied_from="chestxray14", copied=0.2
)
SIDE = 1024
PARTED = 0.25
"""Share of masks that are published in two parts."""

NO_MASK = "-1"
UID_ROOT = "1.2.826.0.1.3680043.8.498.4."


def name_films(plans: list[Plan], seed: int) -> list[str]:
    """Return each film's path below the root: a folder per study, one per series, and the film."""
    return [f"dicom-images-train/{_uid(plan, 2)}/{_uid(plan, 3)}/{_uid(plan, 4)}.dcm" for plan in plans]


def write_film(film: Field, plan: Plan, path: Path, index: int) -> None:
    """Write a film (H, W) in [0, 1] as an 8-bit baseline JPEG of 1024 x 1024 in a DICOM file."""
    picture = Image.fromarray(np.round(film * 255).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    dataset = _dataset(plan)
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)


def write_tables(
    root: Path, plans: list[Plan], names: list[str], boxes: list[list[DrawnBox]], profile: Profile, seed: int
) -> None:
    """Write the masks: a row each, or one row of -1 for a film without."""
    rng = np.random.default_rng(seed_of(SOURCE, seed, 2))
    opinion = judge(truth_table(plans), SOURCE, profile, rng)
    present = with_mistakes(opinion.present, profile, rng)["Pneumothorax"]
    lines = ["ImageId, EncodedPixels"]
    for plan, name, drawn, there in zip(plans, names, boxes, present):
        masks = _masks(drawn, plan) if there else []
        image = Path(name).stem
        lines += [f"{image},{' '.join(map(str, runs_of(mask)))}" for mask in masks] or [f"{image},{NO_MASK}"]
    (root / "train-rle.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _masks(drawn: list[DrawnBox], plan: Plan) -> list[Mask]:
    """The drawn pneumothorax at the size of the release, whole or cut into an upper and a lower part."""
    rng = np.random.default_rng([plan.seed, 7])
    masks = []
    for box in (box for box in drawn if box.kind == "pneumothorax" and box.outline and box.outline.runs):
        mask = box.outline.mask((SIDE, SIDE))
        rows = np.flatnonzero(mask.any(axis=1))
        cut = int(rows[0] + rng.uniform(0.35, 0.65) * len(rows))
        parts = [mask & (np.arange(SIDE)[:, None] < cut), mask & (np.arange(SIDE)[:, None] >= cut)]
        masks += [part for part in parts if part.any()] if rng.random() < PARTED else [mask]
    return masks


def _dataset(plan: Plan) -> Dataset:
    """The header as it was written for the competition: the patient's name is its id, the age has no unit."""
    record = record_of(plan)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = _uid(plan, 4)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = _uid(plan, 4)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(plan, 2), _uid(plan, 3)
    dataset.StudyDate, dataset.StudyTime = "19010101", "000000.00"
    dataset.Modality, dataset.ConversionType = "CR", "WSD"
    dataset.SeriesDescription = f"view: {record.view}"
    dataset.PatientName = dataset.PatientID = _patient_id(plan)
    dataset.PatientSex = plan.sex
    dataset.add(DataElement("PatientAge", "AS", str(record.age), validation_mode=IGNORE))
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", record.view
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIDE
    dataset.PixelSpacing = [record.spacing, record.spacing]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
    return dataset


def _uid(plan: Plan, what: int) -> UID:
    """Identifier of a film's study (2), series (3) or file (4)."""
    return UID(f"{UID_ROOT}{what}.{plan.seed}")


def _patient_id(plan: Plan) -> str:
    words = np.random.SeedSequence([plan.patient, 10]).generate_state(2, np.uint64)
    return str(uuid.UUID(int=(int(words[0]) << 64) | int(words[1]), version=4))
