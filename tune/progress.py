"""What a user sees while a sweep runs: configs, epochs, the best so far with its spread, the time left. On stderr.

Reads an `Execution` and draws; decides and records nothing. On a terminal the table is redrawn in place; elsewhere
(a log file, CI) one line is printed per ended run.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from results import RunStatus
from tune.execution import Execution
from tune.run_state import RunState
from tune.schedulers import ALLOCATE, CONFIRM, SCREEN
from tune.schedulers.history import AUDIT

#: Most rows that the live table shows; the rest are counted.
ROWS = 12
#: Seconds between two drawings.
REDRAW = 0.5
#: What a search is doing while it starts runs of a stage.
_DOING = {SCREEN: "screening", ALLOCATE: "repeating", CONFIRM: "confirming"}


@dataclass(frozen=True)
class ConfigLine:
    """One config in the table.

    Args:
        config_id: its id.
        name: its label or its values in short.
        runs: its trials so far.
    """

    config_id: str
    name: str
    runs: tuple[RunState, ...]

    @property
    def scores(self) -> list[float]:
        """Best values of its finished runs, without those that confirm: what the search chooses by."""
        searched = (run for run in self.runs if run.run.stage != CONFIRM)
        return [run.best[1] for run in searched if run.status is RunStatus.FINISHED and run.best]

    @property
    def order(self) -> tuple[int, float]:
        """Configs with most finished runs first, then by their mean (not compared across unequal epochs)."""
        scores = self.scores
        return len(scores), statistics.fmean(scores) if scores else max(
            (r.best[1] for r in self.runs if r.best), default=-1
        )


class Progress:
    """The state of the display.

    Args:
        execution: what is shown.
        slots: how many trials run at a time, for the time left.
    """

    def __init__(self, execution: Execution, *, slots: int) -> None:
        self._execution, self._slots = execution, max(1, slots)
        self._budget = execution.sweep.policy_options().budget_epochs
        self._audited = {key for key, run in execution.runs.items() if run.spec.stage == AUDIT and run.status}
        self._told = {(key, run.spec.stage) for key, run in execution.runs.items() if run.status is not None}

    def news(self) -> Iterator[str]:
        """One line per run that ended since the last call."""
        for key, run in self._execution.runs.items():
            if run.status is not None and (key, run.spec.stage) not in self._told:
                self._told.add((key, run.spec.stage))
                yield self._ended(run)

    def headline(self) -> str:
        """Where the search is, runs by state, epochs done, time left."""
        if audited := self._under_audit():
            return self._audit_line(audited)
        runs = self._execution.runs.values()
        counts = Counter(run.status.value for run in runs if run.status is not None)
        counts["paused"] = sum(run.run.paused for run in runs)
        ended = (
            ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in sorted(counts.items()) if n)
            or "none ended"
        )
        left = self.seconds_left()
        limit = "about" if self._planned is not None else "at most about"
        eta = f" · {limit} {clock_time(left)} left" if left and not self._execution.complete else ""
        return f"{self._started()} · {ended} · {self._epochs()}{eta}"

    def _under_audit(self) -> list[RunState]:
        """The runs that an audit brings to their end now; the search and its budget are over then."""
        runs = self._execution.runs.items()
        return [run for key, run in runs if run.spec.stage == AUDIT and key not in self._audited]

    def _audit_line(self, runs: Sequence[RunState]) -> str:
        ended = sum(run.status is not None for run in runs)
        return f"auditing · {counted(len(runs), 'run')} started, {ended} ended"

    def seconds_left(self) -> float | None:
        """Expected seconds until the end, from the mean epoch and the mean length of ended runs; None at first.

        Of a search that decides by its results how many runs it needs, the most: until its budget is spent.
        """
        runs, sweep = list(self._execution.runs.values()), self._execution.sweep
        done, seconds = sum(run.epochs for run in runs), sum(run.seconds for run in runs)
        if not done:
            return None
        lengths = [run.epochs for run in runs if run.status is not None]
        expected = statistics.fmean(lengths) if lengths else sweep.max_epochs
        searched, confirmed = self._by_purpose()
        left = sum(max(1.0, expected - run.epochs) for run in [*searched, *confirmed] if run.run.pending)
        if self._planned is not None:
            left += (self._planned - len(searched)) * expected
        elif self._budget is not None and not confirmed:
            left = max(left, self._budget - sum(run.epochs for run in searched))
        return left * seconds / done / self._slots

    @property
    def _planned(self) -> int | None:
        return self._execution.planned

    def _by_purpose(self) -> tuple[list[RunState], list[RunState]]:
        """Runs of the search, and runs that confirm its choice."""
        runs = list(self._execution.runs.values())
        confirm = [run for run in runs if run.run.stage == CONFIRM]
        return [run for run in runs if run.run.stage != CONFIRM], confirm

    def _started(self) -> str:
        searched, confirmed = self._by_purpose()
        more = f" and {len(confirmed)} to confirm" if confirmed else ""
        if self._planned is not None:
            return f"{len(searched)} of {self._planned} runs started{more}"
        newest = next(reversed([*searched, *confirmed]), None)
        at = f"{_DOING.get(newest.run.stage, newest.run.stage)} · " if newest else ""
        return f"{at}{counted(len(searched), 'run')} started{more}"

    def _epochs(self) -> str:
        searched, confirmed = (sum(run.epochs for run in runs) for runs in self._by_purpose())
        if self._budget is None:
            return counted(searched + confirmed, "epoch")
        more = f" and {confirmed} to confirm" if confirmed else ""
        return f"{searched} of {self._budget} epochs{more}"

    def render(self) -> RenderableType:
        """The headline and a table of configs."""
        sweep = self._execution.sweep
        lines = sorted(self._lines(), key=lambda line: line.order, reverse=True)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in (
            "config",
            "runs",
            "epochs",
            f"{sweep.metric} mean ± sd of the search's finished runs",
            "best run so far",
        ):
            table.add_column(title, no_wrap=True)
        for line in lines[:ROWS]:
            table.add_row(*self._row(line))
        more = [Text(f"and {len(lines) - ROWS} more configs", style="dim")] if len(lines) > ROWS else []
        return Group(Text(self.headline(), style="bold"), table, *more)

    def _lines(self) -> list[ConfigLine]:
        by_config: dict[str, list[RunState]] = {config.config_id: [] for config in self._execution.configs}
        for run in self._execution.runs.values():
            by_config[run.spec.config.config_id].append(run)
        names = {config.config_id: config.label or config.config_id[:8] for config in self._execution.configs}
        return [ConfigLine(config_id, names[config_id], tuple(runs)) for config_id, runs in by_config.items()]

    def _row(self, line: ConfigLine) -> tuple[str, ...]:
        active = sum(run.spec.trial_key in self._execution.running for run in line.runs)
        ended = sum(run.status is not None for run in line.runs)
        best = max((run.best[1] for run in line.runs if run.best), default=None)
        seeds = self._execution.sweep.planned_seeds
        state = (f"{ended} of {seeds}" if seeds else str(ended)) + (f", {active} running" if active else "")
        epochs = str(sum(run.epochs for run in line.runs))
        return line.name, state, epochs, mean_and_sd(line.scores), "" if best is None else f"{best:.4f}"

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
    """Show the progress while the body runs; yields what a runner calls after every step."""
    live = (
        Live(progress.render(), console=console, refresh_per_second=2, transient=True)
        if console.is_terminal
        else None
    )
    last = 0.0

    def on_step() -> None:
        nonlocal last
        for line in progress.news():
            console.print(line, highlight=False, soft_wrap=True)
        now = time.monotonic()
        if live is not None and now - last > REDRAW:
            last = now
            live.update(progress.render())

    with live or nullcontext():
        yield on_step
    on_step()
    console.print(progress.headline(), highlight=False, soft_wrap=not console.is_terminal)
