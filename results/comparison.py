"""Named configs of a sweep against each other: from a ranking to claims about pairs.

Looks the configs up and states the family; the statistics are in `statistics.pairs`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

from scipy import stats

from results.errors import ResultsError
from results.family import against, fit_ranking
from results.family import correction as family_of
from results.ranking import ALPHA, RankedConfig, Ranking
from results.statistics.adaptive import LEAST_SCORES
from results.statistics.blocks import critical_value
from results.statistics.pairs import PairComparison, compare_pairs
from results.statistics.power import seeds_needed

#: an adjusted p takes a hundredth of a second; for more pairs than this there is none.
_MOST_ADJUSTED = 200
#: more than this many configs make more pairs than anybody reads.
MOST_CONFIGS = 50

_NO_EFFECT = (
    "That the pairs were named before has no effect here: the search itself looked at the scores when it gave out the "
    "seeds, so its configs are judged as in the verdict."
)


@dataclass(frozen=True)
class ConfigComparison:
    """Two configs and what may be claimed about them.

    Attributes:
        first, second: rows of the ranking.
        pair: the comparison; positive = `first` is better, in either direction of the metric. Its `p_holm` is adjusted
            as `ConfigComparisons.correction` says.
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
        family: configs over which Tukey's intervals hold, or comparisons that Holm counts.
        named_before: whether the configs were named before anybody looked at the scores.
        correction: how the claims hold together, in words.
        pairs: every pair once, in the order in which the configs were named.
        note: what was asked for and has no effect here, and why; empty = nothing.
    """

    metric: str
    mode: str
    alpha: float
    power: float
    family: int
    named_before: bool
    correction: str
    pairs: tuple[ConfigComparison, ...]
    note: str = ""


def compare(
    ranking: Ranking,
    configs: Sequence[str] = (),
    *,
    named_before: bool = False,
    difference: float | None = None,
    power: float = 0.8,
) -> ConfigComparisons:
    """Compare every pair of the named configs on their shared seeds.

    Whoever names a pair after a look at the ranking has compared all pairs with their eyes. Therefore the intervals are
    those of the verdict (`verdict.judge`): Tukey-Kramer over all configs that were started, from the same fit. Pairs
    that stood before, with `named_before`, are judged by Holm among themselves (`statistics.pairs`), unless the search
    itself has looked: where it gave out the seeds by the scores, the verdict's rule holds for them too.

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
    found = compare_pairs(ranking.matrix(), pairs, alpha=ranking.alpha, power=power, difference=difference)
    note = _NO_EFFECT if named_before and ranking.plan.adaptive else ""
    named_before = named_before and not ranking.plan.adaptive
    if named_before:
        family, plural = len(pairs), "s" * (len(pairs) != 1)
        correction = f"Holm over {family} comparison{plural} named before looking"
    else:
        family = ranking.n_started
        correction = f"{family_of(ranking)}, as in the verdict"
        found = _as_in_the_verdict(ranking, found, family, power=power, difference=difference)
    return ConfigComparisons(
        metric=ranking.metric,
        mode=ranking.plan.mode,
        alpha=ranking.alpha,
        power=power,
        family=family,
        named_before=named_before,
        correction=correction,
        pairs=tuple(ConfigComparison(scored[pair.first], scored[pair.second], pair) for pair in found),
        note=note,
    )


def _as_in_the_verdict(
    ranking: Ranking,
    pairs: Sequence[PairComparison],
    family: int,
    *,
    power: float,
    difference: float | None,
) -> tuple[PairComparison, ...]:
    """The pairs with the estimates, intervals and claims of `tukey_against`; the rest stays what it is."""
    fit = fit_ranking(ranking)
    rows = {first: against(ranking, fit, first) for first in {pair.first for pair in pairs}}
    sd = fit.noise.sd if fit.noise.known else math.nan
    few = len(pairs) <= _MOST_ADJUSTED

    @cache
    def seeds(wanted: float) -> int | None:
        return seeds_needed(wanted, sd, configs=max(family, 2), alpha=ranking.alpha, power=power)

    def judged(pair: PairComparison) -> PairComparison:
        row, second = rows[pair.first], pair.second
        estimate, low, high = (float(values[second]) for values in (row.estimate, row.low, row.high))
        if not fit.noise.known:
            return replace(pair, used="none", estimate=estimate, more_seeds=None)
        if not math.isfinite(low):
            once = min(pair.n_first, pair.n_second) < LEAST_SCORES
            return _not_judged(pair, estimate, used="single" if once else "few")
        claim = "better" if low > 0 else "worse" if high < 0 else "undecided"
        wanted = abs(estimate) if difference is None else difference
        needed = seeds(wanted) if claim == "undecided" else None
        return replace(
            pair,
            used="pooled" if fit.blocked else "unpaired",
            estimate=estimate,
            low=low,
            high=high,
            level=1 - ranking.alpha,
            p_holm=_adjusted_p(estimate, (high - low) / 2, fit.noise.df, family) if few else None,
            claim=claim,
            difference=wanted or None,
            more_seeds=max(needed - min(pair.n_first, pair.n_second), 1) if needed else None,
        )

    return tuple(judged(pair) for pair in pairs)


def _not_judged(pair: PairComparison, estimate: float, *, used: str) -> PairComparison:
    """A pair one of which has the single run for which a search has left it, or of a search with too few repeats."""
    return replace(
        pair,
        used=used,
        estimate=estimate,
        p=None,
        p_holm=None,
        low=None,
        high=None,
        level=None,
        claim="undecided",
        variance_ratio=None,
        more_seeds=None,
    )


def _adjusted_p(estimate: float, half: float, df: float, family: int) -> float:
    """The p that goes with a Tukey-Kramer interval: below alpha exactly when the interval excludes zero."""
    error = half / critical_value(family, df, ALPHA)
    statistic = abs(estimate) / error
    if family <= 2:
        return float(2 * stats.t.sf(statistic, df))
    return float(stats.studentized_range.sf(statistic * math.sqrt(2), family, df))


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
