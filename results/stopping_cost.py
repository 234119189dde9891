"""What early stopping has cost a sweep, from a random sample of its stopped runs that an audit ran to their end.

Reads rankings and says what can be claimed; runs nothing, and does not choose the sample.

Each stopped run is judged as if it alone had been spared: its final score against those of the runs on the same seeds
that the search itself brought to their end. So the answer for one run does not depend on which others were drawn, and
the share of runs with that answer is a property of the sweep that a random sample estimates.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from scipy import stats

from results.audited import AUDIT, Rows
from results.claims import Verdict
from results.curves import read_curves
from results.ranking import RankedConfig, Ranking, rank_snapshot
from results.records import RunStatus
from results.scores import RankedRun, read_runs
from results.snapshot import Snapshot, snapshot
from results.statistics.proportions import Share, sampled_share
from results.store import ResultsStore
from results.verdict import judge


@dataclass(frozen=True)
class StoppedRun:
    """A run that the policy stopped. Numbers are in the metric's own direction; None = not known.

    Attributes:
        trial_key, config_id, name, replicate: whose run it is.
        stopped_epoch, stopped_value: when it was stopped, and its best value until then.
        rivals: scores on its seeds that the search itself obtained. Without any it cannot be judged.
        top: among how many of the best it would have to be: that of the audit, or `rivals` where those are fewer.
        drawn: an audit has begun to run it to its end.
        status: how it ended then; None while it has not.
        score: its final score; None unless it finished.
        rank: its place among the rivals with that score, from 1; a tie with a rival is behind it.
        winner_score: the score of the sweep's best config on the same seeds.
        winner_gap: by how much the score is better than the best config's mean; negative = worse.
    """

    trial_key: str
    config_id: str
    name: str
    replicate: int
    stopped_epoch: int
    stopped_value: float | None
    rivals: int
    top: int
    drawn: bool
    status: RunStatus | None
    score: float | None
    rank: int | None
    winner_score: float | None
    winner_gap: float | None

    @property
    def judged(self) -> bool:
        """It was run to its end, and there is something to compare it with."""
        return self.status is not None and self.rivals > 0

    @property
    def among_top(self) -> bool:
        """Had it alone been spared, it would be among the best `top` of its seeds; a run that failed would not."""
        return self.rank is not None and self.rank <= self.top


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
        among_top: share of the stopped runs that would have been among the best; None = nothing can be judged.
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
        """The runs that can be judged once they are at their end."""
        return tuple(run for run in self.runs if run.rivals)


def default_top(n_configs: int) -> int:
    """As many as a search would look at again: the root of the number of configs, rounded up, at least 1."""
    return max(1, math.isqrt(max(n_configs, 1) - 1) + 1)


def stopping_cost(store: ResultsStore, *, top: int | None = None) -> StoppingCost:
    """Judge the audited runs of a store, those of all its audits together.

    With seeds drawn independently of any result, the runs of several audits are one random sample: each audit draws
    from those not drawn before. That a look at the first one may have led to the second is not corrected.

    Args:
        store: of a sweep that is over.
        top: among how many of the best of its seeds a run counts, at least 1; None = `default_top` of the configs.

    Raises:
        StoreError: a file cannot be read.
        ValueError: `top` is below 1.
    """
    if top is not None and top < 1:
        raise ValueError(f"top is {top}; at least 1")
    rows = Rows(store.runs(), store.decisions(), store.epochs())
    seen = snapshot(store)
    ranking = rank_snapshot(seen)
    sweep = _Sweep(ranking, judge(ranking), top or default_top(ranking.n_started))
    stopped_at = _stops(seen, ranking)
    after = read_runs(rows.runs, read_curves(rows.epochs, ranking.metric), ranking.sign)
    ends = {run.trial_key: run for group in after.values() for run in group if run.stage == AUDIT}
    drawn = {*ends, *rows.decisions.filter(pc.field("policy") == AUDIT).column("trial_key").to_pylist()}
    runs = tuple(
        sweep.stopped(row, run, stopped_at.get(run.trial_key), end=ends.get(run.trial_key), drawn=drawn)
        for row in ranking.rows
        for run in row.runs
        if run.status is RunStatus.STOPPED
    )
    return sweep.cost(runs)


def _stops(seen: Snapshot, ranking: Ranking) -> dict[str, float]:
    """trial_key -> the best value that a run had before any audit."""
    curves = read_curves(seen.epochs, ranking.metric)
    rows = curves.best_rows(ranking.sign)
    return {key: float(curves.values[rows[i]]) for key, i in curves.position.items() if rows[i] >= 0}


class _Sweep:
    """What the search itself has shown: the scores on each seed, and its best config."""

    def __init__(self, ranking: Ranking, verdict: Verdict, top: int) -> None:
        self.ranking, self.verdict, self.top = ranking, verdict, top
        self.scores: dict[int, list[float]] = defaultdict(list)
        for row in ranking.rows:
            for run in row.runs:
                if run.score is not None:
                    self.scores[run.replicate].append(run.score)
        best = ranking.row(verdict.best) if verdict.best else None
        self.winner = {run.replicate: run.score for run in best.runs if run.score is not None} if best else {}
        self.winner_mean = math.fsum(self.winner.values()) / len(self.winner) if self.winner else None

    def stopped(
        self,
        row: RankedConfig,
        run: RankedRun,
        value: float | None,
        *,
        end: RankedRun | None,
        drawn: set[str],
    ) -> StoppedRun:
        rivals, sign = self.scores[run.replicate], self.ranking.sign
        score = end.score if end else None
        gap = None if score is None or self.winner_mean is None else sign * (score - self.winner_mean)
        ahead = None if score is None else sum(sign * rival >= sign * score for rival in rivals)
        return StoppedRun(
            trial_key=run.trial_key,
            config_id=row.config_id,
            name=row.short,
            replicate=run.replicate,
            stopped_epoch=run.epochs,
            stopped_value=value,
            rivals=len(rivals),
            top=min(self.top, len(rivals)),
            drawn=run.trial_key in drawn,
            status=end.status if end else None,
            score=score,
            rank=None if ahead is None else ahead + 1,
            winner_score=self.winner.get(run.replicate),
            winner_gap=gap,
        )

    def cost(self, runs: tuple[StoppedRun, ...]) -> StoppingCost:
        rivalled = [run for run in runs if run.rivals]
        met = [run for run in runs if run.winner_score is not None]
        sign = self.ranking.sign
        return StoppingCost(
            metric=self.ranking.metric,
            mode=self.ranking.plan.mode,
            alpha=self.ranking.alpha,
            top=self.top,
            runs=runs,
            among_top=self._share(rivalled, [run.among_top for run in rivalled]),
            above_winner=self._share(met, [_above(run, sign) for run in met]),
            winner=self.verdict.best,
            winner_name=self.verdict.best_name,
            winner_mean=self.winner_mean,
            excess=self._excess([run for run in runs if run.winner_gap is not None]),
        )

    def _share(self, runs: Sequence[StoppedRun], hits: Sequence[bool]) -> Share | None:
        """The share of hits among all the runs, from those that an audit has brought to their end."""
        if not runs:
            return None
        ended = sum(run.status is not None for run in runs)
        return sampled_share(sum(hits), ended, len(runs), alpha=self.ranking.alpha)

    def _excess(self, runs: Sequence[StoppedRun]) -> Excess | None:
        if not runs:
            return None
        gaps = [run.winner_gap or 0.0 for run in runs]
        best = int(np.argmax(gaps))
        noise = self.verdict.seed_noise
        proof = None
        if noise.sd and noise.df:
            critical = float(stats.t.ppf(1 - self.ranking.alpha / len(runs), noise.df))
            proof = critical * noise.sd * math.sqrt(1 + 1 / len(self.winner))
        return Excess(
            n=len(runs),
            mean=math.fsum(gaps) / len(gaps),
            loss=math.fsum(max(gap, 0.0) for gap in gaps) / len(gaps),
            best=gaps[best],
            best_run=runs[best].trial_key,
            seed_sd=noise.sd,
            df=noise.df,
            proof=proof,
        )


def _above(run: StoppedRun, sign: int) -> bool:
    """Whether it would have ended above the best config's run on the same seeds."""
    return (
        run.score is not None and run.winner_score is not None and sign * run.score > sign * run.winner_score
    )
