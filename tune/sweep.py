"""The `Sweep`: a declared experiment, its identity, and everything that can be wrong with it before it starts.

It knows the space, the budget, the seeds and the policy. It does not know where results go, nor how trials are run.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from landslide import Seeds, TrainSettings
from results.storage.location import RunUrl
from search_spaces import Config, SearchSpace
from search_spaces.errors import allowed
from tune.replicates import FIRST_FRESH, Replicate, replicate
from tune.schedulers import POLICIES, PolicyOptions
from tune.schedulers.plan import SEEDS
from tune.searchers import SEARCHERS, searcher_problems
from tune.space_check import settings_problems

#: The metrics a sweep can be judged by and their direction. Both peak at the same epoch (F1 is a rising function of
#: IoU), which is the epoch whose weights the trial keeps: a metric that peaks elsewhere would judge one model and
#: export another.
METRICS = {"val_iou": "max", "val_f1": "max"}
#: Policies that decide by the results how many replicates a config gets.
ADAPTIVE = frozenset({"noise-aware"})
#: Options that not every policy makes use of, and those that do.
USED_BY = {
    "stop_regret": frozenset({"noise-aware"}),
    "confirm": frozenset({"noise-aware"}),
    "grace": frozenset({"noise-aware", "asha", "successive-halving", "median"}),
    "eta": frozenset({"noise-aware", "asha", "successive-halving"}),
}
#: A `gpus_per_trial` that measures what each config needs.
AUTO = "auto"
#: Epochs of an adaptive search, in complete runs of each config; and its fresh seeds.
USUAL_BUDGET, CONFIRMATIONS = 2, 3


@dataclass(frozen=True)
class Sweep:
    """A declared experiment. Defaults live here and nowhere else.

    Args:
        space: what may be tried.
        data_dir: the dataset's folder, or its place in a bucket; see `tune.dataset.data_place`.
        name: for people; the space's name when empty.
        configs: how many configs are tried (a space that is finite may hold fewer).
        seeds: replicates of each config, and all configs meet the same seeds; None leaves it to the policy: as many as
            each config needs for `noise-aware`, of which a number here is the most, and 3 for the others.
        max_epochs: epochs of a run that is not stopped.
        budget_epochs: epochs that the search may spend over all runs, confirmation on top of it; None is
            2 x configs x max_epochs for `noise-aware` and no limit for the others.
        searcher: how configs are proposed, a name in `SEARCHERS`.
        grid_points: points per continuous parameter for the grid searcher.
        policy: what is run, stopped and repeated, a name in `POLICIES`.
        grace: epochs before the policy first judges a run.
        eta: of the runs that reach a milestone, about one in `eta` goes on.
        stop_regret: the search ends once its choice is expected to be no further than this from the best config, in
            the unit of the metric.
        confirm: fresh seeds on which the chosen config and its closest rival are confirmed; None is 3 for
            `noise-aware`, and the others confirm nothing.
        metric: what runs are judged by, a key of `METRICS`.
        seed: the sweep's seed, from which the configs and all replicates' seeds follow.
        cpus_per_trial: CPU share of a trial; the torch threads of a trial are its whole part, at least 1.
        gpus_per_trial: GPU share of a trial; 0 trains on the CPU, `auto` measures what each config needs.
        max_concurrent: at most so many trials at a time; None lets the resources decide.
    """

    space: SearchSpace
    data_dir: Path | RunUrl
    name: str = ""
    configs: int = 16
    seeds: int | None = None
    max_epochs: int = 30
    budget_epochs: int | None = None
    searcher: str = "random"
    grid_points: int = 3
    policy: str = "noise-aware"
    grace: int = 3
    eta: int = 3
    stop_regret: float = 0.002
    confirm: int | None = None
    metric: str = "val_iou"
    seed: int = 0
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | str = 0.0
    max_concurrent: int | None = None

    @property
    def title(self) -> str:
        """What people call the sweep."""
        return self.name or self.space.name

    @property
    def mode(self) -> str:
        """Direction of the metric: `max`."""
        return METRICS[self.metric]

    @property
    def threads(self) -> int:
        """Torch threads of a trial: another number gives other bits, so it is part of the sweep's identity."""
        return max(1, int(self.cpus_per_trial))

    @property
    def device(self) -> str:
        """`cuda` when trials hold a share of a GPU, else `cpu`."""
        return "cuda" if self.gpu_share > 0 else "cpu"

    @property
    def gpu_share(self) -> float:
        """GPUs of a trial of which nothing was measured: a whole one for `auto`; 0 = none."""
        return 1.0 if isinstance(self.gpus_per_trial, str) else self.gpus_per_trial

    @property
    def planned_seeds(self) -> int:
        """Replicates that every config gets; 0 when their number follows from the results."""
        return 0 if self.policy in ADAPTIVE else self.seeds or SEEDS

    def replicate(self, index: int) -> Replicate:
        """The seeds of a replicate, the same for every config."""
        return replicate(self.seed, index)

    def policy_options(self) -> PolicyOptions:
        """What the policy is made with, every default in place."""
        adaptive = self.policy in ADAPTIVE
        usual_budget = USUAL_BUDGET * self.configs * self.max_epochs if adaptive else None
        usual_confirm = CONFIRMATIONS if adaptive else 0
        return PolicyOptions(
            max_epochs=self.max_epochs,
            seeds=self.seeds if adaptive else self.planned_seeds,
            grace=self.grace,
            eta=self.eta,
            budget_epochs=usual_budget if self.budget_epochs is None else self.budget_epochs,
            stop_regret=self.stop_regret,
            confirm=usual_confirm if self.confirm is None else self.confirm,
            configs=self.configs,
            seed=self.seed,
        )

    def settings(self, config: Config) -> TrainSettings:
        """The complete training settings of a config."""
        return TrainSettings.from_mapping({**dict(config), "epochs": self.max_epochs})

    def identity(self, data_id: str) -> dict[str, Any]:
        """All that decides the numbers of the sweep: what `sweep_id` is computed from.

        Options of which the policy makes no use are left out, so that sweeps keep the identity that they had before
        there were these options.
        """
        policy = self.policy_options()
        later: dict[str, Any] = {}
        if policy.budget_epochs is not None:
            later["budget_epochs"] = policy.budget_epochs
        if self.policy in ADAPTIVE:
            # float: 0 and 0.0 are one sweep, and JSON tells them apart
            later |= {"stop_regret": float(policy.stop_regret), "confirm": policy.confirm}
        return {
            "space_id": self.space.space_id,
            "data_id": data_id,
            "configs": self.configs,
            "seeds": policy.seeds,
            "max_epochs": self.max_epochs,
            "searcher": self.searcher,
            "grid_points": self.grid_points,
            "policy": self.policy,
            "grace": self.grace,
            "eta": self.eta,
            "metric": self.metric,
            "seed": self.seed,
            "threads": self.threads,
            "device": self.device,
            **later,
        }

    def sweep_id(self, data_id: str) -> str:
        """Content hash of the identity, 12 hexadecimal digits."""
        canonical = json.dumps(self.identity(data_id), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def problems(self) -> list[str]:
        """Everything that is wrong with the declaration by itself: no data and no machine is looked at."""
        found = [*self._bad_names(), *self._bad_numbers()]
        if not self.space.parameters and not self.space.configs:
            found.append(f"space {self.space.name}: nothing to try; give it `parameters` or `configs`")
        found += searcher_problems(self.searcher, self.space)
        return [*found, *self._useless(), *settings_problems(self.space)]

    def _bad_names(self) -> list[str]:
        known: dict[str, Mapping[str, Any]] = {"searcher": SEARCHERS, "policy": POLICIES, "metric": METRICS}
        found = []
        for option, names in known.items():
            value = getattr(self, option)
            if value not in names:
                found.append(f"{option}: {value!r} is not known; {allowed(value, names)}")
        return found

    def _useless(self) -> list[str]:
        """Options that were given although the policy makes no use of them; whoever gave one expects it to matter."""
        given = {f.name for f in fields(self) if getattr(self, f.name) != f.default} & set(USED_BY)
        return [
            f"{name}: policy {self.policy} makes no use of it; leave it out, or use --policy "
            f"{' or '.join(sorted(USED_BY[name]))}"
            for name in sorted(given)
            if self.policy in POLICIES and self.policy not in USED_BY[name]
        ]

    def _bad_numbers(self) -> list[str]:
        least = {
            "configs": 1,
            "seeds": 1,
            "max_epochs": 1,
            "grid_points": 1,
            "grace": 1,
            "eta": 2,
            "confirm": 0,
        }
        found = [
            f"{name}: {value} is too small; at least {low}"
            for name, low in least.items()
            if (value := getattr(self, name)) is not None and value < low
        ]
        found += [
            f"{name}: {value} is too many; replicates from {FIRST_FRESH} on confirm, so at most {FIRST_FRESH}"
            for name in ("seeds", "confirm")
            if (value := getattr(self, name)) is not None and value > FIRST_FRESH
        ]
        if self.budget_epochs is not None and self.budget_epochs < self.max_epochs:
            found.append(
                f"budget_epochs: {self.budget_epochs} is not enough for one run of {self.max_epochs} epochs; at least "
                f"{self.max_epochs}, or lower --max-epochs"
            )
        if not (self.stop_regret >= 0 and math.isfinite(self.stop_regret)):
            found.append(f"stop_regret: {self.stop_regret} is not a distance; at least 0, for example 0.002")
        if not 0 <= self.seed < 2**63:
            found.append(f"seed: {self.seed} is out of range; 0 to 2^63 - 1")
        if not (math.isfinite(self.cpus_per_trial) and self.cpus_per_trial > 0):
            found.append(f"cpus_per_trial: {self.cpus_per_trial} is too small; above 0, for example 1")
        gpus = self.gpu_share
        named = isinstance(self.gpus_per_trial, str) and self.gpus_per_trial != AUTO
        if named or not (0 <= gpus <= 1 or (math.isfinite(gpus) and gpus > 1 and gpus == int(gpus))):
            found.append(
                f"gpus_per_trial: {self.gpus_per_trial} is not a share; auto, 0 to 1, or a whole number of GPUs"
            )
        if self.max_concurrent is not None and self.max_concurrent < 1:
            found.append(f"max_concurrent: {self.max_concurrent} is too small; at least 1")
        return found


def derived_options(sweep: Sweep) -> list[str]:
    """Options that nobody gave and whose value follows from others: in an extended sweep they follow the new ones."""
    return ["budget_epochs"] if sweep.budget_epochs is None and sweep.policy in ADAPTIVE else []


def usual_options(policy: str) -> dict[str, Any]:
    """Defaults of the options of which a policy makes no use: another policy's sweep must not hand its own on to it."""
    return {f.name: f.default for f in fields(Sweep) if policy not in USED_BY.get(f.name, {policy})}


def seeds_of(replicate: Replicate) -> Seeds:
    """A replicate's seeds in the trial's terms."""
    return Seeds(init=replicate.seed_init, order=replicate.seed_order, augment=replicate.seed_augment)


#: Options of a sweep that a sweep file or a command line can give, with their types.
OPTIONS = {f.name: str(f.type) for f in fields(Sweep) if f.name not in {"space", "data_dir"}}
