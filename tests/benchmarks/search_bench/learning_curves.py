r"""Simulated learning curves of a segmentation search under seed noise, and the true score of every config.

The validation IoU of config c on replicate s after epoch e = 1 .. 100 is

    y = A_c                               asymptote
      - (A_c - y0_c) exp(-e / tau_cs)     learning; tau_cs = tau_c exp(0.15 normal)
      + u_cs (1 - a(e)) + w_cs a(e)       the seed's luck, late and early; a(e) = exp(-e / 12)
      + b_c (phase(e) - 1/2)              a learning-rate cycle ends a little better than it begins
      - sum_r D_c exp(-(e - r - 1) / om_c)  dips after the warm restarts r = 20, 60 (for e > r)
      - o_c max(0, e - 25)                over-fitting
      + AR(1) noise                       of the epochs: sd 0.010, correlation 0.5

clipped to [0, 1]. A run ends after 100 epochs, or 15 epochs after its best one. Its *score* is its best value; the
*truth* of a config is its mean score over seeds. Over configs:

    A_c    0.462 - Gamma(2, 0.012); for 12 %, the duds, normal(0.32, 0.04)
    tau_c  6 exp(0.45 normal) epochs; 12 % late bloomers take 2.5 times as long; within [1.5, 40]
    y0_c   uniform(0.02, 0.15)      b_c   uniform(0, 0.015)      om_c  uniform(3, 8) epochs
    D_c    0.03 exp(0.5 normal)     o_c   exponential(0.0003) per epoch
    sd_c   seed_sd exp(h normal - h^2), so that the mean of sd_c^2 is seed_sd^2;  u, w ~ sd_c times unit noise

The truth is estimated from further runs by the control variate u: it has mean 0 and moves the score almost one to one,
so the mean of score - u has the same expectation as the mean score, with a fraction of its variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import ndtri

Floats = NDArray[np.float64]

MAX_EPOCHS = 100
PATIENCE = 15
EARLY = 12.0  # epochs in which the early luck of a seed fades
RESTARTS = (20, 60)
FIRST_BLOCK = 8  # replicates that are drawn for all configs at once
LATER_BLOCK = 32  # and for one config when it gets more
TRUTH_RUNS, TOP_RUNS = 48, 256  # runs behind a config's truth, and behind that of the best ones


@dataclass(frozen=True)
class CurveModel:
    """What a family of problems is like; the defaults are described at the top of this file.

    Args:
        configs: number of configs, at least 1.
        seed_sd: root mean square of the configs' seed sds, IoU.
        sd_spread: h, the log-normal spread of the seed sds over configs.
        tail_df: degrees of freedom of the late luck's t distribution, scaled to unit variance, above 2; None = normal.
        gap: scale of the Gamma distribution of the configs' distance from the top, IoU.
        crossing: correlation, in [0, 1], of being good with being slow: with it, curves cross.
        late: share of late bloomers.
        late_gain: how much better their asymptote is, IoU.
        duds: share of duds.
        diverging: share of runs whose values are NaN from an epoch in 2 .. 40 on.
        shared: correlation, in [0, 1], of the late luck of different configs on the same replicate.
        noise: sd of the epoch noise, IoU.
    """

    configs: int = 64
    seed_sd: float = 0.018
    sd_spread: float = 0.25
    tail_df: float | None = None
    gap: float = 0.012
    crossing: float = 0.0
    late: float = 0.12
    late_gain: float = 0.0
    duds: float = 0.12
    diverging: float = 0.0
    shared: float = 0.0
    noise: float = 0.010


@dataclass(frozen=True)
class Batch:
    """Runs of some configs.

    Attributes:
        values: IoU after each epoch, shape (runs, MAX_EPOCHS), as if nobody and nothing had ended them.
        ends: epochs until the run ends by itself, (runs,).
        scores: best value until then, (runs,).
        luck: u, (runs,).
    """

    values: Floats
    ends: NDArray[np.int64]
    scores: Floats
    luck: Floats


class SimulatedProblem:
    """One search problem: configs with their true scores, and as many replicates of each as are asked for.

    A function of its seed and model: the curve of a config on a replicate does not depend on what was asked before.

    Args:
        seed: of everything random in it.
        model: what it is like.

    Attributes:
        configs: number of configs.
        max_epochs: epochs of a run that does not end before.
        usual_epochs: epochs of an unstopped run on average, by which budgets are counted.
        replicates: how many there are: as many as are asked for.
    """

    max_epochs = MAX_EPOCHS
    usual_epochs = 50.0
    replicates: int | None = None

    def __init__(self, seed: int, model: CurveModel = CurveModel()) -> None:
        self.seed, self.model, self.configs = seed, model, model.configs
        self._draw_configs(np.random.default_rng([seed, 1]))
        self._curves: dict[tuple[int, int], Floats] = {}

    def curve(self, config: int, replicate: int) -> Floats:
        """IoU after each epoch until the run ends by itself; NaN from an epoch on = it diverges there."""
        if (config, replicate) not in self._curves:
            self._draw_block(config, replicate)
        return self._curves[config, replicate]

    @cached_property
    def truth(self) -> Floats:
        """The mean score of every config over seeds, shape (configs,), runs that diverge not counted."""
        rng = np.random.default_rng([self.seed, 2])
        truth = self._mean_scores(np.arange(self.configs), TRUTH_RUNS, rng)
        best = np.argsort(-truth)[: max(6, self.configs // 8)]
        truth[best] = self._mean_scores(best, TOP_RUNS, rng)
        return truth

    # ---- how it is drawn ----------------------------------------------------------------------------------------

    def _draw_configs(self, rng: np.random.Generator) -> None:
        model, n = self.model, self.configs
        asymptote = 0.462 - rng.gamma(2.0, model.gap, n)
        asymptote = np.where(rng.random(n) < model.duds, rng.normal(0.32, 0.04, n), asymptote)
        rank = (np.argsort(np.argsort(asymptote)) + 0.5) / n
        slow = model.crossing * ndtri(rank) + np.sqrt(1 - model.crossing**2) * rng.standard_normal(n)
        late = rng.random(n) < model.late
        self.tau = np.clip(6.0 * np.exp(0.45 * slow) * np.where(late, 2.5, 1.0), 1.5, 40.0)
        self.asymptote = asymptote + np.where(late, model.late_gain, 0.0)
        self.start = rng.uniform(0.02, 0.15, n)
        spread = model.sd_spread
        self.sd = model.seed_sd * np.exp(spread * rng.standard_normal(n) - spread**2)
        self._shape = self.asymptote[:, None] + _cycles(rng, n)

    def _draw_block(self, config: int, replicate: int) -> None:
        """Draw the runs of a block: the first replicates of all configs, or some later ones of one config."""
        if replicate < FIRST_BLOCK:
            configs, block, size = np.arange(self.configs), 0, FIRST_BLOCK
            rng = np.random.default_rng([self.seed, 3])
        else:
            configs, size = np.array([config]), LATER_BLOCK
            block, _ = divmod(replicate - FIRST_BLOCK, size)
            rng = np.random.default_rng([self.seed, 4, config, block])
        first = 0 if replicate < FIRST_BLOCK else FIRST_BLOCK + block * size
        replicates = np.tile(np.arange(first, first + size), len(configs))
        runs = np.repeat(configs, size)
        batch = self._runs(runs, rng, shared=self._shared(replicates))
        diverges = np.where(
            rng.random(len(runs)) < self.model.diverging, rng.integers(2, 41, len(runs)), MAX_EPOCHS + 1
        )
        for i in range(len(runs)):
            values = batch.values[i, : batch.ends[i]]
            values[diverges[i] - 1 :] = np.nan
            self._curves[int(runs[i]), int(replicates[i])] = values

    def _shared(self, replicates: NDArray[np.int64]) -> Floats:
        """The luck that all configs share on a replicate, in units of the configs' sds."""
        if not self.model.shared:
            return np.zeros(len(replicates))
        wanted = {
            r: np.random.default_rng([self.seed, 5, r]).standard_normal() for r in set(replicates.tolist())
        }
        return np.array([wanted[r] for r in replicates.tolist()])

    def _mean_scores(self, configs: NDArray[np.int64], runs: int, rng: np.random.Generator) -> Floats:
        batch = self._runs(np.repeat(configs, runs), rng)
        return (batch.scores - batch.luck).reshape(len(configs), runs).mean(axis=1)

    def _runs(
        self, configs: NDArray[np.int64], rng: np.random.Generator, *, shared: Floats | None = None
    ) -> Batch:
        """Runs of `configs`, (runs,); `shared` is the common luck of each, which makes u partly the same."""
        model, n, epochs = self.model, len(configs), np.arange(1, MAX_EPOCHS + 1)
        luck = _unit_noise(rng, n, model.tail_df)
        if shared is not None and model.shared:
            luck = np.sqrt(model.shared) * shared + np.sqrt(1 - model.shared) * luck
        luck = luck * self.sd[configs]
        early = rng.standard_normal(n) * self.sd[configs]
        fades = np.exp(-epochs / EARLY)
        tau = self.tau[configs] * np.exp(0.15 * rng.standard_normal(n))
        values = self._shape[configs]
        values -= (self.asymptote - self.start)[configs, None] * np.exp(-epochs / tau[:, None])
        values += luck[:, None] * (1 - fades) + early[:, None] * fades
        values += _epoch_noise(rng, n, model.noise)
        np.clip(values, 0.0, 1.0, out=values)
        ends, scores = _ends(values)
        return Batch(values, ends, scores, luck)


