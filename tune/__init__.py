"""The experiment: declares a sweep, runs its trials on Ray or in process, and records every epoch.

The only package that knows the other three, and the only one that imports Ray
(always as ``from ray import tune as ray_tune``: this package is `tune`). Names are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tune.errors import SweepError

if TYPE_CHECKING:
    from tune.launch import Outcome, Place, run
    from tune.recorded_sweep import load_sweep
    from tune.shipping import Shipment, ship
    from tune.sweep import Sweep
    from tune.sweep_file import declare

__all__ = ["Outcome", "Place", "Shipment", "Sweep", "SweepError", "declare", "load_sweep", "run", "ship"]

_HOMES = {
    "Outcome": "tune.launch",
    "Place": "tune.launch",
    "Shipment": "tune.shipping",
    "Sweep": "tune.sweep",
    "declare": "tune.sweep_file",
    "load_sweep": "tune.recorded_sweep",
    "run": "tune.launch",
    "ship": "tune.shipping",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tune' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
