"""The policies by name, and the only place that makes one. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tune.schedulers.asha import Asha
from tune.schedulers.halving import SuccessiveHalving
from tune.schedulers.median import MedianStopping
from tune.schedulers.noise_aware import NoiseAware
from tune.schedulers.policy import Policy, PolicyOptions
from tune.schedulers.repeats import RunAll

_KINDS: Mapping[str, tuple[str, Callable[[PolicyOptions], Policy]]] = {
    "asha": ("stop the weaker runs at rising milestones, compared within each replicate", Asha),
    "fixed-repeats": (
        "run every config on all its replicates to the end, config after config",
        partial(RunAll, by_config=True),
    ),
    "median": (
        "stop a run below the median of what the others had on average by then, within each replicate",
        MedianStopping,
    ),
    "noise-aware": (
        "screen every config once, repeat those that can still be the best, confirm the choice on fresh seeds",
        NoiseAware,
    ),
    "none": ("run everything to the end, replicate after replicate", RunAll),
    "successive-halving": (
        "pause all runs of a replicate at rising milestones; the best of them go on",
        SuccessiveHalving,
    ),
}

#: policy name -> what it does, for help texts and messages.
POLICIES: Mapping[str, str] = {name: summary for name, (summary, _) in _KINDS.items()}


def make_policy(name: str, options: PolicyOptions) -> Policy:
    """A new policy of that name; one object serves one search.

    Raises:
        ValueError: for a name that is not in `POLICIES`, or options out of their range, all of them together.
    """
    if name not in _KINDS:
        raise ValueError(f"policy {name!r} is not known; known: {', '.join(sorted(_KINDS))}")
    if problems := _problems(options):
        raise ValueError(f"policy {name}: {'; '.join(problems)}")
    return _KINDS[name][1](options)


def _problems(options: PolicyOptions) -> list[str]:
    least = {
        "max_epochs": 1,
        "seeds": 1,
        "grace": 1,
        "budget_epochs": 0,
        "stop_regret": 0,
        "confirm": 0,
        "configs": 1,
    }
    found = [
        f"{name} is {value}; at least {low}"
        for name, low in least.items()
        if (value := getattr(options, name)) is not None and not value >= low
    ]
    return found if options.eta > 1 else [*found, f"eta is {options.eta}; above 1"]
