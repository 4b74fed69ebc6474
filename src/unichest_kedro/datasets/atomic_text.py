"""A catalog entry for a text file that is replaced as a whole."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from unichest_kedro.datasets.atomic import replacing_file


class AtomicTextDataset(AbstractDataset[str, str]):
    """Writes a text beside its place and then puts it there, so that a killed run leaves the old text or the new one.

    For files in a folder that something else made and that must stay usable, such as the model card.
    """

    saves_whole = True
    """A killed save leaves the former content (see `hooks.ArtefactHook`)."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Remember the file.

        Args:
            filepath: the file.
            metadata: anything other tools want to know.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> str:
        """Return the text."""
        return self._filepath.read_text(encoding="utf-8")

    def save(self, data: str) -> None:
        """Put the text in the place of the old one; its folder is made where there is none."""
        with replacing_file(self._filepath) as fresh:
            fresh.write_text(data, encoding="utf-8")

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
