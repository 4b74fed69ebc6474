"""From an image file to 8-bit grey: JPEG, PNG and DICOM, told apart by their first bytes, not by their name.

Grey-scale rules, the same for every source:

* 8-bit JPEG and PNG are shown as they are; colour becomes luminance (ITU-R 601, as Pillow computes it).
* DICOM goes through its modality LUT or rescale, then its VOI LUT or first window; what the window calls
  black becomes 0 and what it calls white becomes 255 (PS3.3 C.11.1, C.11.2). MONOCHROME1 is inverted last.
* Data that states no display range (a DICOM without LUT or window, a 16-bit PNG) is stretched from its own
  lowest to its own highest value. Dividing by the nominal range instead would leave a 12-bit film in a 16-bit
  PNG with sixteen grey levels.
"""

import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

from unichest_kedro.errors import UnreadableImage

DECODER_VERSION = 1
"""Raise when the same file decodes to other pixels than before, so that image stores are made anew."""

MAX_PIXELS = 200_000_000
"""Largest film decoded: ten times what detectors deliver, so more is a mistake or an attack."""

_JPEG_START = b"\xff\xd8\xff"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_DICOM_START = b"DICM"
_DICOM_PREAMBLE = 128
_LUMINANCE = np.array([0.299, 0.587, 0.114])
_ENDED_EARLY = re.compile(r"truncated|less than expected|end of|premature|delimit", re.IGNORECASE)


def decode_image(path: Path) -> np.ndarray:
    """Decode one film.

    Args:
        path: A JPEG, PNG or DICOM file; its extension is not looked at.

    Returns:
        uint8 (height, width), 0 black to 255 white, with air dark and bone bright.

    Raises:
        UnreadableImage: With one reason, when the file is missing, empty, truncated, too large, of another
            kind, or holds no single two-dimensional image.
    """
    content = _read(path)
    name, decode = _decoder_of(content)
    return _guarded(name, lambda: decode(content))


def grey_of_picture(image: Image.Image) -> np.ndarray:
    """Grey pixels of a picture in memory, by the rules for JPEG and PNG files.

    Args:
        image: Of any mode; it is left as it is.

    Returns:
        uint8 (height, width).

    Raises:
        UnreadableImage: With one reason.
    """
    return _guarded("picture", lambda: _pillow_grey(image))


def grey_of_dataset(header: pydicom.Dataset) -> np.ndarray:
    """Grey pixels of a DICOM in memory, by the rules for DICOM files.

    Args:
        header: With pixel data, and with the transfer syntax in its `file_meta`.

    Returns:
        uint8 (height, width), 0 black to 255 white.

    Raises:
        UnreadableImage: With one reason.
    """
    return _guarded("DICOM", lambda: _dicom_grey(header))


def grey_of_values(values: np.ndarray) -> np.ndarray:
    """Grey pixels of whole numbers without a display range: lowest to 0, highest to 255.

    Args:
        values: Of any integer type, (height, width).

    Returns:
        uint8 (height, width).
    """
    return _stretched(values)


def _guarded(name: str, decode: Callable[[], np.ndarray]) -> np.ndarray:
    """What `decode` returns; whatever it raises becomes `UnreadableImage` with one reason."""
    # Header oddities that do not stop decoding would otherwise print a line per film.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.ascontiguousarray(decode())
        except UnreadableImage:
            raise
        except MemoryError as error:
            raise UnreadableImage(f"{name} too large for this machine's memory") from error
        # Codecs raise whatever they like on broken data; the file is the cause of all of it.
        except Exception as error:
            raise UnreadableImage(_reason(name, error)) from error


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UnreadableImage("file is not there") from None
    except OSError as error:
        raise UnreadableImage(f"file cannot be read: {error.strerror or error}") from error
    if not content:
        raise UnreadableImage("file is empty (0 bytes)")
    return content


def _decoder_of(content: bytes) -> tuple[str, Callable[[bytes], np.ndarray]]:
    if content.startswith(_JPEG_START):
        return "JPEG", _decode_jpeg
    if content.startswith(_PNG_START):
        return "PNG", _decode_png
    if content[_DICOM_PREAMBLE : _DICOM_PREAMBLE + len(_DICOM_START)] == _DICOM_START:
        return "DICOM", _decode_dicom
    raise UnreadableImage(f"not a DICOM, PNG or JPEG file (starts with {_shown(content[:16])})")


def _shown(start: bytes) -> str:
    """The first bytes in a form a person can recognise: text as text, anything else as hexadecimal."""
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return repr(start.decode("ascii"))
    return start[:8].hex(" ")


def _reason(name: str, error: Exception) -> str:
    """One line for the quarantine table; long codec reports are cut."""
    text = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
    ended_early = isinstance(error, EOFError) or _ENDED_EARLY.search(text)
    return f"{'truncated' if ended_early else 'broken'} {name}: {text[:200]}"


