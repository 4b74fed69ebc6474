"""Open-I, the Indiana University chest X-ray collection: reports as XML, or Kaggle's two tables, and PNG films.

Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and retrieval", JAMIA 2016.
Each report is of a patient of its own. Its labels are what the indexers wrote by hand (`MeSH/major`), read through
`open_i_mesh.yml`, which says which headings make which label.
"""

import logging
import re
import tarfile
import zlib
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from unichest_kedro.errors import SourceError, VocabularyError
from unichest_kedro.schemas import NATIVE_PREFIX
from unichest_kedro.sources.base import IngestionSettings, SourceTables, no_boxes, rejected_rows
from unichest_kedro.sources.paths import find_images, names_in, without_image_suffix
from unichest_kedro.sources.tables import find_table, read_table, require_filled, require_unique
from unichest_kedro.sources.threads import read_each

logger = logging.getLogger(__name__)

FOLDERS = ("ecgen-radiology", "NLMCXR_reports/ecgen-radiology")
"""Where the unpacked reports may be inside the root."""

ARCHIVES = ("NLMCXR_reports.tgz", "NLMCXR_reports.tar.gz")
REPORTS, PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"
IMAGES, KAGGLE_IMAGES = "NLMCXR_png", "images/images_normalized"
IMAGE_FOLDERS = (IMAGES, KAGGLE_IMAGES, "images_normalized", "images", "", "NLMCXR_dcm")
SECTIONS = ("indication", "comparison", "findings", "impression")
READ_SECTIONS = ("findings", "impression")
"""The sections that make the report text: the others say why the film was taken, not what is on it."""

NOT_INDEXED = "no indexing"
_IMAGE_NAME = re.compile(r"(?:CXR)?(?P<report>\d+)_(?:(?P=report)_)?(?P<film>IM-.+)")
_LARGEST_REPORT = 10_000_000
_VIEWS = {"Frontal": "frontal", "Lateral": "lateral"}


class MeshLabel(BaseModel):
    """A native label: the headings that state it, and why these and no others.

    A heading `A` matches a term whose heading is A; `A/q1/q2` also needs each q among the term's qualifiers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    headings: tuple[str, ...] = Field(min_length=1)
    why: str = Field(min_length=1)

    @field_validator("headings")
    @classmethod
    def _not_blank(cls, headings: tuple[str, ...]) -> tuple[str, ...]:
        for heading in headings:
            if not all(part.strip() for part in heading.split("/")):
                raise ValueError(f"{heading!r} has an empty part. Write `Heading` or `Heading/qualifier`.")
        return headings

    def matches(self, term: str) -> bool:
        """Whether a term such as "Pleural Effusion/right/small" states this label; upper and lower case are alike."""
        heading, *qualifiers = _parts(term)
        return any(
            wanted == heading and set(needed) <= set(qualifiers)
            for wanted, *needed in (_parts(pattern) for pattern in self.headings)
        )


class MeshLabels(BaseModel):
    """The native labels of the source, in the order in which they are shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: dict[str, MeshLabel] = Field(min_length=1)


class Report(NamedTuple):
    """One report: its id ("CXR12"), its sections by name, the indexers' terms, and the images it names."""

    report_id: str
    sections: dict[str, str]
    majors: tuple[str, ...]
    images: tuple[str, ...]


class Reports(NamedTuple):
    """All reports of a root in order of their numbers, and the files that are no report (as rejected rows)."""

    reports: list[Report]
    rejected: pd.DataFrame


