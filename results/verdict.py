"""What may be claimed from a ranking, in numbers and in one plain sentence.

The only place that says "better", and it does so only when a simultaneous interval excludes zero. Reads and
writes no run directory except for `write_verdict`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from results.atomic import replace_text
from results.power import seeds_needed
from results.ranking import ConfigState, RankedConfig, Ranking
from results.sentences import sentence
from results.shrinkage import shrink
from results.statistics import (
    BlockFit,
    Comparisons,
    config_means,
    fit_blocks,
    not_distinguishable,
    pooled_noise,
    tukey_kramer,
)


class Claim(StrEnum):
    """What the sweep has shown."""

    ONE_BEST = "one best"
    TIED = "cannot be told apart"
    TOO_LITTLE = "undecided: too little data"
    NO_RESULT = "no result"


@dataclass(frozen=True)
class Comparison:
    """The best config against another one; a positive estimate means that the best one is better.

    `low` and `high` are the simultaneous interval, None when the seed noise is unknown. `n_pairs` counts the
    replicates on which both have a score. `claim` is ``better`` or ``undecided``.
    """

    config_id: str
    name: str
    estimate: float
    low: float | None
    high: float | None
    n_pairs: int
    claim: str


@dataclass(frozen=True)
class SpreadEstimate:
    """A standard deviation in the unit of the metric, its df and its interval; None = unknown."""

    sd: float | None
    df: int
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ExpectedScore:
    """What the best config will score with new seeds, in the metric's own direction.

    `mean` is the plain mean of its runs, which flatters a winner; `expected` with `low` and `high` is drawn
    towards the other configs (`shrunk` says whether that was possible); `best_single_run` is the highest run
    of the whole sweep, the number one would quote without repeats.
    """

    mean: float
    expected: float
    low: float | None
    high: float | None
    shrunk: bool
    best_single_run: float


@dataclass(frozen=True)
class Verdict:
    """The outcome of a sweep.

    Attributes:
        claim, sentence: what is shown, for machines and for people.
        metric, mode: what was compared; ``mode`` says which direction is better.
        best, best_name: config with the best mean; None without a result.
        indistinguishable: ids of the best config and of those not shown to be worse.
        comparisons: the best against each other config, in the order of the ranking.
        seed_noise: between seeds of one config, pooled.
        residual_noise: what remains of it when configs are compared on the same seeds.
        pair_correlation: share of the seed variance that pairing removed; None = cannot be estimated.
        expected: what the best config will score; None without a result.
        gap, seeds, more_seeds: observed difference of the first two; seeds per config with which a true
            difference of that size is shown with `power`; how many more than now. None = not applicable, or
            more than is reasonable.
        method, correction, alpha, power, family: how the intervals were made.
        runs_used: trial keys of the scored runs.
        n_configs, n_runs, n_failed, n_stopped, n_missing: what the sweep consists of.
        notes: what a careful reader should know.
    """

    claim: Claim
    sentence: str
    metric: str
    mode: str
    best: str | None
    best_name: str | None
    indistinguishable: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    seed_noise: SpreadEstimate
    residual_noise: SpreadEstimate
    pair_correlation: float | None
    expected: ExpectedScore | None
    gap: float | None
    seeds: int | None
    more_seeds: int | None
    method: str
    correction: str
    alpha: float
    power: float
    family: int
    runs_used: tuple[str, ...]
    n_configs: int
    n_runs: int
    n_failed: int
    n_stopped: int
    n_missing: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: tuples become lists, enums become text, NaN never occurs."""
        return dict(json.loads(json.dumps(asdict(self), allow_nan=False)))


def judge(ranking: Ranking, *, power: float = 0.8) -> Verdict:
    """Compare the best config with every other one.

    Randomised-block least squares over the scored runs (`statistics.fit_blocks`), simultaneous intervals by
    Tukey-Kramer over all configs that were started, so that picking the best after looking costs nothing.
    Looking at the same sweep again after adding seeds is not corrected; configs that the policy stopped are
    not compared.

    Args:
        ranking: from `rank`; its alpha is the family-wise error rate.
        power: for the number of further seeds.
    """
    rows, matrix = ranking.scored, ranking.matrix()
    started = sum(1 for row in ranking.rows if row.runs)
    fit = fit_blocks(matrix, alpha=ranking.alpha) if rows else None
    noise = pooled_noise(matrix, alpha=ranking.alpha) if rows else None
    facts: dict[str, Any] = {
        "metric": ranking.metric,
        "mode": ranking.mode,
        "alpha": ranking.alpha,
        "power": power,
        "family": started,
        "correction": f"Tukey-Kramer over the {started} configs started",
        "method": "no comparison" if fit is None else _method(fit),
        "seed_noise": _spread_of(noise),
        "residual_noise": _spread_of(fit.noise if fit else None),
        "pair_correlation": _number(fit.pair_correlation) if fit else None,
        "runs_used": tuple(run.trial_key for row in rows for run in row.runs if run.score is not None),
        "notes": _notes(ranking),
        **_counts(ranking),
    }
    facts |= _compared(ranking, fit, started, power) if fit else _nothing()
    if rows and facts["best"] != rows[0].config_id:
        facts["notes"] += (
            f"On equal seeds {facts['best_name']} is ahead of {rows[0].name}, whose plain mean is better: "
            "they were not scored on the same seeds.",
        )
    return Verdict(sentence=sentence(facts, ranking), **facts)


