"""What the commands share: folders of datasets, the option --json, how it prints, tables, and progress bars.

Progress is on stderr, and only when it is a terminal. rich is imported when a bar is asked for, so that help
texts need not wait for it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from results.report.tables import Table as Content


class DatasetFolder(click.Path):
    """A folder with a dataset, for the commands that read its files themselves: a URL is refused as it was typed."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """The path; `click.BadParameter` for a URL, with what to do."""
        if "://" in str(value):
            if str(value).lower().startswith("s3://"):
                copy = f"aws s3 cp --recursive {value} DIR"
                fetched = "; `data cache`, `data stats` and `sweep` fetch it from there themselves"
            else:
                copy, fetched = "with the tool that belongs to it", ""
            self.fail(
                f"{value} is a URL, and this command reads folders only: copy the dataset into one ({copy}) and give "
                f"that{fetched}",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


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