def read(root: Path, settings: IngestionSettings) -> SourceTables:
    """The listing of all images that a report names; a report that cannot be read is rejected.

    A native label is 1 where a heading of its report states it and 0 where none does, NaN where the report was not
    indexed. The view is known where Kaggle's table of projections is there too.

    Raises:
        SourceError: no reports are there, a table lacks a column, or a report or an image is there twice.
        VocabularyError: the file of MeSH headings is not as it should be.
    """
    mesh = load_mesh_labels()
    reports, rejected = _read_all(root)
    images = [(report, image) for report in reports for image in report.images]
    image_id = pd.Series([image for _, image in images], dtype="str")
    report_id = pd.Series([report.report_id for report, _ in images], dtype="str")
    texts = {report.report_id: _text(report) for report in reports}
    views = _read_views(root)
    listing = pd.DataFrame(
        {
            "image_id": image_id,
            "patient_id": report_id,
            "study_id": report_id,
            "split": "",
            "split_origin": "",
            "view": image_id.map(_film_key).map(views).fillna("unknown").astype("str"),
            "sex": "",
            "age": np.nan,
            "path": _paths(root, image_id),
            "report": report_id.map(texts).astype("str"),
            "readers": 1,
        }
    )
    labels = label_terms(reports, mesh).reindex(report_id).reset_index(drop=True)
    return SourceTables(pd.concat([listing, labels.add_prefix(NATIVE_PREFIX)], axis=1), no_boxes(), rejected)


def read_reports_table(root: Path) -> pd.DataFrame:
    """Every report of a root, whether or not one of its images is on disk.

    Returns:
        One row per report: `report_id`, `report` (the headed sections that ingestion gives too), `indication`,
        `comparison`, `findings` and `impression` ("" where there is none), `majors` (the indexers' terms, a tuple)
        and `images` (the ids of its images, a tuple).

    Raises:
        SourceError: as `read`.
    """
    reports, rejected = _read_all(root)
    if len(rejected):
        logger.warning(
            "open_i: %s reports cannot be read, for example %s: %s.",
            f"{len(rejected):,}",
            rejected["path"].iloc[0],
            rejected["reason"].iloc[0],
        )
    columns: dict[str, list] = {
        "report_id": [report.report_id for report in reports],
        "report": [_text(report) for report in reports],
        **{name: [report.sections.get(name, "") for report in reports] for name in SECTIONS},
    }
    frame = pd.DataFrame(columns, dtype="str")
    return frame.assign(majors=[report.majors for report in reports], images=[report.images for report in reports])


def read_terms(root: Path) -> pd.DataFrame:
    """The indexers' terms: one row per report and term (`report_id`, `term`), as written but for outer blanks."""
    pairs = [(report.report_id, term) for report in _read_all(root).reports for term in report.majors]
    return pd.DataFrame(pairs, columns=["report_id", "term"], dtype="str")


def load_mesh_labels(path: Path | None = None) -> MeshLabels:
    """Read which headings make which native label; without a path, from the file shipped with the package.

    Raises:
        VocabularyError: the file is missing, is not YAML, or an entry is not as it should be, naming the entry.
    """
    source = path or files("unichest_kedro.sources") / "open_i_mesh.yml"
    try:
        return MeshLabels.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise VocabularyError(f"Cannot read the MeSH headings {source}: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise VocabularyError(
            f"MeSH headings {source}: {where}: {first['msg']}. Allowed is `labels`, and below it for each native "
            "label its `headings` (a list) and `why` (a sentence)."
        ) from error


def label_terms(reports: list[Report], mesh: MeshLabels) -> pd.DataFrame:
    """What the indexers' terms state: one row per report (the index) and one column per native label.

    float64: 1 where a term states the label, 0 where none does, NaN where the report was not indexed.
    """
    terms = sorted({term for report in reports for term in report.majors})
    stated = np.array([[label.matches(term) for label in mesh.labels.values()] for term in terms], dtype=bool)
    row = {term: number for number, term in enumerate(terms)}
    values = np.full((len(reports), len(mesh.labels)), np.nan)
    for number, report in enumerate(reports):
        indexed = [row[term] for term in report.majors if term.casefold() != NOT_INDEXED]
        if indexed:
            values[number] = stated[indexed].any(axis=0)
    index = pd.Index([report.report_id for report in reports], dtype="str")
    return pd.DataFrame(values, index=index, columns=list(mesh.labels))


