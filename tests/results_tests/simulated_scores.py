"""Scores whose truth is known, and counts of how often a statement about them came true.

For `test_simulation.py` and `tests/benchmarks/sim_statistics.py`. Scores have the size of IoU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from recorded_sweeps import SWEEP, epoch_record, run_record
from scipy import stats

from results import Ranking, rank
from results.plan import Plan
from results.schema import EPOCHS, RUNS, config_table
from results.statistics.blocks import BlockFit, config_means, config_sds, mean_intervals, tukey_kramer
from results.statistics.shrinkage import expected_scores
from results.statistics.variances import noise_of_means

Array = npt.NDArray[np.float64]
Truth = Callable[[np.random.Generator, int], Array]

#: what a search over hyperparameters looks like: good configs crowd below a ceiling, one in eight fails to learn.
CEILING, DUDS, DUD_SCORE = 0.462, 0.12, 0.32


def normal_truth(low: float, high: float | None = None) -> Truth:
    """True means are normal around 0.43; their sd is `low`, or log-uniform between `low` and `high`."""

    def draw(rng: np.random.Generator, configs: int) -> Array:
        spread = low if high is None else float(np.exp(rng.uniform(np.log(low), np.log(high))))
        return rng.normal(0.43, spread, configs)

    return draw


def crowded_truth(duds: float = DUDS) -> Truth:
    """True means a gamma variate (shape 2, scale 0.012) below the ceiling, some of them duds near 0.32."""

    def draw(rng: np.random.Generator, configs: int) -> Array:
        good = CEILING - rng.gamma(2, 0.012, configs)
        return np.where(rng.random(configs) < duds, rng.normal(DUD_SCORE, 0.01, configs), good)

    return draw


def equal_truth(rng: np.random.Generator, configs: int) -> Array:
    """All configs are the same."""
    return np.full(configs, 0.43)


@dataclass(frozen=True)
class Seeds:
    """Seed noise of one run.

    Attributes:
        sd: standard deviation between seeds, typical of a config.
        shared: correlation of two configs on the same replicate.
        skewed: a centred gamma variate of shape 2 (skewness 1.4) instead of a normal one: now and then a lucky run.
        low_tail: its mirror image: now and then a run that goes wrong.
        unequal: standard deviation of the logarithm of the configs' sds.
    """

    sd: float = 0.03
    shared: float = 0.0
    skewed: bool = False
    unequal: float = 0.0
    low_tail: bool = False

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Independent noise of variance 1."""
        if self.skewed or self.low_tail:
            return (-1 if self.low_tail else 1) * (rng.gamma(2, 1, shape) - 2) / np.sqrt(2)
        return rng.standard_normal(shape)

    def sds(self, rng: np.random.Generator, configs: int) -> Array:
        """The sd of each config."""
        return self.sd * np.exp(self.unequal * rng.standard_normal(configs))

    def scores(self, rng: np.random.Generator, truth: Array, sds: Array, replicates: int) -> Array:
        """(n_configs, n_replicates) scores around the true means."""
        own = np.sqrt(1 - self.shared) * self.draw(rng, (len(truth), replicates))
        common = np.sqrt(self.shared) * self.draw(rng, (1, replicates)) if self.shared else 0.0
        return truth[:, None] + sds[:, None] * (own + common)


@dataclass(frozen=True)
class Problem:
    """One sweep with its truth: (n_configs,) true means and sds, (n_configs, n_replicates) scores."""

    truth: Array
    sds: Array
    scores: Array


def problems(
    count: int, configs: int, replicates: int, *, truth: Truth, seeds: Seeds, seed: int
) -> Iterator[tuple[Problem, np.random.Generator]]:
    """That many independent problems, each with the generator that made it."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        means, sds = truth(rng, configs), seeds.sds(rng, configs)
        yield Problem(means, sds, seeds.scores(rng, means, sds, replicates)), rng


def own_sd_intervals(scores: Array) -> Array:
    """The t interval of each config by itself: what most papers print."""
    means, counts = config_means(scores)
    half = stats.t.ppf(0.975, counts - 1) * config_sds(scores) / np.sqrt(counts)
    return np.column_stack([means - half, means + half])


def bootstrap_intervals(scores: Array, rng: np.random.Generator) -> Array:
    """Percentile bootstrap over seeds, 999 resamples of each config."""
    configs, replicates = scores.shape
    drawn = rng.integers(replicates, size=(999, configs, replicates))
    means = scores[np.arange(configs)[:, None], drawn].mean(axis=2)
    return np.quantile(means, [0.025, 0.975], axis=0).T


def posterior_intervals(scores: Array, rng: np.random.Generator) -> Array:
    """`expected_scores`, with fewer draws than usual: there are many problems."""
    found = expected_scores(scores, rng=rng, draws=2000)
    return np.column_stack([found.low, found.high])


#: name -> 95 % intervals of all config means, (n_configs, 2).
INTERVALS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "own-sd t": lambda scores, _: own_sd_intervals(scores),
    "bootstrap": bootstrap_intervals,
    "pooled t": lambda scores, _: mean_intervals(scores),
    "pooled t, shared": lambda scores, _: mean_intervals(scores, noise=noise_of_means(scores)),
    "posterior": posterior_intervals,
}


def called_better(fit: BlockFit) -> bool:
    """Whether the verdict calls the best config better than any other: its rule, without its words."""
    return bool(np.nanmax(tukey_kramer(fit).low[int(np.nanargmax(fit.effects))]) > 0)


def ranked(scores: Array) -> Ranking:
    """The ranking of a sweep with these scores, from rows in memory, one epoch a run."""
    cells = [
        ({"trial_key": f"c{i}-r{j}", "config_id": f"c{i}", "replicate": j}, float(score))
        for (i, j), score in np.ndenumerate(scores)
    ]
    epochs = [asdict(epoch_record(val_iou=score, **who)) for who, score in cells]
    runs = [asdict(run_record(best_value=score, **who)) for who, score in cells]
    return rank(
        pa.Table.from_pylist(epochs, schema=EPOCHS),
        pa.Table.from_pylist(runs, schema=RUNS),
        config_table({f"c{i}": ("random", None, {"lr": float(i)}) for i in range(len(scores))}),
        Plan.of({**SWEEP, "replicates": scores.shape[1]}),
    )


def covered(intervals: Array, truth: Array) -> npt.NDArray[np.bool_]:
    """Which of the (n, 2) intervals hold the truth."""
    return (intervals[:, 0] <= truth) & (truth <= intervals[:, 1])


@dataclass(frozen=True)
class Share:
    """How often something happened: the mean over problems, with the standard error between problems."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: list[float]) -> Share:
        """Of one value per problem; values within a problem depend on each other."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values))))


@dataclass(frozen=True)
class Bin:
    """Statements with about the same stated probability: their mean, how often they were true, how many."""

    stated: float
    observed: float
    count: int

    @property
    def error(self) -> float:
        """Standard error of `observed`."""
        return float(np.sqrt(max(self.observed * (1 - self.observed), 1e-4) / self.count))


def calibration(stated: list[Array], true: list[npt.NDArray[np.bool_]]) -> list[Bin]:
    """Ten bins of stated probability, those that are not empty."""
    p, happened = np.concatenate(stated), np.concatenate(true)
    tenth = np.minimum((p * 10).astype(int), 9)
    return [
        Bin(float(p[tenth == i].mean()), float(happened[tenth == i].mean()), int((tenth == i).sum()))
        for i in range(10)
        if (tenth == i).any()
    ]
