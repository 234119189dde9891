"""The command line `landslide-tune`: a thin layer over the Python API.

stdout is data, stderr is progress; exit codes are 0 done, 1 negative or incomplete, 2 usage or bad input.
Every command module imports torch, Ray and pyarrow inside its functions, so that `--help` answers at once.
No decision about a sweep is made here.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from landslide.errors import LandslideError, OutOfMemory
from results.errors import ResultsError
from search_spaces.errors import SpaceError
from tune.errors import SweepError

USER_ERRORS = (LandslideError, ResultsError, SpaceError, SweepError)

#: command name -> (module, attribute): loaded only when the command is used.
COMMANDS = {
    "quickstart": ("tune.cli.quickstart", "quickstart"),
    "data": ("tune.cli.data", "data"),
    "space": ("tune.cli.space", "space"),
    "train": ("tune.cli.train", "train"),
    "sweep": ("tune.cli.sweep", "sweep"),
    "status": ("tune.cli.status", "status"),
    "report": ("tune.cli.outcome", "report"),
    "compare": ("tune.cli.questions", "compare"),
    "plan": ("tune.cli.questions", "plan"),
    "audit": ("tune.cli.audit", "audit"),
    "export": ("tune.cli.outcome", "export"),
    "optuna": ("tune.cli.interop", "optuna"),
    "evaluate": ("tune.cli.model", "evaluate"),
    "predict": ("tune.cli.model", "predict"),
    "manifest": ("tune.cli.manifest", "manifest"),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for, and turns our errors into exit 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that holds the command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; bad input is one screen on stderr and exit code 2, too little memory is exit code 1."""
        try:
            return super().invoke(ctx)
        except USER_ERRORS as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(2)
        except OutOfMemory as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(1)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="landslide-tune", prog_name="landslide-tune")
def main() -> None:
    """Hyperparameter search for landslide segmentation that takes the seed noise seriously.

    \b
    Start with:   landslide-tune quickstart
    """
