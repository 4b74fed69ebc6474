"""A catalog entry for an ONNX model."""

from pathlib import Path
from typing import Any, Protocol

from kedro.io import AbstractDataset

from unichest_kedro.datasets.atomic import replacing_file
from unichest_kedro.errors import MissingArtefact


class Serialisable(Protocol):
    """An ONNX model in memory (`onnx.ModelProto`)."""

    def SerializeToString(self) -> bytes:  # noqa: N802  (the name that protobuf gives it)
        """The content of its file."""


class OnnxFileDataset(AbstractDataset[Serialisable, bytes]):
    """Saves an `onnx.ModelProto`; loads its content, which `onnxruntime.InferenceSession` takes. Needs no ONNX itself.

    The file is the former model or the new one, whole.
    """

    saves_whole = True
    """A killed save leaves the former content (see `hooks.ArtefactHook`)."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Remember the file.

        Args:
            filepath: the file, relative to the project or absolute.
            metadata: anything other tools want to know (kedro viz reads its layer here).
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> bytes:
        """Return the file's content.

        Raises:
            MissingArtefact: if it has not been made yet.
        """
        if not self._exists():
            raise MissingArtefact(f"There is no {self._filepath} yet: run `kedro run --pipeline=export` first.")
        return self._filepath.read_bytes()

    def save(self, data: Serialisable) -> None:
        """Write the file, replacing the former one."""
        with replacing_file(self._filepath) as fresh:
            fresh.write_bytes(data.SerializeToString())

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
