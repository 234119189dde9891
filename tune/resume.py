"""Brings the runs of a sweep, and its policy, to where its log ends. Writes nothing; says what the log lacks.

What is on record wins over what the policy says now, and more so after the sweep was extended: the policy has the new
options from its first judgement on, so that it knows what it would if it had always had them. The last epochs before a
crash may lack their judgement or the end that followed from it: there the policy, which has seen the same in the same
order, is taken at its word.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from results import RunStatus
from results.records import EXTENSION
from tune.event_log import Event, Log, Row
from tune.faults import Fault
from tune.proposals import Proposals
from tune.run_state import RunState, SweepRuns
from tune.schedulers import CONTINUE, SCREEN, Action, Decision, Policy
from tune.trial import TrialSpec


@dataclass(frozen=True)
class Judged:
    """A judgement.

    Args:
        spec: the trial, in its stage at that time.
        decision: what became of it.
        epoch: the epoch that was judged.
        event: its place in the log; None in that of an older version.
    """

    spec: TrialSpec
    decision: Decision
    epoch: int
    event: int | None


@dataclass
class Rebuilt:
    """What the log says, and what it lacks.

    Args:
        chosen: the choice is on record, and the sweep was not extended since.
        judgements: that are not on record.
        stops: of stopped runs, by trial key; the latest of each, until it is resumed.
    """

    chosen: bool = False
    judgements: list[Judged] = field(default_factory=list)
    stops: dict[str, Judged] = field(default_factory=dict)


def rebuild(log: Log, runs: SweepRuns, *, proposals: Proposals, policy: Policy) -> Rebuilt:
    """Replay a log.

    Args:
        log: the whole of it.
        runs: without any run; filled.
        proposals: the recorded configs.
        policy: judges every epoch again, so that it knows what it knew.
    """
    return _Replay(runs, proposals, policy).all(log)


class _Replay:
    """One replay."""

    def __init__(self, runs: SweepRuns, proposals: Proposals, policy: Policy) -> None:
        self._runs, self._proposals, self._policy = runs, proposals, policy
        self._found = Rebuilt()

    def all(self, log: Log) -> Rebuilt:
        for config in range(log.begun):
            self._runs.open(config, 0, SCREEN)
        extended = [*log.extended]
        for event in log.events:
            while extended and event.number is not None and event.number > extended[0]:
                extended.pop(0)
                self._begin_again()
            if log.exhausted is not None and event.number is not None and event.number > log.exhausted:
                self._runs.history.exhausted = True
            if event.epoch is not None:
                self._epoch(event, event.epoch)
            elif event.decision is not None and event.decision["action"] == Action.CHOOSE:
                self._found.chosen = True
            elif event.decision is not None and event.decision["action"] in (Action.RETRY, Action.SET_ASIDE):
                self._fault(event.decision)
            elif event.decision is not None and event.decision["policy"] == EXTENSION:
                self._runs.history.go_on(self._runs.by_key[event.decision["trial_key"]].run)
            elif event.decision is not None:
                self._open(event.decision)
            if event.end is not None:
                self._end(event.end)
        for _ in extended:
            self._begin_again()
        self._runs.history.exhausted |= log.exhausted is not None
        return self._found

    def _begin_again(self) -> None:
        self._runs.begin_again()
        self._found.chosen = False

    def _open(self, row: Row) -> RunState:
        config = self._proposals.number(row["config_id"])
        state, _ = self._runs.open(config, row["replicate"], row["stage"])
        self._found.stops.pop(row["trial_key"], None)
        return state

    def _fault(self, row: Row) -> None:
        """The policy has no part in it. What it cost so far counts, and a larger share of a GPU is kept."""
        state = self._runs.by_key[row["trial_key"]]
        if row["action"] == Action.SET_ASIDE:
            state.faults.clear()  # a resume tries it again as often as it did at first
        else:
            with suppress(ValueError):  # a cause that another version knows: it does not count
                state.faults.append(Fault.recorded(row["reason"]))
            self._runs.grow(state, row["statistic"])

    def _epoch(self, event: Event, row: Row) -> None:
        state = self._runs.by_key.get(row["trial_key"])
        if state is None or not state.run.pending or state.spec.stage != row["stage"]:
            state = self._open(row)  # its start is not on record: an older version, or a torn copy
        self._runs.report(state, row)
        decision = self._policy.judge(state.run, self._runs.history)
        if event.settled:
            decision = _recorded(event.decision)
        judged = Judged(state.spec, decision, state.epochs, event.number)
        if not event.settled and is_due(decision):
            self._found.judgements.append(judged)
        if decision.action is Action.PAUSE:
            self._runs.history.pause(state.run)
        elif decision.action is Action.STOP:
            self._runs.history.end(state.run, RunStatus.STOPPED)
            self._found.stops[row["trial_key"]] = judged

    def _end(self, row: Row) -> None:
        state = self._runs.by_key.get(row["trial_key"]) or self._open(row)
        if state.status is None:
            self._runs.history.end(state.run, RunStatus(row["status"]))


def is_due(decision: Decision) -> bool:
    """Whether something became of the run, or it was at least compared: then it is put on record."""
    return decision.rung is not None or decision.action is not Action.CONTINUE


def _recorded(row: Row | None) -> Decision:
    """The decision in a row; without a row nothing was due."""
    return Decision(Action(row["action"]), row["rung"], reason=row["reason"]) if row else CONTINUE
