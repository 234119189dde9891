"""What an audit says early stopping has cost: values only, nothing is computed from rows here."""

from __future__ import annotations

from dataclasses import dataclass

from results.records import RunStatus
from results.statistics.proportions import Share

#: of places, which are sums of shares.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class StoppedRun:
    """A run that the policy stopped. Numbers are in the metric's own direction; None = not known.

    Attributes:
        trial_key, config_id, name, replicate: whose run it is.
        stopped_epoch, stopped_value: when it was stopped, and its best value until then.
        runs: on its seeds, those that failed left out: what its place is among.
        drawn: an audit has begun to run it to its end.
        status: how it ended then; None while it has not.
        score: its final score; None unless it finished.
        place: its expected place among `runs`, from 1; a tie is behind the other. None without a score.
        winner_score: the score of the sweep's best config on the same seeds.
        winner_gap: by how much the score is better than the best config's mean; negative = worse.
    """

    trial_key: str
    config_id: str
    name: str
    replicate: int
    stopped_epoch: int
    stopped_value: float | None
    runs: int
    drawn: bool
    status: RunStatus | None
    score: float | None
    place: float | None
    winner_score: float | None
    winner_gap: float | None

    def among(self, top: int) -> bool:
        """Whether it would have been among the best `top` of its seeds; a run that failed would not."""
        return self.place is not None and self.place <= top + _ROUNDING


@dataclass(frozen=True)
class Excess:
    """How the audited scores lie to the mean of the best config; better is positive, in the unit of the metric.

    Attributes:
        n: audited runs with a score.
        mean: of all of them.
        loss: mean of what each is better, 0 where it is worse: what sparing a run would have gained, noise included.
        best, best_run: the largest, and whose it is.
        seed_sd, df: between runs of one config, pooled over configs; None and 0 = unknown.
        proof: what the largest must exceed to be more than the noise of `n` single runs; None = unknown.
    """

    n: int
    mean: float
    loss: float
    best: float
    best_run: str
    seed_sd: float | None
    df: int
    proof: float | None


@dataclass(frozen=True)
class StoppingCost:
    """The answer of an audit.

    Attributes:
        metric, mode, alpha: of the sweep; one minus the coverage of the intervals.
        top: among how many of the best of its seeds a run counts as one that should not have been stopped.
        runs: every stopped run, those that cannot be judged included.
        among_top: share of the stopped runs that would have been among the best; None = nothing can be judged. With few
            audited runs on a seed it errs towards too large a share; its upper limit holds all the same.
        above_winner: share that would have ended above the best config's run on the same seeds.
        winner, winner_name, winner_mean: the best config of the verdict; None without one.
        excess: None without an audited score or without a best config.
    """

    metric: str
    mode: str
    alpha: float
    top: int
    runs: tuple[StoppedRun, ...]
    among_top: Share | None
    above_winner: Share | None
    winner: str | None
    winner_name: str | None
    winner_mean: float | None
    excess: Excess | None

    @property
    def audited(self) -> tuple[StoppedRun, ...]:
        """The runs that an audit has brought to their end."""
        return tuple(run for run in self.runs if run.status is not None)

    @property
    def judgeable(self) -> tuple[StoppedRun, ...]:
        """The runs that can be judged once they are at their end: with more runs on their seeds than count as best."""
        return tuple(run for run in self.runs if run.runs > self.top)
