"""A catalog entry for a working folder: a place where a node may keep files of its own between runs."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError


class FolderDataset(AbstractDataset[NoReturn, Path]):
    """Hands a node the path of a folder, made when it is not there.

    Used for caches and checkpoints, whose files the node's own code writes atomically; only the catalog knows
    where they lie.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Remember the folder.

        Args:
            filepath: the folder, relative to the project or absolute.
            metadata: anything other tools want to know (kedro viz reads its layer here).
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """Return the folder, which exists afterwards."""
        self._filepath.mkdir(parents=True, exist_ok=True)
        return self._filepath

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: nodes write into the folder themselves."""
        raise DatasetError(f"{self._filepath} is a working folder: a node takes it as an input and writes into it.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
