"""`landslide-tune status`: how far a sweep is, once or until it is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tune.cli.terminal import print_json

if TYPE_CHECKING:
    from tune.status import SweepStatus


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Go on until the sweep is over; Ctrl-C ends it sooner.")
@click.option("--every", type=float, default=5.0, show_default=True, help="Seconds between two looks.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the counts as JSON, with --watch one line a look."
)
def status(run_dir: Path, watch: bool, every: float, as_json: bool) -> None:
    """How far a sweep is, also while it runs.

    Reads the run directory only, so it works from another process, and from another machine on s3:// (where rows
    arrive up to half a minute late).

    \b
    Examples:  landslide-tune status runs/unet-20260101-120000
               landslide-tune status runs/unet-20260101-120000 --watch
    """
    from tune.status import follow, sweep_status

    if not every > 0:
        raise click.UsageError(f"--every: {every} is not above 0 seconds")
    if not watch:
        found = sweep_status(run_dir)
        if as_json:
            print_json(found.to_dict())
        else:
            click.echo(_text(found, run_dir))
        return
    try:
        with _shown(run_dir, as_json) as show:
            follow(lambda: sweep_status(run_dir), show, lambda: time.sleep(every))
    except KeyboardInterrupt:
        click.echo("no longer watching; the sweep goes on", err=True)


@contextmanager
def _shown(run_dir: Path, as_json: bool) -> Iterator[Callable[[SweepStatus], None]]:
    """On a terminal the counts in place; into a pipe one line whenever they changed."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if console.is_terminal and not as_json:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda found: live.update(_text(found, run_dir), refresh=True)
        return
    last = ""

    def show(found: SweepStatus) -> None:
        nonlocal last
        lines = [_headline(found), *_not_running(found, run_dir)]
        text = json.dumps(found.to_dict(), allow_nan=False) if as_json else "\n".join(lines)
        if text != last:
            click.echo(text)
        last = text

    yield show


def _headline(found: SweepStatus) -> str:
    of = "" if found.planned is None else f" of {found.planned}"
    budget = (
        "" if found.budget_epochs is None else f" (the search {found.search_epochs} of {found.budget_epochs})"
    )
    return f"{found.name} ({found.sweep_id}): {found.ended}{of} runs ended, {found.epochs} epochs{budget}"


def _not_running(found: SweepStatus, run_dir: Path) -> list[str]:
    if found.over or found.running is not False:
        return []
    return [f"not running: go on with landslide-tune sweep --resume --out {run_dir}"]


def _text(found: SweepStatus, run_dir: Path) -> str:
    """The headline, how runs ended, the best one so far, and how long nothing has come."""
    from results.faults import fault_sentences
    from tune.progress import clock_time

    lines = [_headline(found)]
    lines += [f"  {name.replace('_', ' '):14s} {count}" for name, count in sorted(found.by_status.items())]
    if found.confirmations:
        lines.append(f"  {'confirmations':14s} {found.confirmations} (extra runs on fresh seeds)")
    if len(found.by_stage) > 1:
        stages = ", ".join(
            f"{found.by_stage[stage]} {stage}" for stage in sorted(found.by_stage, key=_stage_order)
        )
        lines.append(f"  {'by stage':14s} {stages}")
    lines += fault_sentences(found.faults)
    if found.best is not None:
        lines.append(
            f"best run so far: {found.best_trial} with {found.metric} {found.best:.4f} (one run, not a verdict)"
        )
    if found.reason is not None:
        lines.append(f"ended: {found.reason}")
    if found.last_row is not None and not found.over:
        lines.append(f"newest row: {clock_time(time.time() - found.last_row)} ago")
    return "\n".join([*lines, *_not_running(found, run_dir)])


def _stage_order(stage: str) -> tuple[int, str]:
    """The stages in the order in which a search comes to them, then others."""
    known = ("screen", "allocate", "confirm")
    return (known.index(stage) if stage in known else len(known)), stage
