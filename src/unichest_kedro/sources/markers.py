"""How a dataset's folder is recognised: the table each publisher ships, and a column only that table has."""

from pathlib import Path
from typing import NamedTuple

from unichest_kedro.errors import SourceError
from unichest_kedro.sources.tables import read_header

RELEASE_FOLDERS = "CheXpert*"
"""CheXpert's own release folder, which may be part of the root or inside it."""


_CHEXPERT = ("Path", "Frontal/Lateral", "AP/PA")
_VINBIGDATA = ("image_id", "class_name", "rad_id")


class Marker(NamedTuple):
    """A table, or a file where the publisher ships none (a pattern relative to the root, gzipped or not).

    Where several publishers use the name, any one of `columns` tells this one's table from the others'.
    """

    table: str
    columns: tuple[str, ...] = ()


MARKERS: dict[str, tuple[Marker, ...]] = {
    "mimic_cxr": (Marker("mimic-cxr-2.0.0-split.csv"),),
    "chestxray14": (Marker("Data_Entry_2017.csv"), Marker("Data_Entry_2017_v2020.csv")),
    "chexpert": (Marker("train.csv", _CHEXPERT), Marker(f"{RELEASE_FOLDERS}/train.csv", _CHEXPERT)),
    "vindr_cxr": (
        Marker("annotations/image_labels_train.csv"),
        Marker("annotations/image_labels_test.csv"),
        Marker("train.csv", _VINBIGDATA),
    ),
    "shenzhen": (
        Marker("CXR_png/CHNCXR_*.png"),
        Marker("ClinicalReadings/CHNCXR_*.txt"),
        Marker("ChinaSet_AllFiles/**/CHNCXR_*.png"),
        Marker("ChinaSet_AllFiles/**/CHNCXR_*.txt"),
        Marker("CHNCXR_*.png"),
    ),
    "open_i": (
        Marker("ecgen-radiology/*.xml"),
        Marker("NLMCXR_reports.tgz"),
        Marker("NLMCXR_reports.tar.gz"),
        Marker("NLMCXR_reports/ecgen-radiology/*.xml"),
        Marker("indiana_reports.csv", ("MeSH",)),
        Marker("[0-9]*.xml"),
    ),
    "siim_acr": (Marker("train-rle.csv"), Marker("stage_2_train.csv")),
    "padchest": (Marker("PADCHEST_chest_x_ray_images_labels_160K*.csv"),),
}
"""Any one of a source's markers is enough."""


def check_root(source: str, root: Path) -> None:
    """Check that a folder exists and holds the tables of the source; a user's own source says itself which it has.

    Raises:
        SourceError: naming the path, the table that was looked for, and the source it looks like, if any.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise SourceError(f"{source}: the root {root} {what}. Give the folder into which the dataset was unpacked.")
    if source not in MARKERS or any(_matches(marker, root) for marker in MARKERS[source]):
        return
    others = [
        other
        for other, markers in MARKERS.items()
        if other != source and any(_matches(marker, root) for marker in markers)
    ]
    if not others and any(_tables(marker, root) for marker in MARKERS[source]):
        return  # The right table with the wrong columns: the adapter says which ones.
    looked_for = " or ".join(marker.table for marker in MARKERS[source])
    hint = f" It looks like {others[0]}: is it listed under the wrong key?" if others else ""
    raise SourceError(
        f"{source}: {root} does not hold this dataset: looked for {looked_for} (or gzipped).{hint} "
        "Give the folder that contains the publisher's tables."
    )


def _matches(marker: Marker, root: Path) -> bool:
    """Whether a marker is in the folder."""
    tables = _tables(marker, root)
    return any(not marker.columns or not set(marker.columns).isdisjoint(read_header(path)) for path in tables)


def _tables(marker: Marker, root: Path) -> list[Path]:
    """The files that a marker's pattern names."""
    paths = (path for suffix in ("", ".gz") for path in sorted(root.glob(marker.table + suffix)))
    return [path for path in paths if path.is_file()]
