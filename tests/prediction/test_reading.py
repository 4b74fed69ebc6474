"""Every kind of picture gives the same grey film as its file; what cannot be read says why."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image

from unichest_kedro.errors import UnreadableImage
from unichest_kedro.imaging.decode import decode_image
from unichest_kedro.prediction.reading import header_warning, read_picture

from .conftest import dicom_of, save_dicom


def test_files_pictures_arrays_and_datasets_of_one_film_are_one_film(tmp_path, films):
    film = films[0]
    Image.fromarray(film).save(tmp_path / "x.png")
    dicom = save_dicom(tmp_path / "x.dcm", dicom_of(film))
    expected = decode_image(tmp_path / "x.png")
    for picture in (
        tmp_path / "x.png",
        str(tmp_path / "x.png"),
        Image.open(tmp_path / "x.png"),
        film,
        film[:, :, None],
        np.stack([film] * 3, axis=2),
        film / 255,
        (film / 255).astype(np.float32),
    ):
        np.testing.assert_array_equal(read_picture(picture).grey, expected)
    shown = decode_image(dicom)
    np.testing.assert_array_equal(read_picture(dicom).grey, shown)
    np.testing.assert_array_equal(read_picture(pydicom.dcmread(dicom)).grey, shown)


def test_whole_numbers_are_stretched_as_in_a_16_bit_png(tmp_path, films):
    deep = films[0].astype(np.uint16) * 16 + 100
    Image.fromarray(deep).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_picture(deep).grey, read_picture(tmp_path / "x.png").grey)
    np.testing.assert_array_equal(read_picture(deep.astype(np.int32) - 500).grey, read_picture(deep).grey)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.full((9, 9), np.nan), "not finite"),
        (np.linspace(-1, 4095, 81).reshape(9, 9), "floats from -1 to 4095: 0 is black and 1 is white"),
        (np.zeros((4, 9, 9), np.uint8), r"shape \(4, 9, 9\).*give several as a list"),
        (np.zeros(9, np.uint8), r"shape \(9,\)"),
        (np.zeros((0, 9), np.uint8), "shape"),
        (np.zeros((9, 9), bool), "array of bool"),
        (np.zeros((9, 9, 3), np.uint16), "colour array of uint16"),
        (7, "int is no picture"),
        ("/nowhere/x.png", "file is not there"),
    ],
)
def test_what_is_no_picture_says_why(picture, words):
    with pytest.raises(UnreadableImage, match=words):
        read_picture(picture)


def test_a_dataset_without_pixels_says_why():
    with pytest.raises(UnreadableImage, match="without pixel data"):
        read_picture(pydicom.Dataset())


def coloured(film: np.ndarray) -> np.ndarray:
    picture = np.stack([film] * 3, axis=2)
    picture[:, : film.shape[1] // 2, 2] = 0
    return picture


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_colour_is_seen_in_files_pictures_and_arrays(tmp_path, films, suffix):
    bright = np.clip(films[0].astype(int) + 60, 0, 255).astype(np.uint8)
    picture = Image.fromarray(coloured(bright))
    picture.save(tmp_path / f"x.{suffix}")
    for one in (tmp_path / f"x.{suffix}", picture, coloured(bright), picture.convert("P"), picture.convert("RGBA")):
        assert "colour picture" in read_picture(one).check.warning


def test_a_grey_picture_saved_in_colour_is_no_colour_picture(tmp_path, films):
    for mode in ("RGB", "RGBA", "LA", "P"):
        Image.fromarray(films[0]).convert(mode).save(tmp_path / "x.png")
        assert read_picture(tmp_path / "x.png").check.warning == ""
    content = io.BytesIO()
    Image.fromarray(films[0]).convert("RGB").save(content, format="JPEG", quality=40)
    assert read_picture(Image.open(content)).check.warning == ""


def test_colour_is_seen_in_a_dicom(tmp_path, films):
    bright = np.clip(films[0].astype(int) + 60, 0, 255).astype(np.uint8)
    picture = coloured(bright)
    header = dicom_of(bright)
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PlanarConfiguration = 3, "RGB", 0
    header.PixelData = picture.tobytes() + b"\0" * (picture.size % 2)
    path = save_dicom(tmp_path / "x.dcm", header)
    assert "colour picture" in read_picture(path).check.warning
    assert "colour picture" in read_picture(pydicom.dcmread(path)).check.warning


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"Modality": "MR"}, "modality MR"),
        ({"BodyPartExamined": "HAND"}, "body part HAND"),
        ({"ViewPosition": "LL"}, "view LL: a lateral film"),
        ({"BodyPartExamined": "CHEST", "ViewPosition": "PA"}, ""),
        ({"BodyPartExamined": "", "Modality": ""}, ""),
    ],
)
def test_a_header_that_speaks_against_a_chest_film_is_heard(tmp_path, films, tags, words):
    path = save_dicom(tmp_path / "x.dcm", dicom_of(films[0], **tags))
    warning = read_picture(path).check.warning
    assert words in warning if words else warning == ""
    assert header_warning(pydicom.dcmread(path)) == warning
