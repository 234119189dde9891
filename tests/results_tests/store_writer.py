"""A process that writes a store under load and can be killed at any moment, and the rows that it must have written.

Every row is a function of its key, so whoever finds a row knows what must be in it. Run as a script this is a server
that forks one writer per line on its input: importing pyarrow takes longer than most writers live.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pandas  # noqa: F401  # pyarrow imports it at its first conversion: better once here than in every fork
from recorded_sweeps import SWEEP, decision_record, epoch_record, patch_record, run_record

import results.storage.row_log
import results.store
from results import ConfigRecord, ResultsStore
from results.records import ThresholdRecord

EPOCHS, PATCHES, THRESHOLDS = 4, 6, 3
#: So small that most of a writer's time goes into flushes, rotations and compactions; and for one that ends.
ROTATE_SECONDS, ROTATE_ROWS, ROTATE_ROWS_OF_FEW = 0.7, 60, 6
#: What a writer does to the file system, to be killed before each.
OPERATIONS = {"open", "os.mkdir", "os.remove", "os.rename", "os.truncate"}

Key = tuple[str, str, int]  # table, trial (or config), number within it


def expected(key: Key) -> Any:
    """The record of a key; a second end of a run (number 1) replaces the first."""
    table, trial, number = key
    value = zlib.crc32(f"{key}".encode()) / 2**32
    who: dict[str, Any] = {"trial_key": trial, "config_id": trial.partition("-")[0]}
    if table == "configs":
        return ConfigRecord(trial, {"lr": value, "depth": number}, "random", f"läuft {value}")
    if table == "epochs":
        return epoch_record(epoch=number, val_iou=value, val_loss=None if value < 0.3 else value, **who)
    if table == "decisions":
        return decision_record(epoch=number, statistic=value, **who)
    if table == "patches":
        return patch_record(patch_id=number, tp=int(1000 * value), **who)
    if table == "thresholds":
        return ThresholdRecord("sweep0001", *who.values(), 0, 1, number / 8, int(1e6 * value), 2, 3)
    return run_record(best_value=value, epochs=EPOCHS, reason=("first end", "second end")[number], **who)


def trials(life: int) -> Iterator[list[list[Key]]]:
    """For ever the rows of one trial after the other, in the groups in which they are added."""
    for index in count():
        trial = f"c{life:03d}x{index:04d}-r0"
        groups: list[list[Key]] = [[("configs", trial.partition("-")[0], 0)]]
        groups += [[("epochs", trial, epoch)] for epoch in range(1, EPOCHS + 1)]
        groups.insert(3, [("decisions", trial, 2)])
        groups.append([("patches", trial, number) for number in range(PATCHES)])
        groups.append([("thresholds", trial, number) for number in range(THRESHOLDS)])
        groups += [[("runs", trial, number)] for number in range(1 + index % 2)]
        yield groups


def write(run_dir: Path, life: int, say: Callable[[Any], None], *, most: int | None = None) -> None:
    """Create or open the store and record trials, telling each call that has returned.

    Args:
        run_dir: the run directory.
        life: every other one leaves it to the clock when rows go to disk, and lets some time pass.
        say: told the keys that an ``add_*`` took, and ``"flushed"`` when a `flush` of its own has returned.
        most: trials to record before the store is closed; None writes for ever.
    """
    results.store.ROTATE_SECONDS = ROTATE_SECONDS
    results.storage.row_log.ROTATE_ROWS = ROTATE_ROWS if most is None else ROTATE_ROWS_OF_FEW
    exists = (run_dir / "sweep.json").exists()
    store = ResultsStore.open(run_dir) if exists else ResultsStore.create(run_dir, SWEEP)
    for index, groups in enumerate(islice(trials(life), most)):
        for keys in groups:
            add(store, keys)
            say(keys)
            time.sleep(0.002 * (life % 2))
        if index % 5 == 4:
            store.note({"planned_runs": index})
        if life % 2 == 0:
            store.flush()
            say("flushed")
            if index % 12 == 11:
                store.compact()
    store.compact()
    store.close()


def add(store: ResultsStore, keys: list[Key]) -> None:
    """Record the rows of keys of one table."""
    table, records = keys[0][0], [expected(key) for key in keys]
    if table in ("patches", "thresholds"):
        getattr(store, f"add_{table}")(records)
    else:
        getattr(store, f"add_{table.removesuffix('s')}")(records[0])


def die_before(operation: int, run_dir: Path) -> None:
    """Have this process killed before its n-th operation on a file in `run_dir`, forcing one to disk included.

    Nothing is really forced to disk, which takes long: what the kernel has been given outlives the process.
    """
    numbers = count()

    def step() -> None:
        if next(numbers) == operation:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in OPERATIONS and str(arguments[0]).startswith(str(run_dir)):
            step()

    os.fsync = lambda descriptor: step()
    sys.addaudithook(hook)


def journal_of(run_dir: Path, life: int) -> Path:
    """Where a writer tells what it has done, beside the run directory."""
    return run_dir.with_name(f"{run_dir.name}-life{life}.journal")


def child(run_dir: Path, life: int, *, most: int | None, operation: int | None) -> None:
    """The life of a forked writer; its journal is in the kernel's hands as soon as a line is written."""
    journal = os.open(journal_of(run_dir, life), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    if operation is not None:
        die_before(operation, run_dir)
    write(
        run_dir,
        life,
        lambda what: os.write(journal, (json.dumps([what, time.monotonic()]) + "\n").encode()) and None,
        most=most,
    )


def main() -> None:
    """Fork a writer per line of JSON ([run_dir, life, most, operation]); tell its pid, and how it ended."""
    for line in sys.stdin:
        folder, life, most, operation = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(Path(folder), life, most=most, operation=operation)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
