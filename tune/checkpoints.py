"""Where a trial's checkpoints are kept so that any node can go on with it: a folder that all nodes see, or a bucket.

With a bucket a trial works in a folder of its node and this module copies: from the bucket when the trial begins, to
the bucket while it runs and at its end. What is in the files is the affair of `landslide`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from results import StoreError
from results.storage.atomic import remove_leftovers
from results.storage.kept_checkpoints import NAMES, PATCHES, KeptCheckpoint, epoch_of
from results.storage.location import RunUrl, local_copy, locate
from results.storage.object_store import RunObjects
from results.storage.run_dir import SWEEP

if TYPE_CHECKING:
    from tune.trial import TrialJob

#: A running trial is copied to the bucket at most so often: a node that is lost costs its trials so much work.
CHECKPOINT_SECONDS = 60.0
#: On a node that is not the driver's, what no trial has written to for so long is of none that runs there.
FORGOTTEN_SECONDS = 24 * 3600.0
#: Lies in a folder that a bucket has a copy of: who works in it, the last that came.
_WORKER = "worker.txt"

_log = logging.getLogger(__name__)


class TrialFolder(Protocol):
    """The checkpoints of the trial that runs."""

    folder: Path

    def saved(self) -> None:
        """An epoch was saved in the folder, and nobody was told yet. Raises OSError."""

    def told(self) -> None:
        """Whoever watches the trial has this epoch, and the trial goes on. Raises OSError."""


class SeenFolder:
    """A folder that all nodes see.

    Args:
        folder: of the trial.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def saved(self) -> None:
        """Nothing to do."""

    def told(self) -> None:
        """Nothing to do."""


class CopiedFolder:
    """A folder of this node that a bucket has a copy of.

    Counts per validation patch are in the bucket before anybody is told of their epoch, because whoever is told may end
    the run and want them. The rest follows in a thread of its own, so that training does not wait for the network.

    Args:
        kept: what the bucket has.
        folder: of the trial, on this node.
        clock: seconds; an argument so that tests need no waiting.
    """

    def __init__(
        self, kept: KeptCheckpoint, folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder
        self._kept, self._clock, self._since = kept, clock, clock()
        self._states: dict[str, tuple[int, int]] = {}  # of what is in the bucket: time of change, size
        self._name, self._thread = uuid.uuid4().hex, ThreadPoolExecutor(1)
        self._copying: Future[None] | None = None

    def begin(self, *, ours_may_count: bool = True) -> None:
        """Bring what the bucket has, unless what is here is as new; raises OSError.

        Args:
            ours_may_count: False where nothing of the trial is recorded: if the bucket has nothing of it either, what
                is here was left by an earlier sweep.
        """
        from landslide.resume import saved_epochs

        with _as_os_error():
            theirs, here = self._kept.epochs(), saved_epochs(self.folder)
            if theirs > here:
                self._kept.fetch(self.folder)
            if 0 < theirs >= here:
                self._states = self._now()
        if not theirs and not ours_may_count:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _WORKER).write_text(self._name)
        self.saved()  # from here on no older counts than those there follow

    def saved(self) -> None:
        """Copy the counts of a new best epoch."""
        state = self._now().get(PATCHES)
        if state is None or state == self._states.get(PATCHES):
            return
        data = (self.folder / PATCHES).read_bytes()
        with _as_os_error():
            self._kept.store({PATCHES: data}, epochs=epoch_of(io.BytesIO(data)))
        self._states[PATCHES] = state

    def told(self) -> None:
        """Begin to copy what is new, if it is time to, and the copy before is done.

        One that failed is tried again next time; only at the end of the trial it must succeed.
        """
        if self._copying is not None and not self._copying.done():
            return
        if self._clock() - self._since >= CHECKPOINT_SECONDS:
            self._since = self._clock()
            self._copying = self._thread.submit(self._copy, *self._new())

    def end(self, *, keep: bool) -> None:
        """Copy what is not in the bucket yet, and remove the folder unless it is to be kept; raises OSError.

        That of a trial with which another process of this node has gone on meanwhile is left to that one.
        """
        try:
            if self._copying is not None:
                self._copying.exception()  # wait; what failed is still new
            with _as_os_error():
                self._copy(*self._new())
            worker = self.folder / _WORKER
            if not worker.is_file() or worker.read_text() != self._name:
                return
            if keep:
                worker.unlink()
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            self._thread.shutdown()

    def _new(self) -> tuple[dict[str, bytes], dict[str, tuple[int, int]], int]:
        """The files that the bucket does not have, their states, and the epochs of last.pt.

        All are read at one moment, because they belong together.
        """
        from landslide.resume import saved_epochs

        states = {name: state for name, state in self._now().items() if state != self._states.get(name)}
        files = {name: (self.folder / name).read_bytes() for name in states}
        return files, states, saved_epochs(self.folder)

    def _copy(self, files: Mapping[str, bytes], states: Mapping[str, tuple[int, int]], epochs: int) -> None:
        for name in (name for name in NAMES if name in files):
            self._kept.store({name: files[name]}, epochs=epochs)
            self._states[name] = states[name]

    def _now(self) -> dict[str, tuple[int, int]]:
        found = {}
        for name in NAMES:
            path = self.folder / name
            if path.is_file():
                status = path.stat()
                found[name] = (status.st_mtime_ns, status.st_size)
        return found


