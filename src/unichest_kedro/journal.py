"""A journal beside the data: what is being written, and what each finished artefact was made from.

Kedro knows whether a file exists, not whether it is whole, nor whether what it was made from has changed since. For
each saved artefact the journal keeps a digest of its content and the digests of the artefacts it was made from, as
`make` would if it compared content instead of times: an artefact is stale when one of those has another content now. It
also keeps a digest of each parameter of the node that made it.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Digest = Callable[[str], str | None]
"""Name -> digest of what it has now; None where there is nothing to compare with."""

CHUNK = 1 << 20


@dataclass(frozen=True)
class Record:
    """One finished artefact.

    Attributes:
        sources: each source it depends on, with where that source's data came from.
        digest: of its content.
        parents: each artefact it was made from, with the digest that one had.
        parameters: each parameter it was made with (`params:conquer`), with the digest that one had; {} for a record
            from before parameters were noted.
    """

    sources: dict[str, str]
    digest: str
    parents: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)


class Journal:
    """The journal of one data folder, in its folder `.journal`."""

    def __init__(self, data: Path) -> None:
        """Open the journal of a data folder; nothing is written yet."""
        self._folder = data / ".journal"
        self._records = self._folder / "artefacts.json"

    def open(self, name: str) -> None:
        """Note that this process is writing `name`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._marker(name).write_text(str(os.getpid()))

    def close(self, name: str) -> None:
        """Note that `name` is no longer being written."""
        self._marker(name).unlink(missing_ok=True)

    def interrupted(self) -> list[str]:
        """Return the artefacts whose writer is gone.

        This process's own id counts as gone: it is asked before it writes anything, and in a container the process
        that was killed usually had the same id.
        """
        markers = sorted(self._folder.glob("*.writing"))
        return [marker.stem for marker in markers if not _is_another_process(marker.read_text())]

    def record(self, name: str, record: Record) -> None:
        """Note what a finished artefact was made from."""
        table = self._table() | {name: asdict(record)}
        temporary = self._records.with_suffix(".tmp")
        temporary.write_text(json.dumps(table, indent=1, sort_keys=True))
        temporary.replace(self._records)

    def recorded(self, name: str) -> Record | None:
        """Return what `name` was made from, or None where nothing was noted."""
        entry = self._table().get(name)
        return Record(**entry) if entry else None

    def other_parameters(self, name: str, digest_of_parameter: Digest) -> list[str]:
        """Return the parameters that `name` was made with and that have another value now.

        Args:
            name: an artefact.
            digest_of_parameter: gives the present digest of a parameter, None for one that is not there or does not
                count.
        """
        return _other_parameters(self._table().get(name, {}), digest_of_parameter)

    def stale(
        self, name: str, digest_of_input: Digest, digest_of_parameter: Digest = lambda parameter: None
    ) -> set[str]:
        """Return those of `name` and all it was made from, near and far, that are older than what they were made from.

        Args:
            name: an artefact.
            digest_of_input: gives the present digest of an input that the journal does not know (a user's file).
            digest_of_parameter: as for `other_parameters`; what was made with another one is stale, too. Left out,
                parameters do not count.
        """
        table = self._table()
        seen: dict[str, bool] = {}

        def digest(parent: str) -> str | None:
            return table[parent]["digest"] if parent in table else digest_of_input(parent)

        def is_stale(artefact: str) -> bool:
            if artefact not in seen:
                parents = table.get(artefact, {}).get("parents", {})
                old = [is_stale(parent) for parent in parents]
                changed = any(digest(parent) != was for parent, was in parents.items())
                other = _other_parameters(table.get(artefact, {}), digest_of_parameter)
                seen[artefact] = any(old) or changed or bool(other)
            return seen[artefact]

        is_stale(name)
        return {artefact for artefact, old in seen.items() if old}

    def _table(self) -> dict[str, dict]:
        return json.loads(self._records.read_text()) if self._records.is_file() else {}

    def _marker(self, name: str) -> Path:
        return self._folder / f"{name}.writing"


def _other_parameters(entry: dict[str, Any], digest_of_parameter: Digest) -> list[str]:
    noted = entry.get("parameters", {})
    return [name for name, was in noted.items() if digest_of_parameter(name) not in (was, None)]


def digest_of(path: Path) -> str | None:
    """Return a digest of a file's content, or of all files of a folder with their names; None where there is none."""
    if not path.exists():
        return None
    digest = hashlib.blake2b(digest_size=16)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        digest.update(file.relative_to(path).as_posix().encode())
        with file.open("rb") as content:
            while chunk := content.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _is_another_process(pid: str) -> bool:
    """Return whether another process of this id runs (an id that is no number counts as gone)."""
    try:
        number = int(pid)
        os.kill(number, 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return number != os.getpid()
