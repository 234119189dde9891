"""Numbers what happens to the runs of a sweep and hands it to the `Recorder`: the writing half of `tune.event_log`.

Decides nothing, and changes no run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune.event_log import Log
from tune.recorder import Recorder
from tune.resume import Judged, Rebuilt, is_due
from tune.run_state import RunState
from tune.schedulers import Action, Decision


class EventWriter:
    """Puts events on record, one number each.

    Args:
        recorder: the translator to the store.
        policy: the name that stands in the rows of decisions.
        node: this machine's name, for rows of trials that do not say where they ran.
        last: the highest number so far.
    """

    def __init__(self, recorder: Recorder, *, policy: str, node: str, last: int) -> None:
        self._recorder, self._policy, self._node = recorder, policy, node
        self.last = last

    def epoch(self, state: RunState, metrics: Mapping[str, Any], *, node: str | None) -> None:
        """A run reported an epoch."""
        self.last += 1
        self._recorder.epoch(state.spec, metrics, node=node or self._node, event=self.last)

    def judged(self, state: RunState, decision: Decision) -> None:
        """What became of the epoch that was the last event; an end that follows is the same event."""
        if is_due(decision):
            self._decision(Judged(state.spec, decision, state.epochs, self.last))
        if decision.action is Action.STOP:
            self._end(state, decision.reason, event=self.last)

    def moved(self, state: RunState, decision: Decision) -> None:
        """A run was started, resumed, chosen, or taken by a fault: durable before anything follows from it."""
        self.last += 1
        self._decision(Judged(state.spec, decision, state.epochs, self.last))
        self._recorder.flush()

    def ended(self, state: RunState, reason: str, *, error: str | None = None) -> None:
        """A run ended, of itself or with the search."""
        self.last += 1
        self._end(state, reason, event=self.last, error=error)

    def exhausted(self) -> None:
        """The searcher had no further config."""
        self._recorder.exhausted(self.last)

    def repair(self, found: Rebuilt, log: Log, *, runs: Mapping[str, RunState]) -> None:
        """Put on record what a crash has kept from it."""
        for judged in found.judgements:
            self._decision(judged)
        for key, judged in found.stops.items():
            if log.ends.get(key, -1) != judged.event:
                self._end(runs[key], judged.decision.reason, event=judged.event)

    def tick(self) -> None:
        """Called often: waiting rows become durable."""
        self._recorder.tick()

    def flush(self) -> None:
        """Everything becomes durable now."""
        self._recorder.flush()

    def _decision(self, judged: Judged) -> None:
        about: dict[str, Any] = {"epoch": judged.epoch, "policy": self._policy, "event": judged.event}
        self._recorder.decision(judged.spec, judged.decision, **about)

    def _end(self, state: RunState, reason: str, *, event: int | None, error: str | None = None) -> None:
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
