"""What the commands share: the option --json, how it prints, and progress bars.

Progress is on stderr, and only when it is a terminal. rich is imported when a bar is asked for, so that help
texts need not wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def print_json(content: object) -> None:
    """Print plain values as JSON on stdout."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that appears at the first report; yields what is told (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = None

    def report(done: int, total: int) -> None:
        nonlocal task
        if task is None:
            bar.start()
            task = bar.add_task(title, total=total)
        bar.update(task, completed=done)
        if done >= total:
            bar.stop()

    try:
        yield report
    finally:
        bar.stop()
