"""The tables of the report as text cells, once for HTML, Markdown and the terminal.

Formats numbers; computes none but sums of epochs and seconds. Escaping is the business of whoever prints.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.effects import ParameterEffect
from results.ranking import ConfigState, RankedConfig, Ranking
from results.records import FAILURES
from results.verdict import Verdict

#: columns of the training notes: parameter -> heading.
NOTES_COLUMNS = {
    "backbone": "Backbone",
    "loss": "Loss",
    "max_pos_weight": "pos_weight",
    "lr": "LR",
    "batch_size": "Batch",
    "scheduler": "Scheduler",
}
METRIC_NAMES = {
    "val_iou": "IoU",
    "val_f1": "F1",
    "val_precision": "Prec",
    "val_recall": "Rec",
    "val_loss": "Val. loss",
    "train_loss": "Train loss",
    "best_threshold_iou": "IoU at best threshold",
}
#: longer tables are cut and say so.
MOST_ROWS = 200
NONE = "–"


@dataclass(frozen=True)
class Table:
    """Headings, which of them hold numbers, rows of text, and a line below (empty = none)."""

    headings: tuple[str, ...]
    numeric: frozenset[str]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def metric_name(metric: str) -> str:
    """The metric as the notes write it."""
    return METRIC_NAMES.get(metric, metric)


def number(value: float | None, digits: int = 4) -> str:
    """Fixed decimals; a dash for None."""
    return NONE if value is None else f"{value:.{digits}f}"


def setting(value: object) -> str:
    """A parameter's value, floats to four significant digits; a dash when the config has none."""
    if value is None:
        return NONE
    if isinstance(value, float):
        if 0 < abs(value) < 0.01:
            mantissa, exponent = f"{value:.3e}".split("e")
            return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def searched(ranking: Ranking) -> tuple[str, ...]:
    """Parameters to show: the notes' own that exist, then all others that differ between configs."""
    names = dict.fromkeys(name for row in ranking.rows for name in row.values)
    own = [name for name in NOTES_COLUMNS if name in names]
    varied = [name for name in names if len({json.dumps(row.values.get(name)) for row in ranking.rows}) > 1]
    return tuple(dict.fromkeys([*own, *varied]))


def ranking_table(ranking: Ranking) -> Table:
    """One row per config: settings in the notes' columns, then the score with its uncertainty."""
    parameters = searched(ranking)
    metric = metric_name(ranking.metric)
    side = [name for name in ("val_precision", "val_recall") if name != ranking.metric]
    counted = [
        name for name in ("failed", "stopped", "missing") if any(_count(row, name) for row in ranking.rows)
    ]
    headings = (
        "#",
        "Run",
        *(NOTES_COLUMNS.get(name, name) for name in parameters),
        "n",
        metric,
        "±",
        "sd",
        *(metric_name(name) for name in side),
        *counted,
        "epochs",
        "state",
    )
    rows = [
        (
            str(row.position),
            row.name,
            *(setting(row.values.get(name)) for name in parameters),
            str(row.n),
            number(row.mean),
            number(None if row.high is None or row.low is None else (row.high - row.low) / 2),
            number(row.sd),
            *(number(_side(row, name), 3) for name in side),
            *(str(_count(row, name) or NONE) for name in counted),
            str(row.epochs),
            str(row.state),
        )
        for row in ranking.rows[:MOST_ROWS]
    ]
    text = {"Run", "state", *(NOTES_COLUMNS.get(name, name) for name in parameters)}
    return Table(headings, frozenset(headings) - text, tuple(rows), _ranking_note(ranking))


def _ranking_note(ranking: Ranking) -> str:
    """How the numbers of the ranking are to be read."""
    metric = metric_name(ranking.metric)
    return (
        f"{metric}: mean over the n finished runs of a config, each run's best epoch. "
        f"±: {1 - ranking.alpha:.0%} t interval with the seed sd pooled over configs; "
        "it holds for one config, not for comparing two. "
        "sd: between the config's own runs." + _cut(len(ranking.rows))
    )


def _count(row: RankedConfig, name: str) -> int:
    return {"failed": row.n_failed, "stopped": row.n_stopped, "missing": row.n_missing}[name]


def _side(row: RankedConfig, name: str) -> float | None:
    values = [run.at_best[name] for run in row.runs if name in run.at_best]
    return sum(values) / len(values) if values and row.mean is not None else None


def comparison_table(verdict: Verdict) -> Table:
    """The best config against each other one."""
    rows = [
        (
            item.name,
            f"{item.estimate:+.4f}",
            number(item.low),
            number(item.high),
            str(item.n_pairs),
            item.claim,
        )
        for item in verdict.comparisons[:MOST_ROWS]
    ]
    headings = (f"{verdict.best_name} against", "difference", "low", "high", "pairs", "claim")
    note = (
        f"Positive: {verdict.best_name} is better. Intervals hold together with {1 - verdict.alpha:.0%}: "
        f"{verdict.correction}; {verdict.method}."
    )
    return Table(headings, frozenset(headings[1:5]), tuple(rows), note + _cut(len(verdict.comparisons)))


