"""Shenzhen Hospital chest X-ray set: `CXR_png/CHNCXR_0001_0.png` and `ClinicalReadings/CHNCXR_0001_0.txt`.

Jaeger et al., "Two public chest X-ray datasets for computer-aided screening of pulmonary diseases", Quant Imaging
Med Surg 2014. There is no table: the file names are the listing, and each film is of a patient of its own.
"""

import logging
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from unichest_kedro.errors import SourceError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources.ages import YEARS_PER_UNIT, plausible
from unichest_kedro.sources.base import IngestionSettings, SourceTables, no_boxes, rejected_rows
from unichest_kedro.sources.labels import SHENZHEN_LABELS
from unichest_kedro.sources.paths import find_images, names_in, without_image_suffix
from unichest_kedro.sources.threads import read_each

logger = logging.getLogger(__name__)

BASES = ("", "ChinaSet_AllFiles/", "ChinaSet_AllFiles/ChinaSet_AllFiles/")
"""Where the release may be inside the root: its archive holds a folder of the archive's name."""

IMAGES, READINGS = "CXR_png", "ClinicalReadings"
PATTERN = re.compile(r"CHNCXR_\d{4}_[01]")
NO_PATTERN = "the file name is not CHNCXR_<four digits>_<0 or 1>"

_GAP = r"[ \t]*[,;.:，]?[ \t]*"
_UNIT = r"y(?:ea)?(?:rs?)?|mon?(?:ths?)?|mos?|m|weeks?|wks?|w|days?|d"
_PATIENT = re.compile(
    rf"\s*(?P<sex>female?|male|f|m)(?![a-z]){_GAP}"
    rf"(?:(?P<age>\d+(?:\.\d+)?)[ \t]*(?P<unit>{_UNIT})?(?![a-z0-9]){_GAP})?",
    re.IGNORECASE,
)


class Reading(NamedTuple):
    """A reading: `sex` "F", "M" or "", `age` in years (NaN where not stated), and the `text` after them."""

    sex: str
    age: float
    text: str


def read(root: Path, settings: IngestionSettings) -> SourceTables:
    """The listing of all images that have a film or a reading on disk; files of other names are rejected.

    A reading, without its line of sex and age, is the report.

    Raises:
        SourceError: a folder or a reading cannot be read.
    """
    images, readings = _images(root), _readings(root)
    names = sorted({*images, *readings})
    fitting = [name for name in names if PATTERN.fullmatch(name)]
    others = [name for name in names if not PATTERN.fullmatch(name)]
    image_id = pd.Series(fitting, dtype="str")
    patient = image_id.str.rsplit("_", n=1).str[0]
    parsed = pd.DataFrame(_read_all(root, readings, fitting), columns=Reading._fields)
    parsed = parsed.astype({"sex": "str", "age": "float64", "text": "str"})
    _report_readings(parsed)
    listing = pd.DataFrame(
        {
            "image_id": image_id,
            "patient_id": patient,
            "study_id": patient,
            "split": "",
            "split_origin": "",
            "view": "frontal",
            "sex": parsed["sex"],
            "age": plausible(parsed["age"], "shenzhen"),
            "path": [images.get(name, f"{_base(root)}{IMAGES}/{name}.png") for name in fitting],
            "report": parsed["text"],
            "readers": 1,
        }
    )
    ill = image_id.str.endswith("_1")
    for label, present in zip(SHENZHEN_LABELS, (~ill, ill), strict=True):
        listing[NATIVE_PREFIX + label] = present.astype("float64")
    where = [images.get(name) or readings[name] for name in others]
    return SourceTables(listing, no_boxes(), rejected_rows(others, where, NO_PATTERN))


def parse_reading(text: str) -> Reading:
    """Take a reading apart.

    Sex and age begin it, as in "male 45yrs", "female, 14 yrs", "Female24yrs", "femal 32yrs" or "male 21days"; an age
    without a unit is in years. A reading that begins otherwise is text throughout.
    """
    found = _PATIENT.match(text)
    if found is None:
        return Reading("", float("nan"), text.strip())
    unit = (found["unit"] or "y")[0].upper()
    age = float(found["age"]) * YEARS_PER_UNIT[unit] if found["age"] else float("nan")
    return Reading(found["sex"][0].upper(), age, text[found.end() :].strip())


def _report_readings(parsed: pd.DataFrame) -> None:
    """Say how many films have no reading that begins with sex and age."""
    without = int((parsed["sex"].eq("") | parsed["age"].isna()).sum())
    if without:
        logger.warning("shenzhen: sex or age of %s of %s films is not known.", f"{without:,}", f"{len(parsed):,}")


def _base(root: Path) -> str:
    """The folder inside the root that holds the release's two folders; the root where neither is anywhere."""
    holds = (base for base in BASES if any((root / base / name).is_dir() for name in (IMAGES, READINGS)))
    return next(holds, "")


def _images(root: Path) -> dict[str, str]:
    """The path of each film by its name: those in `CXR_png`, or those lying flat in the root."""
    base = _base(root)
    paths = find_images(root, [base + IMAGES]) or find_images(root, [base.rstrip("/")])
    return {without_image_suffix(path.rpartition("/")[2]): path for path in paths}


def _readings(root: Path) -> dict[str, str]:
    """The path of each reading by its name: those in `ClinicalReadings`, or those lying beside flat films."""
    base = _base(root)
    inside = _texts(root, f"{base}{READINGS}/")
    return inside or {name: path for name, path in _texts(root, base).items() if PATTERN.fullmatch(name)}


def _texts(root: Path, folder: str) -> dict[str, str]:
    """The path of each text file of a folder by its name without the ending."""
    names = sorted(name for name in names_in(root / folder) if name.lower().endswith(".txt") and name[0] != ".")
    return {name[: -len(".txt")]: folder + name for name in names}


def _read_all(root: Path, readings: dict[str, str], names: list[str]) -> list[Reading]:
    """The reading of each name; one without words where there is none."""
    paths = [readings.get(name, "") for name in names]
    return list(read_each(lambda path: parse_reading(_read_text(root / path) if path else ""), paths, "readings"))


def _read_text(path: Path) -> str:
    """The text of a reading. A few bytes are not UTF-8; they are no letters of a finding."""
    try:
        return path.read_bytes().decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    except OSError as error:
        raise SourceError(f"{path}: the reading cannot be read ({error.strerror}). Check the file.") from error
