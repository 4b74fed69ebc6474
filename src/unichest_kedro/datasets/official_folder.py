"""A catalog entry for a source's raw folder as its publisher ships it; phantoms where no source is configured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from kedro.io import AbstractDataset, DatasetError

from unichest_kedro.errors import SettingsError
from unichest_kedro.phantoms import PhantomSettings, make_phantoms
from unichest_kedro.sources import source_entry
from unichest_kedro.sources.options import SourceOptions


class SourceFolder(NamedTuple):
    """A source's raw folder: its key, where it is, whether its films are phantoms, and what else the user says of it.

    `options` is None for a source that has none, and for a phantom.
    """

    source: str
    root: Path
    phantom: bool
    options: SourceOptions | None = None


class OfficialFolderDataset(AbstractDataset[NoReturn, SourceFolder]):
    """Finds a source's root folder in `sources` of globals.yml; with no source listed at all, makes its phantom.

    The phantom is drawn on first load and kept; it is drawn anew when its settings change.
    """

    def __init__(
        self,
        *,
        filepath: str,
        source: str,
        roots: Sequence[Mapping[str, Any] | None],
        phantoms: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Remember where to look.

        Args:
            filepath: folder of the source's phantom, where it is needed.
            source: key of the source, e.g. "chexpert".
            roots: the `sources` of globals.yml as the one item of a list, since Kedro takes every `path` of a mapping
                in the catalog for a file of the project; empty or None for the phantoms.
            phantoms: settings of the phantoms (`PhantomSettings`).
            metadata: anything other tools want to know.
        """
        self._source = source
        self._roots = next(iter(roots), None) or {}
        self._phantoms = phantoms
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> SourceFolder:
        """Return the folder, making the phantom if need be.

        Raises:
            SettingsError: if other sources are listed but not this one, its entry is wrong, or the phantoms' settings
                are.
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
        root, options = source_entry(self._source, self._roots[self._source])
        return SourceFolder(self._source, root, phantom=False, options=options)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: raw data are read only."""
        raise DatasetError("Raw folders are read only.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        entry = self._roots.get(self._source, str(self._filepath))
        return {"source": self._source, "root": entry.get("root") if isinstance(entry, Mapping) else entry}
