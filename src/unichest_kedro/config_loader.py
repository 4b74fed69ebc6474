"""The configuration loader: Kedro's, with one addition, so that the place of the data is said once.

Kedro reads `base` and ONE run environment, `local` unless `--env` names another. The folders a user wrote into
`conf/local/globals.yml` would be lost with `--env=paper`, and a run meant for real films would quietly take the
phantoms. Here the globals of `local` hold in every environment; the environment's own globals still win.
"""

from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import OmegaConf


class LocalGlobalsConfigLoader(OmegaConfigLoader):
    """`OmegaConfigLoader` whose globals are layered base < local < run environment."""

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the configuration of one kind; see `OmegaConfigLoader.__getitem__`."""
        if key != "globals" or key in self.__dict__.get("data", {}) or self._runs_in_local():
            return super().__getitem__(key)
        config = super().__getitem__(key)
        own = _read_globals(Path(self._get_conf_env_path(self.env or self.default_run_env)))
        local = _read_globals(Path(self._get_conf_env_path(self.default_run_env)))
        return {**config, **local, **own}

    def _runs_in_local(self) -> bool:
        return (self.env or self.default_run_env) == self.default_run_env or self._protocol != "file"


def _read_globals(folder: Path) -> dict[str, Any]:
    """Return the globals of one environment's folder, {} where it has none."""
    file = folder / "globals.yml"
    if not file.is_file():
        return {}
    content = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise MissingConfigException(f"{file} must hold a mapping such as `sources: {{chexpert: /path}}`.")
    return content
