"""May this sweep be recorded at that place? Cheap answers before the expensive preparation, and the store at its end.

Writes sweep.json through the store; holds no rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from landslide import PackedDataset
from results import ResultsStore, StoreError
from results.storage.admission import refuse_taken, refuse_unwritable, stored_sweep
from results.storage.location import RunDir, local_copy
from results.storage.run_dir import refuse_other
from search_spaces import Config
from tune.dataset import Progress, data_source, open_dataset
from tune.environment import environment
from tune.extension import changes, extension_of
from tune.proposals import restored
from tune.sweep import Sweep, derived_options


@dataclass(frozen=True)
class Found:
    """What a run directory holds already.

    Args:
        configs: the recorded configs, in the order in which they were proposed.
        ended: what ended the search, when everything of the declared sweep was run; None while something is missing.
    """

    configs: tuple[Config, ...] = ()
    ended: str | None = None


def check_run_dir(sweep: Sweep, out: RunDir, *, resume: bool) -> Found:
    """Refuse a place that cannot take the sweep, as far as that is known before the dataset is opened.

    Raises:
        StoreError: it holds another sweep that the declared one does not extend, or this one without `resume`, or none
            with it; or it cannot be written, or its server does not answer.
    """
    if not resume:
        _refuse_taken(sweep, out)
        refuse_unwritable(out)
        return Found()
    there = stored(out)
    store = _reader(out)
    extension = extension_of(sweep, there, store)
    configs = restored(sweep, store.configs().to_pylist())
    refuse_unwritable(out)
    ended = there.get("ended") if extension is None else None
    return Found(tuple(configs), None if ended is None else str(ended))


def open_store(sweep: Sweep, data: PackedDataset, out: RunDir, *, resume: bool) -> ResultsStore:
    """Make the run directory, or open the one that holds the sweep, or what the sweep extends.

    Raises:
        StoreError: it holds another sweep, or this one without `resume`, or cannot be written.
    """
    if not resume:
        return ResultsStore.create(out, resolved(sweep, data))
    _refuse_other_data(sweep, data, out)
    return ResultsStore.open(out)


def check_other_place(sweep: Sweep, out: RunDir, *, progress: Progress | None = None) -> None:
    """Refuse data that are named at another place than the recorded one and have another content.

    For a sweep of which nothing is missing: data at the recorded place are not opened, and may be gone.

    Raises:
        StoreError: they are not the data of the recorded runs.
        DatasetError: they cannot be opened.
    """
    there = stored(out).get("data_dir")
    if there is not None and data_source(there) != data_source(sweep.data_dir):
        _refuse_other_data(sweep, open_dataset(sweep.data_dir, progress=progress), out)


def resolved(sweep: Sweep, data: PackedDataset) -> dict[str, Any]:
    """The content of sweep.json: every default filled in, the data, the machine."""
    return {
        "sweep_id": sweep.sweep_id(data.data_id),
        "name": sweep.title,
        "mode": sweep.mode,
        "replicates": sweep.planned_seeds,
        **sweep.identity(data.data_id),
        "derived": derived_options(sweep),
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


def stored(out: RunDir) -> Mapping[str, Any]:
    """The content of the `sweep.json` there; a `StoreError` if there is none."""
    return stored_sweep(out) or ResultsStore.read(out).sweep


def _reader(out: RunDir) -> ResultsStore:
    """The rows that are recorded there; those of the local copy where nothing has come to the bucket yet."""
    try:
        return ResultsStore.read(out)
    except StoreError:
        return ResultsStore.read(local_copy(out))


def _refuse_other_data(sweep: Sweep, data: PackedDataset, out: RunDir) -> None:
    there = stored(out).get("data_id")
    if there != data.data_id:
        raise StoreError(
            f"data_id: {there!r} there, {data.data_id!r} here: {sweep.data_dir} is not the dataset that the recorded "
            "runs were trained on; give --data DIR with that one, or choose another --out",
            f"{out} holds a sweep of other data",
        )


def _refuse_taken(sweep: Sweep, out: RunDir) -> None:
    held = stored_sweep(out)
    if held is None:
        refuse_taken(out, "")
        return
    differences = [
        f"{name}: {there!r} there, {here!r} here; repeat what was given then, or choose another --out"
        for name, (there, here) in changes(sweep, held).items()
    ]
    if differences:
        raise StoreError(
            [*differences, f"to go on with it, or to extend it: landslide-tune sweep --resume --out {out}"],
            f"{out} holds another sweep",
        )
    refuse_other(str(out), held, str(held["sweep_id"]))
