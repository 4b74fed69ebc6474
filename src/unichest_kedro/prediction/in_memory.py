"""A few pictures at once, in Python: what `UniChest.predict` does."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from PIL import Image
from tqdm import tqdm

from unichest_kedro.errors import SettingsError
from unichest_kedro.evaluation.calibration import Calibrations, read_calibrations
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.prediction.answers import answer
from unichest_kedro.prediction.inputs import list_films
from unichest_kedro.prediction.questions import ask
from unichest_kedro.prediction.reading import Picture
from unichest_kedro.prediction.settings import Precision
from unichest_kedro.prediction.table import films_table, predictions_table

logger = logging.getLogger(__name__)

_BAR_FROM = 32
"""Pictures from which on a progress bar is worth its line."""


def predict(
    model: UniChest,
    images: Picture | Sequence[Picture],
    findings: str | Sequence[str] | None = None,
    *,
    batch_size: int = 8,
    answer_anyway: bool = False,
    precision: Precision = "auto",
    together: bool = True,
) -> pd.DataFrame:
    """Ask a model about pictures; see `UniChest.predict`, which is this."""
    pictures, films = _named(images)
    folder = model.folder
    asked = ask(model, (findings,) if isinstance(findings, str) else tuple(findings or ()), folder, together=together)
    calibrations = folder_calibrations(folder)
    batches = []
    with tqdm(total=len(pictures), desc="answering", unit="film", disable=len(pictures) < _BAR_FROM) as bar:
        for batch in answer(model, asked, pictures, batch_size=batch_size, precision=precision):
            batches.append(batch)
            bar.update(len(batch.seen))
    table = films_table(films, [seen for batch in batches for seen in batch.seen])
    probabilities = np.concatenate([batch.probabilities for batch in batches])
    gates = np.concatenate([batch.gates for batch in batches])
    return predictions_table(table, probabilities, gates, asked, calibrations, answer_anyway=answer_anyway)


def folder_calibrations(folder: Path | None) -> Calibrations | None:
    """Calibrations of a model folder; None, and a warning in the log, where it has none.

    Raises:
        MissingArtefact: its `calibration.json` is damaged or not of the format.
    """
    calibrations = None if folder is None else read_calibrations(folder)
    if calibrations is None or not calibrations.findings:
        logger.warning(
            "The model folder has no calibration.json, or one of no finding: calibrated probabilities, thresholds and "
            "`above` stay empty. "
            "A bare probability of this model is a score to rank by, not a chance."
        )
    return calibrations


def _named(images: Picture | Sequence[Picture]) -> tuple[list[Picture], pd.DataFrame]:
    """The pictures, and what each is called: a file by its path, the n-th picture otherwise "image n"."""
    if isinstance(images, str | Path) and Path(images).is_dir():
        films = list_films(Path(images))
        return list(films["path"]), films
    single = isinstance(images, str | Path | Image.Image | np.ndarray | pydicom.Dataset)
    pictures = [images] if single else list(images)
    if not pictures:
        raise SettingsError("images: the list is empty; give at least one picture")
    names, seen = [], {}
    for number, picture in enumerate(pictures):
        name = str(picture) if isinstance(picture, str | Path) else f"image {number}"
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    paths = [str(picture) if isinstance(picture, str | Path) else "" for picture in pictures]
    return pictures, pd.DataFrame({"film": pd.Series(names, dtype="str"), "path": pd.Series(paths, dtype="str")})
