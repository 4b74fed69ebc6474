"""A catalog entry for one numpy array in a `.npy` file."""

import os
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import numpy as np
from kedro.io import AbstractDataset, DatasetError


class ArrayDataset(AbstractDataset[np.ndarray, np.ndarray]):
    """Loads and saves one numpy array; loading maps the file into memory, read only, unless told otherwise.

    Saving writes a file beside the target and renames it, so that a run that is cut off never leaves half an
    array, and an array mapped from the former file stays whole. Arrays of Python objects are refused: reading
    them would run code.
    """

    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = {"mmap_mode": "r"}

    saves_whole = True
    """A killed save leaves the former content (see `hooks.ArtefactHook`)."""

    def __init__(
        self,
        *,
        filepath: str,
        load_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Remember the file.

        Args:
            filepath: the `.npy` file, relative to the project or absolute.
            load_args: arguments of `numpy.load`; `mmap_mode: null` reads the array into memory.
            metadata: anything other tools want to know (kedro viz reads its layer here).
        """
        self._filepath = Path(filepath)
        self._load_args = {**self.DEFAULT_LOAD_ARGS, **(load_args or {}), "allow_pickle": False}
        self.metadata = metadata

    def load(self) -> np.ndarray:
        """Return the array.

        Raises:
            DatasetError: if the file is missing or is not a whole array.
        """
        if not self._filepath.is_file():
            raise DatasetError(f"There is no array at {self._filepath}; run the pipeline that makes it first.")
        try:
            return np.load(self._filepath, **self._load_args)
        except (ValueError, EOFError, OSError) as error:
            raise DatasetError(
                f"{self._filepath} is not a whole .npy file ({error}); delete it and make it again."
            ) from error

    def save(self, data: np.ndarray) -> None:
        """Write the array.

        Raises:
            DatasetError: if `data` is not an array of numbers or text.
        """
        if not isinstance(data, np.ndarray) or data.dtype.hasobject:
            kind = f"array of {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__
            raise DatasetError(f"{self._filepath} holds a numpy array of numbers or text, not {kind}.")
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        part = self._filepath.with_name(f".{self._filepath.name}.{uuid4().hex}.part")
        try:
            with part.open("wb") as file:
                np.save(file, data, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._filepath)
        finally:
            part.unlink(missing_ok=True)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "load_args": self._load_args}
