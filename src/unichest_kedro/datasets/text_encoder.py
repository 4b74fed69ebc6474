"""A catalog entry for a text encoder's folder."""

import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

from kedro.io import AbstractDataset, DatasetError

from unichest_kedro.errors import MissingArtefact
from unichest_kedro.models.text_encoder import PROJECTION_FILE, TextEncoder


class TextEncoderDataset(AbstractDataset[TextEncoder, TextEncoder]):
    """Loads and saves a `TextEncoder` as a folder of safetensors and JSON files; never asks the network.

    Saving writes a folder beside the target and renames it: the target is the former encoder or the new one,
    whole.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Remember the folder.

        Args:
            filepath: the folder, relative to the project or absolute.
            metadata: anything other tools want to know (kedro viz reads its layer here).
        """
        self._path = Path(filepath)
        self.metadata = metadata

    def load(self) -> TextEncoder:
        """Return the encoder.

        Raises:
            MissingArtefact: if it has not been made yet.
            SettingsError: if the folder is not a whole text encoder.
        """
        if not self._exists():
            raise MissingArtefact(
                f"There is no text encoder in {self._path} yet. Run `kedro run --pipeline=text` first."
            )
        return TextEncoder.from_pretrained(self._path)

    def save(self, data: TextEncoder) -> None:
        """Write the encoder, replacing the former one.

        Raises:
            DatasetError: if `data` is no text encoder.
        """
        if not isinstance(data, TextEncoder):
            raise DatasetError(f"{self._path} holds a TextEncoder, not {type(data).__name__}.")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._sibling("part")
        former = self._sibling("former")
        try:
            data.save_pretrained(part)
            if self._path.exists():
                self._path.rename(former)
            part.rename(self._path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(former, ignore_errors=True)

    def _sibling(self, purpose: str) -> Path:
        return self._path.with_name(f".{self._path.name}.{uuid4().hex}.{purpose}")

    def _exists(self) -> bool:
        # The projection is written last, so a folder that has it is whole.
        return (self._path / PROJECTION_FILE).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
