"""What happens around a run: the active sources are noted, artefacts are guarded, the result is printed.

Kedro's datasets write in place. A run killed while one is written would leave a file that `--only-missing-outputs`
takes for whole; artefacts made from phantoms would pass for a user's own once `sources` is set; a table of row numbers
would quietly point into a store that was remade; and a model would pass for one of other settings than it was trained
with. `ArtefactHook` keeps a journal beside the data against all.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import click
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import TypeAdapter

from unichest_kedro.active_sources import check_own_sources, sources_in, tell
from unichest_kedro.errors import MissingArtefact, SettingsError
from unichest_kedro.issue_report import NODE_NOTE
from unichest_kedro.journal import Journal, Record, digest_of
from unichest_kedro.parameter_mistakes import PREFIX, find_mistakes, refuse, types_of_parameters
from unichest_kedro.parameters_digest import parameter_digest
from unichest_kedro.phantoms.settings import PhantomSettings
from unichest_kedro.sources import SOURCES, source_entry, trained_sources

logger = logging.getLogger(__name__)

PIPELINES_MODULE = "unichest_kedro.pipeline_registry"
STAGES = (
    *("ingest", "images", "reports", "harmonise", "text", "leakage", "conquer", "divide"),
    *("score", "measure", "inspect", "report"),
    *("pretrain", "evaluate", "score_extractor", "import_official", "ablate"),
)
"""Pipelines whose artefacts a user may be told to make, smallest first."""

_ADVICE = "`kedro run --only-missing-outputs` makes them anew"

TRAINED = "conquer_model"
"""What a run makes that trains."""

READER = "params:text_encoder"
WIDTH = "params:model.width"
"""What a run takes that embeds texts."""

GLOBALS = {"sources": Any, "train_on": Any, "data": str, "vocabulary": str, "phantoms": PhantomSettings}
"""What stands in globals.yml, with its types."""

JUDGED = "params:benchmarks"
COMPARED = "params:other_models"
"""What a run takes that judges models."""


class GlobalsHook:
    """Checks globals.yml before anything is made of it: the phantoms' settings, and names that are misspelt."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check all but `sources` and `train_on`, which have rules of their own (`ActiveSourcesHook`).

        Raises:
            SettingsError: with a sentence for each mistake.
        """
        loader = context.config_loader
        said_in = getattr(loader, "global_said_in", lambda name: "")
        advice = "conf/base/globals.yml explains every setting; write yours into conf/local/globals.yml."
        refuse(find_mistakes(loader["globals"], GLOBALS, said_in, own_names=True), advice)


class ActiveSourcesHook:
    """Tells the pipeline registry which sources the configuration names, and stops a run that has none to train on."""

    def __init__(self) -> None:
        """Start without a project; `after_context_created` brings it."""
        self._active: tuple[str, ...] = ()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Note the active sources before any pipeline is built."""
        config = context.config_loader["globals"]
        self._active = sources_in(config)
        if tell(self._active):
            pipelines.configure(PIPELINES_MODULE)
        check_own_sources(config, Path(context.project_path))

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Stop a run, before any film is read, that has no source to train on, or that cannot judge what it is to.

        Raises:
            SettingsError: naming what `train_on` has and which sources there are; or the text encoder, benchmark or
                other model that is wrong.
        """
        if TRAINED in pipeline.all_outputs():
            trained_sources(catalog.load("params:train_on"), self._active)
        if {READER, WIDTH} <= pipeline.inputs():
            self._check_reading(catalog)
        if {JUDGED, COMPARED} <= pipeline.inputs():
            self._check_judging(catalog)

    def _check_reading(self, catalog: CatalogProtocol) -> None:
        """Check the text encoder before hours are spent on films and reports."""
        # Imported here: it needs transformers, which commands that run nothing can do without.
        from unichest_kedro.models.text_encoder import TextEncoderSettings, check_text_encoder

        settings = TypeAdapter(TextEncoderSettings).validate_python(catalog.load(READER))
        check_text_encoder(settings, catalog.load(WIDTH))

    def _check_judging(self, catalog: CatalogProtocol) -> None:
        """Check what is judged, and beside which other models, before hours are spent on training."""
        # Imported here: they need torch, which commands that run nothing can do without.
        from unichest_kedro.evaluation.benchmarks import check_benchmarks
        from unichest_kedro.evaluation.other_models import check_other_models
        from unichest_kedro.pipelines.evaluation.shared import MODELS
        from unichest_kedro.vocabulary import Vocabulary

        words = Vocabulary.from_mapping(catalog.load("vocabulary"))
        check_benchmarks(catalog.load(JUDGED), words, self._active)
        sources = tuple(dict.fromkeys([*SOURCES, *self._active]))
        check_other_models(catalog.load(COMPARED), tuple(MODELS.values()), sources)


class ParametersHook:
    """Checks every parameter before any work, and says all that is wrong in words of its own."""

    @hook_impl(trylast=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check the parameters against the settings that the nodes take.

        Raises:
            SettingsError: with a sentence for each mistake.
        """
        loader = context.config_loader
        try:
            parameters = loader["parameters"]
        except MissingConfigException:
            return  # Kedro says so itself
        said_in = getattr(loader, "said_in", lambda name: "")
        advice = "conf/base/parameters*.yml explains every setting; write yours into conf/local/parameters.yml."
        refuse(find_mistakes(parameters, _parameter_types(), said_in), advice)


