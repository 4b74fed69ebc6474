"""A catalog entry for a figure: saved as PNG, loaded as the PNG's bytes."""

from pathlib import PurePosixPath

from kedro.io.core import get_filepath_str
from kedro_datasets.matplotlib import MatplotlibDataset


class FigureDataset(MatplotlibDataset):
    """`MatplotlibDataset` that can be loaded, so that the report shows the very picture that lies in the folder."""

    def load(self) -> bytes:
        """Return the saved PNG."""
        path = get_filepath_str(PurePosixPath(self._get_load_path()), self._protocol)
        with self._fs.open(path, mode="rb") as file:
            return file.read()
