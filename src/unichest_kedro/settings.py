"""Project settings read by Kedro; see https://docs.kedro.org/en/stable/configure/project_settings."""

from unichest_kedro.config_loader import LocalGlobalsConfigLoader
from unichest_kedro.hooks import (
    ActiveSourcesHook,
    ArtefactHook,
    FailureHook,
    GlobalsHook,
    ParametersHook,
    SummaryHook,
)

CONFIG_LOADER_CLASS = LocalGlobalsConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # A user's file names only what differs from base; the other keys of a block stay.
    "merge_strategy": {"parameters": "soft"},
}

HOOKS = (GlobalsHook(), ActiveSourcesHook(), ParametersHook(), ArtefactHook(), SummaryHook(), FailureHook())

# Nothing is reported anywhere; `.telemetry` says the same to the plugin's command line.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)