class ArtefactHook:
    """Guards what is on disk: nothing half-written, nothing stale, nothing made from other data, nothing missing."""

    def __init__(self) -> None:
        """Start without a project; `after_context_created` brings it."""
        self._journal = Journal(Path("data"))
        self._origin: dict[str, str] = {}
        self._catalog: CatalogProtocol | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Find the journal beside the data and note where each source's data come from in this session."""
        config = context.config_loader["globals"]
        self._journal = Journal(Path(context.project_path) / config["data"])
        self._origin = {source: _origin_of(source, config) for source in sources_in(config)}

    @hook_impl
    def after_catalog_created(self, catalog: CatalogProtocol) -> None:
        """Remove what a killed run left half-written, so that it counts as missing."""
        self._catalog = catalog
        for name in self._journal.interrupted():
            # A dataset that is replaced as a whole is still the old one, which is judged by what it was made from.
            if not getattr(catalog.get(name), "saves_whole", False):
                self._remove(name, "the run that was writing it did not finish")
            self._journal.close(name)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Stop before any work when an input is missing, stale or made from other data; remake what is stale.

        Raises:
            MissingArtefact: naming the pipeline to run first.
            SettingsError: naming the artefact and what is wrong with it.
        """
        self._catalog = catalog
        needed = _persisted(pipeline.inputs())
        missing = [name for name in needed if not catalog.exists(name)]
        if missing:
            raise MissingArtefact(_what_to_run_first(missing, run_params, catalog))
        kept = _persisted(pipeline.all_outputs()) if run_params.get("only_missing_outputs") else []
        kept = [name for name in kept if catalog.exists(name)]
        self._check_origin([*needed, *kept])
        self._check_stale(needed)
        kept_reasons = {name: reason for name in kept if (reason := self._reason(name))}
        for name, reason in kept_reasons.items():
            self._remove(name, reason)
        self._warn_of_other_parameters(needed, "used as they are")

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Note that a dataset is being written."""
        self._journal.open(dataset_name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Note that a dataset is whole and what it was made from."""
        parents = {name: self._digest(name) for name in _persisted(node.inputs)}
        known = {name: digest for name, digest in parents.items() if digest is not None}
        digest = digest_of(self._path(dataset_name)) or ""
        asked = {name: self._digest_of_parameter(name) for name in node.inputs if name.startswith(PREFIX)}
        parameters = {name: value for name, value in asked.items() if value is not None}
        self._journal.record(dataset_name, Record(self._sources_of(dataset_name), digest, known, parameters))
        self._journal.close(dataset_name)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline) -> None:
        """Say so when something that this run left alone is older than what this run made."""
        outputs = _persisted(pipeline.all_outputs())
        old = [name for name in outputs if self._stale(name)]
        if old:
            logger.warning("%s: made from what has changed since; %s.", _some_of(old), _ADVICE)
        self._warn_of_other_parameters([name for name in outputs if name not in old], _ADVICE)

    def _sources_of(self, dataset_name: str) -> dict[str, str]:
        own = [source for source in self._origin if dataset_name.startswith(f"{source}_")]
        longest = max(own, key=len, default=None)  # chexpert_small_studies begins with chexpert_, too
        return self._origin if longest is None else {longest: self._origin[longest]}

    def _path(self, name: str) -> Path:
        return Path(str(getattr(self._catalog.get(name), "_filepath", "") or os.devnull))

    def _digest(self, name: str) -> str | None:
        """Return the digest of an artefact, or of a file that the user keeps (the vocabulary); None for a folder."""
        record = self._journal.recorded(name)
        return record.digest if record is not None else self._digest_of_input(name)

    def _digest_of_input(self, name: str) -> str | None:
        path = self._path(name)
        return digest_of(path) if path.is_file() else None

    def _digest_of_parameter(self, name: str) -> str | None:
        """Return the digest of a parameter of this run; None where there is none, or it changes no result."""
        if self._catalog is None or name not in self._catalog:
            return None
        # Kedro makes settings of the parameters that this run takes; those of other pipelines are as YAML has them.
        value, hint = self._catalog.get(name).load(), self._types.get(name.removeprefix(PREFIX), Any)
        return parameter_digest(name.removeprefix(PREFIX), TypeAdapter(hint).validate_python(value))

    @cached_property
    def _types(self) -> dict[str, Any]:
        return _parameter_types()

    def _stale(self, name: str) -> set[str]:
        return self._journal.stale(name, self._digest_of_input)

    def _reason(self, name: str) -> str:
        """Why an artefact is not what this run would make, in words; "" where it is."""
        other = self._journal.other_parameters(name, self._digest_of_parameter)
        if other:
            return _made_with_other(other)
        if self._journal.stale(name, self._digest_of_input, self._digest_of_parameter):
            return "what it was made from has changed since"
        return ""

    def _warn_of_other_parameters(self, names: Iterable[str], advice: str) -> None:
        """Say which of these artefacts were made with other parameters than this run has."""
        made: dict[str, list[str]] = {}
        for name in names:
            other = self._journal.other_parameters(name, self._digest_of_parameter)
            if other:
                made.setdefault(_made_with_other(other), []).append(name)
        for words, artefacts in made.items():
            logger.warning("%s: %s; %s.", _some_of(artefacts), words, advice)

    def _remove(self, name: str, reason: str) -> None:
        path = self._path(name)
        if path.is_dir():
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
        logger.warning("Removed '%s': %s.", name, reason)

    def _check_origin(self, names: Iterable[str]) -> None:
        for name in names:
            record = self._journal.recorded(name)
            if record is not None and record.sources != self._sources_of(name):
                raise SettingsError(
                    f"'{name}' was made from {_in_words(record.sources)}, but the configuration now says "
                    f"{_in_words(self._sources_of(name))}: run `kedro run --pipeline=pretrain` without "
                    "--only-missing-outputs, so that everything is made from the same data."
                )

    def _check_stale(self, names: Iterable[str]) -> None:
        stale = {name: old for name in names if (old := self._stale(name))}
        if stale:
            every = set().union(*stale.values())
            stages = [
                s for s in STAGES[: STAGES.index("pretrain")] if s in pipelines and every & pipelines[s].all_outputs()
            ]
            raise SettingsError(
                f"'{next(iter(stale))}' was made from artefacts that have changed since: run "
                f"`kedro run --pipelines={','.join(stages or ['pretrain'])}` first, so that all belong together."
            )


class SummaryHook:
    """Prints the short table and the report's place at the end of a run that made them."""

    def __init__(self) -> None:
        """Start with nothing written."""
        self._written = False

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Note that this run wrote the summary."""
        self._written |= dataset_name == "summary"

    @hook_impl
    def after_pipeline_run(self, catalog: CatalogProtocol) -> None:
        """Print the summary, if this run wrote one."""
        if self._written:
            click.echo(f"\n{catalog.load('summary')}\nReport: {catalog.get('report')._filepath}")
        self._written = False


class FailureHook:
    """Notes on an error which node raised it."""

    @hook_impl
    def on_node_error(self, error: Exception, node: Node) -> None:
        """Put the node's name on the error, for the traceback and for an issue."""
        error.add_note(f"{NODE_NOTE}{node.name}")


def _origin_of(source: str, config: dict[str, Any]) -> str:
    """Return where a source's data come from: its folder and options, or phantoms with a digest of their settings."""
    entry = (config.get("sources") or {}).get(source)
    if entry:
        return source_entry(source, entry).origin
    settings = json.dumps(config["phantoms"], sort_keys=True)
    return f"phantoms (settings {hashlib.sha256(settings.encode()).hexdigest()[:8]})"


def _in_words(origins: dict[str, str]) -> str:
    return ", ".join(f"{source}: {origin}" for source, origin in origins.items())


def _parameter_types() -> dict[str, Any]:
    """The type of every parameter that a node of some pipeline takes."""
    nodes = [(node.func, node.inputs) for pipeline in dict(pipelines).values() for node in pipeline.nodes]
    return types_of_parameters(nodes)


def _made_with_other(parameters: Iterable[str]) -> str:
    return f"made with other parameters ({', '.join(name.removeprefix(PREFIX) for name in parameters)})"


def _some_of(names: list[str]) -> str:
    """The first four names, and how many more there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _persisted(names: Iterable[str]) -> list[str]:
    return sorted(n for n in names if n != "parameters" and not n.startswith("params:"))


def _what_to_run_first(missing: list[str], run_params: dict[str, Any], catalog: CatalogProtocol) -> str:
    """Return the sentence that says which pipeline makes what is missing, or that no pipeline can."""
    asked = ", ".join(run_params.get("pipeline_names") or ["this run"])
    made = _made_by_pipelines()
    for name in missing:
        if name not in made:
            path = getattr(catalog.get(name), "_filepath", "its place")
            return f"{asked} needs {name}, but there is no file {path}: correct the path in globals.yml."
    verb = "is" if len(missing) == 1 else "are"
    command = f"kedro run --pipeline={_maker(missing)}"
    return f"{asked} needs {_some_of(missing)}, which {verb} not there yet: run `{command}` first."


def _made_by_pipelines() -> set[str]:
    """Return the names of all that some pipeline makes."""
    return set().union(*(pipelines[stage].all_outputs() for stage in STAGES if stage in pipelines))


def _maker(missing: list[str]) -> str:
    """Return the smallest pipeline that makes all of these from what is there without them."""
    makers = [stage for stage in STAGES if stage in pipelines and set(missing) <= pipelines[stage].all_outputs()]
    made = _made_by_pipelines()
    whole = [stage for stage in makers if not made & pipelines[stage].inputs()]
    return (whole or makers or ["pretrain"])[0]
