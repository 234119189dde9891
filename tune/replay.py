"""Replays a policy against curves that are known already, in virtual time: no training, no Ray, no files.

For benchmarks, for the audit of early stopping and for tests. The rules are those of a live sweep: a run reports an
epoch, the policy judges it, free slots are filled. Only time differs: every epoch of every run takes one unit of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from results import RunStatus
from tune.schedulers.history import History, Run
from tune.schedulers.policy import Action, Decision, Finish, Policy, Start, Wait

#: The metric of a config (first argument) on a replicate (second) after each epoch, higher is better. It is as long as
#: the run is when nobody stops it; from a value that is not finite on, the run has diverged.
Curve = Callable[[int, int], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Logged:
    """One decision about a run, with what a row of the table `decisions` says of it.

    Args:
        event: epochs that all runs together had reported when it was taken; a judgement's own epoch is counted.
        time: virtual time, in epochs.
        action: what was decided.
        config, replicate, stage: of the run.
        epoch: epochs that the run had done.
        rung, statistic, threshold, n, reason: as the policy gave them.
    """

    event: int
    time: int
    action: Action
    config: int
    replicate: int
    stage: str
    epoch: int
    rung: int | None
    statistic: float | None
    threshold: float | None
    n: int
    reason: str


@dataclass(frozen=True)
class Replayed:
    """What became of a search.

    Args:
        history: its runs. Those that a hard stop interrupted have no status.
        finish: the policy's last word, with its choice and the reason; None after a hard stop.
        time: when the last epoch ended, in epochs of one worker.
        log: the starts, and the judgements at rungs, in order.
    """

    history: History
    finish: Finish | None
    time: int
    log: list[Logged]

    @property
    def chosen(self) -> int | None:
        """The config that the policy has chosen, if it did."""
        return self.finish.chosen if self.finish else None


def replay(
    policy: Policy, curve: Curve, *, configs: int, workers: int = 1, hard_stop: int | None = None
) -> Replayed:
    """Run a policy to its `Finish`.

    Deterministic: runs that report at the same time do so in the order in which they began their epoch.

    Args:
        policy: a fresh one.
        curve: see `Curve`; called once per run. A diverged epoch takes its time and reports nothing, as in a trial.
        configs: configs that the searcher would propose, at least 1.
        workers: slots, at least 1.
        hard_stop: epochs of all runs together after which everything is dropped, at least 1; None = never.

    Raises:
        ValueError: an argument is out of its range.
        RuntimeError: the policy broke its contract, for example waits for nothing.
        LookupError: whatever `curve` raises for a run that it does not have.
    """
    numbers = {"configs": configs, "workers": workers, "hard_stop": hard_stop}
    problems = [
        f"{name} is {n}; allowed: whole numbers from 1 on"
        for name, n in numbers.items()
        if n is not None and n < 1
    ]
    if problems:
        raise ValueError("this cannot be replayed: " + "; ".join(problems))
    return _Replay(policy, curve, configs=configs, workers=workers).run(hard_stop)


class _Replay:
    """The state of one replay.

    All epochs take the same time, so what was queued first is due first: the queue is in order of (time, order).
    """

    def __init__(self, policy: Policy, curve: Curve, *, configs: int, workers: int) -> None:
        self.policy, self.curve, self.configs = policy, curve, configs
        self.history, self.log = History(), list[Logged]()
        self.finish: Finish | None = None
        self.workers, self.free, self.now = workers, workers, 0
        self._closing = False  # the policy has said `Finish`, but runs are under way
        self._queue: deque[tuple[int, Run, list[float]]] = deque()
        self._curves: dict[tuple[int, int], list[float]] = {}

    def run(self, hard_stop: int | None) -> Replayed:
        history, queue, judge = self.history, self._queue, self.policy.judge
        limit = math.inf if hard_stop is None else hard_stop
        self._fill()
        while queue and history.epochs < limit:
            self.now, run, values = queue.popleft()
            epoch = len(run.values)
            value = values[epoch]
            if not math.isfinite(value):
                self._end(run, RunStatus.DIVERGED)
                continue
            history.report(run, value)
            decision = judge(run, history)
            if decision.rung is not None:
                self._note(run, decision.action, decision, decision.rung)
            if decision.action is Action.STOP:
                self._end(run, RunStatus.STOPPED)
            elif epoch + 1 == len(values):
                self._end(run, RunStatus.FINISHED)
            elif decision.action is Action.PAUSE:
                history.pause(run)
                self._release()
            else:
                queue.append((self.now + 1, run, values))
                if self.free and not self._closing:
                    self._fill()
        return self._result()

    def _result(self) -> Replayed:
        if self.finish is not None:
            for run in self.history.runs:
                if run.paused:
                    self.history.end(run, RunStatus.STOPPED)
        return Replayed(self.history, self.finish, self.now, self.log)

    def _end(self, run: Run, status: RunStatus) -> None:
        self.history.end(run, status)
        self._release()

    def _release(self) -> None:
        self.free += 1
        self._fill()

    # ---- starts -------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Fill the free slots. A `Finish` counts once nothing is under way: until then outcomes may change it."""
        while self.free:
            move = self.policy.next_move(self.history)
            if isinstance(move, Start):
                self._start(move)
                continue
            self._closing = isinstance(move, Finish)
            if self.free == self.workers:
                if isinstance(move, Wait):
                    raise RuntimeError(f"{type(self.policy).__name__} waits, but nothing is under way")
                self.finish = move
            return

    def _start(self, move: Start) -> None:
        config = self._config(move)
        if config is None:
            return
        run = self.history.run(config, move.replicate)
        if run is None:
            run = self.history.start(Run(config, move.replicate, move.stage))
            action = Action.START
        elif run.paused or run.status is RunStatus.STOPPED:
            self.history.reopen(run, move.stage)
            action = Action.RESUME
        else:
            state = run.status or "under way"
            raise RuntimeError(
                f"config {config}, replicate {move.replicate} is started again, but it is {state}"
            )
        self._note(run, action, move)
        values = self._values(config, move.replicate)
        if len(run.values) == len(values):  # it was stopped just where it would have ended
            self.history.end(run, RunStatus.FINISHED)
            return
        self.free -= 1
        self._queue.append((self.now + 1, run, values))

    def _config(self, move: Start) -> int | None:
        """The number of the config to start; None when the searcher has none left."""
        history = self.history
        if move.config is None:
            if history.configs < self.configs:
                return history.add_config()
            if history.exhausted:
                raise RuntimeError(f"{type(self.policy).__name__} asks an exhausted searcher for a config")
            history.exhausted = True
            return None
        if not 0 <= move.config < history.configs:
            raise RuntimeError(f"config {move.config} is started, but only {history.configs} were proposed")
        return move.config

    def _values(self, config: int, replicate: int) -> list[float]:
        key = (config, replicate)
        if key not in self._curves:
            values = [float(value) for value in self.curve(config, replicate)]
            if not values:
                raise ValueError(f"the curve of config {config}, replicate {replicate} has no epoch")
            self._curves[key] = values
        return self._curves[key]

    def _note(self, run: Run, action: Action, what: Decision | Start, rung: int | None = None) -> None:
        self.log.append(
            Logged(
                event=self.history.epochs,
                time=self.now,
                action=action,
                config=run.config,
                replicate=run.replicate,
                stage=run.stage,
                epoch=run.epochs,
                rung=rung,
                statistic=what.statistic,
                threshold=what.threshold,
                n=what.n,
                reason=what.reason,
            )
        )
