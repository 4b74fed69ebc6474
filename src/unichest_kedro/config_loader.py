"""The configuration loader: Kedro's, with three additions, the first so that the place of the data is said once.

Kedro reads `base` and ONE run environment, `local` unless `--env` names another. The folders a user wrote into
`conf/local/globals.yml` would be lost with `--env=paper`, and a run meant for real films would quietly take the
phantoms. Here the globals of `local` hold in every environment; the environment's own globals still win.

A packaged project's configuration lies anywhere (`--conf-source`), so a vocabulary that is said to be in `conf/` is
looked for there. And `said_in` tells in which file, or whether on the command line, a parameter has got its value;
`global_said_in` the same for globals.yml.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unichest_kedro.errors import SettingsError


class LocalGlobalsConfigLoader(OmegaConfigLoader):
    """`OmegaConfigLoader` whose globals are layered base < local < run environment."""

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the configuration of one kind; see `OmegaConfigLoader.__getitem__`.

        Raises:
            SettingsError: there is no configuration or environment, a file is no YAML or no mapping, says a name twice,
                or refers to what is not there.
        """
        if self._protocol == "file":
            self._check_folders()
        try:
            for file in self._files(key):
                self._check(file)
            content = self._layered(key)
            return self._with_vocabulary(content) if key == "globals" else content
        except yaml.YAMLError as error:  # of a remote configuration; files here are checked above
            raise SettingsError(f"{_in_a_line(error)} Correct the file's YAML: indentation, colons, quotes.") from error
        except OmegaConfBaseException as error:
            place = error.full_key or key
            raise SettingsError(f"{place} in the configuration cannot be resolved: {error.msg}") from error
        except ValueError as error:  # a name that is said twice
            raise SettingsError(f"The configuration ({key}) contradicts itself: {_in_a_line(error)}") from error

    def _check_folders(self) -> None:
        """Check that the configuration is there, and the environment that was asked for.

        Raises:
            SettingsError: naming what is missing and, of environments, those there are.
        """
        folder = Path(self.conf_source)
        if not Path(self._get_conf_env_path(self.base_env)).is_dir():
            raise SettingsError(
                f"There is no configuration in {folder}: go to the project's folder, or name its configuration with "
                "--conf-source=/folder/conf (of a packaged project, unpack conf-unichest_kedro.tar.gz)."
            )
        if self.env and not Path(self._get_conf_env_path(self.env)).is_dir():
            there = sorted(place.name for place in folder.iterdir() if place.is_dir() and place.name != self.base_env)
            raise SettingsError(
                f"There is no environment {self.env!r} in {folder.name}/: there is {', '.join(there)}. A folder of "
                "this name, with files such as parameters.yml, would be one."
            )

    def _check(self, file: Path) -> None:
        """Check that a file can be read and holds names with values; an empty one does.

        Raises:
            SettingsError: naming file, line and column.
        """
        try:
            with file.open(encoding="utf-8") as lines:
                content = yaml.safe_load(lines)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            place = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
            raise SettingsError(
                f"{self._shown(file)}{place}: {error.problem}. Correct the file's YAML: indentation, colons, quotes."
            ) from error
        except UnicodeDecodeError as error:
            raise SettingsError(f"{self._shown(file)}: {_in_a_line(error)}. Save the file as UTF-8.") from error
        if content is not None and not isinstance(content, dict):
            raise SettingsError(
                f"{self._shown(file)} must hold names with values, such as `seed: 42`, and holds "
                f"{'a list' if isinstance(content, list) else repr(content)}."
            )

    def _layered(self, key: str) -> dict[str, Any]:
        if key != "globals" or key in self.__dict__.get("data", {}) or self._runs_in_local():
            return super().__getitem__(key)
        config = super().__getitem__(key)
        own = _read_globals(Path(self._get_conf_env_path(self.env or self.default_run_env)))
        local = _read_globals(Path(self._get_conf_env_path(self.default_run_env)))
        return {**config, **local, **own}

    def _with_vocabulary(self, config: dict[str, Any]) -> dict[str, Any]:
        """The globals, with a vocabulary in `conf/` found where the configuration is.

        Raises:
            SettingsError: the configuration is an archive, and the vocabulary is inside.
        """
        vocabulary = Path(str(config.get("vocabulary", "")))
        if vocabulary.parts[:1] != ("conf",):
            return config
        if self._protocol != "file":
            raise SettingsError(
                f"The vocabulary {vocabulary} is inside of the archive {self.conf_source}, where it cannot be read: "
                "unpack it and name the folder, --conf-source=/folder/conf."
            )
        return {**config, "vocabulary": str(Path(self.conf_source, *vocabulary.parts[1:]).resolve())}

    def said_in(self, name: str) -> str:
        """Return where a parameter has got its value, in words.

        Args:
            name: dotted, such as `conquer.epochs`.

        Returns:
            `--params`, or a file such as `conf/local/parameters.yml`; that of the nearest block around a parameter that
            is said nowhere, and "" where nothing is found.
        """
        if _has(self.runtime_params or {}, name):
            return "--params"
        for file in self._files("parameters"):
            content = _read(file)
            if _has(content, name):
                referred = _REFERENCE.match(str(_get(content, name)))
                return self.global_said_in(referred[1]) if referred else self._shown(file)
        parent = name.rpartition(".")[0]
        return self.said_in(parent) if parent else ""

    def global_said_in(self, name: str) -> str:
        """Return which globals.yml says a dotted name, or the nearest block around it."""
        for file in self._files("globals"):
            if _has(_read(file), name):
                return self._shown(file)
        parent = name.rpartition(".")[0]
        return self.global_said_in(parent) if parent else "globals.yml"

    def _files(self, kind: str) -> Iterator[Path]:
        """The files of one kind, those that win first."""
        if self._protocol != "file":
            return
        layers = [self.env or self.default_run_env, self.base_env]
        if kind == "globals":
            layers.insert(1, self.default_run_env)
        for layer in dict.fromkeys(layers):
            folder = Path(self._get_conf_env_path(layer))
            found = {file for pattern in self.config_patterns[kind] for file in folder.glob(pattern)}
            yield from sorted(file for file in found if file.suffix in (".yml", ".yaml", ".json"))

    def _shown(self, file: Path) -> str:
        """A file as a user writes it: from the configuration folder on."""
        folder = Path(self.conf_source)
        return str(Path(folder.name) / file.relative_to(folder)) if file.is_relative_to(folder) else str(file)

    def _runs_in_local(self) -> bool:
        return (self.env or self.default_run_env) == self.default_run_env or self._protocol != "file"


_REFERENCE = re.compile(r"^\$\{globals:\s*([\w.]+)")
"""A value that stands in globals.yml."""


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _read(file: Path) -> dict[str, Any]:
    """Content of a file as it is written; {} where it is no mapping."""
    content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    return content if isinstance(content, dict) else {}


_NOTHING = object()


def _has(content: Any, name: str) -> bool:
    return _get(content, name) is not _NOTHING


def _get(content: Any, name: str) -> Any:
    """The value of a dotted name; `_NOTHING` where there is none."""
    for part in name.split("."):
        if isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        elif isinstance(content, dict) and part in content:
            content = content[part]
        else:
            return _NOTHING
    return content


def _read_globals(folder: Path) -> dict[str, Any]:
    """Return the globals of one environment's folder, {} where it has none."""
    file = folder / "globals.yml"
    if not file.is_file():
        return {}
    content = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    return content if isinstance(content, dict) else {}
