"""Named configs of a sweep against each other: from a ranking to claims about pairs.

Looks the configs up and states the family; the statistics are in `statistics.pairs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from results.errors import ResultsError
from results.ranking import RankedConfig, Ranking
from results.statistics.pairs import PairComparison, compare_pairs

#: more than this many configs make more pairs than anybody reads.
MOST_CONFIGS = 50


@dataclass(frozen=True)
class ConfigComparison:
    """Two configs and what may be claimed about them.

    Attributes:
        first, second: rows of the ranking.
        pair: the comparison; positive = `first` is better, in either direction of the metric.
    """

    first: RankedConfig
    second: RankedConfig
    pair: PairComparison


@dataclass(frozen=True)
class ConfigComparisons:
    """The pairs of the named configs, and the family over which their claims hold together.

    Attributes:
        metric, mode: what was compared; ``mode`` says which direction is better.
        alpha, power: family-wise error rate; probability for the number of further seeds.
        family: comparisons that the correction counts.
        named_before: whether the configs were named before anybody looked at the scores.
        pairs: every pair once, in the order in which the configs were named.
    """

    metric: str
    mode: str
    alpha: float
    power: float
    family: int
    named_before: bool
    pairs: tuple[ConfigComparison, ...]


def compare(
    ranking: Ranking,
    configs: Sequence[str] = (),
    *,
    named_before: bool = False,
    difference: float | None = None,
    power: float = 0.8,
) -> ConfigComparisons:
    """Compare every pair of the named configs on their shared seeds.

    Whoever names a pair after a look at the ranking has compared all pairs with their eyes. Therefore the correction
    counts all pairs of configs that could have been named, unless `named_before` says that the pairs stood before.

    Args:
        ranking: from `rank_store` or `read_run_table`.
        configs: ids (or their beginnings) or labels, at least two different ones; none = all that have final scores.
        named_before: whether they were chosen without a look at the scores, e.g. when the sweep was planned.
        difference: the true difference of interest for the number of further seeds; None = the one seen.
        power: for that number.

    Raises:
        ResultsError: with everything that is wrong with the names.
    """
    scored = ranking.scored
    rows = _named(ranking, configs) if configs else scored
    if len(rows) > MOST_CONFIGS:
        raise ResultsError(
            f"{len(rows)} configs make {len(rows) * (len(rows) - 1) // 2} pairs: name at most {MOST_CONFIGS} of them",
            _HEADING,
        )
    if len(rows) < 2:
        raise ResultsError("fewer than two configs have final scores: there is nothing to compare", _HEADING)
    place = {row.config_id: i for i, row in enumerate(scored)}
    pairs = [(place[a.config_id], place[b.config_id]) for a, b in combinations(rows, 2)]
    family = len(pairs) if named_before else len(scored) * (len(scored) - 1) // 2
    found = compare_pairs(
        ranking.matrix(), pairs, alpha=ranking.alpha, power=power, difference=difference, family=family
    )
    return ConfigComparisons(
        metric=ranking.metric,
        mode=ranking.plan.mode,
        alpha=ranking.alpha,
        power=power,
        family=family,
        named_before=named_before,
        pairs=tuple(ConfigComparison(scored[pair.first], scored[pair.second], pair) for pair in found),
    )


_HEADING = "the configs cannot be compared"


def _named(ranking: Ranking, configs: Sequence[str]) -> tuple[RankedConfig, ...]:
    problems, rows = [], list[RankedConfig]()
    for name in configs:
        found = ranking.named(name)
        if len(found) != 1:
            problems.append(ranking.not_named(name))
        elif found[0] in rows:
            problems.append(f"{name!r} names {found[0].short} again: name different configs")
        elif found[0] not in ranking.scored:
            problems.append(f"{name!r} has no final score (state: {found[0].state}): it cannot be compared")
        rows += found if len(found) == 1 else ()
    if len(configs) == 1:
        problems.append("one config is named: name a second one to compare it with")
    if problems:
        raise ResultsError(problems, _HEADING)
    return tuple(rows)
