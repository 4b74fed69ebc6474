"""Decoding: every awkward input gives the right greys, or one clear reason."""

import io
import warnings

import gdcm
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from unichest_kedro.errors import UnreadableImage
from unichest_kedro.imaging import decode
from unichest_kedro.imaging.decode import decode_image

RAMP = np.linspace(0, 255, 48 * 40).astype(np.uint8).reshape(40, 48)


def save_dicom(path, pixels, bits=12, signed=False, photometric="MONOCHROME2", syntax=None, **elements):
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.SOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    header.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["test"])
    header.Rows, header.Columns = pixels.shape[:2]
    header.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    if pixels.ndim == 3:
        header.PlanarConfiguration = 0
    header.PhotometricInterpretation = photometric
    header.BitsAllocated = 8 if bits == 8 else 16
    header.BitsStored, header.HighBit, header.PixelRepresentation = bits, bits - 1, int(signed)
    stored = pixels.astype("u1" if bits == 8 else "<i2" if signed else "<u2").tobytes()
    header.add_new("PixelData", "OB" if bits == 8 else "OW", stored)
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    if syntax is not None:
        header.compress(syntax)
    header.save_as(path, enforce_file_format=True)
    return path


def recompress(path, syntax):
    """Rewrite a DICOM in a syntax that pydicom cannot write."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()
    return path


def stretched_slowly(values):
    low, high = int(values.min()), int(values.max())
    return np.array([[round((int(v) - low) / (high - low) * 255) for v in row] for row in values])


@pytest.fixture
def twelve_bit():
    return np.random.default_rng(0).integers(100, 3900, (40, 48))


# --- JPEG and PNG


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1"])
def test_eight_bit_png_is_shown_as_it_is(tmp_path, mode):
    grey = RAMP if mode != "1" else (RAMP > 127).astype(np.uint8) * 255
    path = tmp_path / "film.png"
    Image.fromarray(grey).convert(mode, dither=Image.Dither.NONE).save(path)
    np.testing.assert_array_equal(decode_image(path), grey)


def test_grey_palette_png(tmp_path):
    image = Image.fromarray(RAMP // 32).convert("P")
    image.putpalette([level for step in range(8) for level in [step * 30] * 3])
    image.save(tmp_path / "film.png")
    np.testing.assert_array_equal(decode_image(tmp_path / "film.png"), RAMP // 32 * 30)


def test_transparent_pixels_are_black_and_half_transparent_ones_half_as_bright(tmp_path):
    alpha = np.zeros_like(RAMP)
    alpha[:, :16], alpha[:, 16:32] = 255, 128
    pixels = np.dstack([np.full_like(RAMP, 200)] * 3 + [alpha])
    Image.fromarray(pixels).save(tmp_path / "film.png")
    decoded = decode_image(tmp_path / "film.png")
    assert (decoded[:, :16] == 200).all()
    assert abs(int(decoded[0, 20]) - 100) <= 1
    assert (decoded[:, 32:] == 0).all()


def test_colour_becomes_luminance(tmp_path):
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    pixels[:] = (250, 100, 20)
    Image.fromarray(pixels).save(tmp_path / "film.png")
    assert (decode_image(tmp_path / "film.png") == round(0.299 * 250 + 0.587 * 100 + 0.114 * 20)).all()


def test_sixteen_bit_png_is_stretched_over_its_own_range(tmp_path, twelve_bit):
    Image.fromarray(twelve_bit.astype(np.uint16)).save(tmp_path / "film.png")
    np.testing.assert_allclose(decode_image(tmp_path / "film.png"), stretched_slowly(twelve_bit), atol=1)


def test_sixteen_bit_film_of_one_value_is_black(tmp_path):
    Image.fromarray(np.full((8, 8), 700, dtype=np.uint16)).save(tmp_path / "film.png")
    assert (decode_image(tmp_path / "film.png") == 0).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(tmp_path, mode):
    Image.fromarray(RAMP).convert(mode).save(tmp_path / "film.jpg", quality=98)
    decoded = decode_image(tmp_path / "film.jpg")
    assert decoded.dtype == np.uint8 and decoded.shape == RAMP.shape
    np.testing.assert_allclose(decoded, RAMP.astype(int), atol=6)


def test_photographed_film_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RAMP).save(tmp_path / "film.jpg", quality=98, exif=exif)
    np.testing.assert_allclose(decode_image(tmp_path / "film.jpg"), np.rot90(RAMP, -1).astype(int), atol=6)


def test_format_is_told_by_content_not_by_name(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "film.dcm", format="PNG")
    np.testing.assert_array_equal(decode_image(tmp_path / "film.dcm"), RAMP)


# --- DICOM


def test_dicom_without_window_is_stretched_over_its_own_range(tmp_path, twelve_bit):
    path = save_dicom(tmp_path / "film", twelve_bit)
    np.testing.assert_allclose(decode_image(path), stretched_slowly(twelve_bit), atol=1)


def test_monochrome1_is_inverted(tmp_path, twelve_bit):
    plain = decode_image(save_dicom(tmp_path / "plain", twelve_bit))
    inverted = decode_image(save_dicom(tmp_path / "inverted", twelve_bit, photometric="MONOCHROME1"))
    np.testing.assert_array_equal(inverted, 255 - plain)


def test_signed_pixels(tmp_path, twelve_bit):
    path = save_dicom(tmp_path / "film", twelve_bit - 2000, signed=True)
    np.testing.assert_allclose(decode_image(path), stretched_slowly(twelve_bit), atol=1)


def test_bits_above_the_header_s_depth_are_ignored(tmp_path, twelve_bit):
    path = save_dicom(tmp_path / "film", twelve_bit + 4096)
    np.testing.assert_allclose(decode_image(path), stretched_slowly(twelve_bit), atol=1)


def windowed_slowly(value, center, width, function):
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (value - center) / width))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    return min(1, max(0, (value - center) / width + 0.5))


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_first_window_after_rescale(tmp_path, twelve_bit, function):
    elements = {"RescaleSlope": 2, "RescaleIntercept": -1000, "RescaleType": "US"}
    elements |= {"WindowCenter": [3000, 1], "WindowWidth": [2500, 2]}
    if function:
        elements["VOILUTFunction"] = function
    decoded = decode_image(save_dicom(tmp_path / "film", twelve_bit, **elements))
    expected = [
        [windowed_slowly(2 * int(v) - 1000, 3000, 2500, function or "LINEAR") * 255 for v in row] for row in twelve_bit
    ]
    np.testing.assert_allclose(decoded, expected, atol=0.51)


@pytest.mark.parametrize("width", [0, None])
def test_unusable_window_counts_as_none(tmp_path, twelve_bit, width):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = save_dicom(tmp_path / "film", twelve_bit, WindowCenter=2000, WindowWidth=width)
    np.testing.assert_allclose(decode_image(path), stretched_slowly(twelve_bit), atol=1)


@pytest.mark.parametrize("rescaled", [False, True])
def test_voi_lut_with_its_own_range(tmp_path, twelve_bit, rescaled):
    """Real LUTs state 16 bits and use fewer; the brightest entry is white all the same."""
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    curve = (np.arange(4096) ** 0.5 * 60).astype(np.uint16)
    item.add_new("LUTData", "OW", curve.tobytes())
    elements = {"VOILUTSequence": Sequence([item])}
    if rescaled:
        elements |= {"RescaleSlope": 1, "RescaleIntercept": 0}
    decoded = decode_image(save_dicom(tmp_path / "film", twelve_bit, **elements))
    expected = curve[twelve_bit] / curve.max() * 255
    np.testing.assert_allclose(decoded, expected, atol=0.51)


def test_modality_lut(tmp_path, twelve_bit):
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.ModalityLUTType = "US"
    item.add_new("LUTData", "OW", (4095 - np.arange(4096)).astype(np.uint16).tobytes())
    path = save_dicom(tmp_path / "film", twelve_bit, ModalityLUTSequence=Sequence([item]))
    np.testing.assert_allclose(decode_image(path), stretched_slowly(-twelve_bit), atol=1)


@pytest.mark.parametrize("syntax", [pydicom.uid.JPEG2000Lossless, pydicom.uid.RLELossless])
def test_compression_that_pydicom_writes(tmp_path, twelve_bit, syntax):
    plain = decode_image(save_dicom(tmp_path / "plain", twelve_bit))
    np.testing.assert_array_equal(decode_image(save_dicom(tmp_path / "film", twelve_bit, syntax=syntax)), plain)


@pytest.mark.parametrize("syntax", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1", "JPEGLSLossless"])
def test_compression_that_gdcm_writes(tmp_path, twelve_bit, syntax):
    plain = decode_image(save_dicom(tmp_path / "plain", twelve_bit))
    path = recompress(save_dicom(tmp_path / "film", twelve_bit), getattr(gdcm.TransferSyntax, syntax))
    np.testing.assert_array_equal(decode_image(path), plain)


def test_rgb_dicom_becomes_luminance(tmp_path):
    pixels = np.zeros((6, 8, 3), dtype=np.uint8)
    pixels[:] = (250, 100, 20)
    path = save_dicom(tmp_path / "film", pixels, bits=8, photometric="RGB")
    assert (decode_image(path) == round(0.299 * 250 + 0.587 * 100 + 0.114 * 20)).all()


def test_real_dicoms(real):
    """The library made the second from the first by changing its header to MONOCHROME1."""
    plain = decode_image(real / "dicom" / "1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm")
    inverted = decode_image(real / "dicom" / "Fake_MONOHR1.dcm")
    assert plain.shape == (1024, 1024)
    spine, lung = plain[700:800, 480:520].mean(), plain[350:450, 250:300].mean()
    assert spine > lung + 50
    np.testing.assert_array_equal(inverted, 255 - plain)


@pytest.mark.parametrize("name", ["00001054_002.png", "00004808_003.png"])
def test_real_rgba_films(real, name):
    path = real / "chestxray14" / "images" / name
    with Image.open(path) as image:
        assert image.mode == "RGBA"
        red = np.asarray(image)[..., 0]
    np.testing.assert_array_equal(decode_image(path), red)


def test_every_film_from_the_web(real):
    for path in sorted((real / "own_hospital" / "films").iterdir()):
        assert decode_image(path).std() > 10, path.name


# --- what cannot be read


def reason(path):
    with pytest.raises(UnreadableImage) as caught:
        decode_image(path)
    return str(caught.value)


def png_bytes(pixels, form="PNG"):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=form)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "file is empty (0 bytes)"),
        (b"<html><body>404 Not found", "not a DICOM, PNG or JPEG file (starts with '<html><body>404 ')"),
        (b"GIF89a\x00\xff", "not a DICOM, PNG or JPEG file (starts with 47 49 46 38 39 61 00 ff)"),
        (bytes(200), "not a DICOM, PNG or JPEG file (starts with 00 00 00 00 00 00 00 00)"),
    ],
)
def test_no_image(tmp_path, content, expected):
    (tmp_path / "film.png").write_bytes(content)
    assert reason(tmp_path / "film.png") == expected


def test_missing_file_and_folder(tmp_path):
    assert reason(tmp_path / "none.png") == "file is not there"
    assert reason(tmp_path) == "file cannot be read: Is a directory"


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_png_and_jpeg(tmp_path, form, share):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    content = png_bytes(noise, form)
    (tmp_path / "film").write_bytes(content[: int(len(content) * share)])
    assert reason(tmp_path / "film").startswith(f"truncated {form}: ")


def test_broken_png(tmp_path):
    content = bytearray(png_bytes(RAMP))
    content[40:60] = bytes(20)
    (tmp_path / "film").write_bytes(content)
    assert reason(tmp_path / "film").startswith("broken PNG: ")


@pytest.mark.parametrize("syntax", [None, pydicom.uid.JPEG2000Lossless])
def test_truncated_dicom(tmp_path, twelve_bit, syntax):
    path = save_dicom(tmp_path / "film", twelve_bit, syntax=syntax)
    path.write_bytes(path.read_bytes()[:-200])
    assert reason(path).startswith("truncated DICOM: ")


def test_truncated_real_dicom(real, tmp_path):
    content = (real / "dicom" / "Fake_MONOHR1.dcm").read_bytes()
    (tmp_path / "film").write_bytes(content[: len(content) // 2])
    assert reason(tmp_path / "film") == "truncated DICOM: the file ends within its pixel data or header"


def test_damaged_compressed_data(tmp_path, twelve_bit, capfd):
    path = save_dicom(tmp_path / "film", twelve_bit, syntax=pydicom.uid.JPEG2000Lossless)
    content = path.read_bytes()
    start = content.index(b"\xff\x4f\xff\x51")
    path.write_bytes(content[:start] + bytes(60) + content[start + 60 :])
    assert reason(path).startswith("broken DICOM: its JPEG 2000 Image Compression (Lossless Only) data")


def test_dicom_without_pixels(tmp_path):
    path = save_dicom(tmp_path / "film", RAMP)
    header = pydicom.dcmread(path)
    del header.PixelData
    header.save_as(path)
    assert reason(path) == "DICOM without pixel data (cut off, or not an image)"


def test_dicom_without_rows(tmp_path):
    path = save_dicom(tmp_path / "film", RAMP)
    header = pydicom.dcmread(path)
    del header.Rows
    header.save_as(path)
    assert reason(path) == "DICOM without Rows"


def test_moving_picture(tmp_path):
    path = save_dicom(tmp_path / "film", RAMP, NumberOfFrames=12)
    assert reason(path) == "DICOM with 12 frames: a film has one"


def test_syntax_without_decoder(tmp_path):
    path = save_dicom(tmp_path / "film", RAMP)
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    header.PixelData = pydicom.encaps.encapsulate([b"\x00" * 100])
    header["PixelData"].is_undefined_length = True
    header.save_as(path)
    assert reason(path) == "DICOM compressed as MPEG2 Main Profile / Main Level: no decoder"


def test_oversized_film_is_refused_from_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 1_000_000)
    Image.new("L", (2000, 1000)).save(tmp_path / "film.png")
    assert reason(tmp_path / "film.png") == "2000 x 1000 pixels are more than the 1 million allowed"
    path = save_dicom(tmp_path / "film", RAMP, Rows=2000, Columns=1000)
    assert reason(path) == "1000 x 2000 pixels are more than the 1 million allowed"


def test_larger_than_pillow_s_own_limit_is_no_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(RAMP).save(tmp_path / "film.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(decode_image(tmp_path / "film.png"), RAMP)
