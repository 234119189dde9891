"""The toy search that the conformance suite of the policies drives: slots, one epoch at a time, every move checked.

Curves are functions of (config, replicate), and the order of the reports is shuffled, as a cluster does.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from results import RunStatus
from tune.schedulers import CONFIRM, SCREEN, Action, Decision, Finish, History, Policy, Run, Start, Wait

#: Replicates from here on are for the confirmation alone.
FIRST_FRESH = 1000

#: values of a run on (config, replicate), one per epoch; it ends by itself after them
Curve = Callable[[int, int], Sequence[float]]


def dyadic(value: float) -> float:
    """Rounded so that scaling by a power of two, and adding a whole number, loses nothing."""
    return round(value * 2**20) / 2**20


def noisy(config: int, replicate: int) -> list[float]:
    """A rising curve of config-specific height with seed noise and, for some, patience."""
    rng = random.Random(f"{config}-{replicate}")
    height = 0.3 + 0.02 * ((config * 7) % 10) + rng.gauss(0, 0.02)
    epochs = rng.choice([9, 9, 9, 7, 5])
    return [dyadic(height * (1 - 0.6**epoch) + rng.gauss(0, 0.004)) for epoch in range(1, epochs + 1)]


@dataclass
class Log:
    """What happened: events in order, and every question that was asked in between."""

    events: list[tuple[object, ...]] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    decisions: list[tuple[int, int, int, Decision]] = field(default_factory=list)
    finish: Finish | None = None

    def digest(self) -> str:
        return hashlib.sha256(
            repr((self.events, self.starts, self.decisions, self.finish)).encode()
        ).hexdigest()


def snapshot(history: History) -> str:
    return repr(sorted(vars(history).items()))


@dataclass
class Driver:
    """Runs a policy to its `Finish`, and refuses whatever the contract forbids.

    Args:
        curve: see `Curve`.
        workers: slots.
        seed: of the order in which running runs report.
        available: configs that the searcher has.
        fails: after so many epochs a run dies; None = it does not.
        asks: how often each question is asked; above 1, nothing may change by that.
    """

    curve: Curve = noisy
    workers: int = 3
    seed: int = 0
    available: int = 10
    fails: Callable[[int, int], int | None] = lambda config, replicate: None
    asks: int = 1

    def drive(self, policy: Policy) -> tuple[Log, History]:
        log, history, rng = Log(), History(), random.Random(self.seed)
        running: list[Run] = []
        for _ in range(100_000):
            while len(running) < self.workers:
                move = self.ask(policy, history)
                if not isinstance(move, Start):
                    break
                if (run := self.start(move, history, log)) is not None:
                    running.append(run)
                running = self.still_running(running, history, log)
            if not running:
                assert not isinstance(move, Wait), "waits for nothing"
                break
            run = rng.choice(running)
            self.step(run, policy, history, log)
            running = self.still_running(running, history, log)
        else:
            pytest.fail("it does not come to an end")
        assert isinstance(move, Finish)
        log.finish = move
        return log, history

    def ask(self, policy: Policy, history: History) -> Start | Wait | Finish:
        if self.asks == 1:
            return policy.next_move(history)
        before, answers = snapshot(history), [policy.next_move(history) for _ in range(self.asks)]
        assert snapshot(history) == before, "a question changed the history"
        assert all(answer == answers[0] for answer in answers)
        return answers[0]

    def start(self, move: Start, history: History, log: Log) -> Run | None:
        assert move.reason.strip()
        assert move.replicate >= 0
        assert (move.replicate >= FIRST_FRESH) == (move.stage == CONFIRM)
        config = move.config
        if config is None:
            assert not history.exhausted, "an exhausted searcher is asked again"
            if history.configs == self.available:
                history.exhausted = True
                log.events.append(("exhausted",))
                return None
            config = history.add_config()
            log.events.append(("config",))
        assert 0 <= config < history.configs, "no such config"
        run = history.run(config, move.replicate)
        if run is None:
            run = history.start(Run(config, move.replicate, move.stage))
        else:
            assert run.paused or run.status is RunStatus.STOPPED, f"{run} is started again"
            history.reopen(run, move.stage)
        log.starts.append(replace(move, config=config))
        log.events.append(("start", config, move.replicate, move.stage))
        return run

    def step(self, run: Run, policy: Policy, history: History, log: Log) -> None:
        if run.epochs == self.fails(run.config, run.replicate):
            self.end(run, RunStatus.FAILED, history, log)
            return
        values = self.curve(run.config, run.replicate)
        if run.epochs == len(values):  # stopped just where it would have ended
            self.end(run, RunStatus.FINISHED, history, log)
            return
        value = values[run.epochs]
        history.report(run, value)
        before = snapshot(history) if self.asks > 1 else ""
        decision = policy.judge(run, history)
        assert not before or snapshot(history) == before, "a judgement changed the history"
        self.check(decision, run)
        log.events.append(("epoch", run.config, run.replicate, value))
        log.decisions.append((run.config, run.replicate, run.epochs, decision))
        if decision.action is Action.STOP:
            self.end(run, RunStatus.STOPPED, history, log)
        elif run.epochs == len(values):
            self.end(run, RunStatus.FINISHED, history, log)
        elif decision.action is Action.PAUSE:
            history.pause(run)
            log.events.append(("pause", run.config, run.replicate))

    def check(self, decision: Decision, run: Run) -> None:
        assert decision.action in {Action.CONTINUE, Action.STOP, Action.PAUSE}
        if run.stage != SCREEN:
            assert decision.action is Action.CONTINUE
        if decision.action is not Action.CONTINUE:
            assert decision.rung is not None
        if decision.rung is not None:
            assert decision.rung == run.epochs or decision.rung < run.epochs
            assert decision.reason.strip()
        for number in (decision.statistic, decision.threshold):
            assert number is None or math.isfinite(number)

    def end(self, run: Run, status: RunStatus, history: History, log: Log) -> None:
        history.end(run, status)
        log.events.append(("end", run.config, run.replicate, status.value))

    def still_running(self, running: list[Run], history: History, log: Log) -> list[Run]:
        return [run for run in running if run.pending]


def replayed(events: Sequence[tuple[object, ...]], policy: Policy) -> tuple[list[Decision], History]:
    """Feed a log to a fresh policy: no start is asked for, every epoch is judged."""
    history, decisions = History(), []
    for kind, *rest in events:
        if kind == "config":
            history.add_config()
        elif kind == "exhausted":
            history.exhausted = True
        elif kind == "start":
            config, replicate, stage = rest
            run = history.run(config, replicate)
            if run is None:
                history.start(Run(config, replicate, stage))
            else:
                history.reopen(run, stage)
        else:
            run = history.run(*rest[:2])
            assert run is not None
            if kind == "epoch":
                history.report(run, rest[2])
                decisions.append(policy.judge(run, history))
            elif kind == "pause":
                history.pause(run)
            else:
                history.end(run, RunStatus(rest[2]))
    return decisions, history
