"""Nodes of prediction."""

import logging
from pathlib import Path

import pandas as pd

from unichest_kedro.errors import MissingArtefact, SettingsError
from unichest_kedro.models.device import pick_device
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.prediction.folders import others_beside
from unichest_kedro.prediction.in_memory import folder_calibrations
from unichest_kedro.prediction.inputs import list_films
from unichest_kedro.prediction.pictures import draw_pictures
from unichest_kedro.prediction.questions import ask
from unichest_kedro.prediction.results import Results, predict_films
from unichest_kedro.prediction.settings import PredictSettings

logger = logging.getLogger(__name__)


def answer_films(settings: PredictSettings, own_model: Path, parts: Path) -> Results:
    """Answer every film that `predict.images` means, going on where a stopped run was.

    Raises:
        SettingsError: no images are given, there are none, or a finding cannot be asked.
        MissingArtefact: there is no model folder.
    """
    if settings.images is None:
        raise SettingsError(
            "predict.images is not set: give a folder, a text list, a CSV with a column `path`, or a film with "
            "--params=predict.images=/path."
        )
    films = list_films(settings.images)
    model = load_model(settings.model, own_model).to(pick_device(settings.device))
    questions = ask(model, settings.findings, model.folder, together=settings.together)
    return predict_films(model, questions, films, settings, parts, folder_calibrations(model.folder))


def lay_out(results: Results) -> tuple[Results, Results, pd.DataFrame]:
    """Hand on what is written as Parquet and as CSV (`Predictions`), and the table of films (`PredictedFilms`)."""
    return results, results, results.film_table()


def draw(results: Results, settings: PredictSettings, own_model: Path, folder: Path) -> None:
    """Draw heat maps and contact sheet, where `predict.heatmaps` asks for them."""
    if not settings.heatmaps:
        return
    model = load_model(settings.model, own_model).to(pick_device(settings.device))
    logger.info("Contact sheet: %s", draw_pictures(model, results, settings, folder))


def load_model(named: Path | None, own: Path) -> UniChest:
    """Load the model folder that is named, or else this project's own.

    Raises:
        MissingArtefact: there is no model in the folder.
    """
    folder = own if named is None else named.expanduser()
    if named is None and not (own / "config.json").is_file():
        raise MissingArtefact(
            f"there is no trained model in {own} yet: run `kedro run --pipeline=pretrain`, or name a model folder, "
            "such as an imported checkpoint's, with --params=predict.model=/folder (export.model for the export)."
            f"{others_beside(own)}"
        )
    return UniChest.from_pretrained(folder)
