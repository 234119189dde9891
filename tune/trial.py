"""One trial: a config on a replicate, and the few lines that train it and tell what happened.

Runs in a Ray worker or in the driver's own process; it does not know which, nor how it is scheduled or stored.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search_spaces import Config
from tune.replicates import Replicate
from tune.watchdog import Watchdog

if TYPE_CHECKING:
    from landslide import TrainSettings
    from landslide.metrics import EpochMetrics


@dataclass(frozen=True)
class TrialSpec:
    """A config to be trained on a replicate; one Ray trial.

    Args:
        config: what is trained.
        replicate: the seeds it meets, the same for every config.
        stage: why it runs now: `screen`, `allocate`, `confirm` or `audit`; see `tune.schedulers.history`.
    """

    config: Config
    replicate: Replicate
    stage: str = "screen"

    @property
    def trial_key(self) -> str:
        """The run's identity within a sweep and the name of its checkpoint folder."""
        return f"{self.config.config_id}-r{self.replicate.index:02d}"


@dataclass(frozen=True)
class TrialJob:
    """All that a process needs to train one trial: plain values, so that it travels to a worker.

    Args:
        settings: the training settings by name, complete.
        seeds: the seeds for initialisation, data order and augmentation.
        cache_path: the folder of the packed dataset on this machine.
        checkpoint_dir: where last.pt and best.pt of this trial lie.
        device: `cpu` or `cuda`.
        threads: torch threads; part of the result's identity, since another number gives other bits.
        known_epochs: epochs that the store has already; a resumed run reports only later ones.
        gpu_share: the share of a GPU that it holds, of whose memory it may use no more; 0 = none.
        data_source: the dataset's folder or URL, for a node that has no packed copy of it yet.
        data_id: of the dataset that has to be there; empty = it is not checked.
        checkpoint_url: of the run directory, if that is in a bucket: there the checkpoints are kept for other nodes,
            and a node has its own folder for them; None = all nodes see `checkpoint_dir`.
        hang_seconds: without a finished batch for so long, the process ends itself; None = it waits for ever.
    """

    settings: Mapping[str, Any]
    seeds: tuple[int, int, int]
    cache_path: str
    checkpoint_dir: str
    device: str
    threads: int
    known_epochs: int = 0
    gpu_share: float = 0.0
    data_source: str = ""
    data_id: str = ""
    checkpoint_url: str | None = None
    hang_seconds: float | None = None

    def to_text(self) -> str:
        """As one value of a Ray trial config: of a mapping Ray would keep three copies of every trial."""
        return json.dumps(vars(self))

    @classmethod
    def from_text(cls, text: str) -> TrialJob:
        """The inverse of `to_text`."""
        values = json.loads(text)
        return cls(**{**values, "seeds": tuple(values["seeds"])})


@dataclass(frozen=True)
class RunEnd:
    """How a run ended by itself: the value of a `RunStatus`, one sentence, and the traceback of a failure."""

    status: str
    reason: str
    error: str | None = None


def run_trial(job: TrialJob) -> Iterator[Mapping[str, Any] | RunEnd]:
    """Train one trial.

    Yields:
        The metrics of each epoch as plain values, then one `RunEnd`. Divergence, memory and any other exception of
        the training are ends with a status.

    Raises:
        OSError, DatasetError: an infrastructure fault, which the config is not to blame for.
    """
    from landslide import DatasetError, Diverged, OutOfMemory, TrainSettings, set_threads

    epoch = job.known_epochs
    try:
        set_threads(job.threads)
        settings = TrainSettings.from_mapping(job.settings)
        with closing(_epochs(job, settings)) as epochs:
            for metrics in epochs:
                epoch = metrics.epoch
                yield metrics.to_dict()
    except Diverged as error:
        yield RunEnd("diverged", str(error))
    except OutOfMemory as error:
        yield RunEnd("out_of_memory", str(error))
    except (OSError, DatasetError):
        raise  # a full disk or a missing dataset is no fault of the config: the trial stays open for a resume
    except Exception as error:
        yield RunEnd("failed", f"{type(error).__name__}: {error}", traceback.format_exc())
    else:
        early = epoch < settings.epochs
        why = f"no better epoch in {settings.patience}" if early else f"ran all {settings.epochs} epochs"
        yield RunEnd("finished", why)


def _epochs(job: TrialJob, settings: TrainSettings) -> Generator[EpochMetrics, None, None]:
    """Train: on the data of this node, from the newest checkpoint, on the trial's share of a GPU, and watched."""
    from landslide import Seeds, train
    from tune.checkpoints import checkpoints_of
    from tune.dataset import dataset_here

    data = dataset_here(job)
    with (
        checkpoints_of(job) as kept,
        Watchdog(job.hang_seconds, kept.folder) as watchdog,
        _card(job) as device,
    ):
        for metrics in train(
            settings,
            Seeds(*job.seeds),
            data=data,
            device=device,
            checkpoint_dir=kept.folder,
            known_epochs=job.known_epochs,
            on_batch=watchdog.beat,
        ):
            with watchdog.resting():  # a bucket, and whoever asks for the next epoch, may take their time
                kept.saved()
                yield metrics
                kept.told()


def _card(job: TrialJob) -> AbstractContextManager[str]:
    """The device to train on; of a GPU, whose memory this process may use within the block up to the trial's share."""
    if job.gpu_share == 0:
        return nullcontext(job.device)
    from landslide.card import share_of_card

    return share_of_card(job.gpu_share)
