"""What a user sees while a sweep runs: configs, epochs, the best so far with its spread, the time left. On stderr.

Reads an `Execution` and draws; decides and records nothing. On a terminal the table is redrawn in place; elsewhere
(a log file, CI) one line is printed per ended run.
"""

from __future__ import annotations

import heapq
import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from results import RunStatus
from tune.execution import Execution
from tune.run_state import RunState
from tune.schedulers import ALLOCATE, CONFIRM, SCREEN
from tune.tally import (
    CONFIRMED,
    CONFIRMED_EPOCHS,
    ENDED,
    ENDED_EPOCHS,
    PAUSED,
    SEARCHED,
    SEARCHED_EPOCHS,
    ConfigLine,
    Tally,
)

#: Most rows that the live table shows; the rest are counted.
ROWS = 12
#: Seconds between two drawings.
REDRAW = 0.5
#: What a search is doing while it starts runs of a stage.
_DOING = {SCREEN: "screening", ALLOCATE: "repeating", CONFIRM: "confirming"}


class Progress:
    """The state of the display.

    Args:
        execution: what is shown.
        slots: how many trials run at a time, for the time left.
    """

    def __init__(self, execution: Execution, *, slots: int) -> None:
        self._execution, self._slots = execution, max(1, slots)
        self._budget = execution.sweep.policy_options().budget_epochs
        self._tally = Tally(execution)

    def news(self) -> Iterator[str]:
        """One line per run that ended since the last call."""
        return map(self._ended, self._tally.news())

    def headline(self) -> str:
        """Where the search is, runs by state, epochs done, time left."""
        self._tally.look()
        if audited := self._tally.audited.values():
            return self._audit_line(audited)
        states = sorted([*(status.value for status in RunStatus), PAUSED])
        ended = ", ".join(f"{n} {state.replace('_', ' ')}" for state in states if (n := self._sum(state)))
        left = self._seconds_left()
        limit = "about" if self._planned is not None else "at most about"
        eta = f" · {limit} {clock_time(left)} left" if left and not self._execution.complete else ""
        return f"{self._started()} · {ended or 'none ended'} · {self._epochs()}{eta}"

    def _audit_line(self, runs: Collection[RunState]) -> str:
        """Of the runs that an audit brings to their end now; the search and its budget are over then."""
        ended = sum(run.status is not None for run in runs)
        return f"auditing · {counted(len(runs), 'run')} started, {ended} ended"

    def seconds_left(self) -> float | None:
        """Expected seconds until the end, from the mean epoch and the mean length of ended runs; None at first.

        Of a search that decides by its results how many runs it needs, the most: until its budget is spent.
        """
        self._tally.look()
        return self._seconds_left()

    def _seconds_left(self) -> float | None:
        done = self._sum(SEARCHED_EPOCHS) + self._sum(CONFIRMED_EPOCHS)
        if not done:
            return None
        ended = self._sum(ENDED)
        expected = self._sum(ENDED_EPOCHS) / ended if ended else self._execution.sweep.max_epochs
        left = sum(max(1.0, expected - run.epochs) for run in self._execution.history.pending())
        if self._planned is not None:
            left += (self._planned - self._sum(SEARCHED)) * expected
        elif self._budget is not None and not self._sum(CONFIRMED):
            left = max(left, self._budget - self._sum(SEARCHED_EPOCHS))
        return left * self._tally.seconds / done / self._slots

    @property
    def _planned(self) -> int | None:
        return self._execution.planned

    def _sum(self, name: str) -> int:
        return self._tally.sums[name]

    def _started(self) -> str:
        searched, confirmed = self._sum(SEARCHED), self._sum(CONFIRMED)
        more = f" and {confirmed} to confirm" if confirmed else ""
        if self._planned is not None:
            return f"{searched} of {self._planned} runs started{more}"
        newest = self._tally.newest
        at = f"{_DOING.get(newest.run.stage, newest.run.stage)} · " if newest else ""
        return f"{at}{counted(searched, 'run')} started{more}"

    def _epochs(self) -> str:
        searched, confirmed = self._sum(SEARCHED_EPOCHS), self._sum(CONFIRMED_EPOCHS)
        if self._budget is None:
            return counted(searched + confirmed, "epoch")
        more = f" and {confirmed} to confirm" if confirmed else ""
        return f"{searched} of {self._budget} epochs{more}"

    def render(self) -> RenderableType:
        """The headline and a table of configs."""
        headline = Text(self.headline(), style="bold")
        lines, configs = self._tally.lines.values(), len(self._execution.configs)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in (
            "config",
            "runs",
            "epochs",
            f"{self._execution.sweep.metric} mean ± sd of the search's finished runs",
            "best run so far",
        ):
            table.add_column(title, no_wrap=True)
        running = self._execution.running
        for line in heapq.nlargest(ROWS, lines, key=lambda line: line.order):
            table.add_row(*self._row(line, running))
        more = [Text(f"and {configs - ROWS} more configs", style="dim")] if configs > ROWS else []
        return Group(headline, table, *more)

    def _row(self, line: ConfigLine, running: Collection[str]) -> tuple[str, ...]:
        config = self._execution.configs[line.config]
        active = sum(run.spec.trial_key in running for run in line.runs)
        best = max((run.best[1] for run in line.runs if run.best), default=None)
        seeds, ended = self._execution.sweep.planned_seeds, line.sums[ENDED]
        state = (f"{ended} of {seeds}" if seeds else str(ended)) + (f", {active} running" if active else "")
        epochs = str(line.sums[SEARCHED_EPOCHS] + line.sums[CONFIRMED_EPOCHS])
        shown = "" if best is None else f"{best:.4f}"
        return config.label or config.config_id[:8], state, epochs, mean_and_sd(line.scores), shown

    def _ended(self, run: RunState) -> str:
        assert run.status is not None
        best = (
            f"best {self._execution.sweep.metric} {run.best[1]:.4f} at epoch {run.best[0]}"
            if run.best
            else "no value"
        )
        how = run.status.value.replace("_", " ")
        return f"{run.spec.trial_key}: {how} after {counted(run.epochs, 'epoch')}, {best}"


def counted(n: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def mean_and_sd(scores: Sequence[float]) -> str:
    """`0.4512 ± 0.0184 (3)`; one score has no spread."""
    if not scores:
        return "-"
    if len(scores) == 1:
        return f"{scores[0]:.4f} (1)"
    return f"{statistics.fmean(scores):.4f} ± {statistics.stdev(scores):.4f} ({len(scores)})"


def clock_time(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def shown(progress: Progress, console: Console) -> Iterator[Callable[[], None]]:
    """Show the progress while the body runs; yields what a runner calls after every step.

    On a terminal, lines wait for the next drawing: each would draw the whole table once more.
    """
    lines: list[str] = []
    last = 0.0

    def tell() -> bool:
        if told := "\n".join(lines):
            lines.clear()
            console.print(told, highlight=False, markup=False, soft_wrap=True)
        return bool(told)

    def on_step() -> None:
        nonlocal last
        lines.extend(progress.news())
        if live is None:
            tell()
        elif (now := time.monotonic()) - last > REDRAW:
            last = now
            live.update(progress.render())
            if not tell():  # which draws the table below what is told
                live.refresh()

    live = None
    if console.is_terminal:
        live = Live(
            progress.render(), console=console, auto_refresh=False, transient=True,
            redirect_stdout=sys.stdout is sys.__stdout__,  # else it has its place already, as beside Ray
        )  # fmt: skip
    with live or nullcontext():
        yield on_step
    live = None
    on_step()
    console.print(progress.headline(), highlight=False, soft_wrap=not console.is_terminal)
