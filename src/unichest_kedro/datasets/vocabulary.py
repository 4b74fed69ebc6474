"""A catalog entry for the vocabulary file, with the rules of the user's own sources in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from unichest_kedro.sources import with_own_sources
from unichest_kedro.vocabulary import read_yaml


class VocabularyDataset(AbstractDataset[NoReturn, dict[str, Any]]):
    """Reads the vocabulary file and adds, under its `sources:`, what globals.yml says of the user's own sources."""

    def __init__(
        self,
        *,
        filepath: str,
        sources: Sequence[Mapping[str, Any] | None] = (),
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Remember the file.

        Args:
            filepath: the vocabulary file, relative to the project or absolute.
            sources: the `sources` of globals.yml, as the one item of a list (see `OfficialFolderDataset`).
            metadata: anything other tools want to know (kedro viz reads its layer here).
        """
        self._filepath = Path(filepath)
        self._sources = next(iter(sources), None)
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """Return the content of the file, which `Vocabulary.from_mapping` reads.

        Raises:
            VocabularyError: the file is no YAML mapping, or an own source states a finding that it does not have.
            SettingsError: the description of an own source is wrong.
        """
        content, _ = read_yaml(self._filepath)
        return with_own_sources(content, self._sources)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: the vocabulary is edited by hand."""
        raise DatasetError("The vocabulary file is read only.")

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