def _refuse_bomb(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{width} x {height} pixels are more than the {MAX_PIXELS // 1_000_000} million allowed")


def _decode_jpeg(content: bytes) -> np.ndarray:
    # The plugin itself, not Image.open: no other format can slip in, and the size limit is this module's.
    return _pillow_grey(JpegImagePlugin.JpegImageFile(io.BytesIO(content)))


def _decode_png(content: bytes) -> np.ndarray:
    return _pillow_grey(PngImagePlugin.PngImageFile(io.BytesIO(content)))


def _pillow_grey(image: Image.Image) -> np.ndarray:
    """Grey pixels of an opened JPEG or PNG, turned upright where the file says how it was held."""
    _refuse_bomb(*image.size)
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return _stretched(np.asarray(image))
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in ("RGBA", "LA"):
        image = _on_black(image)
    return np.asarray(image.convert("L"))


def _on_black(image: Image.Image) -> Image.Image:
    """An image with alpha, laid on black as a film lies on an unlit box; opaque pixels keep their value."""
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")


def _decode_dicom(content: bytes) -> np.ndarray:
    return _dicom_grey(_parsed(content))


def _dicom_grey(header: pydicom.Dataset) -> np.ndarray:
    _check_film(header)
    frame = _stored_values(header)
    if frame.ndim == 3 or header.PhotometricInterpretation == "PALETTE COLOR":
        return _colour_dicom_grey(frame, header)
    grey = _presented(frame, header)
    return 255 - grey if header.PhotometricInterpretation == "MONOCHROME1" else grey


def _parsed(content: bytes) -> pydicom.Dataset:
    """The elements of a DICOM file; one that ends too early is refused, where pydicom only warns."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        header = pydicom.dcmread(io.BytesIO(content))
    for note in notes:
        if "end of file" in str(note.message).lower():
            raise UnreadableImage("truncated DICOM: the file ends within its pixel data or header")
    return header


def _check_film(header: pydicom.Dataset) -> None:
    """Refuse what is not one two-dimensional image before its pixels are decoded."""
    if not any(keyword in header for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise UnreadableImage("DICOM without pixel data (cut off, or not an image)")
    for keyword in ("Rows", "Columns", "PhotometricInterpretation"):
        if not header.get(keyword):
            raise UnreadableImage(f"DICOM without {keyword}")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > 1:
        raise UnreadableImage(f"DICOM with {frames} frames: a film has one")
    _refuse_bomb(int(header.Columns), int(header.Rows))


def _stored_values(header: pydicom.Dataset) -> np.ndarray:
    """Decompressed pixels, (height, width) or (height, width, 3), of the header's depth and sign."""
    syntax = header.file_meta.TransferSyntaxUID
    # The one syntax with decoders installed that none of them handles beyond 8 bits.
    if syntax == pydicom.uid.JPEGExtended12Bit and int(header.BitsStored) > 8:
        raise UnreadableImage(f"DICOM compressed as {syntax.name} with {header.BitsStored} bits: no decoder")
    try:
        return header.pixel_array
    except NotImplementedError as error:
        raise UnreadableImage(f"DICOM compressed as {syntax.name}: no decoder") from error
    except RuntimeError as error:
        # Pydicom joins the reports of every codec it tried; none of them says more than this.
        raise UnreadableImage(f"broken DICOM: its {syntax.name} data cannot be decoded") from error


def _colour_dicom_grey(frame: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """Luminance of a colour DICOM (a scanned or captured film), scaled by the bit depth of its header."""
    bits = int(header.BitsStored)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        frame = apply_color_lut(frame, header)
        bits = frame.dtype.itemsize * 8
    return _scaled(frame[..., :3] @ _LUMINANCE, 0, 2**bits - 1)


def _presented(frame: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """Stored values to grey by way of the modality and VOI transforms, before any inversion.

    Both transforms look at one value at a time, so they are computed once per value that can occur and looked
    up: the same pixels as transforming the whole film, at a fraction of the time and memory.
    """
    low, high = frame.min(), frame.max()
    if frame.dtype.kind not in "iu" or int(high) - int(low) >= 2**16:
        return _display(frame, header)
    values = np.arange(int(low), int(high) + 1).astype(frame.dtype)
    return _display(values, header)[frame.astype(np.intp) - int(low)]


def _display(values: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """Modality LUT, then VOI LUT or first window, then 0 to 255; any shape."""
    values = apply_modality_lut(values, header)
    if _has_voi_lut(header):
        whole = np.rint(values).astype(np.int64)
        table = _voi_table(header)
        return _scaled(apply_voi_lut(whole, header), table.min(), table.max())
    if _has_window(header):
        with np.errstate(over="ignore"):
            # Far outside any window lie the two values that the window calls black and white.
            black, white = apply_voi_lut(np.array([-1e12, 1e12]), header)
            return _scaled(apply_voi_lut(values, header), black, white)
    return _stretched(values)


def _has_voi_lut(header: pydicom.Dataset) -> bool:
    return bool(header.get("VOILUTSequence")) and "LUTData" in header.VOILUTSequence[0]


def _voi_table(header: pydicom.Dataset) -> np.ndarray:
    """Every entry of the first VOI LUT: its own range, not its nominal depth, is taken as black and white."""
    entries, first = header.VOILUTSequence[0].LUTDescriptor[:2]
    return apply_voi_lut(np.arange(first, first + (entries or 2**16), dtype=np.int64), header)


def _has_window(header: pydicom.Dataset) -> bool:
    """Whether there is a usable window; a width below 1 (0 is seen in real headers) is no window at all."""
    widths, centers = header.get("WindowWidth"), header.get("WindowCenter")
    if widths is None or centers is None:
        return False
    width = float(widths[0] if isinstance(widths, pydicom.multival.MultiValue) else widths)
    exact = str(header.get("VOILUTFunction") or "LINEAR").upper() != "LINEAR"
    return width > 0 if exact else width >= 1


def _stretched(values: np.ndarray) -> np.ndarray:
    """Lowest value to 0, highest to 255; all the same value gives 0."""
    return _scaled(values, values.min(), values.max())


def _scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Linear from `black` -> 0 to `white` -> 255, clipped, rounded, uint8; black = white gives all 0."""
    black, white = float(black), float(white)
    if white == black:
        return np.zeros(values.shape, dtype=np.uint8)
    unit = (values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64) - black) / (white - black)
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)
