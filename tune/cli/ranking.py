"""The ranking of configs as a table on stdout, with the verdict's sentence below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from results import ReportPaths
    from results.tables import Table as Content


def show_ranking(written: ReportPaths) -> None:
    """The ranking, all columns into a pipe and as many as fit on a terminal; then the sentence."""
    from rich.console import Console
    from rich.measure import Measurement

    from results.tables import ranking_table

    content = ranking_table(written.ranking)
    terminal, endless = Console(), Console(width=100_000)
    everything = list(range(len(content.headings)))
    table = _table(content, everything)
    width = Measurement.get(endless, endless.options, table).maximum
    if terminal.is_terminal and width > terminal.width:
        settings = {i for i in everything[2:] if content.headings[i] not in (*content.numeric, "state")}
        table, width = _table(content, [i for i in everything if i not in settings]), terminal.width
    Console(width=width).print(table)
    click.echo(f"\n{written.verdict.sentence}")


def _table(content: Content, shown: Sequence[int]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for i in shown:
        heading = content.headings[i]
        table.add_column(heading, justify="right" if heading in content.numeric else "left", no_wrap=True)
    for row in content.rows:
        table.add_row(*(Text(row[i]) for i in shown))
    return table
