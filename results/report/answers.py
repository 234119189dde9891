"""What `compare` and `plan` answer, as tables, in plain words and as plain values. No number is computed here."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from results.claims import Verdict
from results.comparison import ConfigComparison, ConfigComparisons
from results.naming import NONE
from results.planning import SD_PROBABILITY, SD_WITHIN, SeedPlan, StudyPlan
from results.report.tables import Table, metric_name, number
from results.statistics.adaptive import LEAST_DF, LEAST_SCORES

#: with fewer shared seeds a correlation is a number without a meaning.
_ENOUGH_TO_CORRELATE = 4


def compare_plain(found: ConfigComparisons) -> dict[str, Any]:
    """The comparisons as JSON-able values; configs by id."""
    pairs = [
        {"first": item.first.config_id, "second": item.second.config_id}
        | {name: value for name, value in asdict(item.pair).items() if name not in ("first", "second")}
        | {
            "n_failed_first": item.first.n_failed,
            "n_failed_second": item.second.n_failed,
            "runs_used": _runs_used(item, named_before=found.named_before),
            "method": _method(item, named_before=found.named_before),
        }
        for item in found.pairs
    ]
    about = ("metric", "mode", "alpha", "power", "family", "named_before", "correction", "note")
    return {name: getattr(found, name) for name in about} | {"pairs": pairs}


def _runs_used(item: ConfigComparison, *, named_before: bool) -> list[str]:
    """Trial keys of the two configs' runs behind the difference: all scored ones, or those on shared seeds."""
    scored = [[run for run in row.runs if run.score is not None] for row in (item.first, item.second)]
    shared = set.intersection(*({run.replicate for run in runs} for runs in scored))
    all_count = not named_before or item.pair.used == "unpaired"
    return [run.trial_key for runs in scored for run in runs if all_count or run.replicate in shared]


def _method(item: ConfigComparison, *, named_before: bool) -> str:
    """How the pair was judged."""
    used = item.pair.used
    if used == "none":
        return "no interval: the seed noise is unknown"
    if used == "few":
        return f"no interval: too few repeats, the noise has fewer than {LEAST_DF} degrees of freedom"
    if used == "single":
        return "no interval: a search does not repeat a config by chance, so one run of it is no fair sample"
    if not named_before:
        design = "config + replicate (shared seeds)" if used == "pooled" else "config only, unpaired"
        return f"least squares on the scored runs of all configs: {design}; Tukey-Kramer interval"
    return {
        "own": "mean difference on shared seeds, by the variance of these differences; t interval",
        "pooled": "mean difference on shared seeds, by the residual variance of all configs; t interval",
        "unpaired": "difference of the means, not paired; t interval",
    }[used]


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
            _pairing(item),
            item.pair.claim,
            NONE if item.pair.more_seeds is None else str(item.pair.more_seeds),
        )
        for item in found.pairs
    ]
    headings = (
        *("config", "against", "seeds", "shared", "difference", "low", "high"),
        *("p", "p adjusted", "pairing", "claim", "more seeds"),
    )
    numeric = frozenset(headings) - {"config", "against", "claim"}
    return Table(headings, numeric, tuple(rows), _compare_note(found))


def _pairing(item: ConfigComparison) -> str:
    """What shared seeds did: the correlation, or with too few of them how many seeds they were worth."""
    pair = item.pair
    if pair.n_shared >= _ENOUGH_TO_CORRELATE and pair.correlation is not None:
        return f"r {pair.correlation:.2f}"
    return NONE if pair.variance_ratio is None else f"{pair.variance_ratio:.2f}x seeds"


def _compare_note(found: ConfigComparisons) -> str:
    if found.named_before:
        level = "each interval is at the level at which its pair was tested, so it excludes zero"
    else:
        level = "the intervals hold at once, and one excludes zero"
    return (f"{found.note} " if found.note else "") + (
        "Positive: the first config is better. "
        f"Claims hold together with {1 - found.alpha:.0%} ({found.correction}); "
        f"{level} exactly when the claim is made. "
        f"Pairing: correlation of the scores on shared seeds; with fewer than {_ENOUGH_TO_CORRELATE} of them, how many "
        "times the seeds the pairing was worth. "
        f"More seeds: for each config, to show the difference seen with {found.power:.0%}."
    )


def compare_sentence(item: ConfigComparison, metric: str) -> str:
    """What may be said of one pair."""
    pair, first, second = item.pair, item.first.name, item.second.name
    shared = f"{pair.n_shared} shared seed" + "s" * (pair.n_shared != 1)
    if pair.used == "none":
        return f"{first} and {second} cannot be compared: the seed noise is unknown, no config has two final scores."
    if pair.used == "single":
        once = " and ".join(row.name for row in (item.first, item.second) if row.n < LEAST_SCORES)
        return (
            f"{first} and {second} cannot be told apart: the search ran {once} once, and left it by how that run came "
            f"out; {metric} differs by {abs(pair.estimate):.4f}."
        )
    if pair.used == "few":
        return (
            f"{first} and {second} cannot be told apart: {metric} differs by {abs(pair.estimate):.4f}, and there are "
            "too few repeats for an interval."
        )
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
    if number(plan.noise.residual) != number(plan.noise.sd):
        noise += f", noise of a comparison on shared seeds {number(plan.noise.residual)}"
    if plan.needed is None:
        return f"No reasonable number of seeds shows {what}: {noise}."
    text = (
        f"{plan.needed.seeds} seeds per config show {what} with probability {plan.power:.0%}, "
        f"every pair covered at once with {1 - plan.alpha:.0%}: {noise}."
    )
    if plan.noise.low is None or plan.noise.high is None:
        return text
    low, high = (str(n) if n else "more than is reasonable" for n in (plan.seeds_low, plan.seeds_high))
    ends = f"{number(plan.noise.low)} to {number(plan.noise.high)} ({1 - plan.alpha:.0%})"
    return f"{text} That noise is itself only known to lie in {ends}: then {low} to {high} seeds."


def sd_sentence(plan: StudyPlan) -> str | None:
    """How many seeds make the noise itself known; None when more than is reasonable."""
    if plan.seeds_for_sd is None:
        return None
    independent = (
        "" if plan.noise.residual != plan.noise.sd else ", if the seeds move the configs independently"
    )
    return (
        f"To know the seed noise itself within {SD_WITHIN:.0%} (probability {SD_PROBABILITY:.0%}): "
        f"{plan.seeds_for_sd} seeds for each of the {plan.configs} configs{independent}."
    )