def stopped_table(ranking: Ranking) -> Table:
    """Configs that the policy stopped: how far, and the value there."""
    stopped = [row for row in ranking.rows if row.state is ConfigState.STOPPED]
    rows = [
        (
            row.name,
            NONE if row.common_epoch is None else str(row.common_epoch),
            number(row.common_value),
            str(row.n_stopped),
            str(row.epochs),
        )
        for row in stopped[:MOST_ROWS]
    ]
    headings = ("Run", "epoch reached by all", f"{metric_name(ranking.metric)} up to it", "stopped", "epochs")
    note = "Values at an early epoch: not comparable with the final scores above."
    return Table(headings, frozenset(headings[1:]), tuple(rows), note + _cut(len(stopped)))


def effect_table(effects: Sequence[ParameterEffect]) -> Table:
    """Each parameter's effect beside the seed noise."""
    rows = [
        (
            effect.parameter,
            _direction(effect),
            str(effect.n_configs),
            f"{effect.effect:+.4f}",
            number(effect.low),
            number(effect.high),
            number(effect.seed_error),
            effect.finding,
        )
        for effect in effects
    ]
    headings = ("parameter", "between", "configs", "effect", "low", "high", "seed error", "finding")
    note = (
        "Each parameter alone, over the config means. The interval covers all that differs between configs; "
        "the seed error is what the seeds alone would make of no effect. "
        "With few configs most effects stay hidden."
    )
    return Table(headings, frozenset(headings[2:7]), tuple(rows), note)


def _direction(effect: ParameterEffect) -> str:
    first, last = effect.levels[0].value, effect.levels[-1].value
    if effect.kind == "number":
        return f"{setting(first)} → {setting(last)}" + (" (log)" if effect.scale == "log" else "")
    return f"{setting(first)} over {setting(last)}"


def decision_table(decisions: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Table:
    """What the policy stopped, and on what grounds; decisions to go on are only counted.

    Args:
        decisions: rows of `ResultsStore.decisions()`.
        names: config_id -> name.
    """
    shown = [row for row in decisions if row["action"] != "continue"]
    rows = [
        (
            names.get(row["config_id"], row["config_id"]),
            str(row["replicate"]),
            str(row["epoch"]),
            row["action"],
            number(row["statistic"]),
            number(row["threshold"]),
            NONE if row["n"] is None else str(row["n"]),
            row["reason"],
        )
        for row in shown[:MOST_ROWS]
    ]
    headings = ("Run", "replicate", "epoch", "action", "value", "threshold", "n", "reason")
    going_on = len(decisions) - len(shown)
    note = f"{going_on} further decisions were to continue." if going_on else ""
    return Table(headings, frozenset((*headings[1:3], *headings[4:7])), tuple(rows), note + _cut(len(shown)))


def failure_table(runs: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Table:
    """Runs that ended without a score through no choice of the policy."""
    failed = [row for row in runs if row["status"] in FAILURES]
    rows = [
        (
            names.get(row["config_id"], row["config_id"]),
            str(row["replicate"]),
            row["status"],
            str(row["epochs"]),
            row["reason"],
            row["error"] or NONE,
        )
        for row in failed[:MOST_ROWS]
    ]
    headings = ("Run", "replicate", "status", "epochs", "reason", "error")
    return Table(headings, frozenset((headings[1], headings[3])), tuple(rows), _cut(len(failed)).strip())


def budget_table(runs: Sequence[Mapping[str, Any]], epochs: Sequence[Mapping[str, Any]]) -> Table:
    """Runs, epochs and seconds by stage and by how the run ended; runs under way count with their epochs."""
    ended = {row["trial_key"]: row for row in runs}
    spent: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0])
    for row in ended.values():
        cell = spent[row["stage"], row["status"]]
        cell[0] += 1
        cell[2] += row["wall_seconds"]
    seen = set(ended)
    for row in epochs:
        key, end = row["trial_key"], ended.get(row["trial_key"])
        cell = spent[row["stage"], end["status"] if end else "not ended"]
        cell[1] += 1
        if end is None:
            cell[2] += row["epoch_seconds"] or 0.0
            cell[0] += key not in seen
            seen.add(key)
    rows = [(*where, *_spent(cell)) for where, cell in sorted(spent.items())]
    total = [sum(column) for column in zip(*spent.values(), strict=True)] if spent else [0, 0, 0.0]
    headings = ("stage", "status", "runs", "epochs", "time")
    return Table(headings, frozenset(headings[2:]), (*rows, ("all", "", *_spent(total))))


def _spent(cell: Sequence[float]) -> tuple[str, str, str]:
    return str(int(cell[0])), str(int(cell[1])), duration(cell[2])


def duration(seconds: float) -> str:
    """Seconds in the two units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def _cut(n: int) -> str:
    return f" Only the first {MOST_ROWS} of {n} rows are shown." if n > MOST_ROWS else ""
