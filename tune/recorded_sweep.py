"""A `Sweep` as its run directory has recorded it: what `sweep.json` says, declared again. Reads nothing else.

`dataclasses.replace(load_sweep(run_dir), configs=24)` and `run(..., resume=True)` extend it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from results import ResultsStore, StoreError
from search_spaces import SpaceError, space_from_mapping
from tune.dataset import data_place
from tune.sweep import ADAPTIVE, OPTIONS, USUAL_BUDGET, Sweep

if TYPE_CHECKING:
    from results.storage.location import RunDir

_NEEDED = ("space", "data_dir", "data_id", "sweep_id")


def load_sweep(run_dir: RunDir) -> Sweep:
    """The sweep that a run directory holds.

    Args:
        run_dir: a folder, or ``s3://bucket/prefix``.

    Raises:
        StoreError: it is not a run directory, or see `recorded_sweep`.
    """
    from results.storage.admission import stored_sweep

    return recorded_sweep(stored_sweep(run_dir) or ResultsStore.read(run_dir).sweep)


def recorded_sweep(stored: Mapping[str, Any]) -> Sweep:
    """The sweep that was run.

    Args:
        stored: content of `sweep.json`.

    Raises:
        StoreError: it lacks what a sweep is made of, or this version would run something else; every problem.
    """
    heading = "the sweep cannot be declared again from its sweep.json"
    if missing := [name for name in _NEEDED if name not in stored]:
        raise StoreError(
            [f"{name}: missing; only sweeps run by this program have it" for name in missing], heading
        )
    try:
        space = space_from_mapping(stored["space"], source="sweep.json, space")
    except SpaceError as error:
        raise StoreError([f"space: {problem}" for problem in error.problems], heading) from error
    options = {name: stored[name] for name in OPTIONS if name in stored}
    options |= {name: value for name, value in stored.get("resources", {}).items() if name in OPTIONS}
    for name in stored.get("derived", _derived(stored)):
        options.pop(name, None)
    sweep = Sweep(space=space, data_dir=data_place(stored["data_dir"]), **options)
    differences = [
        f"{name}: {stored[name]!r} there, this version has {value!r}; use the version that ran the sweep"
        for name, value in sweep.identity(str(stored["data_id"])).items()
        if name in stored and stored[name] != value
    ]
    if differences:
        raise StoreError(differences, heading)
    return sweep


def _derived(stored: Mapping[str, Any]) -> list[str]:
    """Options that probably nobody gave: versions that did not note it wrote the default in their place."""
    numbers = [stored.get(name) for name in ("configs", "max_epochs")]
    if stored.get("policy") not in ADAPTIVE or not all(isinstance(number, int) for number in numbers):
        return []
    usual = USUAL_BUDGET * numbers[0] * numbers[1]  # type: ignore[operator]
    return ["budget_epochs"] if stored.get("budget_epochs") == usual else []
