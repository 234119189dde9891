"""What the chosen config is worth: its expected score, its fresh seeds, and the chances that it is the right choice.

Turns the arrays of `statistics.shrinkage` and `statistics.probability` into the values of a verdict. Decides no claim.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from results.claims import Chance, ConfirmedScore, ExpectedScore
from results.evidence import TOLERANCE, draws_for
from results.family import fit_ranking
from results.ranking import ALPHA, RankedConfig, Ranking
from results.scores import RankedRun, finite
from results.statistics.adaptive import LEAST_DF
from results.statistics.blocks import BlockFit, Noise, config_means, fit_blocks, noise_from
from results.statistics.differences import from_noise
from results.statistics.probability import probability_best
from results.statistics.shrinkage import confirmed_mean, expected_scores
from results.statistics.variances import noise_of_config


def expected_score(ranking: Ranking, best: int, *, rng: np.random.Generator) -> ExpectedScore:
    """What config `best` (row of `ranking.scored`) will score on new seeds, beside the best single run.

    Where the search decided itself how many seeds a config gets, this is the posterior that it decided by.
    """
    finished = [
        (ranking.sign * run.score, row) for row in ranking.rows for run in row.runs if run.score is not None
    ]
    single, owner = max(finished, key=lambda item: item[0])
    if found := ranking.scored[best].expected:
        mean = ranking.scored[best].mean
        assert mean is not None, "a scored config has a mean"
        return ExpectedScore(
            mean=mean,
            expected=found.mean,
            low=found.low,
            high=found.high,
            shrunk=True,
            best_single_run=ranking.sign * single,
            best_single_config=owner.config_id,
        )
    matrix = ranking.matrix()
    means, _ = config_means(matrix)
    posterior = expected_scores(matrix, rng=rng, alpha=ranking.alpha, draws=draws_for(len(matrix)))
    low, high = _own_direction(posterior.low[best], posterior.high[best], ranking.sign)
    return ExpectedScore(
        mean=ranking.sign * float(means[best]),
        expected=ranking.sign * float(posterior.means[best]),
        low=low,
        high=high,
        shrunk=posterior.shrunk,
        best_single_run=ranking.sign * single,
        best_single_config=owner.config_id,
    )


def chances(ranking: Ranking, fit: BlockFit, *, rng: np.random.Generator) -> tuple[Chance, ...]:
    """The chances of every compared config, in the order of their effects; empty when the noise is unknown.

    Where the search decided itself how many seeds a config gets: of every config of which anything is known, in the
    order of the ranking, by the posterior that the search decided by.
    """
    if ranking.plan.adaptive:
        return tuple(
            Chance(row.config_id, row.expected.best, row.expected.near, row.expected.regret)
            for row in ranking.rows
            if row.expected
        )
    found = probability_best(fit, rng=rng, draws=draws_for(len(fit.effects)), tolerance=TOLERANCE)
    if not found.draws:
        return ()
    rows = ranking.scored
    return tuple(
        Chance(rows[i].config_id, float(found.best[i]), float(found.near[i]), float(found.regret[i]))
        for i in np.argsort(-fit.effects, kind="stable")
    )


def confirmed_score(ranking: Ranking, best: RankedConfig) -> ConfirmedScore | None:
    """What the best config scored on fresh seeds, and against the rival that met the same ones; None without any."""
    fresh = _fresh(best.confirmations, ranking.sign)
    if not fresh:
        return None
    place = [row.config_id for row in ranking.scored].index(best.config_id)
    noise = noise_of_config(ranking.matrix(), place, alpha=ranking.alpha)
    found = confirmed_mean(list(fresh.values()), noise, alpha=ranking.alpha)
    screening = fit_ranking(ranking).noise
    rivals = [row for row in ranking.scored if row.config_id != best.config_id and row.confirmations]
    rival = rivals[0] if rivals else None
    pair = _on_fresh_seeds(fresh, _fresh(rival.confirmations, ranking.sign) if rival else {}, screening)
    low, high = _own_direction(found.low, found.high, ranking.sign)
    if found.df < LEAST_DF:
        low, high = None, None
    return ConfirmedScore(
        mean=finite(ranking.sign * found.mean),
        low=low,
        high=high,
        n=found.n,
        n_failed=found.n_failed,
        rival=None if rival is None else rival.config_id,
        difference=pair.difference,
        difference_low=pair.low,
        difference_high=pair.high,
        n_pairs=pair.n,
    )


@dataclass(frozen=True)
class _FreshPair:
    """Difference on `n` shared fresh seeds and its interval; None = there is none, or the noise is unknown."""

    difference: float | None
    low: float | None
    high: float | None
    n: int


def _own_direction(low: float, high: float, sign: int) -> tuple[float | None, float | None]:
    """An interval turned back into the metric's own direction; None = unknown."""
    ends = sorted((sign * low, sign * high))
    return finite(ends[0]), finite(ends[1])


def _fresh(runs: tuple[RankedRun, ...], sign: int) -> dict[int, float]:
    """Replicate -> score of the ended confirmations, higher is better; NaN = failed."""
    return {
        run.replicate: math.nan if run.score is None else sign * run.score
        for run in runs
        if run.status is not None
    }


def _on_fresh_seeds(first: dict[int, float], second: dict[int, float], screening: Noise) -> _FreshPair:
    """Compare two configs on their shared fresh seeds: one comparison, planned before these seeds were run.

    The residual variance pools the fresh pairs with the screening, and the degrees of freedom add up; with fewer than
    `LEAST_DF` of them there is no interval.
    """
    seeds = [seed for seed in first if seed in second]
    both = np.array([[scores[seed] for seed in seeds] for scores in (first, second)]).reshape(2, -1)
    both = both[:, np.isfinite(both).all(axis=0)]
    n = both.shape[1]
    if not n:
        return _FreshPair(None, None, None, 0)
    estimate = float((both[0] - both[1]).mean())
    parts = [noise for noise in (fit_blocks(both).noise, screening) if noise.known]
    pooled = noise_from(sum(part.sd**2 * part.df for part in parts), sum(part.df for part in parts), ALPHA)
    found = from_noise(estimate, pooled, 2 / n, alpha=ALPHA)
    low, high = (found.low, found.high) if found and pooled.df >= LEAST_DF else (None, None)
    return _FreshPair(estimate, low, high, n)
