"""The ranking of configs as a table on stdout, with the verdict's sentence below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tune.cli.terminal import rich_table

if TYPE_CHECKING:
    from results import Ranking, ReportPaths, Verdict


def show_ranking(written: ReportPaths) -> None:
    """The ranking, then the verdict's sentence."""
    show_table(written.ranking, written.verdict)
    click.echo(f"\n{written.verdict.sentence}")


def show_table(ranking: Ranking, verdict: Verdict) -> None:
    """The ranking: all columns into a pipe, as many as fit on a terminal."""
    from rich.console import Console
    from rich.measure import Measurement

    from results.report.ranking_table import ranking_table

    content = ranking_table(ranking, verdict)
    terminal, endless = Console(), Console(width=100_000)
    everything = list(range(len(content.headings)))
    table = rich_table(content, everything)
    width = Measurement.get(endless, endless.options, table).maximum
    if terminal.is_terminal and width > terminal.width:
        settings = {
            i for i in everything[2:] if content.headings[i] not in (*content.numeric, "vs best", "state")
        }
        table, width = rich_table(content, [i for i in everything if i not in settings]), terminal.width
    Console(width=width).print(table)
