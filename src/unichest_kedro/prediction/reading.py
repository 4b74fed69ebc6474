"""One film from whatever a user has: a file, a picture, an array, a DICOM dataset; with what speaks against it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from PIL import Image

from unichest_kedro.errors import UnreadableImage
from unichest_kedro.imaging.decode import decode_image, grey_of_dataset, grey_of_picture, grey_of_values
from unichest_kedro.prediction.film_check import FilmCheck, check_film, colourfulness

Picture = str | Path | Image.Image | np.ndarray | pydicom.Dataset
"""What can be read as a film; see `read_picture`."""

RADIOGRAPHS = ("CR", "DX", "DR", "RG", "RF", "XA", "OT", "SC", "")
"""DICOM modalities that a film may have; OT and SC are what captured and digitised films say of themselves."""

CHEST = ("CHEST", "THORAX", "TORAX", "LUNG", "RIB", "HEART")
LATERAL = ("LL", "RL", "LLD", "RLD", "LAT", "LATERAL")

_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_COLOUR_SIDE = 256
"""Pixels of the longer side on which colour is measured."""


class ReadFilm(NamedTuple):
    """A film as it was read: uint8 (height, width), and what was found out about it."""

    grey: np.ndarray
    check: FilmCheck


def read_picture(picture: Picture) -> ReadFilm:
    """Read one film and look whether it is one.

    Args:
        picture: One of

            * a path to a DICOM, PNG or JPEG file;
            * a Pillow picture of any mode;
            * an array (height, width): uint8 as it is, 0 black to 255 white; other whole numbers from their lowest
              (black) to their highest (white); floats from 0 (black) to 1 (white);
            * an array (height, width, 3 or 4) of uint8 or of floats from 0 to 1: red, green, blue, alpha ignored;
            * a pydicom dataset with pixel data, shown as its window or LUT says.

    Raises:
        UnreadableImage: With one reason.
    """
    if isinstance(picture, str | Path):
        return _read_file(Path(picture))
    if isinstance(picture, pydicom.Dataset):
        grey = grey_of_dataset(picture)
        return ReadFilm(grey, check_film(grey, _dicom_colour(picture), header_warning(picture)))
    if isinstance(picture, Image.Image):
        grey = grey_of_picture(picture)
        return ReadFilm(grey, check_film(grey, _picture_colour(picture)))
    if isinstance(picture, np.ndarray):
        return _read_array(picture)
    raise UnreadableImage(
        f"{type(picture).__name__} is no picture: give a path, a Pillow picture, a numpy array or a pydicom dataset"
    )


def header_warning(header: pydicom.Dataset) -> str:
    """What a DICOM header itself says against an upright frontal chest film, "" for nothing.

    Only what is stated counts: a missing or empty element says nothing.
    """
    modality = _word(header, "Modality")
    if modality not in RADIOGRAPHS:
        return f"the DICOM header says modality {modality}: not a radiograph"
    part = _word(header, "BodyPartExamined")
    if part and not any(name in part for name in CHEST):
        return f"the DICOM header says body part {part}"
    view = _word(header, "ViewPosition")
    return f"the DICOM header says view {view}: a lateral film" if view in LATERAL else ""


def _read_file(path: Path) -> ReadFilm:
    grey = decode_image(path)
    # What cannot be looked at a second time is judged by its grey pixels alone: it has just been decoded.
    try:
        coloured, header = _about_file(path)
    except Exception:
        coloured, header = 0.0, ""
    return ReadFilm(grey, check_film(grey, coloured, header))


def _about_file(path: Path) -> tuple[float, str]:
    """Colour of a file's picture, and what its header says against it."""
    with path.open("rb") as file:
        is_dicom = file.read(132).endswith(b"DICM")
    if not is_dicom:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            if picture.mode not in _COLOUR_MODES:
                return 0.0, ""
            picture.draft("RGB", (_COLOUR_SIDE, _COLOUR_SIDE))  # a JPEG is decoded at a fraction of its size
            return _picture_colour(picture), ""
    header = pydicom.dcmread(path, stop_before_pixels=True)
    coloured = 0.0
    if int(header.get("SamplesPerPixel") or 1) > 1 or header.get("PhotometricInterpretation") == "PALETTE COLOR":
        coloured = _dicom_colour(pydicom.dcmread(path))
    return coloured, header_warning(header)


def _read_array(values: np.ndarray) -> ReadFilm:
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)) or 0 in values.shape:
        raise UnreadableImage(
            f"array of shape {values.shape}: a film is (height, width) or (height, width, 3); give several as a list"
        )
    if values.dtype.kind == "f":
        values = _from_unit(values)
    if values.ndim == 3:
        return _read_colour(values)
    if values.dtype.kind not in "iu":
        raise UnreadableImage(f"array of {values.dtype}: give uint8, other whole numbers, or floats from 0 to 1")
    grey = values if values.dtype == np.uint8 else grey_of_values(values)
    grey = np.ascontiguousarray(grey)
    return ReadFilm(grey, check_film(grey))


def _from_unit(values: np.ndarray) -> np.ndarray:
    """Floats from 0 to 1 as uint8."""
    if not np.isfinite(values).all():
        raise UnreadableImage("array with numbers that are not finite")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise UnreadableImage(
            f"floats from {low:g} to {high:g}: 0 is black and 1 is white; scale them, or give whole numbers"
        )
    return np.rint(values * 255).astype(np.uint8)


def _read_colour(values: np.ndarray) -> ReadFilm:
    if values.dtype != np.uint8:
        raise UnreadableImage(f"colour array of {values.dtype}: give uint8, or floats from 0 to 1")
    picture = Image.fromarray(np.ascontiguousarray(values[:, :, :3]))
    grey = grey_of_picture(picture)
    return ReadFilm(grey, check_film(grey, _picture_colour(picture)))


def _picture_colour(picture: Image.Image) -> float:
    """Share of coloured pixels of a picture; 0 for a grey one."""
    if picture.mode not in _COLOUR_MODES:
        return 0.0
    # Nearest rather than averaged: small coloured arrows stay small, and JPEG's colour noise is not spread.
    step = max(1, max(picture.size) // _COLOUR_SIDE)
    return colourfulness(np.asarray(picture.convert("RGB"))[::step, ::step])


def _dicom_colour(header: pydicom.Dataset) -> float:
    """Share of coloured pixels of a DICOM; 0 for a grey one, or for one whose colours cannot be had as 8-bit RGB."""
    if header.get("PhotometricInterpretation") == "PALETTE COLOR":
        wide = pydicom.pixels.apply_color_lut(header.pixel_array, header)
        values = wide >> 8 if wide.dtype == np.uint16 else wide
    elif int(header.get("SamplesPerPixel") or 1) >= 3:
        values = header.pixel_array  # pydicom gives red, green, blue, however they are stored
    else:
        return 0.0
    if values.dtype != np.uint8:
        values = (values / max(1, values.max()) * 255).astype(np.uint8)
    return colourfulness(values[..., :3])


def _word(header: pydicom.Dataset, keyword: str) -> str:
    return str(header.get(keyword) or "").strip().upper()
