"""A catalog entry for a table that is written a piece at a time, so that it need not fit into memory."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset, DatasetError

from unichest_kedro.datasets.atomic import replacing_file
from unichest_kedro.errors import MissingArtefact


class TablePieces(Protocol):
    """What such a table is saved from."""

    def predictions(self) -> Iterable[pd.DataFrame]:
        """Pieces of the table, all of the same columns, at least one."""


class TableStreamDataset(AbstractDataset[TablePieces, pd.DataFrame]):
    """Saves a table from its pieces as Parquet or CSV, by the file's suffix; loads it whole.

    The file is the former table or the new one, whole. It cannot be saved from a generator: Kedro would take each
    of its items for a whole table.
    """

    saves_whole = True
    """A killed save leaves the former content (see `hooks.ArtefactHook`)."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Remember the file.

        Args:
            filepath: ending in .parquet or .csv.
            metadata: anything other tools want to know (kedro viz reads its layer here).

        Raises:
            DatasetError: if the file has another suffix.
        """
        self._filepath = Path(filepath)
        if self._filepath.suffix not in (".parquet", ".csv"):
            raise DatasetError(f"{filepath}: a table is written as .parquet or .csv")
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Return the whole table.

        Raises:
            MissingArtefact: if it has not been made yet.
        """
        if not self._exists():
            raise MissingArtefact(f"There is no table {self._filepath} yet: run `kedro run --pipeline=predict` first.")
        read = pd.read_parquet if self._filepath.suffix == ".parquet" else pd.read_csv
        return read(self._filepath)

    def save(self, data: TablePieces) -> None:
        """Write the pieces one after the other, and let the table appear when it is complete."""
        write = _write_parquet if self._filepath.suffix == ".parquet" else _write_csv
        with replacing_file(self._filepath) as fresh:
            write(fresh, data.predictions())

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _write_parquet(path: Path, pieces: Iterable[pd.DataFrame]) -> None:
    writer = None
    try:
        for piece in pieces:
            # Types of the first piece: one without any value must not change those of the others.
            table = pa.Table.from_pandas(piece, schema=writer and writer.schema, preserve_index=False)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _write_csv(path: Path, pieces: Iterable[pd.DataFrame]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, piece in enumerate(pieces):
            piece.to_csv(file, index=False, header=number == 0, lineterminator="\n", float_format="%.6g")
