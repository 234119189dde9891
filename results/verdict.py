"""What may be claimed from a ranking, in numbers and in one plain sentence.

The only place that says "better", and it does so only when a simultaneous interval excludes zero. Reads and
writes no run directory except for `write_verdict`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from results.claims import Claim, Comparison, SpreadEstimate, Verdict
from results.evidence import TOLERANCE
from results.family import against, correction, fit_ranking
from results.ranking import ConfigState, RankedConfig, Ranking
from results.sentences import sentences
from results.statistics.blocks import (
    BlockFit,
    Comparisons,
    not_distinguishable,
    pooled_noise,
)
from results.statistics.power import seeds_needed
from results.statistics.variances import equal_variances, noise_of_means
from results.storage.atomic import replace_text
from results.winner import chances, confirmed_score, expected_score

#: below, the share of the variance that pairing removes can be estimated to be anything.
LEAST_DF_FOR_PAIRS = 4


def judge(ranking: Ranking, *, power: float = 0.8, seed: int = 0) -> Verdict:
    """Compare the best config with every other one.

    Randomised-block least squares over the scored runs (`fit_blocks`), simultaneous intervals by
    Tukey-Kramer over all configs that were started, so that picking the best after looking costs nothing.
    Looking at the same sweep again after adding seeds is not corrected; configs that the policy stopped are
    not compared. Of a search that gave out seeds by looking, only configs with two or more runs are claimed better or
    worse (`statistics.adaptive`).

    Args:
        ranking: from `rank`; its alpha is the family-wise error rate.
        power: for the number of further seeds.
        seed: of the posterior draws behind the expected score and the chances; no claim depends on them.
    """
    rows, matrix = ranking.scored, ranking.matrix()
    started = ranking.n_started
    fit = fit_ranking(ranking) if rows else None
    noise = noise_of_means(matrix, alpha=ranking.alpha) if rows else None
    facts: dict[str, Any] = {
        "metric": ranking.metric,
        "mode": ranking.plan.mode,
        "alpha": ranking.alpha,
        "power": power,
        "tolerance": TOLERANCE,
        "family": started,
        "correction": correction(ranking),
        "method": "no comparison" if fit is None else _method(fit),
        "seed_noise": _spread_of(noise),
        "residual_noise": _spread_of(fit.noise if fit else None),
        "pair_correlation": _pair_correlation(fit) if fit else None,
        "runs_used": tuple(run.trial_key for row in rows for run in row.runs if run.score is not None),
        "notes": _notes(ranking),
        **_counts(ranking),
    }
    facts |= _compared(ranking, fit, started, power) | _winner(ranking, fit, seed) if fit else _nothing()
    facts["notes"] += _notes_on_best(ranking, facts["best"]) + _notes_on_confirmation(facts)
    said = sentences(facts, ranking)
    return Verdict(headline=said[0], sentence=" ".join(said), **facts)


def write_verdict(verdict: Verdict, path: Path) -> None:
    """Write the verdict as JSON, all or nothing.

    Raises:
        OSError: the file cannot be written.
    """
    replace_text(path, json.dumps(verdict.to_dict(), indent=2, ensure_ascii=False) + "\n")


def _best(ranking: Ranking, fit: BlockFit) -> int:
    """Row of `Ranking.scored` of the best config: on equal seeds, or the one that an adaptive search goes by."""
    return 0 if ranking.plan.adaptive else int(np.nanargmax(fit.effects))


def _nothing() -> dict[str, Any]:
    none = dict.fromkeys(("best", "best_name", "expected", "confirmed", "gap", "seeds", "more_seeds"))
    return {"claim": Claim.NO_RESULT, "indistinguishable": (), "comparisons": (), "chances": (), **none}


def _winner(ranking: Ranking, fit: BlockFit, seed: int) -> dict[str, Any]:
    """What the best config is worth."""
    best, rng = _best(ranking, fit), np.random.default_rng(seed)
    return {
        "expected": expected_score(ranking, best, rng=rng),
        "confirmed": confirmed_score(ranking, ranking.scored[best]),
        "chances": chances(ranking, fit, rng=rng),
    }


def _compared(ranking: Ranking, fit: BlockFit, started: int, power: float) -> dict[str, Any]:
    """Everything that depends on which config is best."""
    rows, matrix = ranking.scored, ranking.matrix()
    best = _best(ranking, fit)
    comparisons = against(ranking, fit, best)
    adaptive = ranking.plan.adaptive
    order = sorted(
        (i for i in range(len(rows)) if i != best), key=lambda i: i if adaptive else -fit.effects[i]
    )
    tied_ones = {*not_distinguishable(comparisons, best)}
    tied = [i for i in (best, *order) if i in tied_ones]
    if len(rows) < 2 or not fit.noise.known:
        claim = Claim.TOO_LITTLE
    else:
        claim = Claim.ONE_BEST if len(tied) == 1 else Claim.TIED
    gap = _gap(fit, best, order[0]) if order else None
    sd = fit.noise.sd if fit.noise.known else math.nan
    # An adaptive search gives no config the same number of seeds as another one, so there is none to ask for.
    wanted = 0.0 if adaptive else gap or 0.0
    seeds = seeds_needed(wanted, sd, configs=max(started, 2), alpha=ranking.alpha, power=power)
    now = int(np.isfinite(matrix).sum(axis=1).min())
    return {
        "claim": claim,
        "best": rows[best].config_id,
        "best_name": rows[best].name,
        "indistinguishable": tuple(rows[i].config_id for i in tied),
        "comparisons": tuple(_comparison(rows[i], comparisons, matrix, best, i) for i in order),
        "gap": gap,
        "seeds": seeds,
        "more_seeds": max(seeds - now, 1) if seeds is not None and claim is Claim.TIED else None,
    }


def _gap(fit: BlockFit, best: int, other: int) -> float:
    """Difference of two configs; exactly 0 when it is a rounding error."""
    first, second = float(fit.effects[best]), float(fit.effects[other])
    return first - second if _differ(first, second) else 0.0


def _differ(first: float | None, second: float | None) -> bool:
    return first is None or second is None or not math.isclose(first, second, rel_tol=1e-12, abs_tol=1e-15)


def _comparison(
    row: RankedConfig, comparisons: Comparisons, matrix: Any, best: int, other: int
) -> Comparison:
    low, high = _number(comparisons.low[other]), _number(comparisons.high[other])
    return Comparison(
        config_id=row.config_id,
        name=row.name,
        estimate=float(comparisons.estimate[other]),
        low=low,
        high=high,
        n_pairs=int((np.isfinite(matrix[best]) & np.isfinite(matrix[other])).sum()),
        claim="better" if low is not None and low > 0 else "undecided",
    )


def _method(fit: BlockFit) -> str:
    design = "config + replicate (shared seeds)" if fit.blocked else "config only, unpaired"
    return f"least squares on the scored runs: {design}; t and studentized-range intervals, one variance"


def _counts(ranking: Ranking) -> dict[str, Any]:
    rows = ranking.rows
    ended = sum(run.status is not None for row in rows for run in row.runs)
    used = sum(row.n for row in ranking.scored)
    return {
        "n_configs": len(rows),
        "n_runs": ended + ranking.n_missing,
        "n_uncompared": sum(row.n for row in rows) - used,
        "n_failed": sum(row.n_failed for row in rows),
        "n_stopped": sum(row.n_stopped for row in rows),
        "n_missing": ranking.n_missing,
        "n_confirmations": sum(run.status is not None for row in rows for run in row.confirmations),
        "n_audits": ranking.n_audits,
        "adaptive": ranking.plan.adaptive,
        "ended": ranking.plan.ended,
        "stop_regret": ranking.plan.stop_regret,
        "val_patches": ranking.plan.val_patches,
        "chosen": ranking.chosen,
        "plan_final": ranking.plan.final,
    }


def _notes(ranking: Ranking) -> tuple[str, ...]:
    """Facts that a number cannot carry."""
    notes = []
    matrix = ranking.matrix()
    noise = pooled_noise(matrix) if len(matrix) else None
    if noise and noise.df and not noise.known:
        notes.append("Every repeat gave exactly the same score: check that the seeds reach the training.")
    test = equal_variances(matrix) if len(matrix) else None
    if test and test.p is not None and test.p < ranking.alpha:
        notes.append(
            f"The configs' noise levels seem to differ ({test.method}, p {test.p:.3f}). The intervals assume one level "
            "for all: if they do differ, some config is called better by chance more often than stated."
        )
    if any(row.state is ConfigState.STOPPED for row in ranking.rows):
        notes.append(
            "Configs that the policy stopped early on any seed have no final score and are not compared, not even "
            "by the runs that finished; the intervals are widened as if they were."
        )
    if failed := [row for row in ranking.rows if row.n_failed]:
        some = sum(1 for row in failed if row.n)
        notes.append(
            f"{len(failed)} config{'s have' if len(failed) > 1 else ' has'} failed runs, {some} of them scored by the "
            "others alone: a config that fails on hard seeds is flattered by that."
        )
    if times := ranking.plan.extensions:
        notes.append(
            f"The sweep was extended {'once' if times == 1 else f'{times} times'} after it had begun. That its results "
            "were looked at in between is not corrected for: where a difference decided to go on, it is called real by "
            "chance more often than stated."
        )
    if ranking.n_audits:
        one = ranking.n_audits == 1
        runs = "1 stopped run was" if one else f"{ranking.n_audits} stopped runs were"
        notes.append(
            f"{runs} brought to the end afterwards to audit the stopping; here {'it counts' if one else 'they count'} "
            "as stopped, as before."
        )
    return (*notes, *_notes_on_missing(ranking))


def _notes_on_missing(ranking: Ranking) -> tuple[str, ...]:
    """What may still come."""
    if ranking.plan.adaptive and not ranking.plan.ended:
        return (
            "The search has not ended, or was interrupted: more runs may follow, and the choice may change.",
        )
    if ranking.n_missing and ranking.plan.final:
        return ("Some planned runs are missing: the sweep was interrupted or is still running.",)
    if ranking.n_missing:
        return (
            f"Up to {ranking.n_missing} runs are missing: the sweep was interrupted or is still running, "
            "or its space holds fewer configs than it was asked for.",
        )
    return ()


def _notes_on_best(ranking: Ranking, best_id: str | None) -> tuple[str, ...]:
    """Where the best config is not the one that a reader expects."""
    best, rows = ranking.row(best_id or ""), ranking.scored
    if best is None:
        return ()
    if ranking.plan.adaptive:
        chosen = ranking.row(ranking.chosen or "")
        if chosen is None or chosen is best:
            return ()
        return (
            f"The search chose {chosen.name} by the runs that it had; by all runs recorded by now, {best.name} is "
            "expected to score more.",
        )
    if best is not rows[0] and best.mean is not None and _differ(best.mean, rows[0].mean):
        return (
            f"On equal seeds {best.name} is ahead of {rows[0].name}, whose plain mean is better: "
            "they were not scored on the same seeds.",
        )
    return ()


def _notes_on_confirmation(facts: dict[str, Any]) -> tuple[str, ...]:
    """Whether fresh seeds disagree with what the search expected of its choice."""
    expected, confirmed = facts["expected"], facts["confirmed"]
    if not facts["adaptive"] or expected is None or confirmed is None or confirmed.low is None:
        return ()
    if confirmed.low <= expected.expected <= confirmed.high:
        return ()
    return (
        f"The fresh seeds do not agree with the expected score {expected.expected:.4f}, which is outside their "
        "interval: go by the fresh seeds.",
    )


def _pair_correlation(fit: BlockFit) -> float | None:
    """None from so few degrees of freedom that the share is anything between the ends of its scale."""
    return _number(fit.pair_correlation) if fit.noise.df >= LEAST_DF_FOR_PAIRS else None


def _spread_of(noise: Any) -> SpreadEstimate:
    if noise is None or noise.df < 1:
        return SpreadEstimate(None, 0, None, None)
    return SpreadEstimate(_number(noise.sd), noise.df, _number(noise.low), _number(noise.high))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
