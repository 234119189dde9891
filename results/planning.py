"""Before spending: how many seeds a difference needs, what given seeds will show, and what both cost.

Puts the functions of `statistics.power` together for one question of a user, and reads off a recorded sweep what
a run of its kind costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from results.claims import Verdict
from results.extended import ended_runs
from results.statistics.power import (
    ExpectedRange,
    difference_detectable,
    expected_range,
    seeds_for_sd,
    seeds_needed,
)

if TYPE_CHECKING:
    from results.store import ResultsStore

#: rows of the table beside the number that is needed.
SEEDS_SHOWN = (2, 3, 5, 10, 20)
#: how well the sd itself should be known, and how surely.
SD_WITHIN, SD_PROBABILITY = 0.2, 0.9


@dataclass(frozen=True)
class KnownNoise:
    """What is known of the seed noise before a sweep.

    Attributes:
        sd: between seeds of one config, in the unit of the metric.
        residual: what remains of it in a comparison on shared seeds; equal to `sd` when pairing is not counted on.
        low, high: ends of the interval of `residual`; None when it was stated rather than measured.
        source: where it comes from, in words.
    """

    sd: float
    residual: float
    low: float | None
    high: float | None
    source: str

    def independent_configs(self, configs: int) -> float:
        """As many configs with seeds of their own tell as much about `sd` as so many on shared seeds.

        Seeds move the configs together by the variance ``sd^2 - residual^2`` and each of them by ``residual^2``. With
        MS_r the expected mean square of n replicates (n - 1 degrees of freedom) and MS_e that of the residual
        ((k - 1)(n - 1)), the within-config variance is ``(MS_r + (k - 1) MS_e) / k`` and has, by Satterthwaite (1946,
        Biometrics 2:110-114; see `variances.noise_of_means`),
        ``(n - 1) (MS_r + (k - 1) MS_e)^2 / (MS_r^2 + (k - 1) MS_e^2)`` degrees of freedom.

        Args:
            configs: k, at least 2.

        Returns:
            From 1 (the seeds move all configs alike) to k (independently).
        """
        residual = self.residual**2
        together = max(residual + configs * (self.sd**2 - residual), 0.0)
        others = configs - 1
        return (together + others * residual) ** 2 / (together**2 + others * residual**2)

    @classmethod
    def of(cls, verdict: Verdict, source: str) -> KnownNoise | None:
        """The noise that a verdict has measured; None when it has none.

        Pairing is counted on only if its share of the variance could be estimated, and is not negative.
        """
        seed, residual = verdict.seed_noise, verdict.residual_noise
        if not seed.sd or not residual.sd:
            return None
        pairing = verdict.pair_correlation
        if pairing is None or pairing <= 0:  # what pairing removes is not known, or nothing
            return cls(seed.sd, seed.sd, seed.low, seed.high, source)
        return cls(seed.sd, residual.sd, residual.low, residual.high, source)


@dataclass(frozen=True)
class Cost:
    """What one run takes.

    Attributes:
        epochs: of one run.
        epoch_seconds: of one epoch of one run; None = not known.
        gpus: share of a GPU that a run holds; 0 = it runs on the CPU.
    """

    epochs: int
    epoch_seconds: float | None = None
    gpus: float = 0.0


def recorded_cost(store: ResultsStore) -> Cost:
    """What a finished run of a sweep took: median epochs, median seconds of an epoch, its share of a GPU.

    The epochs are those of `max_epochs` when no run has finished.
    """
    ended = ended_runs(store.runs(), store.decisions())
    finished = ended.filter(pc.field("status") == "finished")
    epochs = pc.approximate_median(finished.column("epochs")).as_py() or store.sweep["max_epochs"]
    seconds = store.epochs().column("epoch_seconds")
    median = pc.approximate_median(seconds.filter(pc.is_finite(seconds))).as_py()
    return Cost(round(epochs), median, gpus_of(store.sweep.get("resources") or {}))


def gpus_of(resources: Mapping[str, Any]) -> float:
    """The share of a GPU that a run held: the given one, or the mean of those that were measured."""
    given = resources.get("gpus_per_trial") or 0.0
    if not isinstance(given, str):
        return float(given)
    measured = [float(entry["share"]) for entry in resources.get("gpu_shares", ())]
    return sum(measured) / len(measured) if measured else 1.0


@dataclass(frozen=True)
class SeedPlan:
    """So many seeds for every config: what they show and what they cost.

    Attributes:
        seeds: per config.
        difference: smallest true difference between two given configs that is shown with the wanted power; None
            when there is none that these seeds would show.
        runs, epochs: of the whole sweep, without early stopping.
        hours: of running trials, one after the other; None = the time of an epoch is not known.
        gpu_hours: the same in hours of a whole GPU; None on the CPU.
    """

    seeds: int
    difference: float | None
    runs: int
    epochs: int
    hours: float | None
    gpu_hours: float | None


@dataclass(frozen=True)
class StudyPlan:
    """The answer.

    Attributes:
        difference, configs, alpha, power: the question.
        noise: what it rests on.
        needed: the seeds that show `difference`; None when more than is reasonable.
        seeds_low, seeds_high: the same if the noise is at the ends of its interval; None = no interval, or more
            than is reasonable.
        rows: what some other numbers of seeds show.
        seeds_for_sd: seeds per config after which the pooled sd is within 20 % of the truth with 90 %.
        range_of_three: how far three runs of one config lie apart through their seeds alone.
    """

    difference: float
    configs: int
    alpha: float
    power: float
    noise: KnownNoise
    needed: SeedPlan | None
    seeds_low: int | None
    seeds_high: int | None
    rows: tuple[SeedPlan, ...]
    seeds_for_sd: int | None
    range_of_three: ExpectedRange


def plan_seeds(
    difference: float,
    noise: KnownNoise,
    cost: Cost,
    *,
    configs: int = 2,
    alpha: float = 0.05,
    power: float = 0.8,
) -> StudyPlan:
    """How many seeds per config show a true difference between two given configs of a sweep.

    By the rule of the verdict: simultaneous intervals over all configs, on shared seeds (see `power.power_of`).

    Args:
        difference: in the unit of the metric, above 0.
        noise: from an earlier sweep, or stated.
        cost: of one run.
        configs: in the sweep, at least 2.
        alpha: family-wise error rate.
        power: wanted probability of showing it, above alpha and below 1.
    """

    def seeds(sd: float | None) -> int | None:
        if sd is None:
            return None
        return seeds_needed(difference, sd, configs=configs, alpha=alpha, power=power)

    def row(n: int) -> SeedPlan:
        shown = difference_detectable(n, noise.residual, configs=configs, alpha=alpha, power=power)
        return _priced(n, shown, configs, cost)

    needed = seeds(noise.residual)
    return StudyPlan(
        difference=difference,
        configs=configs,
        alpha=alpha,
        power=power,
        noise=noise,
        needed=None if needed is None else row(needed),
        seeds_low=seeds(noise.low),
        seeds_high=seeds(noise.high),
        rows=tuple(row(n) for n in _shown(needed)),
        seeds_for_sd=seeds_for_sd(
            SD_WITHIN, probability=SD_PROBABILITY, configs=noise.independent_configs(configs)
        ),
        range_of_three=expected_range(3, noise.sd),
    )


def _shown(needed: int | None) -> Sequence[int]:
    return sorted({*SEEDS_SHOWN, *([needed] if needed else [])})


def _priced(seeds: int, difference: float | None, configs: int, cost: Cost) -> SeedPlan:
    epochs = configs * seeds * cost.epochs
    hours = None if cost.epoch_seconds is None else epochs * cost.epoch_seconds / 3600
    gpu_hours = hours * cost.gpus if hours is not None and cost.gpus else None
    return SeedPlan(seeds, difference, configs * seeds, epochs, hours, gpu_hours)
