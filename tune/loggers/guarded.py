"""Between Ray Tune and one of its loggers: translates trials and results, and keeps a failure of the logger to itself.

Ray ends the whole sweep when a callback raises. Here the first failure is said once, and the logger is told no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ray import tune as ray_tune

from results.records import FAILURES
from tune.loggers.logged import LoggedSweep, LoggedTrial

if TYPE_CHECKING:
    from tune.ray_adapter import Desk
    from tune.trial import TrialSpec


class GuardedLogger(ray_tune.Callback):  # type: ignore[misc]
    """Passes what happens to a logger of Ray's in our words: see `LoggedTrial`.

    Args:
        name: the tool, for the warning.
        make: makes one of our translations of Ray's loggers; called at the start, since it may fail as well.
        sweep: what the tool is told of the sweep.
        desk: which trial of ours each trial of Ray's is, and who tells the user. It must be told of a result or an end
            before this callback: the status of a trial is read from its execution.
    """

    def __init__(self, name: str, make: Callable[[], Any], *, sweep: LoggedSweep, desk: Desk) -> None:
        self._name, self._make, self._sweep, self._desk = name, make, sweep, desk
        self._logger: Any = None
        self._off = False
        self._trials: dict[str, LoggedTrial] = {}
        self._open: set[str] = set()

    def __deepcopy__(self, memo: dict[int, Any]) -> GuardedLogger:
        """Ray copies what it is given; a copy would write the same files."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Ray pickles its callbacks into a file that we never read back; clients and open files stay out of it."""
        return (str, (f"the logger {self._name} of a sweep is not saved",))

    # ---- what Ray calls

    def setup(self, **info: Any) -> None:
        """The sweep begins."""
        self._guarded(self._begin)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins, or goes on: after its process was lost, after a pause, or in a later stage."""
        self._guarded(self._start, self._desk.specs[trial.trial_id])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial reported an epoch, or its end."""
        self._guarded(self._result, self._desk.specs[trial.trial_id].trial_key, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial ended, was stopped, or is paused."""
        self._guarded(self._end, self._desk.specs[trial.trial_id].trial_key)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed; or a fault took it, and it goes on: then the tool sees one run without a break."""
        key = self._desk.specs[trial.trial_id].trial_key
        if not self._desk.execution.runs[key].run.pending:
            self._guarded(self._end, key)

    # ---- what the driver calls

    def close(self) -> None:
        """End what is still open, also after an interruption, and wait until the tool has everything."""
        for key in sorted(self._open):
            self._guarded(self._end, key)
        self._guarded(self._finish)

    # ---- inside

    def _begin(self) -> None:
        if self._logger is None:  # Ray's loop may begin once more, when it broke off
            self._logger = self._make()
            self._logger.setup()

    def _start(self, spec: TrialSpec) -> None:
        key = spec.trial_key
        if key in self._open:
            return
        if key not in self._trials:
            self._trials[key] = LoggedTrial(spec, self._sweep, self._logger.folder(key))
        trial = self._trials[key]
        trial.status, trial.reason = "running", ""
        self._open.add(key)
        self._logger.log_trial_start(trial)

    def _result(self, key: str, result: Mapping[str, Any]) -> None:
        if "end" in result:
            return
        trial = self._trials[key]
        metrics = dict(result["metrics"])
        if metrics["epoch"] <= trial.epoch:
            return  # its process was lost, and the new one repeats what the old one had reported
        trial.epoch = metrics["epoch"]
        numbers = {name: value for name, value in metrics.items() if _is_number(value) and name != "epoch"}
        self._logger.log_trial_result(trial.epoch, trial, {**numbers, "training_iteration": trial.epoch})

    def _end(self, key: str) -> None:
        if key not in self._open:
            return
        self._open.discard(key)
        trial, state = self._trials[key], self._desk.execution.runs[key]
        status = state.status
        unended = "paused" if state.run.paused else "interrupted"
        trial.status = unended if status is None else status.value
        trial.reason = state.reason
        self._logger.log_trial_end(trial, failed=status in FAILURES)

    def _finish(self) -> None:
        if self._logger is not None:
            self._logger.on_experiment_end([])

    def _guarded(self, act: Callable[..., None], *what: Any) -> None:
        if self._off:
            return
        try:
            act(*what)
        except Exception as error:
            self._off = True
            self._desk.say(
                f"warning: --log {self._name} failed and is switched off ({type(error).__name__}: {error}); "
                "the sweep and its own rows go on"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
