"""What a recorded search has shown of its configs: evidence for `statistics.posterior`, and what follows from it.

For searches that decided themselves how many seeds a config gets. The plain mean of a config that was repeated
because it looked good, and of one that was left because it did not, are no fair comparison; the posterior knows the
number of runs behind each of them and the runs that were stopped. The search weighs its own history with the same
function, so that both name the same config. Claims no difference: that is `verdict.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from results.curves import Curves
from results.ranked_config import Expected
from results.records import RunStatus
from results.scores import RankedRun
from results.statistics.blocks import Floats
from results.statistics.posterior import Evidence, Posterior, draw_means, posterior

#: a difference of the metric that nobody would act upon.
TOLERANCE = 0.005
#: posterior draws, and how many numbers they may fill at once.
_DRAWS, _MOST_NUMBERS = 10_000, 4_000_000
#: of the draws behind the chances: the same rows give the same numbers.
_SEED = 0


def search_evidence(runs: Mapping[str, Sequence[RankedRun]], curves: Curves, *, sign: int) -> Evidence:
    """The finished and the stopped runs of the search as arrays.

    A finished run is its best-so-far curve; before its first finite value it is where that value is, because nothing
    lower was seen of it. A run that was stopped, or was resumed or given more epochs and has not ended yet, is its best
    value and its last epoch. Failed runs, runs that have not ended, and runs without a finite value are no evidence.

    Args:
        runs: config_id -> its runs, without those on fresh seeds; the order numbers the configs.
        curves: their epochs.
        sign: +1 when higher is better, -1 when lower is.
    """
    length = int(curves.last_epochs().max(initial=1))
    finished, stopped = list[tuple[int, Floats]](), list[tuple[int, int, float]]()
    for config, group in enumerate(runs.values()):
        for run in group:
            if run.score is not None:
                finished.append((config, _best_so_far(curves, run.trial_key, length=length, sign=sign)))
            elif run.status is RunStatus.STOPPED or run.reopened or run.extended:
                value = _best_of(curves, run.trial_key, sign)
                if np.isfinite(value):
                    stopped.append((config, run.epochs, value))
    return Evidence(
        n_configs=len(runs),
        config=np.array([config for config, _ in finished], dtype=np.int64),
        curves=np.array([curve for _, curve in finished], dtype=np.float64).reshape(-1, length),
        stopped_config=np.array([config for config, _, _ in stopped], dtype=np.int64),
        stopped_epoch=np.array([epoch for _, epoch, _ in stopped], dtype=np.int64),
        stopped_value=np.array([value for _, _, value in stopped], dtype=np.float64),
    )


def _values(curves: Curves, key: str, sign: int) -> tuple[Floats, Floats]:
    """Epochs and values of a run, higher is better; -inf = not finite."""
    i = curves.position[key]
    rows = slice(int(curves.starts[i]), int(curves.starts[i + 1]))
    values = sign * curves.values[rows]
    return curves.epochs[rows].astype(np.float64), np.where(np.isfinite(values), values, -np.inf)


def _best_of(curves: Curves, key: str, sign: int) -> float:
    return float(_values(curves, key, sign)[1].max()) if key in curves.position else -np.inf


def _best_so_far(curves: Curves, key: str, *, length: int, sign: int) -> Floats:
    """(length,) after each epoch; a run with a score has a finite value."""
    epochs, values = _values(curves, key, sign)
    best = np.maximum.accumulate(values)
    best[np.isneginf(best)] = best[np.isfinite(best)][0]
    after = np.searchsorted(epochs, np.arange(1, length + 1), side="right") - 1
    return np.asarray(best[np.maximum(after, 0)])


def draws_for(configs: int) -> int:
    """Posterior draws of the means of so many configs: fewer for thousands of them."""
    return min(_DRAWS, max(500, _MOST_NUMBERS // max(configs, 1)))


@dataclass(frozen=True)
class Chances:
    """Draws from a posterior, counted; each (n_configs,), NaN where nothing is known of a config."""

    near: Floats
    best: Floats
    regret: Floats


def chances_of(found: Posterior, *, tolerance: float, rng: np.random.Generator) -> Chances:
    """How probable it is that each config is near the highest true mean, or is it, and how far below it is expected.

    Args:
        found: beliefs, higher is better.
        tolerance: in the unit of the metric, at least 0.
        rng: the only source of chance.
    """
    known = np.flatnonzero(found.known)
    near, best, regret = np.full((3, len(found.known)), np.nan)
    if not len(known):
        return Chances(near, best, regret)
    draws = draws_for(len(known))
    means = draw_means(found, rng=rng, draws=draws)
    behind = means.max(axis=1, keepdims=True) - means
    near[known] = (behind <= tolerance).mean(axis=0)
    best[known] = np.bincount(means.argmax(axis=1), minlength=len(known)) / draws
    regret[known] = behind.mean(axis=0)
    return Chances(near, best, regret)


def expectations(
    runs: Mapping[str, Sequence[RankedRun]], curves: Curves, *, sign: int, alpha: float
) -> dict[str, Expected]:
    """config_id -> what it is expected to score, for every config of which anything is known.

    Args:
        runs: as in `search_evidence`.
        curves: their epochs.
        sign: +1 when higher is better, -1 when lower is.
        alpha: one minus the probability of each interval, one config at a time.
    """
    found = posterior(search_evidence(runs, curves, sign=sign))
    chances = chances_of(found, tolerance=TOLERANCE, rng=np.random.default_rng(_SEED))
    ends = np.sort(sign * np.array(found.interval(alpha)), axis=0)
    return {
        config_id: Expected(
            mean=sign * float(found.mean[i]),
            low=float(ends[0, i]),
            high=float(ends[1, i]),
            near=float(chances.near[i]),
            best=float(chances.best[i]),
            regret=float(chances.regret[i]),
        )
        for i, config_id in enumerate(runs)
        if found.known[i]
    }
