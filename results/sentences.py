"""The verdict in plain words. No number is computed here and nothing is claimed that the verdict does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.ranking import Ranking

#: how many names a sentence may list before it counts the rest.
_MOST_NAMES = 4


def sentence(facts: Mapping[str, Any], ranking: Ranking) -> str:
    """One to three sentences: the claim, what is needed to go further, what failed.

    Args:
        facts: the fields of a `Verdict`, without the sentence.
        ranking: what it was judged from.
    """
    claim = str(facts["claim"])
    if claim == "no result":
        text = "No config has a final score, so there is nothing to compare."
    elif claim == "one best":
        text = _one_best(facts)
    elif claim == "cannot be told apart":
        text = _tied(facts, ranking)
    else:
        text = _too_little(facts, ranking)
    return " ".join(part for part in (text, _left_out(facts)) if part)


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
    seeds = _range([row.n for row in tied])
    text = f"{_listed([row.name for row in tied])} cannot be told apart with {seeds}"
    worse = len(rows) - len(tied)
    head = f"{facts['best_name']} has the best mean, but " if len(tied) < len(rows) or len(tied) > 2 else ""
    if worse:
        text += f" (the other {_count(worse, 'config')} {'is' if worse == 1 else 'are'} worse)"
    if not facts["gap"]:
        return f"{head}{text}; their means are equal."
    need = f"a difference of {facts['gap']:.4f}, the one seen between the first two"
    if facts["more_seeds"] is None:
        return f"{head}{text}; no reasonable number of seeds would show {need}."
    return f"{head}{text}; about {facts['more_seeds']} more per config would be needed for {need}."


def _too_little(facts: Mapping[str, Any], ranking: Ranking) -> str:
    if len(ranking.scored) < 2:
        return f"Only {facts['best_name']} has final scores, so there is nothing to compare it with."
    return (
        "One seed per config cannot measure the seed noise, so no difference can be called real: "
        f"{facts['best_name']} has the best value, and that is all. Use at least 2 seeds, better 3 to 5."
    )


def _left_out(facts: Mapping[str, Any]) -> str:
    parts = [
        f"{facts[key]} {word}"
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
    return ", ".join(names[:-1]) + " and " + names[-1]


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return _count(low, "seed") + " each" if low == high else f"{low} to {high} seeds each"


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
