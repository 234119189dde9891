"""Where a sweep's trials find their data and leave their checkpoints: turns a `TrialSpec` into a `TrialJob`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from landslide import PackedDataset
from results.storage.kept_checkpoints import PATCHES
from results.storage.location import RunDir, RunUrl, local_copy, locate
from tune.dataset import data_source
from tune.sweep import Sweep, seeds_of
from tune.trial import TrialJob, TrialSpec


@dataclass(frozen=True)
class Workplace:
    """The paths that trials of a sweep share.

    Args:
        sweep: what was declared.
        cache_path: folder of the packed dataset.
        run_dir: the sweep's folder.
        data_id: of the dataset; empty = a packed copy at `cache_path` is taken as it is, and no other is made.
        url: of the run directory, when it is in a bucket that `run_dir` is the local copy of.
        hang_seconds: without a finished batch for so long, a worker ends itself; None = it waits for ever, as the
            user's own process must, which is not ours to end.
    """

    sweep: Sweep
    cache_path: Path
    run_dir: Path
    hang_seconds: float | None = None
    data_id: str = ""
    url: RunUrl | None = None

    @classmethod
    def of(cls, sweep: Sweep, data: PackedDataset, out: RunDir, *, hang_seconds: float | None) -> Workplace:
        """The paths of a sweep whose run directory is `out`: a folder, or a URL with a local copy."""
        place = locate(out)
        url = place if isinstance(place, RunUrl) else None
        return cls(sweep, data.path, local_copy(place), hang_seconds, data.data_id, url)

    @property
    def checkpoints(self) -> Path:
        """The folder with one folder per trial."""
        return self.run_dir / "checkpoints"

    def bring_counts(self, trial_key: str) -> None:
        """Bring the counts per validation patch of a trial here, if it left them on another node.

        Raises:
            OSError: the bucket cannot be read, or the disk does not take them.
        """
        if self.url is not None:
            from tune.checkpoints import bring

            bring(self.url, trial_key, (PATCHES,))

    def job(self, spec: TrialSpec, *, known_epochs: int, share: float) -> TrialJob:
        """All that a process needs to train the trial, or to go on with it.

        Args:
            spec: the trial.
            known_epochs: of it that are recorded.
            share: of a GPU.
        """
        seeds = seeds_of(spec.replicate)
        return TrialJob(
            settings=self.sweep.settings(spec.config).to_dict(),
            seeds=(seeds.init, seeds.order, seeds.augment),
            cache_path=str(self.cache_path.resolve()),
            checkpoint_dir=str((self.checkpoints / spec.trial_key).resolve()),
            device=self.sweep.device,
            threads=self.sweep.threads,
            known_epochs=known_epochs,
            gpu_share=share,
            data_source=data_source(self.sweep.data_dir) if self.data_id else "",
            data_id=self.data_id,
            checkpoint_url=None if self.url is None else str(self.url),
            hang_seconds=self.hang_seconds,
        )
