"""What heat maps are held against: readers' boxes as regions of the film, each of one finding on one film.

A region is drawn on a square raster that covers the whole film. The model sees films stretched to squares too, so that
heat map and region meet there without rounding; and stretching changes areas alike, so that their overlap is that of
the film itself.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from unichest_kedro.errors import UniChestError
from unichest_kedro.sources.vindr_cxr import CONSENSUS

RELEASED = {"chestxray14": (1024, 1024), "siim_acr": (1024, 1024)}
"""Height and width of the films that a publisher's boxes refer to, where every released film has them.

Copies of these films in other sizes go about; their boxes still are of the release.
"""

BEYOND = 0.01
"""A box may leave its film by this part of the film's side, as a hand-drawn one does; it is cut off at the border."""

REGION = ["source", "split", "image_id", "patient_id", "finding"]
"""What a region is known by."""

CORNERS = ["left", "top", "right", "bottom"]
TARGET_COLUMNS = [
    *("source", "split", "image_id", "patient_id", "image_row", "finding", "reader", *CORNERS),
    *("needed", "height", "width"),
]

UNMAPPED = "the vocabulary has no such label of the source"
NOT_ASKED = "it states no finding that the source is scored on"
NO_FILM = "its film is not among the examples"
NO_AREA = "it has no area"
LEAVES_FILM = "it leaves its film: the file is of another size than the film that was annotated"
TRAINED_ON = "the model was trained on its film"
NOT_PRESENT = "the finding is not labelled present on the film"
NO_AGREEMENT = "too few readers agree on any part of the region"
REASONS = (UNMAPPED, NOT_ASKED, NO_FILM, NO_AREA, LEAVES_FILM, TRAINED_ON, NOT_PRESENT, NO_AGREEMENT)
"""Why a box is left out; the first that holds counts."""


class LocalisationSettings(BaseModel):
    """How heat maps are held against boxes.

    `tolerance`: how far from the region the highest point of the map may
    lie and still be a hit, as part of the film's shorter side. `readers`: where several readers drew boxes on a film,
    the region is what "any" of them, or the "majority" of the film's readers, put into a box. `raster`: cells per side
    of the raster. `threshold`: from where on the map counts as found, where no validation boxes choose it. A finding
    with fewer than `fewest_films` of a source counts in no mean. `resamples` stand behind each 95 % interval.
    `examples_per_source` films are drawn with map and boxes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: float = Field(default=0.0, ge=0, le=0.25)
    readers: Literal["any", "majority"] = "majority"
    raster: int = Field(default=256, ge=16, le=2048)
    threshold: float = Field(default=0.5, ge=0.05, le=0.95, multiple_of=0.05)
    fewest_films: int = Field(default=10, ge=1)
    resamples: int = Field(default=1000, ge=1)
    examples_per_source: int = Field(default=4, ge=0)


class BoxedSource(NamedTuple):
    """What is known of the boxes of one source.

    Attributes:
        boxes: `Boxes`.
        studies: `Studies`, or its columns `image_id, readers`.
        labels: `Labels`; the rows are those of `Examples.label_row`.
        sizes: Columns `image_id, height, width`: the pixels that boxes are given in (`box_frames`).
        findings_of_label: The findings that each native label states (`vocabulary.rules(source).labels`).
        asked: The findings that the source is scored on.
    """

    boxes: pd.DataFrame
    studies: pd.DataFrame
    labels: pd.DataFrame
    sizes: pd.DataFrame
    findings_of_label: Mapping[str, Sequence[str]]
    asked: Collection[str]


def box_frames(source: str, manifest: pd.DataFrame, phantom: bool = False) -> pd.DataFrame:
    """The pixels that each film's boxes are given in.

    Args:
        source: Key of the source.
        manifest: Manifest of its image store: `image_id, original_height, original_width`.
        phantom: Whether the films are phantoms, whose boxes are in their own pixels.

    Returns:
        `image_id, height, width`: those of the release (`RELEASED`) where they are known, else those of the file.
    """
    frames = manifest[["image_id"]].assign(height=manifest["original_height"], width=manifest["original_width"])
    if source in RELEASED and not phantom:
        frames["height"], frames["width"] = RELEASED[source]
    return frames.reset_index(drop=True)


def find_targets(
    examples: pd.DataFrame,
    sources: Mapping[str, BoxedSource],
    settings: LocalisationSettings,
    leaked: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The boxes that heat maps are held against, as parts of their film, and those that are left out.

    Args:
        examples: `Examples`.
        sources: What is known of the boxes of each source.
        settings: How readers are combined, and the raster on which they are.
        leaked: Columns `source, image_id` of films of `val` and `test` that the model has been trained on.

    Returns:
        `BoxTargets`, in order of sources, films and findings, and `BoxesLeftOut`.
    """
    parts = [_of_source(source, examples, boxed, settings, leaked) for source, boxed in sources.items()]
    kept = [part[part["reason"] == ""][TARGET_COLUMNS] for part in parts]
    left_out = [part[part["reason"] != ""] for part in parts]
    if not parts:
        return no_targets(), _count(no_targets().assign(label="", reason=""))
    return pd.concat(kept, ignore_index=True).astype(no_targets().dtypes), _count(
        pd.concat(left_out, ignore_index=True)
    )


