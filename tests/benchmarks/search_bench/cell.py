"""One cell of the benchmark: the same strategies on many problems of a kind, at several budgets, on all cores."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import Pool

import numpy as np
from numpy.typing import NDArray

from search_bench.learning_curves import CurveModel, SimulatedProblem
from search_bench.problems import Floats, Problem, budget_epochs
from search_bench.recorded import Recorded
from search_bench.strategies import STRATEGIES, Outcome, Rules

#: what is kept of a search, the last axis of `Results.values`.
FIELDS = ("regret", "announced", "truth", "low", "high", "near", "stated_regret", "time", "epochs")


@dataclass(frozen=True)
class Cell:
    """What is compared on what.

    Args:
        name: heading.
        source: the family of simulated problems, or recorded runs.
        strategies: names of `STRATEGIES`.
        budgets: multiples of one unstopped run per config.
        problems: how many.
        rules: what the strategies share.
        first: seed of the first problem; the others follow.
    """

    name: str
    source: CurveModel | Recorded
    strategies: Sequence[str]
    budgets: Sequence[float]
    problems: int
    rules: Rules = field(default_factory=Rules)
    first: int = 0

    def problem(self, number: int) -> Problem:
        """Problem `number`, counted from 0."""
        seed = self.first + number
        return (
            self.source.problem(seed)
            if isinstance(self.source, Recorded)
            else SimulatedProblem(seed, self.source)
        )


@dataclass(frozen=True)
class Results:
    """What came out of a cell.

    Args:
        cell: the cell.
        values: (problems, strategies, budgets, len(FIELDS)).
        epochs: (budgets,) the budgets in epochs.
        seconds: how long it took.
    """

    cell: Cell
    values: Floats
    epochs: NDArray[np.int64]
    seconds: float

    def of(self, field: str, strategy: str) -> Floats:
        """(problems, budgets) of one strategy."""
        return self.values[:, self.cell.strategies.index(strategy), :, FIELDS.index(field)]


def solve(cell: Cell, number: int) -> Floats:
    """All strategies at all budgets on one problem, (strategies, budgets, len(FIELDS))."""
    problem = cell.problem(number)
    truth, rules = problem.truth, replace(cell.rules, seed=cell.first + number)
    out = np.empty((len(cell.strategies), len(cell.budgets), len(FIELDS)))
    for i, name in enumerate(cell.strategies):
        for j, factor in enumerate(cell.budgets):
            out[i, j] = _fields(STRATEGIES[name](problem, budget_epochs(problem, factor), rules), truth)
    return out


def _fields(outcome: Outcome, truth: Floats) -> Sequence[float]:
    true = float(truth[outcome.chosen])
    stated = (outcome.low, outcome.high, outcome.near, outcome.regret)
    return (float(truth.max()) - true, outcome.announced, true, *stated, outcome.time, outcome.epochs)


def run_cell(cell: Cell, *, processes: int | None = None) -> Results:
    """Solve all problems; progress goes to stderr."""
    begun, found = time.perf_counter(), []
    with Pool(processes or os.cpu_count()) as pool:
        for done in pool.imap(partial(solve, cell), range(cell.problems), chunksize=2):
            found.append(done)
            seconds = time.perf_counter() - begun
            left = seconds / len(found) * (cell.problems - len(found))
            if sys.stderr.isatty():
                line = f"\r{cell.name}: {len(found)}/{cell.problems}, {left:.0f} s left "
                print(line, end="", file=sys.stderr, flush=True)
    epochs = np.array([budget_epochs(cell.problem(0), factor) for factor in cell.budgets])
    return Results(cell, np.stack(found), epochs, time.perf_counter() - begun)
