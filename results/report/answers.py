"""What `compare` and `plan` answer, as tables and in plain words. No number is computed here."""

from __future__ import annotations

from results.claims import Verdict
from results.comparison import ConfigComparison, ConfigComparisons
from results.naming import NONE
from results.planning import SeedPlan, StudyPlan
from results.report.tables import Table, metric_name, number


def compare_table(found: ConfigComparisons) -> Table:
    """One row per pair: the difference with the interval that belongs to its claim."""
    rows = [
        (
            item.first.short,
            item.second.short,
            f"{item.pair.n_first}, {item.pair.n_second}",
            str(item.pair.n_shared),
            f"{item.pair.estimate:+.4f}",
            number(item.pair.low),
            number(item.pair.high),
            number(item.pair.p),
            number(item.pair.p_holm),
            NONE if item.pair.correlation is None else f"{item.pair.correlation:.2f}",
            item.pair.claim,
            NONE if item.pair.more_seeds is None else str(item.pair.more_seeds),
        )
        for item in found.pairs
    ]
    headings = (
        *("config", "against", "seeds", "shared", "difference", "low", "high"),
        *("p", "p Holm", "correlation", "claim", "more seeds"),
    )
    numeric = frozenset(headings) - {"config", "against", "claim"}
    return Table(headings, numeric, tuple(rows), _compare_note(found))


def _compare_note(found: ConfigComparisons) -> str:
    pairs = f"{found.family} comparison" + "s" * (found.family != 1)
    counted = f"{pairs} named before looking" if found.named_before else f"all {pairs} that could be picked"
    return (
        "Positive: the first config is better. "
        f"Claims hold together with {1 - found.alpha:.0%} (Holm over {counted}); each interval is at the level at "
        "which its pair was tested, so it excludes zero exactly when the claim is made. "
        f"More seeds: for each config, to show the difference seen with {found.power:.0%}."
    )


def compare_sentence(item: ConfigComparison, metric: str) -> str:
    """What may be said of one pair."""
    pair, first, second = item.pair, item.first.name, item.second.name
    shared = f"{pair.n_shared} shared seed" + "s" * (pair.n_shared != 1)
    if pair.used == "none":
        return f"{first} and {second} cannot be compared: the seed noise is unknown, no config has two final scores."
    how = (
        f"on {shared}"
        if pair.used != "unpaired"
        else f"on {pair.n_first} and {pair.n_second} seeds, not paired"
    )
    seen = f"{metric} differs by {abs(pair.estimate):.4f} {how}"
    if pair.claim != "undecided":
        return f"{first} is {pair.claim} than {second}: {seen} [{number(pair.low)}, {number(pair.high)}]."
    text = f"{first} and {second} cannot be told apart: {seen} [{number(pair.low)}, {number(pair.high)}]"
    if pair.more_seeds is None:
        return f"{text}; no reasonable number of seeds would show a difference of {pair.difference or 0:.4f}."
    return f"{text}; about {pair.more_seeds} more for each would show a true difference of {pair.difference:.4f}."


def noise_sentence(verdict: Verdict) -> str:
    """How much one seed moves the score, and how well that is known."""
    noise = verdict.seed_noise
    if noise.sd is None:
        return "No config has two final scores, so nothing is known of the seed noise."
    degrees = f"{noise.df} degree" + "s" * (noise.df != 1) + " of freedom"
    return (
        f"One seed moves {metric_name(verdict.metric)} by {number(noise.sd)} (sd between runs of one config; "
        f"{1 - verdict.alpha:.0%} interval {number(noise.low)} to {number(noise.high)}, {degrees})."
    )


def plan_table(plan: StudyPlan) -> Table:
    """One row per number of seeds: what it shows, and what it costs."""
    costed = any(row.hours is not None for row in plan.rows)
    on_gpu = any(row.gpu_hours is not None for row in plan.rows)
    rows = [
        (
            str(row.seeds),
            number(row.difference),
            str(row.runs),
            str(row.epochs),
            *((_hours(row.hours),) if costed else ()),
            *((_hours(row.gpu_hours),) if on_gpu else ()),
            _mark(row, plan),
        )
        for row in plan.rows
    ]
    hours = (*(("hours",) if costed else ()), *(("GPU-hours",) if on_gpu else ()))
    headings = ("seeds", f"shown with {plan.power:.0%}", "runs", "epochs", *hours, "")
    note = "Hours: all runs one after the other, without early stopping." if costed else ""
    return Table(headings, frozenset(headings[:-1]), tuple(rows), note)


def _mark(row: SeedPlan, plan: StudyPlan) -> str:
    return f"needed for {plan.difference:g}" if plan.needed and row.seeds == plan.needed.seeds else ""


def _hours(hours: float | None) -> str:
    return NONE if hours is None else f"{hours:.1f}" if hours < 100 else f"{hours:.0f}"


def plan_sentence(plan: StudyPlan) -> str:
    """How many seeds, on which grounds, and how little these may be worth."""
    what = f"a true difference of {plan.difference:g} between two of {plan.configs} configs"
    noise = f"seed sd {number(plan.noise.sd)} ({plan.noise.source})"
    if plan.noise.residual != plan.noise.sd:
        noise += f", {number(plan.noise.residual)} of it in a comparison on shared seeds"
    if plan.needed is None:
        return f"No reasonable number of seeds shows {what}: {noise}."
    text = (
        f"{plan.needed.seeds} seeds per config show {what} with probability {plan.power:.0%}, "
        f"every pair covered at once with {1 - plan.alpha:.0%}: {noise}."
    )
    if plan.noise.low is None or plan.noise.high is None:
        return text
    low, high = (str(n) if n else "more than is reasonable" for n in (plan.seeds_low, plan.seeds_high))
    ends = f"{number(plan.noise.low)} to {number(plan.noise.high)}"
    return f"{text} That noise is itself only known to lie in {ends} (95 %): then {low} to {high} seeds."
