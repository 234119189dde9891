"""What a noise-aware search knows, kept up to date with its history: evidence, epochs spent, runs under way.

Reads the history and reorders it; decides nothing. It may be thrown away and built again at any time.
"""

from __future__ import annotations

import numpy as np

from results import RunStatus
from results.statistics.ceiling import Floats
from results.statistics.posterior import Evidence, Indices
from tune.replicates import FIRST_FRESH
from tune.schedulers.history import History, Run


class Ledger:
    """The runs of one history, sorted by what they tell.

    Attributes:
        version: grows whenever a run of the search starts, stops, goes on or ends.
        open: search runs that are not finished and have not failed, in the order of their start.
        pending: of these, how many are under way, per config that has any.
        stopped: of these, those that are not under way, per config that has any.
        finished, failures: per config, runs with a score and runs that failed.
        used: per config, the replicate that is next; all before it were started.
        fresh: the runs that confirm.
        fresh_before: so many of them were started before the sweep was last extended.
        run_epochs: epochs of all finished search runs.
    """

    def __init__(self, max_epochs: int) -> None:
        self.version = 0
        self.open: list[Run] = []
        self.pending: dict[int, int] = {}
        self.stopped: dict[int, list[Run]] = {}
        self.finished: dict[int, int] = {}
        self.failures: dict[int, int] = {}
        self.used: dict[int, int] = {}
        self.fresh: list[Run] = []
        self.fresh_before = 0
        self.run_epochs = 0
        self._max_epochs = max_epochs
        self._read = 0
        self._states: list[tuple[bool, RunStatus | None]] = []
        self._config = np.zeros(16, dtype=np.int64)
        self._replicate = np.zeros(16, dtype=np.int64)
        self._curves = np.zeros((16, max_epochs))
        self._n = 0

    def update(self, history: History) -> None:
        """Take in what has happened since the last time."""
        for place, run in enumerate(history.runs[self._read :], self._read):
            if run.replicate >= FIRST_FRESH:
                self.fresh.append(run)
                self.fresh_before += place < history.first_run
                continue
            self.open.append(run)
            self.used[run.config] = max(self.used.get(run.config, 0), run.replicate + 1)
        self._read = len(history.runs)
        states = [(run.pending, run.status) for run in self.open]
        if states == self._states:
            return
        self.version += 1
        self.open = [run for run in self.open if not self._settled(run)]
        self._states = [(run.pending, run.status) for run in self.open]
        self.pending, self.stopped = {}, {}
        for run in self.open:
            if run.pending:
                self.pending[run.config] = self.pending.get(run.config, 0) + 1
            else:
                self.stopped.setdefault(run.config, []).append(run)

    def _settled(self, run: Run) -> bool:
        if run.failed:
            self.failures[run.config] = self.failures.get(run.config, 0) + 1
            return True
        if run.score is None:
            return False
        self.finished[run.config] = self.finished.get(run.config, 0) + 1
        self.run_epochs += run.epochs
        self._keep(run)
        return True

    def _keep(self, run: Run) -> None:
        if self._n == len(self._config):
            self._config = np.concatenate([self._config, np.zeros_like(self._config)])
            self._replicate = np.concatenate([self._replicate, np.zeros_like(self._replicate)])
            self._curves = np.concatenate([self._curves, np.zeros_like(self._curves)])
        values = np.array(run.values[: self._max_epochs])
        values[np.isnan(values)] = -np.inf
        best = np.maximum.accumulate(values)
        # Before its first defined value a run is where that value is: nothing lower was seen of it.
        best[np.isneginf(best)] = best[np.isfinite(best)][0]
        self._config[self._n], self._replicate[self._n] = run.config, run.replicate
        self._curves[self._n, : len(best)], self._curves[self._n, len(best) :] = best, best[-1]
        self._n += 1

    def evidence(self, n_configs: int) -> Evidence:
        """Finished and stopped runs as arrays, the finished by config and replicate.

        Not in the order in which they were noticed: sums in another order differ in their last bit, and a resumed
        search notices many at once. A stopped run that goes on counts as what it was at its stop until it has ended.
        """
        stopped = [(run, run.screen_epochs) for run in self.open if run.screen_epochs]
        seen = [(run.config, epochs, run.best_at(epochs)) for run, epochs in stopped]
        seen = [row for row in seen if row[2] > -np.inf]

        def column(at: int) -> Indices:
            return np.array([row[at] for row in seen], dtype=np.int64)

        best: Floats = np.array([value for _, _, value in seen], dtype=np.float64)
        order = np.lexsort((self._replicate[: self._n], self._config[: self._n]))
        return Evidence(n_configs, self._config[order], self._curves[order], column(0), column(1), best)

    def spent(self, history: History) -> int:
        """Epochs of the search, those that confirm not counted."""
        return history.epochs - sum(run.epochs for run in self.fresh)

    def usual_epochs(self) -> float:
        """Expected epochs of a run that nobody stops."""
        return (self.run_epochs + self._max_epochs) / (self._n + 1)

    def outstanding(self) -> float:
        """Epochs that the runs under way are still expected to report."""
        usual = self.usual_epochs()
        return sum(max(usual - run.epochs, 3.0) for run in self.open if run.pending)
