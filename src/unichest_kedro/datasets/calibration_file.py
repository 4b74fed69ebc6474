"""A catalog entry for the calibration of a model folder."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from unichest_kedro.errors import MissingArtefact
from unichest_kedro.evaluation.calibration import (
    CALIBRATION_FILE,
    Calibrations,
    read_calibrations,
    write_calibrations,
)


class CalibrationFileDataset(AbstractDataset[Calibrations, Calibrations]):
    """Saves and loads the `calibration.json` of a model folder.

    The file is the former calibration or the new one, whole. It goes with the folder: a model that is saved anew
    replaces it all.
    """

    saves_whole = True
    """A killed save leaves the former content (see `hooks.ArtefactHook`)."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Remember the file.

        Args:
            filepath: `calibration.json` of a model folder, relative to the project or absolute.
            metadata: anything other tools want to know (kedro viz reads its layer here).

        Raises:
            DatasetError: if the file has another name, under which nobody would find it.
        """
        self._filepath = Path(filepath)
        if self._filepath.name != CALIBRATION_FILE:
            raise DatasetError(f"{filepath}: the calibration of a model folder is called {CALIBRATION_FILE}")
        self.metadata = metadata

    def load(self) -> Calibrations:
        """Return the calibration.

        Raises:
            MissingArtefact: if it has not been made yet, or is damaged.
        """
        calibrations = read_calibrations(self._filepath.parent)
        if calibrations is None:
            raise MissingArtefact(f"There is no {self._filepath} yet: run `kedro run --pipeline=score` first.")
        return calibrations

    def save(self, data: Calibrations) -> None:
        """Write the file, replacing the former one."""
        write_calibrations(self._filepath.parent, data)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
