"""Command lines of documents and scripts, parsed by the real commands: an option that does not exist is an error."""

from __future__ import annotations

from collections.abc import Sequence

import click


def parse(words: Sequence[str]) -> None:
    """Parse a line of `landslide-tune` or `ray`, and the line that a job or `symmetric-run` runs; nothing is run.

    Raises:
        click.ClickException: a command or an option that does not exist, or a value that it does not take.
        AssertionError: it is neither.
    """
    program, *rest = words
    assert program in ("landslide-tune", "ray"), program
    command, name, rest = _command(program, rest)
    if program == "ray" and "--" in rest:
        at = rest.index("--")
        rest, entrypoint = rest[:at], rest[at + 1 :]
        parse(entrypoint)
        if name == "symmetric-run":  # it hands what it does not know to `ray start`
            parse(["ray", "start", *_without_own(rest)])
        rest += ["--", *entrypoint]
    command.make_context(name, list(rest))


def _command(program: str, words: Sequence[str]) -> tuple[click.Command, str, list[str]]:
    """The command that the words begin with, its name, and the words after it."""
    if program == "ray":
        from ray.scripts.scripts import cli as command
    else:
        from tune.cli import main as command
    name, rest = program, list(words)
    while isinstance(command, click.Group):
        assert rest, f"{name}: which command?"
        name, *rest = rest
        found = command.get_command(click.Context(command), name)
        if found is None:
            raise click.UsageError(f"{program} has no command {name}")
        command = found
    return command, name, rest


def _without_own(words: Sequence[str]) -> list[str]:
    """The words of `ray symmetric-run` without its own two options."""
    kept, own = [], iter(words)
    for word in own:
        if word in ("--address", "--min-nodes"):
            next(own)
        else:
            kept.append(word)
    return kept
