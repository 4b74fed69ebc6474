"""A catalog entry for an image store: its manifest, and the folder of its part files."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from unichest_kedro.errors import MissingArtefact
from unichest_kedro.imaging.store import ImageStore


class ImageStoreDataset(AbstractDataset[ImageStore, ImageStore]):
    """Saves and loads an image store by its manifest; the pixels stay in the store's part files."""

    saves_whole = True
    """A killed save leaves the former content (see `hooks.ArtefactHook`)."""

    def __init__(self, *, filepath: str, folder: str | None = None, metadata: dict[str, Any] | None = None) -> None:
        """Remember the places.

        Args:
            filepath: The manifest, a Parquet file.
            folder: The part files. Kedro makes `filepath` absolute but not this, so it is best left out: then
                it is where the manifest says, relative to itself.
            metadata: Anything other tools want to know.
        """
        self._filepath = Path(filepath)
        self._folder = Path(folder) if folder else None
        self.metadata = metadata

    def load(self) -> ImageStore:
        """Return the store, with all its parts there.

        Raises:
            MissingArtefact: If the manifest or a part is missing (Kedro wraps it in a `DatasetError`).
        """
        store = ImageStore.from_manifest(self._filepath, self._folder)
        missing = store.missing_parts()
        if missing:
            raise MissingArtefact(
                f"{len(missing)} part files of {self._filepath} are missing from {store.folder}, e.g. "
                f"{missing[0]}: run `kedro run --pipeline=images` to decode their films again."
            )
        return store

    def save(self, data: ImageStore) -> None:
        """Write the manifest as a whole, then delete the parts that only the one before it needed.

        Raises:
            ValueError: If the store's parts are not in the folder of this entry.
        """
        if self._folder is not None and data.folder.resolve() != self._folder.resolve():
            raise ValueError(f"the store's parts are in {data.folder}, but the catalog entry says {self._folder}")
        data.write_manifest(self._filepath)
        data.remove_unused_parts()

    def _exists(self) -> bool:
        """True only when the manifest and every part are there."""
        if not self._filepath.is_file():
            return False
        try:
            return not ImageStore.from_manifest(self._filepath, self._folder).missing_parts()
        except MissingArtefact:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "folder": str(self._folder) if self._folder else None}
