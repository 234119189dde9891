"""The verdict in plain words. No number is computed here and nothing is claimed that the verdict does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from results.statistics.adaptive import LEAST_SCORES

if TYPE_CHECKING:
    from results.ranking import RankedConfig, Ranking

#: what a search says that its budget has ended.
_STILL = "expected regret is still"
#: What a reader whose search fell short can do: a verdict knows no run directory.
_EXTEND = (
    "To come nearer, extend the sweep: landslide-tune sweep --resume --out RUN_DIR --budget-epochs MORE."
)
#: how many names a sentence may list before it counts the rest.
_MOST_NAMES = 4


def sentences(facts: Mapping[str, Any], ranking: Ranking) -> tuple[str, ...]:
    """The claim with what is needed to go further, the number to quote, what ended the search, and what has no score.

    Those that apply.

    Args:
        facts: the fields of a `Verdict`, without its sentences.
        ranking: what it was judged from.
    """
    claim = str(facts["claim"])
    if claim == "no result":
        text = "No config has a final score, so there is nothing to compare."
    elif claim == "one best":
        text = _one_best(facts)
    elif claim == "cannot be told apart":
        text = _first_of_search(facts, ranking) if facts["adaptive"] else _tied(facts, ranking)
    else:
        text = _too_little(facts, ranking)
    parts = (text, _confirmed(facts, ranking), _chance(facts, ranking), _ended(facts), _left_out(facts))
    return tuple(part for part in parts if part)


def _one_best(facts: Mapping[str, Any]) -> str:
    runner_up = facts["comparisons"][0]
    interval = f"{runner_up.estimate:.4f} [{runner_up.low:.4f}, {runner_up.high:.4f}]"
    if len(facts["comparisons"]) == 1:
        return (
            f"{facts['best_name']} is better than {runner_up.name}: {facts['metric']} differs by {interval}."
        )
    return (
        f"{facts['best_name']} is better than each of the other {len(facts['comparisons'])} configs; "
        f"over the next one, {runner_up.name}, {facts['metric']} differs by {interval}."
    )


def _tied(facts: Mapping[str, Any], ranking: Ranking) -> str:
    rows = {row.config_id: row for row in ranking.scored}
    tied = [rows[config_id] for config_id in facts["indistinguishable"]]
    worse = len(rows) - len(tied)
    head, names = "", [row.name for row in tied]
    if (worse or len(tied) > 2) and facts["gap"]:
        head = f"{facts['best_name']} {_lead(facts, ranking)}, but "
        names[0] = tied[0].short  # named in full just before
    text = f"{head}{_listed(names)} cannot be told apart with {_range([row.n for row in tied])}"
    if worse:
        text += " (the other config is worse)" if worse == 1 else f" (the other {worse} configs are worse)"
    if not facts["gap"]:
        return f"{text}; {_equal(tied)}."
    need = f"a difference of {facts['gap']:.4f}, the one seen between the first two"
    if facts["more_seeds"] is None:
        return f"{text}; no reasonable number of seeds would show {need}."
    return f"{text}; about {facts['more_seeds']} more per config would be needed for {need}."


def _first_of_search(facts: Mapping[str, Any], ranking: Ranking) -> str:
    """The config that a search goes by, and which of the others it may be compared with."""
    expected = facts["expected"].expected
    head = f"{facts['best_name']} has the best expected score, {facts['metric']} {expected:.4f}"
    rows = {row.config_id: row for row in ranking.scored}
    judged = [one for one in facts["comparisons"] if one.low is not None]
    tied = [rows[one.config_id] for one in judged if one.claim != "better"]
    worse = len(judged) - len(tied)
    others = f"{worse} other config{'s are' if worse > 1 else ' is'} worse"
    if not judged:
        several = sum(row.n >= LEAST_SCORES for row in rows.values()) > 1
        why = "there are too few repeats for an interval" if several else "no two configs were repeated"
        return f"{head}, but nothing can be said of a difference: {why}."
    if not tied:
        return f"{head}; {others}, and no further one was repeated."
    seeds = _range([row.n for row in (rows[facts["best"]], *tied)])
    text = f"{head}, but cannot be told apart from {_listed([row.name for row in tied])} with {seeds}"
    return f"{text} ({others})." if worse else f"{text}."


def _chance(facts: Mapping[str, Any], ranking: Ranking) -> str:
    """How good a choice the first config is, for a search that gave out its seeds to find out just that."""
    chance = next((one for one in facts["chances"] if one.config_id == facts["best"]), None)
    rows = {row.config_id: row.short for row in ranking.scored}
    if chance is None or not facts["adaptive"]:
        return ""
    text = (
        f"With probability {chance.near:.0%} {rows[facts['best']]} is within {facts['tolerance']:g} of the best of all "
        f"{ranking.n_started} configs started"
    )
    once = sum(row.n < LEAST_SCORES for row in ranking.scored) if facts["residual_noise"].sd else 0
    left = f"{_count(once, 'config')} with a single finished run {'is' if once == 1 else 'are'} not judged"
    return f"{text}; {left}." if once else f"{text}."


def _equal(tied: list[RankedConfig]) -> str:
    who = "their means are equal" if len(tied) == 2 else "the first two have equal means"
    first, second = tied[0].mean, tied[1].mean
    same = first is not None and second is not None and math.isclose(first, second, rel_tol=1e-12)
    return who if same else f"{who} on equal seeds"


def _lead(facts: Mapping[str, Any], ranking: Ranking) -> str:
    """Why the best config is named first; its plain mean need not be the best one."""
    if facts["adaptive"]:
        return "has the best expected score"
    if facts["best"] == ranking.scored[0].config_id:
        return "has the best mean"
    return "is ahead on equal seeds"


def _too_little(facts: Mapping[str, Any], ranking: Ranking) -> str:
    best = facts["best_name"]
    if len(ranking.scored) < 2:
        return f"Only {best} has final scores, so there is nothing to compare it with." + _go_on(
            facts, ranking
        )
    that_is_all = f"so no difference can be called real: {best} {_lead(facts, ranking)}, and that is all."
    if facts["residual_noise"].df:
        exactly = (
            "Every repeat gave exactly the same score"
            if facts["seed_noise"].sd == 0
            else "The repeats differ between configs by exactly the same amount on every seed"
        )
        return (
            f"{exactly}: nothing was measured about the seed noise, {that_is_all} "
            "Check that the seeds reach the training, or add seeds."
        )
    if facts["adaptive"] and facts["ended"]:
        return f"No config was repeated, so the seed noise is unknown, {that_is_all} A larger budget would leave room."
    missing = any(row.n_missing for row in ranking.scored)
    failed = any(row.n_failed for row in ranking.scored)
    if missing or failed:
        causes = [word for word, there in (("missing", missing), ("failed", failed)) if there]
        return (
            f"The seed noise could not be measured, because no config has two final scores: the other runs "
            f"{'are' if missing else 'have'} {' or '.join(causes)}; {that_is_all}" + _go_on(facts, ranking)
        )
    return f"One seed per config cannot measure the seed noise, {that_is_all} Use at least 2 seeds, better 3 to 5."


def _go_on(facts: Mapping[str, Any], ranking: Ranking) -> str:
    """What helps when runs are not there."""
    if (facts["n_missing"] and facts["plan_final"]) or any(row.n_missing for row in ranking.rows):
        return " If the sweep is not running any more, go on with it: --resume."
    return " See why the runs failed before adding seeds." if facts["n_failed"] else ""


def _confirmed(facts: Mapping[str, Any], ranking: Ranking) -> str:
    """What the fresh seeds say, which is the number to quote."""
    found, best = facts["confirmed"], ranking.row(facts["best"] or "")
    if found is None or best is None:
        return ""
    seeds = f"{found.n + found.n_failed} fresh seed" + "s" * (found.n + found.n_failed != 1)
    if not found.n:
        return f"All runs of {best.short} on {seeds} failed, so nothing is confirmed."
    interval = "" if found.low is None else f" [{found.low:.4f}, {found.high:.4f}]"
    failed = f" ({found.n_failed} of them failed)" if found.n_failed else ""
    patches = f"{facts['val_patches']} " if facts["val_patches"] else ""
    text = (
        f"Quote {found.mean:.4f}{interval}: the mean of {best.short} on {seeds}{failed} that took no part in the "
        f"choice, on these {patches}validation patches, on which each run's best epoch was chosen too"
    )
    rival = ranking.row(found.rival or "")
    if rival is None or found.difference is None:
        return f"{text}."
    side = "ahead of" if found.difference >= 0 else "behind"
    ends = ""
    if found.difference_low is not None:
        ends = f" [{found.difference_low:.4f}, {found.difference_high:.4f}]"
    common = "" if found.n_pairs == found.n else f" on the {found.n_pairs} that both finished"
    there = (
        f"{abs(found.difference):.4f} {side} {rival.short}{common} (difference {found.difference:+.4f}{ends})"
    )
    return f"{text}. On these seeds it was {there}."


def _ended(facts: Mapping[str, Any]) -> str:
    """What ended a search that decides itself when it knows enough."""
    if not facts["adaptive"] or not facts["ended"]:
        return ""
    chance = next((one for one in facts["chances"] if one.config_id == facts["best"]), None)
    return ended_sentence(facts["ended"], regret=chance and chance.regret, asked=facts["stop_regret"])


def ended_sentence(reason: str | None, *, regret: float | None = None, asked: float | None = None) -> str:
    """What ended a search and, if its budget did before it knew enough, how far it fell short and what to do.

    Args:
        reason: a clause, or a sentence.
        regret: the expected regret of its choice; None = not known.
        asked: the expected regret at which it would have ended by itself; None = not known.
    """
    text = (reason or "nobody knows why").strip().rstrip(".")
    short = _STILL in text
    if "budget" in text and "expected regret" not in text and regret and asked is not None and regret > asked:
        text, short = f"{text}; {_STILL} {regret:.2g}, {asked:g} was asked for", True
    said = f"The search ended because {text[:1].lower()}{text[1:]}."
    return f"{said} {_EXTEND}" if short else said


def _left_out(facts: Mapping[str, Any]) -> str:
    bound = "" if facts["plan_final"] else "up to "
    parts = [
        f"{bound if key == 'n_missing' else ''}{facts[key]} {word}"
        for key, word in (
            ("n_failed", "failed"),
            ("n_stopped", "stopped early"),
            ("n_missing", "missing"),
        )
        if facts[key]
    ]
    if not parts:
        return ""
    return f"Runs without a score: {', '.join(parts)}."


def _listed(names: list[str]) -> str:
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], f"{len(names) - _MOST_NAMES + 1} others"]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if names[1:] else names[0]


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return _count(low, "seed") + " each" if low == high else f"{low} to {high} seeds each"


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
