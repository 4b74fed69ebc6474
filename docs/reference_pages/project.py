"""What the reference is written from: the registered pipelines with every source active, and the configuration."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedro.framework.project import configure_project
from kedro.io.catalog_config_resolver import CatalogConfigResolver
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from omegaconf import OmegaConf

from unichest_kedro import active_sources
from unichest_kedro.config_loader import LocalGlobalsConfigLoader
from unichest_kedro.sources import SOURCES

PACKAGE = "unichest_kedro"
ENVIRONMENTS = ("open", "paper")
"""Environments that change parameters of `conf/base`."""


@dataclass(frozen=True)
class Project:
    """The project as the reference shows it.

    `catalog` and `parameters` are those of `conf/base`, references resolved; `changes` has, for each other
    environment, only the parameters that it sets.
    """

    conf: Path
    pipelines: dict[str, Pipeline]
    catalog: dict[str, dict[str, Any]]
    parameters: dict[str, Any]
    changes: dict[str, dict[str, Any]]

    def nodes(self) -> list[Node]:
        """Every node of every pipeline once."""
        return list({node.name: node for pipeline in self.pipelines.values() for node in pipeline.nodes}.values())

    def entry_of(self, dataset: str) -> str | None:
        """The catalog entry that a dataset is described by: its own, a pattern's, or None (kept in memory only)."""
        return dataset if dataset in self.catalog else self._resolver.match_dataset_pattern(dataset)

    def without_source(self, node: Node) -> str:
        """A node's name, the same for all sources."""
        return node.name.removeprefix(f"{node.namespace}.") if node.namespace in SOURCES else node.name

    @property
    def _resolver(self) -> CatalogConfigResolver:
        return CatalogConfigResolver(self.catalog, default_runtime_patterns={})


def read_project(root: Path) -> Project:
    """Read the project in a folder; its user's own configuration (`conf/local`) plays no part."""
    configure_project(PACKAGE)
    active_sources.tell(SOURCES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch, about itself; MkDocs would print it
        from unichest_kedro.pipeline_registry import register_pipelines
    conf = root / "conf"
    loader = LocalGlobalsConfigLoader(conf_source=str(conf), env="base", base_env="base", default_run_env="base")
    changes = {name: _only(conf / name) for name in ENVIRONMENTS}
    return Project(conf, register_pipelines(), loader["catalog"], loader["parameters"], changes)


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings under its dotted name; an empty mapping is a value."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + str(name), value


def _only(environment: Path) -> dict[str, Any]:
    """The parameters that one environment sets, by dotted name."""
    files = sorted(environment.glob("parameters*.yml"))
    return dict(item for file in files for item in leaves(OmegaConf.to_container(OmegaConf.load(file)) or {}))
