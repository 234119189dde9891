"""May this sweep run in that folder? Cheap answers before the expensive preparation, and the store at its end.

Writes sweep.json through the store; holds no rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landslide import PackedDataset
from results import ResultsStore, StoreError
from results.run_dir import refuse_occupied
from tune.environment import environment
from tune.sweep import Sweep


def check_run_dir(sweep: Sweep, out: Path, *, resume: bool) -> None:
    """Refuse a folder that cannot take the sweep, as far as that is known before the dataset is opened.

    Raises:
        StoreError: it holds another sweep, or this one without `resume`, or none with it; or it cannot be written.
    """
    if resume or (out / "sweep.json").is_file():
        stored = ResultsStore.read(out).sweep
        differences = _differences(sweep.identity(str(stored.get("data_id"))), stored)
        if differences:
            raise StoreError(differences, f"{out} holds another sweep")
        if not resume:
            refuse_occupied(out, str(stored["sweep_id"]))
        return
    refuse_occupied(out, "")
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    probe = existing / f".landslide-tune-{sweep.seed}-probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StoreError(f"{out} cannot be written ({error}); choose another --out") from error


def open_store(sweep: Sweep, data: PackedDataset, out: Path, *, resume: bool) -> ResultsStore:
    """Make the run directory, or open the one of the same sweep.

    Raises:
        StoreError: it holds another sweep, or this one without `resume`, or cannot be written.
    """
    if not resume:
        return ResultsStore.create(out, resolved(sweep, data))
    stored = ResultsStore.read(out).sweep
    if stored["sweep_id"] != sweep.sweep_id(data.data_id):
        differences = _differences(sweep.identity(data.data_id), stored)
        raise StoreError(differences, f"{out} holds another sweep, which cannot be resumed with this")
    return ResultsStore.open(out)


def resolved(sweep: Sweep, data: PackedDataset) -> dict[str, Any]:
    """The content of sweep.json: every default filled in, the data, the machine."""
    return {
        "sweep_id": sweep.sweep_id(data.data_id),
        "name": sweep.title,
        "mode": sweep.mode,
        "replicates": sweep.seeds,
        **sweep.identity(data.data_id),
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


def _differences(declared: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {stored.get(name)!r} there, {value!r} here; repeat what was given then, or choose another --out"
        for name, value in declared.items()
        if stored.get(name) != value
    ]
