"""What of a search may grow after it has begun, policy by policy, and why the rest may not. Starts and judges nothing.

Every policy may be given a larger number here unless the table says why not:

- `none`, `fixed-repeats`: the plan is longer, and what it has run already is passed over.
- `asha`, `median`: the screening goes on, new runs are compared with all that came before them on their replicate, and
  the finalists are chosen again. With more epochs the rungs that came on top judge what reaches them from now on.
- `noise-aware`: the search goes on with half of the added budget for new configs, chooses again and confirms that.
- `successive-halving`: the runs of a replicate halve together, so that only further replicates can be added.
"""

from __future__ import annotations

from collections.abc import Mapping

from tune.schedulers.halving import affordable
from tune.schedulers.policy import PolicyOptions

#: policy -> option of a sweep -> why it cannot grow.
_FIXED: Mapping[str, Mapping[str, str]] = {
    "successive-halving": {
        "configs": "the runs of a replicate halve together, and new ones had no part in the rungs behind them",
        "max_epochs": "with more epochs it has further rungs, which runs that have ended went past without waiting",
    },
}


def growth_problems(policy: str, before: PolicyOptions, after: PolicyOptions) -> list[str]:
    """Everything that keeps a search that began with some options from going on with others.

    Args:
        policy: its name.
        before: what it began with.
        after: nowhere smaller.
    """
    found = [
        f"{name}: policy {policy} cannot go on with {getattr(after, name)} instead of {getattr(before, name)}: {why}"
        for name, why in _FIXED.get(policy, {}).items()
        if getattr(after, name) != getattr(before, name)
    ]
    if policy == "successive-halving" and not found and affordable(before) != affordable(after):
        found.append(
            f"budget_epochs: policy {policy} takes as many configs as its budget pays for, {affordable(before)} with "
            f"{before.budget_epochs} epochs on {before.seeds} seeds and {affordable(after)} with {after.budget_epochs} "
            f"on {after.seeds}: {_FIXED[policy]['configs']}"
        )
    return found