def write_verdict(verdict: Verdict, path: Path) -> None:
    """Write the verdict as JSON, all or nothing.

    Raises:
        OSError: the file cannot be written.
    """
    replace_text(path, json.dumps(verdict.to_dict(), indent=2, ensure_ascii=False) + "\n")


def _nothing() -> dict[str, Any]:
    none = dict.fromkeys(("best", "best_name", "expected", "gap", "seeds", "more_seeds"))
    return {"claim": Claim.NO_RESULT, "indistinguishable": (), "comparisons": (), **none}


def _compared(ranking: Ranking, fit: BlockFit, started: int, power: float) -> dict[str, Any]:
    """Everything that depends on which config is best."""
    rows, matrix = ranking.scored, ranking.matrix()
    comparisons = tukey_kramer(fit, alpha=ranking.alpha, family=started)
    best = int(np.nanargmax(fit.effects))
    order = sorted((i for i in range(len(rows)) if i != best), key=lambda i: -fit.effects[i])
    tied = not_distinguishable(comparisons, best)
    if len(rows) < 2 or fit.noise.df < 1:
        claim = Claim.TOO_LITTLE
    else:
        claim = Claim.ONE_BEST if len(tied) == 1 else Claim.TIED
    gap = float(comparisons.estimate[best, order[0]]) if order else None
    seeds = seeds_needed(gap or 0.0, fit.noise.sd, configs=max(started, 2), alpha=ranking.alpha, power=power)
    now = int(np.isfinite(matrix).sum(axis=1).min())
    return {
        "claim": claim,
        "best": rows[best].config_id,
        "best_name": rows[best].name,
        "indistinguishable": tuple(rows[i].config_id for i in sorted(tied, key=lambda i: -fit.effects[i])),
        "comparisons": tuple(_comparison(rows[i], comparisons, matrix, best, i) for i in order),
        "expected": _expected(ranking, best),
        "gap": gap,
        "seeds": seeds,
        "more_seeds": max(seeds - now, 1) if seeds is not None and claim is Claim.TIED else None,
    }


def _comparison(
    row: RankedConfig, comparisons: Comparisons, matrix: Any, best: int, other: int
) -> Comparison:
    low, high = _number(comparisons.low[best, other]), _number(comparisons.high[best, other])
    return Comparison(
        config_id=row.config_id,
        name=row.name,
        estimate=float(comparisons.estimate[best, other]),
        low=low,
        high=high,
        n_pairs=int((np.isfinite(matrix[best]) & np.isfinite(matrix[other])).sum()),
        claim="better" if low is not None and low > 0 else "undecided",
    )


def _expected(ranking: Ranking, best: int) -> ExpectedScore:
    matrix = ranking.sign * ranking.matrix()
    means, counts = config_means(matrix)
    noise = pooled_noise(matrix, alpha=ranking.alpha)
    shrunken = shrink(means, noise.sd**2 / counts, noise.df, alpha=ranking.alpha)
    single = np.nanmax(ranking.matrix()) * ranking.sign
    return ExpectedScore(
        mean=float(means[best]),
        expected=float(shrunken.means[best]),
        low=_number(shrunken.low[best]),
        high=_number(shrunken.high[best]),
        shrunk=shrunken.shrunk,
        best_single_run=float(single),
    )


def _method(fit: BlockFit) -> str:
    design = "config + replicate (shared seeds)" if fit.blocked else "config only, unpaired"
    return f"least squares on the scored runs: {design}; t and studentized-range intervals, one variance"


def _counts(ranking: Ranking) -> dict[str, int]:
    rows = ranking.rows
    return {
        "n_configs": len(rows),
        "n_runs": sum(len(row.runs) for row in rows),
        "n_failed": sum(row.n_failed for row in rows),
        "n_stopped": sum(row.n_stopped for row in rows),
        "n_missing": sum(row.n_missing for row in rows),
    }


def _notes(ranking: Ranking) -> tuple[str, ...]:
    """Facts that a number cannot carry."""
    notes = []
    matrix = ranking.matrix()
    noise = pooled_noise(matrix) if len(matrix) else None
    if noise and noise.df and noise.sd == 0:
        notes.append("Every repeat gave exactly the same score: check that the seeds reach the training.")
    if any(row.state is ConfigState.STOPPED for row in ranking.rows):
        notes.append(
            "Configs that the policy stopped early have no final score and are not compared; "
            "the intervals are widened as if they were."
        )
    if any(row.n_failed and row.n for row in ranking.scored):
        notes.append(
            "Failed runs are left out of the means. If a config fails on hard seeds, its mean flatters it."
        )
    if any(row.n_missing for row in ranking.rows):
        notes.append("Some planned runs are missing: the sweep was interrupted or is still running.")
    return tuple(notes)


def _spread_of(noise: Any) -> SpreadEstimate:
    if noise is None or noise.df < 1:
        return SpreadEstimate(None, 0, None, None)
    return SpreadEstimate(_number(noise.sd), noise.df, _number(noise.low), _number(noise.high))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
