"""The tables of configs as text cells, once for HTML, Markdown and the terminal.

Formats numbers and computes none. Escaping is the business of whoever prints. The ranking is in `ranking_table.py`,
the tables of runs and decisions are in `record_tables.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from results.claims import Verdict
from results.effects import ParameterEffect
from results.importance import Importance
from results.naming import NONE, setting
from results.ranking import ConfigState, Ranking
from results.statistics.adaptive import LEAST_DF

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
    note = f"Positive: {verdict.best_name} is better."
    if verdict.adaptive and 0 < verdict.residual_noise.df < LEAST_DF:
        note += (
            f" No intervals: too few repeats for one (degrees of freedom: {verdict.residual_noise.df}; at least "
            f"{LEAST_DF} are needed)."
        )
        return Table(headings, frozenset(headings[1:5]), tuple(rows), note + cut(len(verdict.comparisons)))
    note += f" Intervals hold together with {1 - verdict.alpha:.0%}: {verdict.correction}; {verdict.method}."
    if verdict.adaptive:
        note += (
            " No interval: the search ran one of the two once. What it leaves after one run, it leaves for the sake of "
            "that run, and one bad run is no claim."
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


def effect_table(effects: Sequence[ParameterEffect], *, without: int = 0, once: int = 0) -> Table:
    """Each parameter's effect beside the seed noise.

    Args:
        effects: from `parameter_effects`.
        without: configs that were stopped early and take no part.
        once: configs that a search ran once, and that take no part either.
    """
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
        "Each parameter alone, over the config means. The interval covers all that differs between configs, and is "
        "at least as wide as the seeds alone would make it: the seed error is the standard error from them. "
        "With few configs most effects stay hidden."
    )
    if without:
        configs = (
            "1 config that was stopped early is" if without == 1 else f"{without} configs stopped early are"
        )
        note += (
            f" {configs} left out: a setting that is bad enough to be stopped shows less of its effect here."
        )
    if once:
        configs, are = ("1 config", "is") if once == 1 else (f"{once} configs", "are")
        note += (
            f" {configs} with a single finished run {are} left out: the search left a config after one run for the "
            "sake of that run."
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
