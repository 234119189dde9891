"""The tables of configs as text cells, once for HTML, Markdown and the terminal.

Formats numbers and computes none. Escaping is the business of whoever prints. The tables of runs and decisions
are in `record_tables.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from results.claims import Claim, Verdict
from results.effects import ParameterEffect
from results.importance import Importance
from results.naming import NONE, setting, varied
from results.ranking import ConfigState, RankedConfig, Ranking

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
#: heading, whether it holds numbers, and the cell of a config.
Column = tuple[str, bool, Callable[[RankedConfig], str]]
#: longer tables are cut and say so.
MOST_ROWS = 200


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


def searched(ranking: Ranking) -> tuple[str, ...]:
    """Parameters to show: the notes' own that exist, then all others that differ between configs."""
    own = [name for name in NOTES_COLUMNS if any(name in row.values for row in ranking.rows)]
    return tuple(dict.fromkeys([*own, *varied({row.config_id: row.values for row in ranking.rows})]))


def ranking_table(ranking: Ranking, verdict: Verdict) -> Table:
    """One row per config: settings in the notes' columns, then the score with its uncertainty.

    Args:
        ranking: the configs.
        verdict: of this ranking: which of them cannot be told apart from the best, and the chance to be near it.
    """
    columns = [
        *_who(ranking),
        ("n", True, lambda row: str(row.n)),
        (metric_name(ranking.metric), True, lambda row: number(row.mean)),
        ("±", True, _half_width),
        ("sd", True, lambda row: number(row.sd)),
        ("vs best", False, lambda row: _against_best(row, verdict)),
        *_chances(verdict),
        *_sides(ranking),
        ("epochs", True, lambda row: str(row.epochs)),
        ("state", False, lambda row: str(row.state)),
    ]
    return Table(
        tuple(heading for heading, _, _ in columns),
        frozenset(heading for heading, numeric, _ in columns if numeric),
        tuple(tuple(cell(row) for _, _, cell in columns) for row in ranking.rows[:MOST_ROWS]),
        _ranking_note(ranking, verdict),
    )


def _who(ranking: Ranking) -> list[Column]:
    """Position, name and settings."""

    def shown(name: str) -> Column:
        def cell(row: RankedConfig) -> str:
            return setting(row.values[name]) if name in row.values else NONE

        return NOTES_COLUMNS.get(name, name), False, cell

    own: list[Column] = [("#", True, lambda row: str(row.position)), ("Run", False, lambda row: row.short)]
    return own + [shown(name) for name in searched(ranking)]


def _chances(verdict: Verdict) -> list[Column]:
    """The probability to be near the best, where there is any."""
    near = {chance.config_id: f"{chance.near:.2f}" for chance in verdict.chances}
    return [("P near", True, lambda row: near.get(row.config_id, NONE))] if near else []


def _sides(ranking: Ranking) -> list[Column]:
    """The metrics beside the one that ranks, then the counts of runs without a score that occur."""

    def side(name: str) -> Column:
        return metric_name(name), True, lambda row: number(_side(row, name), 3)

    def counted(name: str) -> Column:
        return name, True, lambda row: str(_count(row, name) or NONE)

    sides = [side(name) for name in ("val_precision", "val_recall") if name != ranking.metric]
    names = [n for n in ("failed", "stopped", "missing") if any(_count(row, n) for row in ranking.rows)]
    return sides + [counted(name) for name in names]


def _half_width(row: RankedConfig) -> str:
    return number(None if row.high is None or row.low is None else (row.high - row.low) / 2)


def _against_best(row: RankedConfig, verdict: Verdict) -> str:
    """Where a config stands: the best, tied with it, worse, or not compared."""
    if verdict.claim not in (Claim.ONE_BEST, Claim.TIED):
        return NONE
    if row.config_id == verdict.best:
        return "best" if verdict.claim is Claim.ONE_BEST else "tied"
    if row.config_id in verdict.indistinguishable:
        return "tied"
    return "worse" if any(c.config_id == row.config_id for c in verdict.comparisons) else NONE


