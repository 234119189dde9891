"""How the learning rate moves from epoch to epoch, by name.

A new schedule is one function and one line in `SCHEDULES`; its state must be in its `state_dict`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, ReduceLROnPlateau

from landslide.errors import SettingsError


def build_schedule(name: str, optimizer: Optimizer) -> Any:
    """The schedule of that name, which has a `state_dict`; None for a constant learning rate.

    Raises:
        SettingsError: there is no schedule of that name.
    """
    if name not in SCHEDULES:
        names = ", ".join(sorted(SCHEDULES))
        raise SettingsError(f"there is no scheduler {name!r}; the schedulers are {names}")
    return SCHEDULES[name](optimizer)


def step_schedule(schedule: Any, *, val_iou: float) -> None:
    """Move a schedule at the end of an epoch; only "plateau" looks at the validation IoU."""
    if isinstance(schedule, ReduceLROnPlateau):
        schedule.step(val_iou)
    elif schedule is not None:
        schedule.step()


def _cosine(optimizer: Optimizer) -> CosineAnnealingWarmRestarts:
    """Down to 0 within 20 epochs, then anew within 40, 80, ...: restarts after epochs 20, 60 and 140.

    Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", eq. 5.
    """
    return CosineAnnealingWarmRestarts(optimizer, T_0=20, T_mult=2)


def _plateau(optimizer: Optimizer) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=5, min_lr=1e-6)


def _constant(optimizer: Optimizer) -> None:
    return None


#: name -> function of the optimizer.
SCHEDULES: dict[str, Callable[[Optimizer], Any]] = {
    "cosine": _cosine,
    "plateau": _plateau,
    "constant": _constant,
}
