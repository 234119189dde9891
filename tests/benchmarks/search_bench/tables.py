"""The results of a cell as markdown tables. Computes nothing that `metrics` does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from search_bench.cell import Results
from search_bench.metrics import (
    Bin,
    Estimate,
    Ratio,
    calibration,
    covered,
    epochs_to_level,
    epochs_to_match,
    regret_ratio,
)
from search_bench.problems import Floats

EPS = (0.005, 0.01)


def _table(corner: str, columns: Sequence[str], rows: dict[str, Sequence[str]]) -> str:
    lines = [f"| {' | '.join([corner, *columns])} |", "|" + "---|" * (len(columns) + 1)]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())]) + "\n"


def _budgets(results: Results) -> list[str]:
    return [f"b={b:g} ({n})" for b, n in zip(results.cell.budgets, results.epochs, strict=True)]


def _thousandths(values: Floats, *, sign: bool = False) -> str:
    found = Estimate.of(values)
    if not found.n:
        return "–"
    return f"{1e3 * found.mean:{'+' if sign else ''}.1f}±{1e3 * found.error:.1f}"


def _share(values: Floats) -> str:
    found = Estimate.of(values)
    return "–" if not found.n else f"{found.mean:.2f}±{found.error:.2f}"


def _ratio(found: Ratio, *, least: float = 0.0) -> str:
    if math.isnan(found.value):
        return "neither"
    if found.value == 0:
        return "only this one"
    low, high = (f"{end:.2f}" if math.isfinite(end) else "∞" for end in (found.low, found.high))
    if math.isinf(found.value):
        return f"not reached [{low}, {high}]"
    return f"{'≤' if found.value <= least * 1.0001 else ''}{found.value:.2f} [{low}, {high}]"


def _each(results: Results, cell: Callable[[str, int], str]) -> dict[str, Sequence[str]]:
    return {name: [cell(name, at) for at in range(len(results.epochs))] for name in results.cell.strategies}


def choices(results: Results) -> str:
    """How good the choices are: simple regret, and how often it is below each of `EPS`."""

    def cell(name: str, at: int) -> str:
        regret = results.of("regret", name)[:, at]
        near = " / ".join(_share((regret <= eps).astype(float)) for eps in EPS)
        return f"{_thousandths(regret)} / {near}"

    title = "simple regret x1000 / P(within 0.005) / P(within 0.01)"
    return _table(title, _budgets(results), _each(results, cell))


def announcements(results: Results) -> str:
    """How honest what is announced of them is: optimism, coverage of the 95 % interval, its half width."""

    def cell(name: str, at: int) -> str:
        low, high, truth, said = (
            results.of(field, name)[:, at] for field in ("low", "high", "truth", "announced")
        )
        inside, half = Estimate.of(covered(low, high, truth)), Estimate.of((high - low) / 2)
        interval = f" / {inside.mean:.3f}±{inside.error:.3f} / {1e3 * half.mean:.1f}" if inside.n else ""
        return _thousandths(said - truth, sign=True) + interval

    title = "optimism x1000 / coverage / half width x1000"
    return _table(title, _budgets(results), _each(results, cell))


def costs(results: Results) -> str:
    """What the searches took: wall-clock in epochs with W workers, epochs spent."""

    def cell(name: str, at: int) -> str:
        time, spent = (float(results.of(field, name)[:, at].mean()) for field in ("time", "epochs"))
        return f"{time:.0f} / {spent:.0f}"

    title = f"wall-clock with {results.cell.rules.workers} workers / epochs spent, in epochs"
    return _table(title, _budgets(results), _each(results, cell))


def stated(results: Results) -> str:
    """Stated probability of being within the tolerance against how often that was so, in ten bins."""
    rows, tolerance = {}, results.cell.rules.tolerance
    for name in results.cell.strategies:
        near, regret = results.of("near", name), results.of("regret", name)
        if np.isfinite(near).any():
            bins = calibration(near.ravel(), (regret <= tolerance).ravel())
            rows[name] = [_bin(found) for found in bins]
            rows[f"{name}: expected regret x1000, stated → observed"] = _regrets(results, name, bins)
    if not rows:
        return ""
    columns = [f"{at / 10:.1f}–{(at + 1) / 10:.1f}" for at in range(10)]
    return _table(f"stated P(within {tolerance:g}) → observed (n), all budgets", columns, rows)


def _bin(found: Bin) -> str:
    if not found.n:
        return "–"
    return f"{found.stated:.2f} → {found.observed:.2f}±{found.error:.2f} ({found.n})"


def _regrets(results: Results, name: str, bins: Sequence[Bin]) -> list[str]:
    near, said, paid = (results.of(field, name).ravel() for field in ("near", "stated_regret", "regret"))
    place = np.minimum((near * 10), 9)
    cells = []
    for at, found in enumerate(bins):
        here = np.isfinite(place) & (np.floor(place) == at)
        cells.append(f"{1e3 * said[here].mean():.1f} → {1e3 * paid[here].mean():.1f}" if found.n else "–")
    return cells


def matches(results: Results, theirs: str) -> str:
    """Epochs that each strategy needs for the regret that another one has at each budget, as a ratio."""
    other, rows = results.of("regret", theirs), {}
    for name in results.cell.strategies:
        if name != theirs:
            found = epochs_to_match(results.of("regret", name), other, results.epochs)
            least = results.epochs[0] / results.epochs
            rows[name] = [_ratio(ratio, least=low) for ratio, low in zip(found, least, strict=True)]
    return _table(f"epochs to match {theirs}, ratio [95 %]", [f"its {of}" for of in _budgets(results)], rows)


def reached(results: Results, ours: str, levels: Sequence[float] = (0.01, 0.0075, 0.005, 0.003)) -> str:
    """Epochs that one strategy needs for given regrets, divided by those that each other one needs."""
    mine, rows = results.of("regret", ours), {}
    for name in results.cell.strategies:
        if name != ours:
            theirs = results.of("regret", name)
            rows[name] = [_ratio(epochs_to_level(mine, theirs, results.epochs, level)) for level in levels]
    return _table(
        f"epochs of {ours} / epochs of the other, to a regret of", [f"{level:g}" for level in levels], rows
    )


def against(results: Results, ours: str) -> str:
    """Mean regret of one strategy divided by that of each other at equal budgets."""
    rows = {
        name: [
            _ratio(ratio) for ratio in regret_ratio(results.of("regret", ours), results.of("regret", name))
        ]
        for name in results.cell.strategies
        if name != ours
    }
    return _table(f"regret of {ours} / regret of the other [95 %]", _budgets(results), rows)


OURS = "noise-aware"
MATCHED = ("repeats-3", "asha-best-run", "asha-top-m")


def report(results: Results) -> str:
    """All tables of a cell, with a heading."""
    cell = results.cell
    head = (
        f"## {cell.name}\n\n{cell.problems} problems, {cell.rules.workers} workers, {results.seconds:.0f} s\n"
    )
    parts = [head, choices(results), announcements(results), costs(results), stated(results)]
    if OURS in cell.strategies and len(cell.strategies) > 1:
        parts += [against(results, OURS), reached(results, OURS)]
    parts += [
        matches(results, name) for name in MATCHED if name in cell.strategies and len(cell.strategies) > 1
    ]
    return "\n".join(part for part in parts if part)


def summary(found: Sequence[Results]) -> str:
    """One line per cell: the regret of every strategy at one budget of each, what ours announces, and the ratios."""
    strategies = found[0].cell.strategies
    rows: dict[str, Sequence[str]] = {}
    for results in found:
        for at, budget in enumerate(_budgets(results)):
            cells = [_thousandths(results.of("regret", name)[:, at]) for name in strategies]
            rows[f"{results.cell.name}, {budget}"] = [*cells, *_ours(results, at)]
    ratios = [f"{OURS} / {name}" for name in strategies if name != OURS]
    columns = [*strategies, *ratios, f"optimism of {OURS} x1000", "coverage", "stated − observed P(near)"]
    return _table("regret x1000", columns, rows)


def _ours(results: Results, at: int) -> list[str]:
    mine = results.of("regret", OURS)
    ratios = [
        _ratio(regret_ratio(mine[:, [at]], results.of("regret", name)[:, [at]])[0])
        for name in results.cell.strategies
        if name != OURS
    ]
    fields = ("low", "high", "truth", "announced", "near")
    low, high, truth, said, near = (results.of(field, OURS)[:, at] for field in fields)
    over = near - (mine[:, at] <= results.cell.rules.tolerance)
    return [*ratios, _thousandths(said - truth, sign=True), _share(covered(low, high, truth)), _share(over)]
