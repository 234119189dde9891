"""A `Sweep` being executed: hands out trials, records what they report, asks the policy. Knows neither Ray nor torch.

The Ray driver and the in-process runner are thin layers over this one object, so both take the same decisions.
All state can be rebuilt by replaying the store: that is how a sweep is resumed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from results import ResultsStore, RunStatus, StoreError
from search_spaces import Config
from tune.finalists import choose_finalists
from tune.recorder import Recorder
from tune.run_state import ALLOCATE, SCREEN, RunState
from tune.schedulers import Action, Decision, make_policy
from tune.searchers import make_searcher
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
    """

    def __init__(self, sweep: Sweep, store: ResultsStore, *, recorder: Recorder, node: str) -> None:
        self.sweep, self.configs = sweep, list[Config]()
        self.runs: dict[str, RunState] = {}
        self._recorder, self._node = recorder, node
        self._searcher = make_searcher(sweep.searcher, grid_points=sweep.grid_points)
        self._policy = make_policy(
            sweep.policy, grace=sweep.grace, eta=sweep.eta, max_epochs=sweep.max_epochs
        )
        self._screening = self._screen_specs()
        self._allocating: deque[TrialSpec] | None = None
        self._lost: dict[str, str] = {}
        self._running: set[str] = set()
        self._exhausted = False
        self._decided: set[tuple[str, str, int | None]] = set()
        self._replay(store)

    # ---- what a runner calls ------------------------------------------------------------------------------------

    def next_trial(self) -> TrialSpec | None:
        """The next trial to start; None when there is none now (see `done`)."""
        if len(self._lost) >= MAX_LOST:
            return None
        for spec in self._screening:
            if spec.trial_key not in self.runs or self.runs[spec.trial_key].screen_status is None:
                return self._start(spec)
        if self._allocating is None:
            if self._running or self._lost:
                return None
            self._allocating = deque(self._allocate_specs())
        return self._start(self._allocating.popleft()) if self._allocating else None

    @property
    def done(self) -> bool:
        """Nothing runs and nothing is left to start, now or later."""
        return not self._running and (self.complete or bool(self._lost))

    @property
    def complete(self) -> bool:
        """Every run that the sweep needs has ended."""
        return not self._running and not self._lost and self._allocating is not None and not self._allocating

    @property
    def lost(self) -> Mapping[str, str]:
        """Trials that an infrastructure fault took, and why: they have no end and are run again by a resume."""
        return self._lost

    @property
    def planned(self) -> int:
        """Configs x replicates, as far as is known: a finite space may hold fewer configs than were asked for."""
        return (len(self.configs) if self._exhausted else self.sweep.configs) * self.sweep.seeds

    @property
    def running(self) -> frozenset[str]:
        """The trial keys that were started and have not ended."""
        return frozenset(self._running)

    def known_epochs(self, spec: TrialSpec) -> int:
        """Epochs of the trial that are recorded already."""
        return len(self.runs[spec.trial_key].values)

    def on_epoch(self, spec: TrialSpec, metrics: Mapping[str, Any], *, node: str | None = None) -> Action:
        """A trial reported an epoch; says whether it goes on.

        A repeated epoch (its worker died and came back) changes nothing.
        """
        run = self.runs[spec.trial_key]
        if run.status is not None:
            return Action.STOP
        if metrics["epoch"] <= len(run.values):
            return Action.CONTINUE
        self._recorder.epoch(spec, metrics, node=node or self._node)
        decision = self._learn(run, metrics)
        if decision.action is Action.STOP:
            self._end(run, RunStatus.STOPPED, self._reason(decision))
        return decision.action

    def on_end(self, spec: TrialSpec, end: RunEnd) -> None:
        """A trial ended by itself, or its worker was lost for good. Ends are final: a second one changes nothing."""
        run = self.runs[spec.trial_key]
        if run.status is None:
            self._end(run, RunStatus(end.status), end.reason, end.error)

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

    # ---- stages -------------------------------------------------------------------------------------------------

    def _screen_specs(self) -> Iterator[TrialSpec]:
        """Every config on the first replicate, then every config on the second, and so on."""
        for replicate in self.sweep.replicates():
            index = 0
            while (config := self._config(index)) is not None:
                yield TrialSpec(config, replicate, SCREEN)
                index += 1

    def _config(self, index: int) -> Config | None:
        if index < len(self.configs):
            return self.configs[index]
        config = self._propose()
        if config is not None:
            self._recorder.config(config, origin=self.sweep.searcher)
        return config

    def _propose(self) -> Config | None:
        """The next config of the searcher, a function of the sweep's seed and of what was proposed before."""
        if len(self.configs) >= self.sweep.configs:
            return None
        index = len(self.configs)
        config = self._searcher.suggest(index, self.configs, space=self.sweep.space, seed=self.sweep.seed)
        if config is None:
            self._exhausted = True
        else:
            assert not self.sweep.space.problems_with(config), (
                "a searcher proposed a config outside its space"
            )
            self.configs.append(config)
        return config

    def _allocate_specs(self) -> list[TrialSpec]:
        """The stopped replicates of the finalists, chosen from what the screening saw and nothing later."""
        finalists = choose_finalists([run.screened() for run in self.runs.values()])
        specs = []
        for run in self.runs.values():
            config_id = run.spec.config.config_id
            if run.screen_status is RunStatus.STOPPED and config_id in finalists:
                spec = TrialSpec(run.spec.config, run.spec.replicate, ALLOCATE)
                decision = Decision(Action.COMPLETE, n=len(finalists))
                place = finalists.index(config_id) + 1
                reason = (
                    f"its config is finalist {place} of {len(finalists)}, to be complete on every replicate"
                )
                self._record_decision(spec, decision, epoch=run.screen_epochs, reason=reason)
                if run.status in (None, RunStatus.STOPPED):
                    specs.append(spec)
        return sorted(specs, key=lambda spec: finalists.index(spec.config.config_id))

    def _start(self, spec: TrialSpec) -> TrialSpec:
        if spec.trial_key in self.runs:
            self.runs[spec.trial_key].reopen(spec)
        else:
            self.runs[spec.trial_key] = RunState(spec)
        self._running.add(spec.trial_key)
        return spec

    # ---- what is learnt -----------------------------------------------------------------------------------------

    def _learn(self, run: RunState, metrics: Mapping[str, Any]) -> Decision:
        """One more epoch of a run, live or replayed; the decision is recorded unless the store has it."""
        value = metrics.get(self.sweep.metric)
        run.values.append(math.nan if value is None else float(value))
        run.seconds += float(metrics.get("epoch_seconds") or 0.0)
        if run.spec.stage != SCREEN:
            return Decision(Action.CONTINUE)
        epoch, replicate = len(run.values), run.spec.replicate.index
        decision = self._policy.decide(
            run.spec.trial_key, replicate=replicate, epoch=epoch, value=run.values[-1]
        )
        if decision.rung is not None:
            self._record_decision(run.spec, decision, epoch=epoch, reason=self._reason(decision))
        return decision

    def _record_decision(self, spec: TrialSpec, decision: Decision, *, epoch: int, reason: str) -> None:
        key = (spec.trial_key, decision.action.value, decision.rung)
        if key not in self._decided:
            self._decided.add(key)
            self._recorder.decision(spec, decision, epoch=epoch, reason=reason, policy=self.sweep.policy)

    def _end(self, run: RunState, status: RunStatus, reason: str, error: str | None = None) -> None:
        run.settle(status)
        self._running.discard(run.spec.trial_key)
        best_epoch, best_value = run.best or (None, None)
        self._recorder.run(
            run.spec,
            status,
            epochs=len(run.values),
            best_epoch=best_epoch,
            best_value=best_value,
            reason=reason,
            error=error,
            wall_seconds=run.seconds,
        )

    def _reason(self, decision: Decision) -> str:
        if decision.threshold is None:
            return f"first run to reach epoch {decision.rung} on this replicate"
        side = "below" if decision.action is Action.STOP else "not below"
        percentile = round((1 - 1 / self.sweep.eta) * 100)
        return (
            f"{self.sweep.metric} {decision.statistic:.4f} at epoch {decision.rung} is {side} "
            f"{decision.threshold:.4f}, percentile {percentile} of the {decision.n} run(s) there before it"
        )

    # ---- replay -------------------------------------------------------------------------------------------------

    def _replay(self, store: ResultsStore) -> None:
        """Rebuild configs, runs and rungs from the rows, in the order in which they arrived (clocks may jump)."""
        decisions = store.decisions().to_pylist()
        self._decided = {(row["trial_key"], row["action"], row["rung"]) for row in decisions}
        configs = self._replay_configs(store.configs().column("config_id").to_pylist())
        replicates = self.sweep.replicates()
        stopped_now = []

        def spec_of(row: Mapping[str, Any]) -> TrialSpec:
            return TrialSpec(configs[row["config_id"]], replicates[row["replicate"]], row["stage"])

        for row in store.epochs().to_pylist():
            run = self.runs.setdefault(row["trial_key"], RunState(spec_of(row)))
            if run.spec.stage != row["stage"]:
                run.reopen(spec_of(row))
            decision = self._learn(run, row)
            if decision.action is Action.STOP:
                run.settle(RunStatus.STOPPED)
                stopped_now.append((run, self._reason(decision)))
        ended = store.runs().to_pylist()
        for row in ended:
            run = self.runs.setdefault(row["trial_key"], RunState(spec_of(row)))
            if run.spec.stage == ALLOCATE and row["stage"] == SCREEN:
                continue  # its end in the screening; since then it was resumed and has not ended again
            if run.spec.stage != row["stage"]:
                run.reopen(spec_of(row))
            run.settle(RunStatus(row["status"]))
        recorded = {row["trial_key"] for row in ended}
        for run, reason in stopped_now:
            if run.spec.trial_key not in recorded:
                self._end(run, RunStatus.STOPPED, reason)

    def _replay_configs(self, recorded: Sequence[str]) -> dict[str, Config]:
        """Propose again what was proposed before; refuses a store whose configs this code would not propose."""
        for _ in recorded:
            self._propose()
        configs = {config.config_id: config for config in self.configs}
        if strange := sorted(set(recorded) - set(configs)):
            raise StoreError(
                f"config {', '.join(strange)}: recorded, but searcher {self.sweep.searcher!r} of this version proposes "
                "others; resume with the version that began the sweep (sweep.json names it), or start a new one",
                "the sweep cannot be resumed",
            )
        return configs
