"""A catalog entry for a trained model: the folder that `UniChest.from_pretrained` reads."""

import logging
import shutil
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from unichest_kedro.datasets.atomic import replacing_folder
from unichest_kedro.errors import MissingArtefact
from unichest_kedro.models.folder_encoder import TEXT_ENCODER
from unichest_kedro.models.unichest import UniChest

logger = logging.getLogger(__name__)


class ModelFolderDataset(AbstractDataset[UniChest, UniChest]):
    """Saves and loads a model folder: weights (safetensors), config, vocabulary, model card, text encoder.

    A save replaces the folder as a whole, so a killed run never leaves half a model.
    """

    saves_whole = True
    """A killed save leaves the former content (see `hooks.ArtefactHook`)."""

    def __init__(
        self, *, filepath: str, text_encoder: dict[str, str] | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        """Remember the folders.

        Args:
            filepath: the model folder.
            text_encoder: `{filepath: folder}` of the text encoder the model was trained with; it is copied into the
                model folder, so that any finding can be asked for in words. None: the model knows its own findings.
            metadata: anything other tools want to know.
        """
        self._filepath = Path(filepath)
        self._text_encoder = Path(text_encoder["filepath"]) if text_encoder else None
        self.metadata = metadata

    def load(self) -> UniChest:
        """Return the model in evaluation mode.

        Raises:
            MissingArtefact: if there is no trained model in the folder.
        """
        if not self._exists():
            raise MissingArtefact(f"No model in {self._filepath}: run `kedro run --pipeline=pretrain` first.")
        return UniChest.from_pretrained(self._filepath).eval()

    def save(self, data: UniChest) -> None:
        """Write the model and copy its text encoder beside it."""
        with replacing_folder(self._filepath) as folder:
            data.save_pretrained(folder)
            if self._text_encoder is not None and self._text_encoder.is_dir():
                shutil.copytree(self._text_encoder, folder / TEXT_ENCODER)
        logger.info("Model folder: %s", self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / "model.safetensors").is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
