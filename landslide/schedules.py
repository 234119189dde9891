"""How the learning rate moves from epoch to epoch, by name.

A new schedule is one function and one line in `SCHEDULES`; its state must be in its `state_dict`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LambdaLR, ReduceLROnPlateau

from landslide.errors import SettingsError

#: Length of the warm-up of "one-cycle", as a share of the epochs, and its first and last rate, as shares of lr.
WARM_UP, FIRST_RATE, LAST_RATE = 0.3, 1 / 25, 1e-4


def build_schedule(name: str, optimizer: Optimizer, *, epochs: int) -> Any:
    """The schedule of that name, which has a `state_dict`; None for a constant learning rate.

    Args:
        name: a key of `SCHEDULES`.
        optimizer: its learning rate is the schedule's highest.
        epochs: of the whole run; "cosine-decay" and "one-cycle" end with it, the others do not look at it.

    Raises:
        SettingsError: there is no schedule of that name.
    """
    if name not in SCHEDULES:
        names = ", ".join(sorted(SCHEDULES))
        raise SettingsError(f"there is no scheduler {name!r}; the schedulers are {names}")
    return SCHEDULES[name](optimizer, epochs)


def step_schedule(schedule: Any, *, val_iou: float) -> None:
    """Move a schedule at the end of an epoch; only "plateau" looks at the validation IoU."""
    if isinstance(schedule, ReduceLROnPlateau):
        schedule.step(val_iou)
    elif schedule is not None:
        schedule.step()


def _cosine(optimizer: Optimizer, epochs: int) -> CosineAnnealingWarmRestarts:
    """Down to 0 within 20 epochs, then anew within 40, 80, ...: restarts after epochs 20, 60 and 140.

    Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", eq. 5.
    """
    return CosineAnnealingWarmRestarts(optimizer, T_0=20, T_mult=2)


def _cosine_decay(optimizer: Optimizer, epochs: int) -> LambdaLR:
    """Half a cosine from lr down to 0 after the last epoch, without a restart (the same eq. 5 with T_0 = epochs)."""
    return LambdaLR(optimizer, lambda epoch: (1.0 + math.cos(math.pi * epoch / epochs)) / 2.0)


def _one_cycle(optimizer: Optimizer, epochs: int) -> LambdaLR:
    """Half a cosine up from lr/25 to lr in the first 30 % of the epochs, then one down to lr/10,000.

    Smith and Topin 2019, "Super-Convergence", section 2, with the cosine shape that has become usual and
    without their cycle of the momentum. An epoch has the rate of its middle, so that short runs learn too.
    """

    def share(epoch: int) -> float:
        at = (epoch + 0.5) / epochs
        if at < WARM_UP:
            return FIRST_RATE + (1.0 - FIRST_RATE) * (1.0 - math.cos(math.pi * at / WARM_UP)) / 2.0
        down = (at - WARM_UP) / (1.0 - WARM_UP)
        return LAST_RATE + (1.0 - LAST_RATE) * (1.0 + math.cos(math.pi * down)) / 2.0

    return LambdaLR(optimizer, share)


def _plateau(optimizer: Optimizer, epochs: int) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=5, min_lr=1e-6)


def _constant(optimizer: Optimizer, epochs: int) -> None:
    return None


#: name -> function of the optimizer and the run's number of epochs.
SCHEDULES: dict[str, Callable[[Optimizer, int], Any]] = {
    "cosine": _cosine,
    "cosine-decay": _cosine_decay,
    "plateau": _plateau,
    "one-cycle": _one_cycle,
    "constant": _constant,
}
