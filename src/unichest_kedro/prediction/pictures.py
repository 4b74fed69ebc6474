"""Heat maps of answered films as PNG files, and a contact sheet: one page to look through."""

import base64
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from tqdm import tqdm

from unichest_kedro.errors import UnreadableImage
from unichest_kedro.evaluation.calibration import apply_calibrations
from unichest_kedro.evaluation.films import NOTHING_FOUND
from unichest_kedro.evaluation.heatmaps import attention_maps, overlay
from unichest_kedro.evaluation.style import finding_title
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.prediction.answers import as_square, stored_size
from unichest_kedro.prediction.questions import Questions
from unichest_kedro.prediction.reading import read_picture
from unichest_kedro.prediction.results import Results
from unichest_kedro.prediction.settings import PredictSettings

SHEET = "contact_sheet.html"
LARGEST = 1024
"""Pixels of the longer side of a heat map's PNG; a larger film is shrunk."""

THUMBNAIL = 240
LISTED = 200
"""Films that could not be answered which the sheet lists; the rest is counted."""


@dataclass(frozen=True)
class Shown:
    """A film on the sheet: a row of `PredictedFilms`, its answers, and the PNG files of its heat maps by finding."""

    film: pd.Series
    probabilities: np.ndarray
    maps: Mapping[str, Path]


def draw_pictures(model: UniChest, results: Results, settings: PredictSettings, folder: Path) -> Path:
    """Draw the heat maps of every answered film, and the contact sheet of the first ones.

    A heat map shows the main network's attention over the film's patches for one finding, mean over its layers, from
    least to most: where it looked, which is no proof of what it saw. A map that is there already is not drawn again.
    Maps lie in a folder of their own for each model and set of findings.

    Args:
        model: On the device it is to run on.
        results: What was answered.
        settings: How many findings and films.
        folder: Where the pictures go.

    Returns:
        The contact sheet.
    """
    maps = folder / results.folder.name
    maps.mkdir(parents=True, exist_ok=True)
    shown: list[Shown] = []
    count = int(results.film_table()["status"].isin(_kept(results)).sum())
    with tqdm(total=count, desc="drawing heat maps", unit="film") as bar:
        for batch in _batches(results.answered(), settings.batch_size):
            drawn = _draw_batch(model, results, batch, settings.top_findings, maps)
            shown += drawn[: settings.sheet_films - len(shown)]
            bar.update(len(batch))
    sheet = folder / SHEET
    temporary = sheet.with_name(f".{SHEET}.{os.getpid()}.writing")
    temporary.write_text(render_sheet(model, results, shown), encoding="utf-8")
    temporary.replace(sheet)
    return sheet


def top_findings(findings: Sequence[str], probabilities: np.ndarray, count: int) -> list[str]:
    """The findings with the highest answers, highest first; "nothing found" only where nothing else is asked.

    Args:
        findings: Names of Q findings.
        probabilities: float (Q,).
        count: How many.
    """
    order = np.argsort(-probabilities, kind="stable")
    names = [findings[column] for column in order]
    something = [name for name in names if name not in NOTHING_FOUND]
    return (something or names)[:count]


def heat_maps(model: UniChest, questions: Questions, films: Sequence[np.ndarray]) -> np.ndarray:
    """Heat maps of all that is asked, in the company in which it is answered.

    Args:
        model: On the device it is to run on.
        questions: The Q findings.
        films: N films, each uint8 (height, width).

    Returns:
        float32 (N, Q, h, w), h x w the patches, each map from 0 (least) to 1 (most).

    Raises:
        UniChestError: the patches of the model's backbone form no grid.
    """
    size, stored = model.settings.image_size, stored_size(model)
    squares = torch.stack([torch.from_numpy(as_square(film, size, stored))[None] for film in films])
    squares = squares.to(model.finding_embeddings.device)
    columns: dict[int, np.ndarray] = {}
    for asked in questions.rounds:
        maps = attention_maps(model, squares, asked.queries)[:, asked.take].cpu().numpy()
        columns |= {place: maps[:, column] for column, place in enumerate(asked.put)}
    return np.stack([columns[place] for place in range(len(questions.findings))], axis=1)


