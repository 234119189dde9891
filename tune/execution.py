"""A `Sweep` being executed: asks the policy, hands out trials, records what they report. Knows neither Ray nor torch.

The Ray driver and the in-process runner are thin layers over this one object, so both take the same decisions.
All state can be rebuilt by replaying the store: that is how a sweep is resumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from results import ResultsStore, RunStatus
from search_spaces import Config
from tune.errors import PolicyError
from tune.event_log import Log, read_log
from tune.faults import Cause, Fault, Leave, Retry, what_follows
from tune.proposals import Proposals
from tune.recorder import Recorder
from tune.resume import Judged, Rebuilt, is_due, rebuild
from tune.run_state import RunState, SweepRuns
from tune.schedulers import CONFIRM, Action, Decision, Finish, Policy, Start, make_policy
from tune.start_check import start_problem
from tune.sweep import Sweep
from tune.trial import RunEnd, TrialSpec

#: So many trials taken by infrastructure faults end a sweep: the next ones would be taken as well.
MAX_LOST = 3


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
        self._recorder, self._node = recorder, node
        self._policy = policy or make_policy(sweep.policy, sweep.policy_options())
        self._policy_name = str(getattr(policy, "name", sweep.policy))
        self._proposals = Proposals(sweep, recorder=recorder, recorded=store.configs().to_pylist())
        share_of = share_of or (lambda config: sweep.gpus_per_trial)
        self._sweep_runs = SweepRuns(sweep, self._proposals, share_of=share_of)
        self.runs, self.history = self._sweep_runs.by_key, self._sweep_runs.history
        self.ended: str | None = None
        self._lost: dict[str, str] = {}
        self._running: set[str] = set()
        self._waits_since: tuple[int, int] | None = None
        log = read_log(store, sweep.metric)
        found = rebuild(log, self._sweep_runs, proposals=self._proposals, policy=self._policy)
        self._event, self._chosen = log.last, found.chosen
        self._repair(found, log)
        self._interrupted = deque(state for state in self.runs.values() if state.run.pending)

    # ---- what a runner calls ------------------------------------------------------------------------------------

    def next_trial(self) -> TrialSpec | None:
        """The next trial to start; None when there is none now (see `done`).

        Runs that an interruption left open come first, in the order of their start; then the policy is asked.

        Raises:
            PolicyError: the policy waits although nothing is under way, or asks for what cannot be done.
        """
        now = (self._event, len(self._lost))
        if self.ended is not None or len(self._lost) >= MAX_LOST or self._waits_since == now:
            return None
        if self._interrupted:
            run = self._interrupted.popleft()
            self._running.add(run.spec.trial_key)
            return run.spec
        while isinstance(move := self._policy.next_move(self.history), Start):
            if (spec := self._start(move)) is not None:
                return spec
        if next(self.history.pending(), None) is not None:
            self._waits_since = now
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
        return not self._running and (self.complete or bool(self._lost))

    @property
    def complete(self) -> bool:
        """The policy has ended the search, and every run that it started has ended."""
        return self.ended is not None

    @property
    def lost(self) -> Mapping[str, str]:
        """Trials that an infrastructure fault took, and why: they have no end and are run again by a resume."""
        return self._lost

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
        self._event += 1
        self._recorder.epoch(spec, metrics, node=node or self._node, event=self._event)
        self._sweep_runs.report(state, metrics)
        decision = self._policy.judge(state.run, self.history)
        if is_due(decision):
            self._record(Judged(state.spec, decision, state.epochs, self._event))
        if decision.action is Action.STOP:
            self._end(state, RunStatus.STOPPED, decision.reason, event=self._event)
        elif decision.action is Action.PAUSE:
            self.history.pause(state.run)
            self._running.discard(spec.trial_key)
            self._recorder.flush()
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
        self._event += 1
        self._end(state, RunStatus(end.status), end.reason, event=self._event, error=end.error)

    def on_fault(self, spec: TrialSpec, fault: Fault) -> None:
        """A fault that is not the config's took the trial. See `tune.faults` for what follows.

        One that is left open gets no end, so that a resume runs it again; after `MAX_LOST` of them no more trials are
        started.
        """
        state, key = self.runs[spec.trial_key], spec.trial_key
        if not state.run.pending:
            return
        self._running.discard(key)
        follows = what_follows(fault, before=state.faults, share=state.share)
        state.faults.append(fault)
        if isinstance(follows, RunEnd):
            self._event += 1
            self._end(
                state, RunStatus(follows.status), follows.reason, event=self._event, error=follows.error
            )
        elif isinstance(follows, Leave):
            self._lost[key] = follows.reason
        else:
            self._retry(state, follows)

    def tick(self) -> None:
        """Called often by a runner: waiting rows become durable."""
        self._recorder.tick()

    def flush(self) -> None:
        """Everything becomes durable now."""
        self._recorder.flush()

    def interrupt(self) -> None:
        """The runner was told to stop: everything becomes durable, and what has not ended stays open for a resume."""
        self._running.clear()
        self._recorder.flush()

    # ---- moves of the policy ------------------------------------------------------------------------------------

    def _start(self, move: Start) -> TrialSpec | None:
        """Begin a run or go on with one; None when the searcher has no further config."""
        number = move.config
        if number is None:
            if self.history.exhausted:
                raise PolicyError(f"policy {self._policy_name} asks for a further config, and there is none")
            if self._proposals.next(self.history) is None:
                self.history.exhausted = True
                self._recorder.exhausted(self._event)
                return None
            number = self.history.configs
        if problem := start_problem(self.history, move, config=number):
            raise PolicyError(f"policy {self._policy_name} asks for {problem}")
        state, action = self._sweep_runs.open(number, move.replicate, move.stage)
        self._event += 1
        decision = Decision(action, None, move.statistic, move.threshold, move.n, move.reason)
        self._record(Judged(state.spec, decision, state.epochs, self._event))
        self._recorder.flush()  # before the run reports: an epoch without its start has no place in the log
        self._running.add(state.spec.trial_key)
        return state.spec

    def _finish(self, move: Finish) -> None:
        """The search is over: what is paused stays without a score, and the choice is put on record."""
        for state in self.runs.values():
            if state.run.paused:
                self._event += 1
                self._end(state, RunStatus.STOPPED, move.reason, event=self._event)
        if move.chosen is not None and not self._chosen:
            self._event += 1
            state = self._sweep_runs.of(self.history.of(move.chosen)[0])
            decision = Decision(Action.CHOOSE, None, move.statistic, move.threshold, reason=move.reason)
            self._record(Judged(state.spec, decision, state.epochs, self._event))
        self._recorder.flush()
        self.ended = move.reason

    def _retry(self, state: RunState, retry: Retry) -> None:
        """Put the trial in front of all that the policy might start."""
        state.share = retry.share or state.share
        self._event += 1
        decision = Decision(Action.RETRY, None, retry.share, n=len(state.faults), reason=retry.reason)
        self._record(Judged(state.spec, decision, state.epochs, self._event))
        self._recorder.flush()
        self._interrupted.append(state)

    def _end(
        self, state: RunState, status: RunStatus, reason: str, *, event: int, error: str | None = None
    ) -> None:
        self.history.end(state.run, status)
        self._running.discard(state.spec.trial_key)
        self._record_end(state, reason, event=event, error=error)

    # ---- records ------------------------------------------------------------------------------------------------

    def _repair(self, found: Rebuilt, log: Log) -> None:
        """Put on record what a crash has kept from it."""
        for judged in found.judgements:
            self._record(judged)
        for key, judged in found.stops.items():
            if log.ends.get(key, -1) != judged.event:
                self._record_end(self.runs[key], judged.decision.reason, event=judged.event)

    def _record(self, judged: Judged) -> None:
        about: dict[str, Any] = {
            "epoch": judged.epoch,
            "policy": self._policy_name,
            "event": judged.event,
        }
        self._recorder.decision(judged.spec, judged.decision, **about)

    def _record_end(
        self, state: RunState, reason: str, *, event: int | None, error: str | None = None
    ) -> None:
        assert state.status is not None
        best_epoch, best_value = state.best or (None, None)
        self._recorder.run(
            state.spec,
            state.status,
            epochs=state.epochs,
            best_epoch=best_epoch,
            best_value=best_value,
            reason=reason,
            error=error,
            wall_seconds=state.seconds,
            event=event,
        )
