"""Runs a declared sweep from its checks to its report: `from tune import Sweep, run`.

The order of things lives here; what each step does lives in its own module.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from landslide import PackedDataset
from results import ReportPaths, ResultsStore, StoreError, Verdict, write_report
from tune.environment import environment
from tune.execution import Execution
from tune.in_process import run_in_process
from tune.prepare import prepare
from tune.progress import Progress, shown
from tune.recorder import Recorder
from tune.sweep import Sweep
from tune.workplace import Workplace


@dataclass(frozen=True)
class Outcome:
    """How a sweep went.

    Args:
        run_dir: where everything lies.
        complete: every planned run has ended; False after an interruption.
        verdict: what can be said about the configs.
        report: the written report.
    """

    run_dir: Path
    complete: bool
    verdict: Verdict
    report: ReportPaths


def run(
    sweep: Sweep,
    out: Path,
    *,
    resume: bool = False,
    in_process: bool = False,
    address: str | None = None,
    console: Console | None = None,
    packing: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run a sweep, or what is missing of it.

    Args:
        sweep: what was declared; its own problems are checked again.
        out: the run directory, new unless `resume`.
        resume: go on with the same sweep in `out`.
        in_process: run without Ray, one trial after the other.
        address: a running Ray runtime; None starts one here.
        console: where progress is shown; stderr by default.
        packing: told about the packing of the dataset.

    Raises:
        SweepError, SpaceError, DatasetError, StoreError: bad input, before any training, with every problem.
    """
    console = console or Console(stderr=True)
    data = prepare(sweep, address=None if in_process else address, progress=packing)
    store = _store(sweep, data, out, resume=resume)
    workplace = Workplace(sweep, data.path, store.run_dir)
    recorder = Recorder(
        store,
        sweep_id=str(store.sweep["sweep_id"]),
        checkpoints=workplace.checkpoints,
        warn=lambda text: console.print(f"warning: {text}", style="yellow"),
    )
    try:
        execution = Execution(sweep, store, recorder=recorder, node=platform.node())
        complete = _execute(execution, workplace, in_process=in_process, address=address, console=console)
        if complete:
            store.compact()
    finally:
        store.close()
    report = write_report(store.run_dir)
    return Outcome(store.run_dir, complete, report.verdict, report)


def resolved(sweep: Sweep, data: PackedDataset) -> dict[str, Any]:
    """The content of sweep.json: every default filled in, the data, the machine."""
    identity = sweep.identity(data.data_id)
    return {
        "sweep_id": sweep.sweep_id(data.data_id),
        "name": sweep.title,
        "mode": sweep.mode,
        "replicates": sweep.seeds,
        **identity,
        "space": sweep.space.to_dict(),
        "data_dir": str(sweep.data_dir.resolve()),
        "cache_path": str(data.path.resolve()),
        "data": {
            "bands": data.bands,
            "patch_size": data.patch_size,
            "positive_ratio": data.positive_ratio,
            "patches": {name: len(split.ids) for name, split in data.splits.items()},
        },
        "resources": {
            "cpus_per_trial": sweep.cpus_per_trial,
            "gpus_per_trial": sweep.gpus_per_trial,
            "max_concurrent": sweep.max_concurrent,
        },
        "environment": environment(),
    }


def _store(sweep: Sweep, data: PackedDataset, out: Path, *, resume: bool) -> ResultsStore:
    if not resume:
        return ResultsStore.create(out, resolved(sweep, data))
    store = ResultsStore.open(out)
    declared, stored = sweep.identity(data.data_id), store.sweep
    if stored["sweep_id"] != sweep.sweep_id(data.data_id):
        store.close()
        raise StoreError(
            _differences(declared, stored), f"{out} holds another sweep, which cannot be resumed with this"
        )
    return store


def _differences(declared: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {stored.get(name)!r} there, {value!r} here; repeat what was given then, or choose another --out"
        for name, value in declared.items()
        if stored.get(name) != value
    ]


def _execute(
    execution: Execution, workplace: Workplace, *, in_process: bool, address: str | None, console: Console
) -> bool:
    if in_process:
        with shown(Progress(execution, slots=1), console) as on_step:
            return run_in_process(execution, workplace, on_step=on_step)
    from tune.driver import run_on_ray

    return run_on_ray(execution, workplace, address=address, console=console)
