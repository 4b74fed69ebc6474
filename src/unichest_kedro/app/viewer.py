"""A model folder that is asked about one film at a time; what the page shows, without the page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from unichest_kedro.app.settings import OWN_MODEL, AppSettings
from unichest_kedro.errors import MissingArtefact, UniChestError
from unichest_kedro.evaluation.heatmaps import overlay
from unichest_kedro.models.device import pick_device
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.prediction.answers import Answered, Seen, answer
from unichest_kedro.prediction.film_check import FilmCheck
from unichest_kedro.prediction.folders import others_beside
from unichest_kedro.prediction.in_memory import folder_calibrations
from unichest_kedro.prediction.pictures import LARGEST, as_uri, heat_maps, shrunk
from unichest_kedro.prediction.questions import Questions, ask
from unichest_kedro.prediction.reading import read_picture
from unichest_kedro.prediction.table import films_table, predictions_table


class Film(NamedTuple):
    """A film as it was dropped: its name on the page, uint8 (height, width), and what speaks against it."""

    name: str
    grey: np.ndarray
    check: FilmCheck

    @property
    def seen(self) -> Seen:
        """What is known of it before it is answered."""
        return Seen("", self.check.warning, *self.grey.shape, self.check.frontal)


class Answers(NamedTuple):
    """Of one film.

    Attributes:
        answered: A batch of one picture; probabilities (1, Q).
        maps: float32 (Q, h, w) in [0, 1]; None where the model's attention cannot be drawn.
        no_maps: Why not, "" where it can.
    """

    answered: Answered
    maps: np.ndarray | None
    no_maps: str


@dataclass(frozen=True)
class Row:
    """A film's part of the table: `answered` is None for a film that is not answered."""

    name: str
    seen: Seen
    answered: Answered | None


class Viewer:
    """A model and its calibrations; several threads may ask, and are answered in turn."""

    def __init__(self, model: UniChest) -> None:
        """Take a model that was loaded from a folder.

        Raises:
            MissingArtefact: the folder's `calibration.json` is damaged.
        """
        self.model = model
        self.calibrations = folder_calibrations(model.folder)
        self._turn = Lock()

    def about(self) -> list[str]:
        """What a reader must know of the model and its numbers, a sentence or two a line."""
        facts = self.model.facts
        lines = [f"Model: {self.model.folder}. Trained on: {facts.get('Trained on') or 'not said in its folder'}."]
        if facts.get("Imported from"):
            networks = f" It answers with {facts['Answers with']}." if facts.get("Answers with") else ""
            lines.append(f"Imported from {facts['Imported from']}.{networks}")
        if facts.get("phantoms"):
            lines.append("It was trained on phantoms: its answers about real films mean nothing.")
        if facts.get("findings_asked") is None:
            lines.append("Its folder does not say which findings it was asked in training.")
        if self.calibrations is None or not self.calibrations.findings:
            lines.append("It has no calibration: its numbers rank films but are no chances, and no threshold is known.")
        else:
            lines.append(
                f"Percentages are calibrated on {self.calibrations.origin}, and hold for patients like those; the mark "
                "on a bar is the finding's threshold. Numbers such as 0.31 are uncalibrated scores."
            )
        lines.append(
            "A heat map is the main network's attention, dark purple least, yellow most: where it looked, which is no "
            "proof of what it saw."
        )
        lines.append("Films stay in this program's memory until the tab is closed; nothing leaves this machine.")
        return lines

    def questions(self, words: Sequence[str] = ()) -> Questions:
        """What was asked in training (all known findings where the folder does not say), and these words beside it.

        Raises:
            SettingsError: words are unknown and the folder has no text encoder that fits.
        """
        taught = ask(self.model, (), self.model.folder)
        return ask(self.model, (*taught.findings, *words), self.model.folder) if words else taught

    def names(self, words: Sequence[str]) -> tuple[str, ...]:
        """The findings that words mean, as the tables call them. Errors as of `questions`."""
        return ask(self.model, words, self.model.folder).findings

    def answer(self, film: Film, questions: Questions) -> Answers:
        """Answer one film, whatever speaks against it: the numbers are those of `UniChest.predict`.

        Raises:
            UniChestError: an answer is no probability: the model has diverged.
        """
        with self._turn:
            [answered] = answer(self.model, questions, [film.grey])
            try:
                maps, reason = heat_maps(self.model, questions, [film.grey])[0], ""
            except UniChestError as error:
                maps, reason = None, str(error)
        return Answers(answered._replace(seen=(film.seen,)), maps, reason)

    def table(self, rows: Iterable[Row], questions: Questions) -> pd.DataFrame:
        """Schema `prediction.table.Predictions`: every film with every finding, without numbers where not answered."""
        tables = [self._film_table(row, questions) for row in rows]
        return pd.concat(tables, ignore_index=True)

    def _film_table(self, row: Row, questions: Questions) -> pd.DataFrame:
        films = pd.DataFrame({"film": [row.name], "path": [""]}, dtype="str")
        if row.answered is None:
            probabilities = np.full((1, len(questions.findings)), np.nan)
            gates = np.full((1, self.model.settings.experts), np.nan)
        else:
            probabilities, gates = row.answered.probabilities, row.answered.gates
        table = films_table(films, [row.seen])
        return predictions_table(table, probabilities, gates, questions, self.calibrations, answer_anyway=True)


def load_viewer(settings: AppSettings) -> Viewer:
    """Load the model folder that the settings name, on the device they name.

    Raises:
        MissingArtefact: there is no model in the folder.
    """
    if settings.model is None and not (OWN_MODEL / "config.json").is_file():
        raise MissingArtefact(
            f"there is no trained model in {OWN_MODEL} yet: make one with `make demo` or `kedro run "
            "--pipeline=pretrain`, or name a model folder, such as an imported checkpoint's: `MODEL=/folder make app`, "
            f"or --model /folder.{others_beside(OWN_MODEL)}"
        )
    folder = OWN_MODEL if settings.model is None else settings.model.expanduser()
    return Viewer(UniChest.from_pretrained(folder).to(pick_device(settings.device)))


def read_film(name: str, content: bytes) -> Film:
    """Read a dropped file as `kedro run --pipeline=predict` reads it; it is on disk only while it is read.

    Args:
        name: What the film is called on the page.
        content: A DICOM, PNG or JPEG file.

    Raises:
        UnreadableImage: with one reason.
    """
    with TemporaryDirectory(prefix="unichest-") as folder:
        path = Path(folder) / "film"
        path.write_bytes(content)
        film = read_picture(path)
    return Film(name, film.grey, film.check)


def unread(name: str, reason: str) -> Row:
    """The part of the table of a file that could not be read."""
    return Row(name, Seen(reason, "", 0, 0, float("nan")), None)


def picture(film: Film, heat: np.ndarray | None = None, longest: int = LARGEST) -> str:
    """A film as a data URI, with a heat map (h, w) in [0, 1] over it if one is given."""
    small = shrunk(film.grey, longest)
    return as_uri(Image.fromarray(small if heat is None else overlay(small, heat)))


def unique_name(name: str, taken: Iterable[str]) -> str:
    """The name, or "name (2)", ... where it is taken."""
    taken = set(taken)
    candidates = (f"{name} ({number})" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in candidates if one not in taken)
