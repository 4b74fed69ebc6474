"""What happens around a run: the active sources are noted, artefacts are guarded, the result is printed.

Kedro's datasets write in place. A run killed while one is written would leave a file that `--only-missing-outputs`
takes for whole, and artefacts made from phantoms would pass for a user's own once `sources` is set. `ArtefactHook`
keeps a small journal beside the data against both.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from unichest_kedro.active_sources import sources_in, tell
from unichest_kedro.errors import MissingArtefact, SettingsError

logger = logging.getLogger(__name__)

PIPELINES_MODULE = "unichest_kedro.pipeline_registry"
STAGES = ("ingest", "images", "harmonise", "text", "conquer", "divide", "pretrain", "evaluate")


class ActiveSourcesHook:
    """Tells the pipeline registry which sources the session's configuration names."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Note the active sources before any pipeline is built."""
        if tell(sources_in(context.config_loader["globals"])):
            pipelines.configure(PIPELINES_MODULE)


class ArtefactHook:
    """Guards what is on disk: nothing half-written, nothing made from other data, nothing missing unnoticed."""

    def __init__(self) -> None:
        """Start without a project; `after_context_created` brings it."""
        self._journal = Journal(Path("data"))
        self._origin: dict[str, str] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Find the journal beside the data and note where each source's data come from in this session."""
        config = context.config_loader["globals"]
        self._journal = Journal(Path(context.project_path) / config["data"])
        self._origin = {source: _origin_of(source, config) for source in sources_in(config)}

    @hook_impl
    def after_catalog_created(self, catalog: CatalogProtocol) -> None:
        """Remove what a killed run left half-written, so that it counts as missing."""
        for name in self._journal.interrupted():
            _remove_artefact(catalog, name)
            self._journal.close(name)
            logger.warning("Removed '%s': the run that was writing it did not finish.", name)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Stop before any work when an input is missing or was made from other data.

        Raises:
            MissingArtefact: naming the pipeline to run first.
            SettingsError: naming the artefact and both origins.
        """
        needed = _persisted(pipeline.inputs())
        missing = [name for name in needed if not catalog.exists(name)]
        if missing:
            raise MissingArtefact(_what_to_run_first(missing, run_params))
        kept = _persisted(pipeline.all_outputs()) if run_params.get("only_missing_outputs") else []
        self._check_origin(name for name in [*needed, *kept] if catalog.exists(name))

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Note that a dataset is being written."""
        self._journal.open(dataset_name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Note that a dataset is whole and which data it was made from."""
        self._journal.record(dataset_name, self._sources_of(dataset_name))
        self._journal.close(dataset_name)

    def _sources_of(self, dataset_name: str) -> dict[str, str]:
        own = {s: o for s, o in self._origin.items() if dataset_name.startswith(f"{s}_")}
        return own or self._origin

    def _check_origin(self, names: Iterable[str]) -> None:
        for name in names:
            recorded = self._journal.recorded(name)
            if recorded is not None and recorded != self._sources_of(name):
                raise SettingsError(
                    f"'{name}' was made from {_in_words(recorded)}, but the configuration now says "
                    f"{_in_words(self._sources_of(name))}: run `kedro run --pipeline=pretrain` without "
                    "--only-missing-outputs, so that everything is made from the same data."
                )


class SummaryHook:
    """Prints the short table and the report's place at the end of a run that made them."""

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print the summary, if this run wrote one."""
        if "summary" in pipeline.all_outputs() and catalog.exists("summary"):
            click.echo(f"\n{catalog.load('summary')}\nReport: {catalog.get('report')._filepath}")


class Journal:
    """What is being written (one file per dataset) and what each finished dataset was made from (one table)."""

    def __init__(self, data: Path) -> None:
        """Keep the journal in the folder `.journal` of the data folder."""
        self._folder = data / ".journal"
        self._origins = self._folder / "origins.json"

    def open(self, name: str) -> None:
        """Note that this process is writing `name`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._marker(name).write_text(str(os.getpid()))

    def close(self, name: str) -> None:
        """Note that `name` is no longer being written."""
        self._marker(name).unlink(missing_ok=True)

    def interrupted(self) -> list[str]:
        """Return the datasets whose writer is gone."""
        markers = sorted(self._folder.glob("*.writing"))
        return [marker.stem for marker in markers if not _is_running(marker.read_text())]

    def record(self, name: str, origins: dict[str, str]) -> None:
        """Note what `name` was made from."""
        table = self._table() | {name: origins}
        temporary = self._origins.with_suffix(".tmp")
        temporary.write_text(json.dumps(table, indent=1, sort_keys=True))
        temporary.replace(self._origins)

    def recorded(self, name: str) -> dict[str, str] | None:
        """Return what `name` was made from, or None where nothing was noted."""
        return self._table().get(name)

    def _table(self) -> dict[str, dict[str, str]]:
        return json.loads(self._origins.read_text()) if self._origins.is_file() else {}

    def _marker(self, name: str) -> Path:
        return self._folder / f"{name}.writing"


def _is_running(pid: str) -> bool:
    """Return whether a process of this id exists (an id that is no number counts as gone)."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _origin_of(source: str, config: dict[str, Any]) -> str:
    """Return where a source's data come from: its folder, or the phantoms with a digest of their settings."""
    root = (config.get("sources") or {}).get(source)
    if root:
        return str(root)
    settings = json.dumps(config["phantoms"], sort_keys=True)
    return f"phantoms (settings {hashlib.sha256(settings.encode()).hexdigest()[:8]})"


def _in_words(origins: dict[str, str]) -> str:
    return ", ".join(f"{source}: {origin}" for source, origin in origins.items())


def _persisted(names: Iterable[str]) -> list[str]:
    return sorted(n for n in names if n != "parameters" and not n.startswith("params:"))


def _remove_artefact(catalog: CatalogProtocol, name: str) -> None:
    """Delete the file or folder of a dataset; a dataset that keeps no file has nothing to delete."""
    filepath = getattr(catalog.get(name), "_filepath", None)
    if filepath is None:
        return
    path = Path(str(filepath))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _what_to_run_first(missing: list[str], run_params: dict[str, Any]) -> str:
    """Return the sentence that says which pipeline makes what is missing."""
    asked = ", ".join(run_params.get("pipeline_names") or ["this run"])
    makers = [s for s in STAGES if s in pipelines and set(missing) <= pipelines[s].all_outputs()]
    whole = [s for s in makers if not _persisted(pipelines[s].inputs())]
    command = f"kedro run --pipeline={(whole or makers or ['pretrain'])[0]}"
    shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
    return f"{asked} needs {shown}, which {'is' if len(missing) == 1 else 'are'} not there yet: run `{command}` first."
