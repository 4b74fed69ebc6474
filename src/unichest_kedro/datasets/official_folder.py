"""A catalog entry for a source's raw folder as its publisher ships it; phantoms where no source is configured."""

from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from kedro.io import AbstractDataset, DatasetError

from unichest_kedro.errors import SettingsError
from unichest_kedro.phantoms import PhantomSettings, make_phantoms


class SourceFolder(NamedTuple):
    """A source's raw folder: its key, where it is, and whether its films are phantoms."""

    source: str
    root: Path
    phantom: bool


class OfficialFolderDataset(AbstractDataset[NoReturn, SourceFolder]):
    """Finds a source's root folder in `sources` of globals.yml; with no source listed at all, makes its phantom.

    The phantom is drawn on first load and kept; it is drawn anew when its settings change.
    """

    def __init__(
        self,
        *,
        filepath: str,
        source: str,
        roots: dict[str, str] | None,
        phantoms: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Remember where to look.

        Args:
            filepath: folder of the source's phantom, where it is needed.
            source: key of the source, e.g. "chexpert".
            roots: the user's mapping of source keys to folders; empty or None for the phantoms.
            phantoms: settings of the phantoms (`PhantomSettings`).
            metadata: anything other tools want to know.
        """
        self._source = source
        self._roots = roots or {}
        self._phantoms = phantoms
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> SourceFolder:
        """Return the folder, making the phantom if need be.

        Raises:
            SettingsError: if other sources are listed but not this one, or the phantoms' settings are wrong.
        """
        if not self._roots:
            settings = PhantomSettings.checked(self._phantoms)
            root = make_phantoms(self._source, self._filepath, settings)
            return SourceFolder(self._source, root, phantom=True)
        if self._source not in self._roots:
            raise SettingsError(
                f"Source '{self._source}' is not listed under `sources` in globals.yml; listed are "
                f"{', '.join(self._roots)}. Add its folder there."
            )
        return SourceFolder(self._source, Path(self._roots[self._source]).expanduser(), phantom=False)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: raw data are read only."""
        raise DatasetError("Raw folders are read only.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, "root": self._roots.get(self._source, str(self._filepath))}
