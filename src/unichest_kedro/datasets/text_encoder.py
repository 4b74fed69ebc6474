"""A catalog entry for a text encoder's folder."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from unichest_kedro.datasets.atomic import replacing_folder
from unichest_kedro.errors import MissingArtefact
from unichest_kedro.models.text_encoder import PROJECTION_FILE, TextEncoder


class TextEncoderDataset(AbstractDataset[TextEncoder, TextEncoder]):
    """Loads and saves a `TextEncoder` as a folder of safetensors and JSON files; never asks the network.

    The target is the former encoder or the new one, whole.
    """

    saves_whole = True
    """A killed save leaves the former content (see `hooks.ArtefactHook`)."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Remember the folder.

        Args:
            filepath: the folder, relative to the project or absolute.
            metadata: anything other tools want to know (kedro viz reads its layer here).
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> TextEncoder:
        """Return the encoder.

        Raises:
            MissingArtefact: if it has not been made yet.
            SettingsError: if the folder is not a whole text encoder.
        """
        if not self._exists():
            raise MissingArtefact(
                f"There is no text encoder in {self._filepath} yet. Run `kedro run --pipeline=text` first."
            )
        return TextEncoder.from_pretrained(self._filepath)

    def save(self, data: TextEncoder) -> None:
        """Write the encoder, replacing the former one.

        Raises:
            DatasetError: if `data` is no text encoder.
        """
        if not isinstance(data, TextEncoder):
            raise DatasetError(f"{self._filepath} holds a TextEncoder, not {type(data).__name__}.")
        with replacing_folder(self._filepath) as folder:
            data.save_pretrained(folder)

    def _exists(self) -> bool:
        # The projection is written last, so a folder that has it is whole.
        return (self._filepath / PROJECTION_FILE).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
