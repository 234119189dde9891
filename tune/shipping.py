"""From a run directory to a shipped model: pick, re-evaluate, upload, manifest last. The order of things lives here.

What is picked and how it is uploaded is decided in `results`; whether the checkpoint still scores what was recorded
is decided in `export_check`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from landslide import set_threads
from results import (
    Exported,
    ResultsStore,
    destination,
    export_model,
    judge,
    manifest_facts,
    pick_model,
    rank_store,
)
from results.storage.location import RunDir, locate
from tune.export_check import recorded_data, verify_checkpoint
from tune.status import sweep_status

_UNFINISHED = (
    "warning: the sweep in {run_dir} is not over, and another config may still turn out to be the best: go on with "
    "landslide-tune sweep --resume --out {run_dir}, or wait for its end, and export again"
)


@dataclass(frozen=True)
class Shipment:
    """What is shipped and how.

    Args:
        config: id or label; None is the verdict's best.
        pick: `median`: the run nearest its config's mean; `best`: the highest run.
        name: the model's file name at its destination.
        endpoint: an S3-compatible server; None leaves it to the standard AWS settings.
        device: where the model is checked: auto, cpu or cuda.
        overwrite: replace a different model at the destination.
    """

    config: str | None = None
    pick: str = "median"
    name: str = "landslide_model.pth"
    endpoint: str | None = None
    device: str = "auto"
    overwrite: bool = False


def ship(run_dir: RunDir, to: str, shipment: Shipment, *, say: Callable[[str], None]) -> Exported:
    """Ship a model of a sweep.

    Args:
        run_dir: the sweep; of one in a bucket, the checkpoint is brought here.
        to: a directory or `s3://bucket/prefix`.
        shipment: which model, and how.
        say: told what is being checked, and that the sweep is not over if it is not.

    Returns:
        Where the model and its manifest are now.

    Raises:
        StoreError: `run_dir` is not a run directory.
        ExportError: there is nothing to ship, the checkpoint does not give what was recorded, or the destination
            does not take it; then nothing there looks complete.
    """
    place = destination(to, shipment.endpoint)
    store = ResultsStore.read(run_dir)
    ranking = rank_store(store)
    verdict = judge(ranking)
    if not sweep_status(run_dir).over:
        say(_UNFINISHED.format(run_dir=locate(run_dir)))
    picked = pick_model(run_dir, ranking, shipment.config, pick=shipment.pick, verdict=verdict)
    facts = manifest_facts(store, ranking, picked, verdict)
    say(f"checking {picked.path} on the validation split: {picked.why}")
    set_threads(int(store.sweep.get("threads", 1)))  # another number of threads gives other bits
    verify_checkpoint(picked.path, recorded_data(store.sweep), facts["run"]["val_iou"], shipment.device)
    return export_model(picked.path, place, facts, name=shipment.name, overwrite=shipment.overwrite)