def _ranking_note(ranking: Ranking, verdict: Verdict) -> str:
    """How the numbers of the ranking are to be read."""
    metric = metric_name(ranking.metric)
    near = (
        f" P near: probability that its true mean is within {verdict.tolerance:g} of the best one's, by a hierarchical "
        "normal model."
    )
    return (
        f"{metric}: mean over the n finished runs of a config, each run's best epoch. "
        f"±: {1 - ranking.alpha:.0%} t interval with the seed sd pooled over configs; "
        "it holds for one config, not for comparing two. "
        "sd: between the config's own runs. vs best: tied with the best one (it cannot be told apart from it) or worse."
        + (near if verdict.chances else "")
        + cut(len(ranking.rows))
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
    headings = ("against", "difference", "low", "high", "pairs", "claim")
    note = (
        f"Positive: {verdict.best_name} is better. Intervals hold together with {1 - verdict.alpha:.0%}: "
        f"{verdict.correction}; {verdict.method}."
    )
    return Table(headings, frozenset(headings[1:5]), tuple(rows), note + cut(len(verdict.comparisons)))


def stopped_table(ranking: Ranking) -> Table:
    """Configs that the policy stopped: how far, and the value there."""
    stopped = [row for row in ranking.rows if row.state is ConfigState.STOPPED]
    rows = [
        (
            row.short,
            NONE if row.common_epoch is None else str(row.common_epoch),
            number(row.common_value),
            str(row.n_stopped),
            str(row.epochs),
        )
        for row in stopped[:MOST_ROWS]
    ]
    headings = ("Run", "epoch reached by all", f"{metric_name(ranking.metric)} up to it", "stopped", "epochs")
    note = "Values at an early epoch: not comparable with the final scores above."
    return Table(headings, frozenset(headings[1:]), tuple(rows), note + cut(len(stopped)))


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


def importance_table(found: Importance | None) -> Table:
    """What share of the differences between runs each parameter explains, and what the seeds make of them."""
    headings = ("source of differences", "share", "by chance", "df", "p Holm", "finding")
    if found is None:
        return Table(headings, frozenset(headings[1:5]), ())
    separable = found.beyond_df > 0  # otherwise any parameter could be given all of it
    rows = [
        (
            one.parameter,
            f"{one.share:.0%}",
            NONE if one.by_chance is None else f"{one.by_chance:.0%}",
            str(one.df),
            number(one.p_holm, 3),
            one.finding,
        )
        for one in (found.parameters if separable else ())
    ]
    together = ("parameters that go together", found.overlap, NONE)
    beyond = ("configs beyond main effects", found.beyond, str(found.beyond_df))
    configs = ("configs", found.together + found.beyond, str(found.n_configs - 1))
    seeds = ("seeds", found.seeds, str(found.seeds_df))
    rest = (together, beyond, seeds) if separable else (configs, seeds)
    rows += [(name, f"{share:.0%}", NONE, df, NONE, "") for name, share, df in rest]
    note = (
        f"Shares of the variance of {found.n_runs} run scores of {found.n_configs} configs. Each parameter after all "
        "the others (type II sums of squares); by chance: what one without any effect would show."
    )
    return Table(
        headings, frozenset(headings[1:5]), tuple(rows), " ".join((note, found.remark or "")).strip()
    )


def _direction(effect: ParameterEffect) -> str:
    first, last = effect.levels[0].value, effect.levels[-1].value
    if effect.kind == "number":
        return f"{setting(first)} → {setting(last)}" + (" (log)" if effect.scale == "log" else "")
    return f"{setting(first)} over {setting(last)}"


def duration(seconds: float) -> str:
    """Seconds in the two units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def cut(n: int) -> str:
    """A sentence that says that a table is cut, when it is."""
    return f" Only the first {MOST_ROWS} of {n} rows are shown." if n > MOST_ROWS else ""
