"""Where a sweep's trials find their data and leave their checkpoints: turns a `TrialSpec` into a `TrialJob`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tune.sweep import Sweep, seeds_of
from tune.trial import TrialJob, TrialSpec


@dataclass(frozen=True)
class Workplace:
    """The paths that trials of a sweep share.

    Args:
        sweep: what was declared.
        cache_path: folder of the packed dataset.
        run_dir: the sweep's folder.
        hang_seconds: without a finished batch for so long, a worker ends itself; None = it waits for ever, as the
            user's own process must, which is not ours to end.
    """

    sweep: Sweep
    cache_path: Path
    run_dir: Path
    hang_seconds: float | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder with one folder per trial."""
        return self.run_dir / "checkpoints"

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
            hang_seconds=self.hang_seconds,
        )
