"""A sweep and its trials as Ray's loggers see them: in the user's words instead of Ray's. Values only."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.domains import show
from tune.sweep import Sweep
from tune.trial import TrialSpec

if TYPE_CHECKING:
    from results import ResultsStore


@dataclass(frozen=True)
class LoggedSweep:
    """What the tools are told of a sweep.

    Args:
        tools: names in `TOOLS`.
        run_dir: local files of the tools go under it, absolute.
        title: what people call the sweep; the experiment of MLflow, the project of Weights & Biases.
        sweep_id: content hash of the sweep.
        tracking_id: names this execution of it, also after a resume; two of the same sweep are told apart by it.
    """

    tools: tuple[str, ...]
    run_dir: Path
    title: str
    sweep_id: str
    tracking_id: str


def logged_sweep(tools: tuple[str, ...], sweep: Sweep, store: ResultsStore) -> LoggedSweep:
    """The sweep that is recorded in `store`, for the tools; its tracking id is noted there the first time.

    Raises:
        StoreError: the disk did not take the note.
    """
    sweep_id = str(store.sweep["sweep_id"])
    if tools and "tracking_id" not in store.sweep:
        # Not from the sweep's seed: the same sweep in another folder must not continue these runs on a server.
        store.note({"tracking_id": f"{sweep_id}-{uuid.uuid4().hex[:8]}"})
    tracking_id = str(store.sweep.get("tracking_id", sweep_id))
    return LoggedSweep(tools, store.run_dir.resolve(), sweep.title, sweep_id, tracking_id)


class LoggedTrial:
    """One of our trials with the attributes that Ray's loggers read of a Ray trial.

    Hashed by identity, as Ray's loggers key by it. A trial that is stopped and completed later stays one.

    Args:
        spec: the trial.
        sweep: its sweep.
        local_path: the folder that Ray's logger writes to, if it does.
    """

    def __init__(self, spec: TrialSpec, sweep: LoggedSweep, local_path: Path) -> None:
        self.local_path = str(local_path)
        self.trial_id = f"{sweep.tracking_id}-{spec.trial_key}"
        # Null as text: TensorBoard's hyperparameters cannot be null, and MLflow would write None.
        self.config = {name: show(value) if value is None else value for name, value in spec.config.items()}
        self.experiment_dir_name = spec.config.config_id  # the group in Weights & Biases
        self.epoch = 0  #: the last one that was logged
        #: then the `RunStatus` that it ended with, `interrupted`, or `paused`, also if the end of the search stops it
        self.status = "running"
        self.reason = ""  #: why it ended, if it said so itself
        self._key = spec.trial_key
        seeds = spec.replicate
        self.tags = {
            "sweep_id": sweep.sweep_id,
            "tracking_id": sweep.tracking_id,
            "trial_key": spec.trial_key,
            "config_id": spec.config.config_id,
            **({"label": spec.config.label} if spec.config.label else {}),
            "replicate": str(seeds.index),
            "seed_init": str(seeds.seed_init),  # as text: a double does not hold 63 bits
            "seed_order": str(seeds.seed_order),
            "seed_augment": str(seeds.seed_augment),
        }

    def __str__(self) -> str:
        """The run's name: the trial key."""
        return self._key

    @property
    def evaluated_params(self) -> dict[str, Any]:
        """What TensorBoard's table of hyperparameters shows: it has no tags, so they are columns of it."""
        return {**self.config, **self.tags}

    def init_local_path(self) -> None:
        """Make the folder."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)