def shrunk(grey: np.ndarray, longest: int) -> np.ndarray:
    """A film uint8 (height, width) whose longer side has `longest` pixels at most."""
    picture = Image.fromarray(grey)
    picture.thumbnail((longest, longest), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(picture)


def as_uri(picture: Image.Image) -> str:
    """A picture as a data URI that holds it as JPEG."""
    content = io.BytesIO()
    picture.save(content, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")


def map_name(film: str, key: str, finding: str) -> str:
    """File name of a heat map: of the film (its end, where it is long), a piece of its key, and the finding."""
    parts = [re.sub(r"[^\w.-]+", "_", text).strip("_") for text in (film, finding)]
    return f"{parts[0][-100:]}-{key[:6]}__{parts[1][:60]}.png"


def render_sheet(model: UniChest, results: Results, shown: Sequence[Shown]) -> str:
    """The contact sheet as one HTML page that needs no network, no script and no other file; all text is escaped."""
    table = results.film_table()
    counts = table["status"].value_counts()
    others = table[~table["status"].isin(_kept(results))]
    return _template().render(
        created=f"{datetime.now().astimezone():%d %B %Y, %H:%M %Z}",
        trained_on=str(model.facts.get("Trained on", "not said in its folder")),
        phantoms=bool(model.facts.get("phantoms")),
        counts={name: int(counts.get(name, 0)) for name in ("answered", "warned", "unreadable")},
        cards=[_card(results, film) for film in shown],
        left_out=int(len(table) - len(others) - len(shown)),
        others=others.head(LISTED).to_dict("records"),
        others_left=max(0, len(others) - LISTED),
        calibrated=results.calibrations is not None,
        origin=results.calibrations.origin if results.calibrations else "",
    )


def _kept(results: Results) -> tuple[str, ...]:
    return ("answered", "warned") if results.answer_anyway else ("answered",)


def _batches(films: Iterator[tuple[pd.Series, np.ndarray]], size: int) -> Iterator[list[tuple[pd.Series, np.ndarray]]]:
    while batch := list(islice(films, size)):
        yield batch


def _draw_batch(
    model: UniChest, results: Results, batch: list[tuple[pd.Series, np.ndarray]], count: int, folder: Path
) -> list[Shown]:
    """Draw the maps that are missing of some films; a film that has vanished since has no maps."""
    keys = results.films.set_index("film")["key"]
    shown, missing = [], []
    for film, probabilities in batch:
        tops = top_findings(results.questions.findings, probabilities, count)
        maps = {finding: folder / map_name(film["film"], keys[film["film"]], finding) for finding in tops}
        shown.append(Shown(film, probabilities, maps))
        if not all(path.is_file() for path in maps.values()):
            missing.append(shown[-1])
    read = [(one, grey) for one in missing if (grey := _grey(one.film["path"])) is not None]
    if read:
        _draw(model, results, read)
    return shown


def _draw(model: UniChest, results: Results, films: list[tuple[Shown, np.ndarray]]) -> None:
    heat = heat_maps(model, results.questions, [grey for _, grey in films])
    for row, (one, grey) in enumerate(films):
        small = shrunk(grey, LARGEST)
        for finding, path in one.maps.items():
            picture = overlay(small, heat[row, results.questions.findings.index(finding)])
            temporary = path.with_name(f".{os.getpid()}.writing")
            Image.fromarray(picture).save(temporary, format="PNG", compress_level=3)
            temporary.replace(path)


def _grey(path: str) -> np.ndarray | None:
    try:
        return read_picture(path).grey
    except UnreadableImage:
        return None


def _card(results: Results, shown: Shown) -> dict[str, Any]:
    """What the page shows of one film."""
    findings = results.questions.findings
    calibrated, thresholds = apply_calibrations(results.calibrations, shown.probabilities[None], findings)
    grey = _grey(shown.film["path"])
    answers = []
    for finding in top_findings(findings, shown.probabilities, len(shown.maps)):
        column = findings.index(finding)
        probability, threshold = shown.probabilities[column], thresholds[column]
        answers.append(
            {
                "title": finding_title(finding),
                "probability": f"{probability:.2f}",
                "calibrated": "" if np.isnan(calibrated[0, column]) else f"{calibrated[0, column]:.0%}",
                "above": bool(probability >= threshold),  # never so where there is no threshold
                "trained": results.questions.trained[column],
                "picture": _data_uri(shown.maps[finding]),
            }
        )
    return {
        "film": shown.film["film"],
        "warning": shown.film["reason"],
        "picture": "" if grey is None else as_uri(Image.fromarray(shrunk(grey, THUMBNAIL))),
        "answers": answers,
    }


def _data_uri(path: Path) -> str:
    """A heat map's file, small, as a data URI; "" where there is none."""
    if not path.is_file():
        return ""
    with Image.open(path) as picture:
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        return as_uri(picture.convert("RGB"))


@cache
def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("unichest_kedro.prediction"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("contact_sheet.html.j2")