def _unit_noise(rng: np.random.Generator, n: int, df: float | None) -> Floats:
    """Noise of variance 1: normal, or t with `df` degrees of freedom."""
    if df is None:
        return rng.standard_normal(n)
    return rng.standard_t(df, n) / np.sqrt(df / (df - 2))


def _cycles(rng: np.random.Generator, n: int) -> Floats:
    """What warm restarts and over-fitting do to the curves of n configs, (n, MAX_EPOCHS)."""
    epochs = np.arange(1, MAX_EPOCHS + 1)
    dip = 0.03 * np.exp(0.5 * rng.standard_normal(n))[:, None]
    recovery = rng.uniform(3, 8, n)[:, None]
    gain, over = rng.uniform(0, 0.015, n)[:, None], rng.exponential(0.0003, n)[:, None]
    begins = np.array([0, *RESTARTS])
    cycle = np.searchsorted(begins, epochs, side="left") - 1  # a cycle's last epoch is the next one's restart
    phase = (epochs - begins[cycle]) / np.array([20, 40, 80])[cycle]
    curves = gain * (phase - 0.5) - over * np.maximum(epochs - 25, 0)
    for restart in RESTARTS:
        since = np.maximum(epochs - restart - 1, 0)
        curves = curves - np.where(epochs > restart, dip * np.exp(-since / recovery), 0.0)
    return curves


def _epoch_noise(rng: np.random.Generator, n: int, sd: float) -> Floats:
    """Stationary AR(1) noise with correlation 0.5, (n, MAX_EPOCHS)."""
    phi = 0.5
    shocks = rng.standard_normal((n, MAX_EPOCHS))
    shocks *= sd * np.sqrt(1 - phi**2)
    shocks[:, 0] /= np.sqrt(1 - phi**2)
    return np.asarray(lfilter([1.0], [1.0, -phi], shocks, axis=1))


def _ends(values: Floats) -> tuple[NDArray[np.int64], Floats]:
    """When patience or the last epoch ends each run, and its best value until then."""
    runs = np.arange(len(values))
    best = np.maximum.accumulate(values, axis=1)
    is_best = np.ones(values.shape, dtype=bool)
    is_best[:, 1:] = values[:, 1:] > best[:, :-1]
    last_best = np.maximum.accumulate(np.where(is_best, np.arange(MAX_EPOCHS), 0), axis=1)
    waits = np.arange(MAX_EPOCHS) - last_best >= PATIENCE
    ends = np.where(waits.any(axis=1), waits.argmax(axis=1) + 1, MAX_EPOCHS)
    return ends, best[runs, ends - 1]