def _parts(term: str) -> list[str]:
    """A term's heading and qualifiers, to be compared."""
    return [part.strip().casefold() for part in term.split("/")]


def _text(report: Report) -> str:
    """The report as headed sections, those left out that are empty."""
    found = [(name, report.sections.get(name, "")) for name in READ_SECTIONS]
    return "\n\n".join(f"{name.upper()}: {text}" for name, text in found if text)


def _read_all(root: Path) -> Reports:
    """All reports: from XML where there is any, else from Kaggle's table.

    Raises:
        SourceError: there is neither, or a report is there twice.
    """
    documents = _find_documents(root)
    table = find_table(root, REPORTS)
    if documents is not None:
        found = _from_xml(documents)
    elif table is not None:
        found = _from_table(root, table)
    else:
        raise SourceError(f"{root}: neither {FOLDERS[0]}/<number>.xml nor {ARCHIVES[0]} nor {REPORTS} is there.")
    if not found.reports:
        raise SourceError(f"{root}: not one of {len(found.rejected):,} reports can be read. Download them again.")
    reports = sorted(found.reports, key=lambda report: (len(report.report_id), report.report_id))
    require_unique(pd.DataFrame({"id": [report.report_id for report in reports]}), ["id"], root, "reports are")
    return Reports(reports, found.rejected)


def _find_documents(root: Path) -> Iterator[tuple[str, bytes]] | None:
    """The XML reports, by path relative to the root, in a folder or in the archive; None where there are none."""
    for folder in (*FOLDERS, ""):
        prefix = f"{folder}/" if folder else ""
        names = sorted(name for name in names_in(root / folder) if name.lower().endswith(".xml") and name[0] != ".")
        if names:
            paths = [prefix + name for name in names]
            return zip(paths, read_each(partial(_read_bytes, root), paths, "reports"), strict=True)
    archive = next((root / name for name in ARCHIVES if (root / name).is_file()), None)
    return None if archive is None else _read_archive(archive)


def _read_bytes(root: Path, path: str) -> bytes:
    """The content of one report."""
    try:
        return (root / path).read_bytes()
    except OSError as error:
        raise SourceError(f"{root / path}: the report cannot be read ({error.strerror}). Check the file.") from error


def _read_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each XML report of the archive, read where it is: nothing is unpacked."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if member.isfile() and name.lower().endswith(".xml") and name[0] != ".":
                    stream = archive.extractfile(member)
                    yield f"{path.name}/{member.name}", stream.read(_LARGEST_REPORT) if stream else b""
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read as an archive of reports ({error}). Download it again.") from error


def _from_xml(documents: Iterator[tuple[str, bytes]]) -> Reports:
    """The reports of XML documents; one that is not a report is rejected by its name."""
    reports, rejected = [], []
    for path, content in documents:
        try:
            reports.append(_parse_report(ElementTree.fromstring(content), path))
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            stem = path.rpartition("/")[2].rpartition(".")[0]
            rejected.append(rejected_rows([stem], path, f"cannot be read as an XML report: {error}"))
    return Reports(reports, pd.concat([rejected_rows([], [], ""), *rejected], ignore_index=True))


def _parse_report(root: ElementTree.Element, path: str) -> Report:
    """One report. Its id is the one it states, or else the file's name."""
    stated = root.find("uId")
    number = (stated.get("id", "") if stated is not None else "") or path.rpartition("/")[2].rpartition(".")[0]
    sections: dict[str, list[str]] = {}
    for part in root.iter("AbstractText"):
        sections.setdefault(part.get("Label", "").strip().casefold(), []).append(_words(part))
    majors = [_words(major) for major in root.iterfind("MeSH/major")]
    images = [image.get("id", "").strip() for image in root.iter("parentImage")]
    if not sections and not majors and not images:
        raise ValueError("no AbstractText, no MeSH term and no parentImage in it")
    return Report(
        f"CXR{number.removeprefix('CXR')}",
        {name: " ".join(filter(None, texts)) for name, texts in sections.items()},
        tuple(filter(None, majors)),
        tuple(filter(None, images)),
    )


