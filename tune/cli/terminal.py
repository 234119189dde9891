"""What the commands share: the option --json, how it prints, tables, and progress bars.

Progress is on stderr, and only when it is a terminal. rich is imported when a bar is asked for, so that help
texts need not wait for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from results.report.tables import Table as Content

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def print_json(content: object) -> None:
    """Print plain values as JSON on stdout; a number that is not finite is null, which every reader of JSON takes."""
    click.echo(json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(content: object) -> object:
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def rich_table(content: Content, shown: Sequence[int]) -> Table:
    """The columns `shown` of a table of text cells, numbers to the right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for i in shown:
        heading = content.headings[i]
        table.add_column(heading, justify="right" if heading in content.numeric else "left", no_wrap=True)
    for row in content.rows:
        table.add_row(*(Text(row[i]) for i in shown))
    return table


def print_table(content: Content) -> None:
    """A table on stdout, as wide as it is: a terminal may wrap it, a pipe gets every column."""
    from rich.console import Console

    Console(width=100_000).print(rich_table(content, range(len(content.headings))))


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
