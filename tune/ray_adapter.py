"""Thin layers between Ray Tune's interfaces and an `Execution`. They translate and decide nothing.

Ray asks the searcher for the next trial, tells the scheduler every result, and calls the callback on each turn of its
loop. All three hold the same `Execution`; Ray's own searcher and scheduler state is never saved or restored.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
from ray import tune as ray_tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tune.execution import Execution
from tune.faults import Cause, Fault, Retry, SetAside
from tune.ray_faults import error_of, fault_of, shortage_in
from tune.runtime import alive_nodes
from tune.schedulers import Action
from tune.slots import Seats
from tune.trial import RunEnd, TrialSpec
from tune.watchdog import take_note
from tune.workplace import Workplace

#: How often it is asked which nodes there are.
NODES_SECONDS = 5.0


class Desk:
    """Which trial of ours each trial of Ray's is.

    Args:
        execution: the sweep being executed.
        workplace: its paths.
        on_step: called on each turn of Ray's loop, for a progress display.
        say: tells the user one line.
        seats: where trials fit; None = somebody else sees to it that no more are asked for than fit.

    Attributes:
        broken: what the execution raised on a result: a fault of the program, of which Ray passes on the text alone.
    """

    def __init__(
        self,
        execution: Execution,
        workplace: Workplace,
        *,
        on_step: Callable[[], None],
        say: Callable[[str], None],
        seats: Seats | None = None,
    ) -> None:
        self.execution, self.workplace, self.on_step, self.say = execution, workplace, on_step, say
        self.specs: dict[str, TrialSpec] = {}
        self._actors: dict[str, str] = {}
        self.broken: Exception | None = None
        self.seats, self._nodes_seen = seats, time.monotonic()

    def has_room(self) -> bool:
        """Whether a trial that is decided on now could start now."""
        if self.seats is None:
            return True
        if time.monotonic() - self._nodes_seen > NODES_SECONDS:
            self._nodes_seen = time.monotonic()
            self.seats.refresh(alive_nodes())
        return self.seats.room()

    def began(self, trial_id: str, actor: str) -> None:
        """A trial of Ray's runs from now on in the actor of this id."""
        self._actors[trial_id] = actor

    def left(self, trial_id: str) -> None:
        """A trial of Ray's has ended."""
        self._actors.pop(trial_id, None)
        if self.seats is not None:
            self.seats.leave(trial_id)

    def in_actor(self, actor: str | None) -> TrialSpec | None:
        """The trial that runs in the actor of this id; None = it runs none of ours."""
        return next((self.specs[key] for key, found in self._actors.items() if found == actor), None)

    def everyone_left(self) -> None:
        """Ray's loop broke off, and no trial of Ray's is there any more."""
        self._actors.clear()
        if self.seats is not None:
            for trial_id in self.specs:
                self.seats.leave(trial_id)

    def __deepcopy__(self, memo: dict[int, Any]) -> Desk:
        """There is one desk: Ray copies what it is given, and a copy would hear nothing."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Ray pickles its searcher and callbacks into a file that we never read back; the desk stays out of it."""
        return (str, ("the desk of a sweep is not saved",))


class SpecSearcher(Searcher):  # type: ignore[misc]
    """Hands out the execution's next trial as a Ray suggestion."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(metric=None, mode=None)
        self._desk = desk

    def suggest(self, trial_id: str) -> Any:
        """The next trial's job; None for not now; FINISHED at the end of the sweep."""
        execution, seats = self._desk.execution, self._desk.seats
        if not self._desk.has_room():
            return None
        spec = execution.next_trial()
        if spec is None:
            return Searcher.FINISHED if execution.done else None
        self._desk.specs[trial_id] = spec
        known, share = execution.known_epochs(spec), execution.share(spec)
        if seats is not None:
            seats.take(trial_id, share)
        job = self._desk.workplace.job(spec, known_epochs=known, share=share)
        return {"job": job.to_text(), "gpu_share": share}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Its seat is free; there is nothing to learn here, the scheduler was told."""
        self._desk.left(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the store is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: the store is the state."""


class SpecScheduler(FIFOScheduler):  # type: ignore[misc]
    """Passes every result to the execution and its decision back."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk, self._waiting = desk, deque[Any]()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """It waits for a slot."""
        self._waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The trial that waits longest; None without one. Ray's own looks at every trial there ever was, each time."""
        while self._waiting and self._waiting[0].status != Trial.PENDING:
            self._waiting.popleft()  # for good: a trial of ours never waits a second time, see `on_trial_result`
        return self._waiting[0] if self._waiting else None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """An epoch or an end; Ray flattens nested results, so the names of an end carry a prefix.

        A paused trial ends for Ray too, which frees its resources at once (Ray's own pausing would restore it from
        Ray's checkpoints). Going on with it is another Ray trial, from its own last.pt.
        """
        spec, execution = self._desk.specs[trial.trial_id], self._desk.execution
        if "end/status" in result:
            end = RunEnd(result["end/status"], result["end/reason"], result.get("end/error"))
            execution.on_end(spec, end)
            return str(TrialScheduler.STOP)
        try:
            action = execution.on_epoch(spec, dict(result["metrics"]), node=result["node"])
        except Exception as error:
            self._desk.broken = error
            raise
        return str(TrialScheduler.CONTINUE if action is Action.CONTINUE else TrialScheduler.STOP)


class StepCallback(ray_tune.Callback):  # type: ignore[misc]
    """Turns Ray's loop into ticks of the execution."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its process is there, a new one or another trial's: noted for the day that Ray names it."""
        with suppress(AttributeError):  # internals of Ray's: without them a lack of memory is nobody's
            self._desk.began(trial.trial_id, trial.temporary_state.ray_actor._actor_id.hex())

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial raised, or its process was lost. Ray restarts nothing: what follows is the execution's affair."""
        spec, execution = self._desk.specs[trial.trial_id], self._desk.execution
        folder = self._desk.workplace.checkpoints / spec.trial_key
        found = fault_of(error_of(trial), addresses=_addresses, hang=lambda: take_note(folder))
        if isinstance(found, RunEnd):
            execution.on_end(spec, found)
        elif isinstance(follows := execution.on_fault(spec, self._whose(spec, found)), Retry | SetAside):
            self._desk.say(f"{spec.trial_key}: {follows.reason}")

    def _whose(self, spec: TrialSpec, fault: Fault) -> Fault:
        """The same; or, where another trial filled the memory, that there was no room for this one's process.

        Ray ends the youngest processes first, so one that was just started is ended before it has asked for much.
        """
        shortage = shortage_in(fault.error or "") if fault.cause is Cause.HOST_MEMORY else None
        hungry = None if shortage is None else self._desk.in_actor(shortage.actor)
        if hungry in (None, spec):
            return fault
        return Fault(
            Cause.NOT_STARTED, f"{hungry.trial_key} held most of the memory: {fault.detail}", fault.error
        )

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """One turn of Ray's loop has ended."""
        self._desk.execution.tick()
        try:
            self._desk.on_step()
        except OSError:
            self._desk.on_step = lambda: None  # the terminal is gone; the sweep goes on without a display


def _addresses() -> list[str]:
    """Of the nodes that are alive."""
    return [node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]]