def _words(element: ElementTree.Element) -> str:
    """All text of an element, with single blanks."""
    return " ".join("".join(element.itertext()).split())


def _from_table(root: Path, path: Path) -> Reports:
    """The reports of Kaggle's table, with the images of its table of projections where that is there."""
    frame = read_table(path, ["uid", "MeSH", "findings", "impression"], optional=["indication", "comparison"])
    require_filled(frame, ["uid"], path)
    images = _read_projections(root)
    named = images.groupby("uid", sort=False)["image_id"].agg(tuple).to_dict()
    frame = frame.fillna("")
    reports = [
        Report(
            f"CXR{row['uid']}",
            {name: " ".join(str(row.get(name, "")).split()) for name in SECTIONS},
            tuple(term.strip() for term in row["MeSH"].split(";") if term.strip()),
            named.get(row["uid"], ()),
        )
        for row in frame.to_dict("records")
    ]
    return Reports(reports, _without_report(images[~images["uid"].isin(frame["uid"])], path))


def _without_report(images: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Images of the table of projections whose report the other table lacks, as rejected rows."""
    return rejected_rows(images["image_id"], images["filename"], f"its report is in no row of {path.name}")


def _read_projections(root: Path) -> pd.DataFrame:
    """Kaggle's table of images: uid, image_id, filename, view; empty where it is not there."""
    path = find_table(root, PROJECTIONS)
    if path is None:
        return pd.DataFrame({name: pd.Series(dtype="str") for name in ("uid", "image_id", "filename", "view")})
    frame = read_table(path, ["uid", "filename", "projection"])
    require_filled(frame, ["uid", "filename"], path)
    key = frame["filename"].map(_film_key)
    view = frame["projection"].str.strip().map(_VIEWS).fillna("unknown")
    return frame.assign(image_id="CXR" + key, view=view)[["uid", "image_id", "filename", "view"]]


def _read_views(root: Path) -> dict[str, str]:
    """The view of each film, by its key; says so where the views are not known."""
    images = _read_projections(root)
    if images.empty:
        logger.warning(
            "open_i: %s is not in %s, so that no image's view is known. Put that table of Kaggle's copy there, or "
            'let imaging.views take "unknown" ones too.',
            PROJECTIONS,
            root,
        )
    return dict(zip(images["image_id"].map(_film_key), images["view"]))


def _film_key(name: str) -> str:
    """What all names of one film share: `1_IM-0001-4001` for `CXR1_1_IM-0001-4001.png` and `1_IM-0001-4001.dcm.png`."""
    plain = name
    while (shorter := without_image_suffix(plain)) != plain:
        plain = shorter
    parts = _IMAGE_NAME.fullmatch(plain)
    return f"{parts['report']}_{parts['film']}" if parts else plain.removeprefix("CXR")


def _paths(root: Path, image_id: pd.Series) -> pd.Series:
    """The path of each image: where it is on disk, and where the release has it if it is nowhere."""
    where: dict[str, str] = {}
    for path in [*find_images(root, IMAGE_FOLDERS[:-1]), *find_images(root, IMAGE_FOLDERS[-1:], depth=1)]:
        where.setdefault(_film_key(path.rpartition("/")[2]), path)
    if find_table(root, PROJECTIONS) is not None and not (root / IMAGES).is_dir():
        official = f"{KAGGLE_IMAGES}/" + image_id.str.removeprefix("CXR") + ".dcm.png"
    else:
        official = f"{IMAGES}/" + image_id + ".png"
    return image_id.map(_film_key).map(where).fillna(official).astype("str")