def no_targets() -> pd.DataFrame:
    """An empty table of `BoxTargets`."""
    text, whole = {"source", "split", "image_id", "patient_id", "finding", "reader"}, {"image_row", "needed"}
    types = {name: "str" if name in text else "int64" if name in whole else "float64" for name in TARGET_COLUMNS}
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in types.items()})


class BoxedFinding(NamedTuple):
    """The boxes of one finding on one film.

    Attributes:
        key: source, split, image id, patient id and finding.
        image_row: Row of the source's image store.
        corners: float64 (n,4), the corners of its boxes as parts of width and height: left, top, right, bottom.
        readers: int64 (n,), who drew each box, as numbers from 0.
        needed: How many readers have to box a part of the film.
        shape: Height and width of the film.
        rows: Where its boxes stand in the table of targets, from 0.
    """

    key: tuple[str, str, str, str, str]
    image_row: int
    corners: np.ndarray
    readers: np.ndarray
    needed: int
    shape: tuple[float, float]
    rows: np.ndarray

    @property
    def finding(self) -> str:
        """The finding's name."""
        return self.key[-1]


def boxed_findings(targets: pd.DataFrame) -> Iterator[BoxedFinding]:
    """The boxes of each finding on each film, in the order in which they first appear in `BoxTargets`."""
    group = targets.groupby(["source", "image_id", "finding"], sort=False).ngroup().to_numpy()
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    firsts = targets.iloc[order[starts]]
    keys = firsts[REGION].itertuples(index=False, name=None)
    numbers = firsts[["image_row", "needed", "height", "width"]].to_numpy()
    corners, readers = targets[CORNERS].to_numpy(), pd.factorize(targets["reader"])[0]
    for key, (image_row, needed, *shape), rows in zip(keys, numbers, np.split(order, starts[1:])):
        who = np.unique(readers[rows], return_inverse=True)[1]
        yield BoxedFinding(key, int(image_row), corners[rows], who, int(needed), tuple(shape), rows)


def region(boxed: BoxedFinding, raster: int) -> np.ndarray:
    """The region of one finding on one film: the cells whose centre lies in boxes of at least `needed` readers.

    A box too small to hold a centre has the cell that its own centre is in.

    Args:
        boxed: The boxes.
        raster: Cells per side.

    Returns:
        bool (raster, raster), rows from the top.
    """
    votes = np.zeros((raster, raster), dtype=np.int16)
    for reader in range(boxed.readers.max() + 1):
        drawn = np.zeros((raster, raster), dtype=bool)
        for left, top, right, bottom in boxed.corners[boxed.readers == reader]:
            drawn[_cells(top, bottom, raster), _cells(left, right, raster)] = True
        votes += drawn
    return votes >= boxed.needed


def _cells(low: float, high: float, raster: int) -> slice:
    """The cells of one axis whose centres lie in [low, high); the one in the middle where there is none."""
    start, stop = (int(np.ceil(edge * raster - 0.5)) for edge in (low, high))
    if stop <= start:
        start = min(int((low + high) / 2 * raster), raster - 1)
        stop = start + 1
    return slice(start, stop)


def _of_source(
    source: str,
    examples: pd.DataFrame,
    boxed: BoxedSource,
    settings: LocalisationSettings,
    leaked: pd.DataFrame | None,
) -> pd.DataFrame:
    """All boxes of a source with the finding they state, and why they are left out ("": they are not)."""
    table = _with_findings(boxed)
    films = examples[examples["source"] == source].merge(boxed.sizes, on="image_id", how="left", validate="one_to_one")
    if films["height"].isna().any():
        raise UniChestError(
            f"source {source!r}: the size of film {films.loc[films['height'].isna(), 'image_id'].iloc[0]!r} is not "
            "known, so that its boxes cannot be placed; run the images and text pipelines again"
        )
    columns = ["split", "image_id", "patient_id", "image_row", "label_row", "height", "width"]
    table = table.merge(films[columns], on="image_id", how="left", validate="many_to_one")
    table = table.assign(source=source, needed=_needed(table, boxed.studies, settings.readers))
    wrong = {
        NO_FILM: table["image_row"].isna(),
        **_misplaced(table),
        TRAINED_ON: _is_trained_on(table, leaked),
        NOT_PRESENT: ~_is_present(table, boxed.labels),
    }
    for reason, holds in wrong.items():
        table["reason"] = table["reason"].mask((table["reason"] == "") & holds.astype(bool), reason)
    table = _as_parts(table)
    kept = (table["reason"] == "").to_numpy()
    table.loc[_without_agreement(table[kept], settings.raster), "reason"] = NO_AGREEMENT
    return table.sort_values(["image_row", "finding"], kind="stable", ignore_index=True)


