"""The Ray side of one trial: a Trainable whose step is one epoch, reusable for the next trial.

Runs in Ray's workers. It resumes by itself from its trial's last.pt, so Ray's own checkpoints are not used; reusing
the actor saves the seconds that importing torch takes in every new process.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from ray import tune as ray_tune

from tune.joining import node_names
from tune.trial import RunEnd, TrialJob, run_trial

#: Ends after which a process is not used again: a broken CUDA context breaks all that follow.
_SPOILING = ("failed", "out_of_memory")
#: What Ray's loop reads of all that Ray adds to a result.
_FILLED = frozenset({"trial_id", "pid", "hostname", "node_ip"})


class Spoilt(RuntimeError):
    """How a run ended whose process must not be used again.

    Raised instead of reported: Ray keeps the process of a trial that ends with a result, and of the next trial, whose
    `reset_config` then has to say no, it tells nobody.
    """

    def __init__(self, end: Mapping[str, Any]) -> None:
        super().__init__(end)
        self.end = RunEnd(**end)


@lru_cache(maxsize=1)
def node_here() -> str:
    """What people call the node of this process."""
    import ray

    return node_names().get(ray.get_runtime_context().get_node_id(), platform.node())


class LandslideTrial(ray_tune.Trainable):  # type: ignore[misc]
    """Trains the `TrialJob` in its config; each result holds either `metrics`, as pairs, or `end`, and `node`."""

    _events: Iterator[Mapping[str, Any] | RunEnd]

    def setup(self, config: dict[str, Any]) -> None:
        """Begin the trial, from its own last checkpoint if it has one."""
        self._events = run_trial(TrialJob.from_text(config["job"]))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Leave the old trial and begin another in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """One epoch, or how the run ended. The driver stops a trial that has ended; asked again, it ends again.

        Raises:
            Spoilt: how it ended, when this process is not to be used again.
        """
        event = next(self._events, None)
        if event is None:
            event = RunEnd("failed", "the trial was asked to go on after its end")
        if isinstance(event, RunEnd) and event.status in _SPOILING:
            raise Spoilt(asdict(event))
        # Pairs, because a dict is flattened, and then each number counts as one of Ray's own metrics.
        told = {"end": asdict(event)} if isinstance(event, RunEnd) else {"metrics": list(event.items())}
        return {**told, "node": node_here()}

    def get_auto_filled_metrics(self, *args: Any, **options: Any) -> dict[str, Any]:
        """What Ray adds to a result, without the config and the times: of each number it keeps statistics for ever."""
        # By name: a class that travels to a worker by value has no `super()` of its own there.
        filled = ray_tune.Trainable.get_auto_filled_metrics(self, *args, **options)
        return {name: value for name, value in filled.items() if name in _FILLED}

    def cleanup(self) -> None:
        """Free the old trial's model before the next one is built."""
        close = getattr(self._events, "close", None)
        if close is not None:
            close()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to do: a trial saves itself after every epoch."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to do: a trial resumes itself."""