@contextmanager
def checkpoints_of(job: TrialJob) -> Iterator[TrialFolder]:
    """The folder that a trial works in on this node, with the newest checkpoint that there is of it.

    At the end of the block everything is where other nodes find it. A block that is left early, because the trial was
    stopped or paused, ends in any case: what could not be copied then is in the folder, and costs another node the
    epochs since the last copy.

    Raises:
        OSError: the bucket cannot be read or written, or the disk; after several attempts.
    """
    if job.checkpoint_url is None:
        remove_leftovers(Path(job.checkpoint_dir), NAMES)
        yield SeenFolder(Path(job.checkpoint_dir))
        return
    place = locate(job.checkpoint_url)
    assert isinstance(place, RunUrl)
    trial_key, here = Path(job.checkpoint_dir).name, local_copy(place)
    drivers = (here / SWEEP).is_file()  # the driver's machine has a complete copy, others keep nothing
    with _as_os_error():
        copied = CopiedFolder(KeptCheckpoint(_objects(place), trial_key), here / "checkpoints" / trial_key)
    remove_leftovers(copied.folder, NAMES)
    if not drivers:
        _remove_forgotten(copied.folder.parent)
        _remove_foreign(copied.folder, job)
    copied.begin(ours_may_count=drivers or job.known_epochs > 0)
    try:
        yield copied
    except GeneratorExit:
        try:
            copied.end(keep=drivers)
        except OSError as error:
            _log.warning("the last epochs of %s are on this node only: %s", trial_key, error)
        raise
    except BaseException:
        copied.end(keep=drivers)
        raise
    copied.end(keep=drivers)


def _remove_forgotten(folder: Path) -> None:
    """Remove what killed trials, which went on elsewhere, left in the folder with one folder per trial."""
    oldest = time.time() - FORGOTTEN_SECONDS
    for trial in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # another process of this node is faster
            if max(path.stat().st_mtime for path in (trial, *trial.iterdir())) < oldest:
                shutil.rmtree(trial)


def _remove_foreign(folder: Path, job: TrialJob) -> None:
    """Remove what a trial of the same name left that was another run: of an earlier sweep in the same place."""
    from landslide.resume import saved_identity

    seeds = zip(("seed init", "seed order", "seed augment"), job.seeds, strict=True)
    wanted = {**dict(seeds), "data_id": job.data_id, "epochs": job.settings.get("epochs")}
    saved = saved_identity(folder)  # with epochs only where more of them make another run
    if any(value != wanted[name] for name, value in saved.items() if wanted.get(name)):
        shutil.rmtree(folder, ignore_errors=True)


def bring(url: RunUrl, trial_key: str, names: Sequence[str] = NAMES) -> None:
    """Bring what a bucket keeps of a trial into this machine's copy of the run directory.

    What is there already is replaced: only for a process that knows that the bucket has what it wants.

    Raises:
        OSError: the bucket cannot be read, or the disk does not take it.
    """
    with _as_os_error():
        KeptCheckpoint(_objects(url), trial_key).fetch(local_copy(url) / "checkpoints" / trial_key, names)


@lru_cache(maxsize=4)
def _objects(place: RunUrl) -> RunObjects:
    """One client per process: making it takes longer than a request."""
    return RunObjects(place)


@contextmanager
def _as_os_error() -> Iterator[None]:
    """What storage does not do is no fault of the config, wherever it is."""
    try:
        yield
    except StoreError as error:
        raise OSError(str(error)) from error