def _with_findings(boxed: BoxedSource) -> pd.DataFrame:
    """One row per box and finding that its label states."""
    boxes = boxed.boxes.drop(columns="source")
    boxes = boxes.assign(finding=[list(boxed.findings_of_label.get(label, ())) for label in boxes["label"]])
    table = boxes.explode("finding", ignore_index=True)
    unmapped = ~table["label"].isin(list(boxed.findings_of_label))
    not_asked = ~table["finding"].isin(list(boxed.asked))
    reason = np.select([unmapped, not_asked], [UNMAPPED, NOT_ASKED], default="")
    return table.assign(finding=table["finding"].fillna("").astype("str"), reason=reason)


def _needed(table: pd.DataFrame, studies: pd.DataFrame, rule: str) -> np.ndarray:
    """How many readers have to box a part of the film for it to belong to the region."""
    readers = table["image_id"].map(studies.set_index("image_id")["readers"]).fillna(1).to_numpy()
    several = (rule == "majority") & (table["reader"] != CONSENSUS).to_numpy()
    return np.where(several, readers // 2 + 1, 1).astype(np.int64)


def _misplaced(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Boxes without area, and boxes that are not on their film."""
    empty = ~((table["x_max"] > table["x_min"]) & (table["y_max"] > table["y_min"]))
    across = (table["x_min"] / table["width"] < -BEYOND) | (table["x_max"] / table["width"] > 1 + BEYOND)
    down = (table["y_min"] / table["height"] < -BEYOND) | (table["y_max"] / table["height"] > 1 + BEYOND)
    return {NO_AREA: empty, LEAVES_FILM: across | down}


def _is_trained_on(table: pd.DataFrame, leaked: pd.DataFrame | None) -> pd.Series:
    """Films of `val` and `test` that the model was trained on; those of `train` are there to learn from."""
    if leaked is None or leaked.empty:
        return pd.Series(False, index=table.index)
    keys = pd.MultiIndex.from_frame(leaked[["source", "image_id"]])
    seen = pd.MultiIndex.from_frame(table[["source", "image_id"]]).isin(keys)
    return pd.Series(seen, index=table.index) & (table["split"] != "train")


def _is_present(table: pd.DataFrame, labels: pd.DataFrame) -> pd.Series:
    """Whether the finding is labelled present on the film, by the policies of the source's labels."""
    present = np.zeros(len(table), dtype=bool)
    usable = table["reason"].eq("") & table["label_row"].notna()
    for finding, rows in table[usable].groupby("finding").groups.items():
        values = labels[finding].to_numpy()
        present[rows] = values[table.loc[rows, "label_row"].to_numpy(np.int64)] == 1
    return pd.Series(present, index=table.index)


def _as_parts(table: pd.DataFrame) -> pd.DataFrame:
    """Corners as parts of the film's width and height, within [0, 1]."""
    corners = zip(CORNERS, ("x_min", "y_min", "x_max", "y_max"), ("width", "height") * 2)
    return table.assign(**{name: (table[pixel] / table[side]).clip(0, 1) for name, pixel, side in corners})


def _without_agreement(table: pd.DataFrame, raster: int) -> np.ndarray:
    """Rows (labels of the index) whose region is empty since too few readers agree."""
    contested = table[table["needed"] > 1]
    empty = [boxed.rows for boxed in boxed_findings(contested) if not region(boxed, raster).any()]
    return contested.index[np.concatenate(empty)] if empty else contested.index[:0]


def _count(left_out: pd.DataFrame) -> pd.DataFrame:
    """`BoxesLeftOut`."""
    groups = left_out.groupby(["source", "label", "reason"], sort=False)["image_id"]
    table = groups.agg(boxes="size", films="nunique").reset_index()
    places = np.lexsort((table["label"], table["reason"].map(REASONS.index), pd.factorize(table["source"])[0]))
    columns = {"source": "str", "label": "str", "reason": "str", "boxes": "int64", "films": "int64"}
    table = table.iloc[places] if len(table) else pd.DataFrame(columns=list(columns))
    return table.reset_index(drop=True).astype(columns)
