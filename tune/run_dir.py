"""May this sweep be recorded at that place? Cheap answers before the expensive preparation, and the store at its end.

Writes sweep.json through the store; holds no rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from landslide import PackedDataset
from results import ResultsStore, StoreError
from results.storage.admission import refuse_taken, refuse_unwritable, stored_sweep
from results.storage.location import RunDir
from results.storage.run_dir import refuse_other
from tune.dataset import data_source
from tune.environment import environment
from tune.sweep import Sweep

#: Options whose defaults depend on the policy.
_BY_POLICY = frozenset({"seeds", "budget_epochs", "stop_regret", "confirm"})


def check_run_dir(sweep: Sweep, out: RunDir, *, resume: bool) -> None:
    """Refuse a place that cannot take the sweep, as far as that is known before the dataset is opened.

    Raises:
        StoreError: it holds another sweep, or this one without `resume`, or none with it; or it cannot be written,
            or its server does not answer.
    """
    stored = _stored(out) if resume else stored_sweep(out)
    if stored is None:
        refuse_taken(out, "")
    else:
        differences = _differences(sweep.identity(str(stored.get("data_id"))), stored)
        if differences:
            raise StoreError(differences, f"{out} holds another sweep")
        if not resume:
            refuse_other(str(out), stored, str(stored["sweep_id"]))
    refuse_unwritable(out)


def open_store(sweep: Sweep, data: PackedDataset, out: RunDir, *, resume: bool) -> ResultsStore:
    """Make the run directory, or open the one of the same sweep.

    Raises:
        StoreError: it holds another sweep, or this one without `resume`, or cannot be written.
    """
    if not resume:
        return ResultsStore.create(out, resolved(sweep, data))
    stored = _stored(out)
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
        "replicates": sweep.planned_seeds,
        **sweep.identity(data.data_id),
        "space": sweep.space.to_dict(),
        "data_dir": data_source(sweep.data_dir),
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


def _stored(out: RunDir) -> Mapping[str, Any]:
    """The sweep that is recorded there; a `StoreError` if there is none."""
    return stored_sweep(out) or ResultsStore.read(out).sweep


def _differences(declared: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """Where the two differ. Under another policy the defaults of its options differ too, which is not told."""
    different = [name for name, value in declared.items() if stored.get(name) != value]
    if "policy" in different:
        different = [name for name in different if name not in _BY_POLICY]
    return [
        f"{name}: {stored.get(name)!r} there, {declared[name]!r} here; "
        + (f"give --policy {stored.get(name)}" if name == "policy" else "repeat what was given then")
        + ", or choose another --out"
        for name in different
    ]
