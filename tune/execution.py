"""A `Sweep` being executed: asks the policy, hands out trials, records what they report. Knows neither Ray nor torch.

The Ray driver and the in-process runner are thin layers over this one object, so both take the same decisions.
All state can be rebuilt by replaying the store: that is how a sweep is resumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from results import ResultsStore, RunStatus
from search_spaces import Config
from tune.errors import PolicyError
from tune.event_log import Log, read_log
from tune.proposals import Proposals
from tune.recorder import Recorder
from tune.replicates import FIRST_FRESH
from tune.resume import Judged, Rebuilt, is_due, rebuild
from tune.run_state import RunState, SweepRuns
from tune.schedulers import CONFIRM, SCREEN, Action, Decision, Finish, History, Policy, Start, make_policy
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
    ) -> None:
        self.sweep = sweep
        self._recorder, self._node = recorder, node
        self._policy = policy or make_policy(sweep.policy, sweep.policy_options())
        self._policy_name = str(getattr(policy, "name", sweep.policy))
        self._proposals = Proposals(sweep, recorder=recorder, recorded=store.configs().to_pylist())
        self._sweep_runs = SweepRuns(sweep, self._proposals)
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
        """A trial ended by itself, or its worker was lost for good. Ends are final: a second one changes nothing."""
        state = self.runs[spec.trial_key]
        if state.run.pending:
            self._event += 1
            self._end(state, RunStatus(end.status), end.reason, event=self._event, error=end.error)

    def on_lost(self, spec: TrialSpec, why: str) -> None:
        """A fault that is not the config's took the trial (a full disk, a dataset that cannot be read).

        It gets no end, so that a resume runs it again; after `MAX_LOST` of them no more trials are started.
        """
        self._running.discard(spec.trial_key)
        self._lost[spec.trial_key] = why

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


def start_problem(history: History, move: Start, *, config: int) -> str | None:
    """What keeps a start from being one that makes sense; a fault of the policy.

    Args:
        history: the runs so far.
        move: the start.
        config: number of its config; that after the last is new.
    """
    name = f"config {config} on replicate {move.replicate}"
    if config > history.configs or (move.config is not None and config == history.configs):
        return f"{name}, a config that was not proposed"
    if (move.stage == CONFIRM) != (move.replicate >= FIRST_FRESH):
        return f"{name} to {move.stage}; replicates from {FIRST_FRESH} on are for confirmation, and only they"
    run = history.run(config, move.replicate)
    if run is None or run.paused or (run.status is RunStatus.STOPPED and move.stage != SCREEN):
        return None
    return f"{name} to {move.stage}, which {'is under way' if run.pending else f'has ended as {run.status}'}"
