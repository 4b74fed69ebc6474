"""Makes a phantom source on disk: plan, draw in parallel, write the tables, and only then show the folder."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

from unichest_kedro.errors import SettingsError
from unichest_kedro.phantoms import (
    layout_chestxray14,
    layout_chexpert,
    layout_mimic_cxr,
    layout_open_i,
    layout_padchest,
    layout_shenzhen,
    layout_siim_acr,
    layout_vindr_cxr,
)
from unichest_kedro.phantoms.acquisition import take_film
from unichest_kedro.phantoms.cohort import Plan, plan_films, with_copies
from unichest_kedro.phantoms.differences import Differences, profile_of
from unichest_kedro.phantoms.findings import DrawnBox
from unichest_kedro.phantoms.settings import PhantomSettings

LAYOUTS: dict[str, ModuleType] = {
    module.SOURCE: module
    for module in (
        layout_mimic_cxr,
        layout_chestxray14,
        layout_chexpert,
        layout_vindr_cxr,
        layout_shenzhen,
        layout_open_i,
        layout_siim_acr,
        layout_padchest,
    )
}
DRAWING_VERSION = 4
"""Raised whenever the same settings give other films or tables, so that old folders are made anew."""

CHUNK = 50
SMALL = 150
"""Up to so many films are drawn in this process: starting others would take longer."""


def make_phantoms(source: str, folder: Path, settings: PhantomSettings) -> Path:
    """Make the phantom of one source, unless `folder` already holds it with the same settings.

    The films and tables appear in `folder` all at once, when they are complete. A file `<folder>.json` beside
    it keeps the settings it was made with.

    Args:
        source: Key of one of the known sources (`SOURCES`).
        folder: Where to put it; a folder of other origin is never replaced.
        settings: Number and size of the films, seed, differences between the sources.

    Returns:
        The folder a user would name as the source's root (for CheXpert, the release's own folder in
        `folder`).

    Raises:
        SettingsError: The source is unknown, or `folder` holds something that is not a phantom.
    """
    profile_of(source, settings.differences)  # Refuses what is no source, before anything is touched.
    folder = Path(folder)
    layout = LAYOUTS[source]
    note = _note(source, settings)
    record = folder.with_name(folder.name + ".json")
    if folder.is_dir() and _read_note(record) == {**note, "complete": True}:
        return folder / layout.ROOT
    _refuse_foreign(folder, record)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    _fill(partial / layout.ROOT, layout, settings)
    _write_note(record, {**note, "complete": False})
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    _write_note(record, {**note, "complete": True})
    return folder / layout.ROOT


def plan_source(source: str, settings: PhantomSettings) -> list[Plan]:
    """Plan all films of a source, those that it shows again from another source among them."""
    cohort, count = LAYOUTS[source].COHORT, settings.images_of(source)
    profile = profile_of(source, settings.differences)
    copied = min(round(count * cohort.copied), settings.images_of(cohort.copied_from)) if cohort.copied_from else 0
    plans = plan_films(source, count - copied, settings.seed, cohort, profile)
    if not copied:
        return plans
    others = plan_source(cohort.copied_from, settings)
    return with_copies(plans, others, cohort.copied_from, copied, source, settings.seed)


def _fill(root: Path, layout: ModuleType, settings: PhantomSettings) -> None:
    """Draw all films of a source below `root` and write its tables."""
    plans = plan_source(layout.SOURCE, settings)
    names = layout.name_films(plans, settings.seed)
    for parent in sorted({(root / name).parent for name in names}):
        parent.mkdir(parents=True, exist_ok=True)
    boxes = _draw_all(root, layout.SOURCE, plans, names, settings)
    layout.write_tables(root, plans, names, boxes, profile_of(layout.SOURCE, settings.differences), settings.seed)


def _draw_all(
    root: Path, source: str, plans: list[Plan], names: list[str], settings: PhantomSettings
) -> list[list[DrawnBox]]:
    """Draw and write the films in chunks, in several processes; returns each film's boxes in order."""
    n_jobs = cpu_count() if settings.n_jobs == -1 else max(1, settings.n_jobs)
    pool = Parallel(n_jobs=1 if len(plans) <= SMALL else n_jobs, return_as="generator")
    size, differences = settings.image_size, settings.differences
    chunks = pool(
        delayed(draw_chunk)(root, source, start, plans[start:stop], names[start:stop], size, differences)
        for start, stop in _chunks(len(plans))
    )
    boxes: list[list[DrawnBox]] = []
    with tqdm(total=len(plans), desc=f"drawing {source} phantoms", unit="film") as bar:
        for chunk in chunks:
            boxes += chunk
            bar.update(len(chunk))
    return boxes


def draw_chunk(
    root: Path,
    source: str,
    start: int,
    plans: list[Plan],
    names: list[str],
    image_size: int,
    differences: Differences,
) -> list[list[DrawnBox]]:
    """Draw and write a run of films, the first of which is number `start`; returns each film's boxes."""
    boxes = []
    for index, (plan, name) in enumerate(zip(plans, names), start=start):
        film, drawn = take_film(plan, image_size, profile_of(plan.origin or source, differences))
        LAYOUTS[source].write_film(film, plan, root / name, index)
        boxes.append(drawn)
    return boxes


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))


def _note(source: str, settings: PhantomSettings) -> dict[str, Any]:
    """What decides a phantom's content."""
    return {
        "source": source,
        "drawing": DRAWING_VERSION,
        "images": settings.images_of(source),
        **settings.model_dump(mode="json", exclude={"n_jobs", "scored_images"}),
    }


def _read_note(record: Path) -> dict[str, Any] | None:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write_note(record: Path, note: dict[str, Any]) -> None:
    partial = record.with_name(f".{record.name}.partial")
    partial.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    partial.replace(record)


def _refuse_foreign(folder: Path, record: Path) -> None:
    """Never replace a folder that is not a phantom of an earlier run."""
    occupied = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if occupied and "drawing" not in (_read_note(record) or {}):
        raise SettingsError(
            f"{folder} is there already and was not made as a phantom (no {record.name} beside it): "
            "it is left alone. Name another folder for the phantoms, or move this one away."
        )
