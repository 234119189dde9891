"""A `Sweep` being executed: asks the policy, hands out trials, records what they report. Knows neither Ray nor torch.

The Ray driver and the in-process runner are thin layers over this one object, so both take the same decisions.
All state can be rebuilt by replaying the store: that is how a sweep is resumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from results import ResultsStore, RunStatus
from search_spaces import Config
from tune.errors import PolicyError
from tune.event_log import read_log
from tune.event_writer import EventWriter
from tune.faults import Cause, Fault, Retry, SetAside, what_follows
from tune.proposals import Proposals
from tune.recorder import Recorder
from tune.resume import rebuild
from tune.run_state import RunState, SweepRuns
from tune.schedulers import CONFIRM, Action, Decision, Finish, Policy, Start, make_policy
from tune.start_check import start_problem
from tune.sweep import Sweep
from tune.trial import RunEnd, TrialSpec

#: So many trials set aside in a row, without a new epoch of any trial in between, break a sweep off: a full disk or a
#: bucket that is gone would take the next ones as well.
MAX_IN_A_ROW = 3


class Execution:
    """The state machine of a sweep.

    Args:
        sweep: what was declared.
        store: when it holds rows already, they are replayed and only what is missing is run.
        recorder: the translator to that store.
        node: this machine's name, for rows of trials that do not say where they ran.
        policy: decides what runs and what is stopped; None = the sweep's own. Its `name`, if it has one, stands in the
            rows of its decisions.
        share_of: the share of a GPU that a trial of a config begins with; None = what the sweep says.

    Attributes:
        runs: every trial that was ever started, by its key, in the order of the first start.
        history: the same, as the policy sees it.
        ended: why the search is over; None while it is not.
    """

    def __init__(
        self,
        sweep: Sweep,
        store: ResultsStore,
        *,
        recorder: Recorder,
        node: str,
        policy: Policy | None = None,
        share_of: Callable[[Config], float] | None = None,
    ) -> None:
        self.sweep = sweep
        self._policy = policy or make_policy(sweep.policy, sweep.policy_options())
        self._policy_name = str(getattr(policy, "name", sweep.policy))
        self._proposals = Proposals(sweep, recorder=recorder, recorded=store.configs().to_pylist())
        share_of = share_of or (lambda config: sweep.gpu_share)
        self._sweep_runs = SweepRuns(sweep, self._proposals, share_of=share_of)
        self.runs, self.history = self._sweep_runs.by_key, self._sweep_runs.history
        self.ended: str | None = None
        self._running: set[str] = set()
        self._waits_since = -1
        log = read_log(store, sweep.metric)
        found = rebuild(log, self._sweep_runs, proposals=self._proposals, policy=self._policy)
        self._chosen = found.chosen
        self._events = EventWriter(recorder, policy=self._policy_name, node=node, last=log.last)
        self._events.repair(found, log, runs=self.runs)
        self._interrupted = deque(state for state in self.runs.values() if state.run.pending)
        self._aside: dict[str, tuple[int, str]] = {}
        self._aside_in_a_row, self._newest_epoch = 0, log.last

    # ---- what a runner calls ------------------------------------------------------------------------------------

    def next_trial(self) -> TrialSpec | None:
        """The next trial to start; None when there is none now (see `done`).

        Runs that an interruption left open and those that a fault took come first; then the policy is asked; and when
        it has nothing to start, trials that were set aside get another try, if any trial has got on since.

        Raises:
            PolicyError: the policy waits although nothing is under way, or asks for what cannot be done.
        """
        if self.ended is not None or self.broken_off or self._waits_since == self._events.last:
            return None
        if self._interrupted:
            return self._go_on(self._interrupted.popleft())
        while isinstance(move := self._policy.next_move(self.history), Start):
            if (spec := self._start(move)) is not None:
                return spec
        for key, (since, _) in self._aside.items():
            if since < self._newest_epoch:
                del self._aside[key]
                return self._go_on(self.runs[key])
        if next(self.history.pending(), None) is not None:
            self._waits_since = self._events.last
        elif isinstance(move, Finish):
            self._finish(move)
        else:
            raise PolicyError(f"policy {self._policy_name} waits for a run to report, and none is under way")
        return None

    @property
    def configs(self) -> list[Config]:
        """The configs that were proposed, in that order."""
        return self._proposals.configs

    @property
    def done(self) -> bool:
        """After `next_trial` had nothing: whether nothing runs and nothing is left to start, now or later."""
        return not self._running and (self.complete or bool(self._aside))

    @property
    def complete(self) -> bool:
        """The policy has ended the search, and every run that it started has ended."""
        return self.ended is not None

    @property
    def broken_off(self) -> bool:
        """Faults have set aside so many trials in a row that no more are started; until one that runs gets on."""
        return self._aside_in_a_row >= MAX_IN_A_ROW

    @property
    def lost(self) -> Mapping[str, str]:
        """Trials that faults have set aside, and why: they have no end, and a resume runs them again."""
        return {key: why for key, (_, why) in self._aside.items()}

    @property
    def planned(self) -> int | None:
        """Runs of the search: of one that is over those that there were, else configs x replicates; None = not planned.

        A finite space may hold fewer configs than were asked for, and a budget may end the search sooner.
        """
        if self.complete:
            return sum(state.run.stage != CONFIRM for state in self.runs.values())
        configs = self.history.configs if self.history.exhausted else self.sweep.configs
        return configs * self.sweep.planned_seeds or None

    @property
    def running(self) -> frozenset[str]:
        """The trial keys that were started and have not ended."""
        return frozenset(self._running)

    def ended_runs(self) -> Iterator[tuple[TrialSpec, int]]:
        """The runs that have ended, each with its best epoch; without those that never had one."""
        return ((run.spec, run.best[0]) for run in self.runs.values() if run.status and run.best)

    def known_epochs(self, spec: TrialSpec) -> int:
        """Epochs of the trial that are recorded already."""
        return self.runs[spec.trial_key].epochs

    def share(self, spec: TrialSpec) -> float:
        """The share of a GPU that the trial gets; 0 = none."""
        return self.runs[spec.trial_key].share

    def on_epoch(self, spec: TrialSpec, metrics: Mapping[str, Any], *, node: str | None = None) -> Action:
        """A trial reported an epoch; says whether it goes on, is stopped, or gives its place back for now (PAUSE).

        A repeated epoch (its worker died and came back) changes nothing.
        """
        state = self.runs[spec.trial_key]
        if not state.run.pending:
            return Action.STOP
        if metrics["epoch"] <= state.epochs:
            return Action.CONTINUE
        self._events.epoch(state, metrics, node=node)
        self._sweep_runs.report(state, metrics)
        self._aside_in_a_row, self._newest_epoch = 0, self._events.last
        decision = self._policy.judge(state.run, self.history)
        if decision.action is Action.STOP:
            self._ends(state, RunStatus.STOPPED)
        self._events.judged(state, decision)
        if decision.action is Action.PAUSE:
            self.history.pause(state.run)
            self._running.discard(spec.trial_key)
            self._events.flush()
        return decision.action

    def on_end(self, spec: TrialSpec, end: RunEnd) -> None:
        """A trial ended by itself. Ends are final: a second one changes nothing.

        One that was out of memory on a part of a GPU has not ended: it gets a larger part.
        """
        state = self.runs[spec.trial_key]
        if not state.run.pending:
            return
        if end.status == RunStatus.OUT_OF_MEMORY and 0 < state.share < 1:
            self.on_fault(spec, Fault(Cause.GPU_MEMORY, end.reason, end.error))
            return
        self._ends(state, RunStatus(end.status), end.reason)
        self._events.ended(state, end.reason, error=end.error)

    def on_fault(self, spec: TrialSpec, fault: Fault) -> Retry | RunEnd | SetAside | None:
        """A fault that is not the config's took a trial; says what follows, None if it was not running.

        One that is set aside gets no end; after `MAX_IN_A_ROW` of them without a new epoch no more trials are started.
        """
        state, key = self.runs[spec.trial_key], spec.trial_key
        if key not in self._running:
            return None
        self._running.discard(key)
        follows = what_follows(fault, before=state.faults, share=state.share)
        state.faults.append(fault)
        if isinstance(follows, RunEnd):
            self._ends(state, RunStatus(follows.status), follows.reason)
            self._events.ended(state, follows.reason, error=follows.error)
        elif isinstance(follows, Retry):
            self._sweep_runs.grow(state, follows.share)
            n = len(state.faults)
            self._events.moved(state, Decision(Action.RETRY, None, follows.share, n=n, reason=follows.reason))
            self._interrupted.append(state)
        else:
            self._set_aside(state, follows)
        return follows

    def tick(self) -> None:
        """Called often by a runner: waiting rows become durable."""
        self._events.tick()

    def flush(self) -> None:
        """Everything becomes durable now."""
        self._events.flush()

    def interrupt(self) -> None:
        """The runner was told to stop: everything becomes durable, and what has not ended stays open for a resume."""
        self._running.clear()
        self._events.flush()

    # ---- moves of the policy ------------------------------------------------------------------------------------

    def _start(self, move: Start) -> TrialSpec | None:
        """Begin a run or go on with one; None when the searcher has no further config."""
        number = move.config
        if number is None:
            if self.history.exhausted:
                raise PolicyError(f"policy {self._policy_name} asks for a further config, and there is none")
            if self._proposals.next(self.history) is None:
                self.history.exhausted = True
                self._events.exhausted()
                return None
            number = self.history.configs
        if problem := start_problem(self.history, move, config=number):
            raise PolicyError(f"policy {self._policy_name} asks for {problem}")
        state, action = self._sweep_runs.open(number, move.replicate, move.stage)
        decision = Decision(action, None, move.statistic, move.threshold, move.n, move.reason)
        self._events.moved(state, decision)
        return self._go_on(state)

    def _go_on(self, state: RunState) -> TrialSpec:
        self._running.add(state.spec.trial_key)
        return state.spec

    def _finish(self, move: Finish) -> None:
        """The search is over: what is paused stays without a score, and the choice is put on record."""
        for state in self.runs.values():
            if state.run.paused:
                self._ends(state, RunStatus.STOPPED)
                self._events.ended(state, move.reason)
        if move.chosen is not None and not self._chosen:
            state = self._sweep_runs.of(self.history.of(move.chosen)[0])
            decision = Decision(Action.CHOOSE, None, move.statistic, move.threshold, reason=move.reason)
            self._events.moved(state, decision)
        self._events.flush()
        self.ended = move.reason

    # ---- what becomes of a run ----------------------------------------------------------------------------------

    def _ends(self, state: RunState, status: RunStatus, reason: str = "") -> None:
        state.reason = reason
        self.history.end(state.run, status)
        self._running.discard(state.spec.trial_key)

    def _set_aside(self, state: RunState, follows: SetAside) -> None:
        n = len(state.faults)
        state.faults.clear()  # whoever runs it again begins to count anew
        self._events.moved(state, Decision(Action.SET_ASIDE, None, n=n, reason=follows.reason))
        self._aside[state.spec.trial_key] = (self._events.last, follows.reason)
        self._aside_in_a_row += 1
