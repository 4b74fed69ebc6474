"""A catalog entry for a figure: saved as PNG with its numbers as CSV beside it, loaded as the PNG's bytes."""

from pathlib import PurePosixPath

from kedro.io.core import get_filepath_str
from kedro_datasets.matplotlib import MatplotlibDataset
from matplotlib.figure import Figure

from unichest_kedro.evaluation.drawing import Drawing


class FigureDataset(MatplotlibDataset):
    """`MatplotlibDataset` that can be loaded, so that the report shows the very picture that lies in the folder.

    A `Drawing` is saved as two files of one name: `roc.png`, and the numbers in it as `roc.csv`. A plain figure, whose
    numbers are a table of the catalog, is saved as PNG only.
    """

    def save(self, data: Drawing | Figure) -> None:
        """Write the PNG and, of a `Drawing`, the numbers beside it."""
        if not isinstance(data, Drawing):
            super().save(data)
            return
        super().save(data.figure)
        path = get_filepath_str(PurePosixPath(self._get_save_path()).with_suffix(".csv"), self._protocol)
        with self._fs.open(path, mode="w") as file:
            data.numbers.to_csv(file, index=False)

    def load(self) -> bytes:
        """Return the saved PNG."""
        path = get_filepath_str(PurePosixPath(self._get_load_path()), self._protocol)
        with self._fs.open(path, mode="rb") as file:
            return file.read()
