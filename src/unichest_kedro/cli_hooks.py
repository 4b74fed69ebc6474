"""Before `kedro viz`, `registry`, `catalog`, `jupyter` and `ipython`: a broken configuration is one message here, too.

These commands are Kedro's own and print a traceback for every error: `kedro viz` from another process while it waits
for it, `jupyter` and `ipython` in the notebook, which then lacks `catalog` and `context`. So the configuration is read
once before they start. Kedro finds the hook by the entry point `kedro.cli_hooks`.
"""

import os
from collections.abc import Sequence

import click
from kedro.framework.cli.hooks import cli_hook_impl
from kedro.framework.startup import ProjectMetadata

READING = ("viz", "registry", "catalog", "jupyter", "ipython")
"""Commands that read the configuration and have no messages of ours."""


class ConfigurationCheck:
    """Stops a command of this project whose configuration cannot be used, with the message that `kedro run` gives."""

    @cli_hook_impl
    def before_command_run(self, project_metadata: ProjectMetadata | None, command_args: list[str]) -> None:
        """Read configuration and parameters; anything but a user's mistake is left to the command itself."""
        if project_metadata is None or project_metadata.package_name != __package__:
            return  # the hook is asked in every Kedro project of this environment
        if not command_args or command_args[0] not in READING or {"--help", "-h"} & set(command_args):
            return
        message = _mistake(project_metadata, _environment(command_args))
        if message:
            click.echo(f"Error: {message}", err=True)
            raise SystemExit(1)


def _mistake(project: ProjectMetadata, env: str | None) -> str:
    """What a user can mend in the configuration, "" for nothing."""
    from kedro.framework.session import KedroSession  # only where it is needed: every kedro command imports this file

    from unichest_kedro.cli import user_error

    try:
        context = KedroSession.create(project.project_path, env=env).load_context()
        context.config_loader["catalog"]
    except Exception as error:
        known = user_error(error)
        return "" if known is None else str(known)
    return ""


def _environment(arguments: Sequence[str]) -> str | None:
    """The environment that a command line names."""
    for place, argument in enumerate(arguments):
        if argument in ("-e", "--env"):
            return arguments[place + 1] if place + 1 < len(arguments) else None
        if argument.startswith("--env="):
            return argument.removeprefix("--env=")
    return os.environ.get("KEDRO_ENV")


configuration_check = ConfigurationCheck()
