"""The ranking as text cells, once for HTML, Markdown and the terminal.

Formats numbers and computes none. A search that gave out its seeds by the scores has other columns than a sweep that
ran every config equally often: there the expected score ranks, and the plain mean only stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable

from results.claims import Claim, Comparison, Verdict, not_judged
from results.naming import NONE, setting, varied
from results.ranking import RankedConfig, Ranking
from results.report.tables import MOST_ROWS, Table, cut, metric_name, number

#: columns of the training notes: parameter -> heading.
NOTES_COLUMNS = {
    "backbone": "Backbone",
    "loss": "Loss",
    "max_pos_weight": "pos_weight",
    "lr": "LR",
    "batch_size": "Batch",
    "scheduler": "Scheduler",
}
#: heading, whether it holds numbers, and the cell of a config.
Column = tuple[str, bool, Callable[[RankedConfig], str]]


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
    judged = {one.config_id: one for one in verdict.comparisons}
    columns = [
        *_who(ranking),
        *(_expected(ranking) if verdict.adaptive else _means(ranking)),
        ("vs best", False, lambda row: _against_best(row, verdict, judged)),
        *_chances(verdict),
        *_sides(ranking),
        ("epochs", True, lambda row: str(row.epochs)),
        ("state", False, _state),
    ]
    return Table(
        tuple(heading for heading, _, _ in columns),
        frozenset(heading for heading, numeric, _ in columns if numeric),
        tuple(tuple(cell(row) for _, _, cell in columns) for row in ranking.rows[:MOST_ROWS]),
        (_expected_note if verdict.adaptive else _means_note)(ranking, verdict) + cut(len(ranking.rows)),
    )


def _who(ranking: Ranking) -> list[Column]:
    """Position, name and settings."""

    def shown(name: str) -> Column:
        def cell(row: RankedConfig) -> str:
            return setting(row.values[name]) if name in row.values else NONE

        return NOTES_COLUMNS.get(name, name), False, cell

    own: list[Column] = [("#", True, lambda row: str(row.position)), ("Run", False, lambda row: row.short)]
    return own + [shown(name) for name in searched(ranking)]


def _means(ranking: Ranking) -> list[Column]:
    """Seeds, mean, its interval and the sd."""
    return [
        ("n", True, lambda row: str(row.n)),
        (metric_name(ranking.metric), True, lambda row: number(row.mean)),
        ("±", True, lambda row: _half_width(row.low, row.high)),
        ("sd", True, lambda row: number(row.sd)),
    ]


def _expected(ranking: Ranking) -> list[Column]:
    """Seeds, those on fresh ones, expected score with its interval, plain mean and the sd."""
    metric = metric_name(ranking.metric)

    def expected(row: RankedConfig) -> str:
        return number(row.expected.mean if row.expected else None)

    def half_width(row: RankedConfig) -> str:
        return _half_width(row.expected.low, row.expected.high) if row.expected else NONE

    def fresh(row: RankedConfig) -> str:
        return str(sum(run.score is not None for run in row.confirmations) or NONE)

    columns: list[Column] = [("seeds", True, lambda row: str(row.n))]
    if any(row.confirmations for row in ranking.rows):
        columns.append(("fresh", True, fresh))
    return [
        *columns,
        (f"expected {metric}", True, expected),
        ("±", True, half_width),
        (f"mean {metric}", True, lambda row: number(row.mean)),
        ("sd", True, lambda row: number(row.sd)),
    ]


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
    counts = ("failed", "missing") if ranking.plan.adaptive else ("failed", "stopped", "missing")
    names = [name for name in counts if any(_count(row, name) for row in ranking.rows)]
    return sides + [counted(name) for name in names]


def _half_width(low: float | None, high: float | None) -> str:
    return number(None if high is None or low is None else (high - low) / 2)


def _against_best(row: RankedConfig, verdict: Verdict, judged: dict[str, Comparison]) -> str:
    """Where a config stands: the best, tied with it, worse, or not compared."""
    if verdict.claim not in (Claim.ONE_BEST, Claim.TIED):
        return NONE
    if row.config_id == verdict.best:
        return "best" if verdict.claim is Claim.ONE_BEST else "first" if verdict.adaptive else "tied"
    if not_judged(verdict, row.config_id):
        return "not judged"
    if row.config_id in verdict.indistinguishable:
        return "tied"
    return "worse" if row.config_id in judged else NONE


def _state(row: RankedConfig) -> str:
    """How far a config got; one whose stopped run is going on has no final score yet."""
    return "resumed" if any(run.reopened for run in row.runs) else str(row.state)


def _means_note(ranking: Ranking, verdict: Verdict) -> str:
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
    )


def _expected_note(ranking: Ranking, verdict: Verdict) -> str:
    """The same for a search that gave out its seeds by the scores."""
    metric = metric_name(ranking.metric)
    fresh = (
        " fresh: finished runs on seeds that took no part in the choice; of the other columns only epochs counts them."
        if any(row.confirmations for row in ranking.rows)
        else ""
    )
    return (
        f"seeds: finished runs of the search.{fresh} expected {metric}: what the config will score with new seeds, "
        "from its finished and stopped runs and from the other configs; configs with final scores are ranked by it, "
        f"stopped ones after them. ±: {1 - ranking.alpha:.0%} interval of it, for one config, not for comparing two. "
        f"mean {metric}: plain mean over the seeds, each run's best epoch; it flatters what was repeated for looking "
        "good, and ranks nothing. sd: between the config's own runs. vs best: tied with the first one (it cannot be "
        "told apart from it), worse, or not judged: the search ran one of the two once, or repeated too little. "
        f"P near: probability that the true mean is within {verdict.tolerance:g} of the best one's."
    )


def _count(row: RankedConfig, name: str) -> int:
    return {"failed": row.n_failed, "stopped": row.n_stopped, "missing": row.n_missing}[name]


def _side(row: RankedConfig, name: str) -> float | None:
    values = [run.at_best[name] for run in row.runs if name in run.at_best]
    return sum(values) / len(values) if values and row.mean is not None else None
