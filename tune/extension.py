"""More of a sweep that is on record: what may grow, what may not and why, and how it is noted. Starts no run.

A run directory keeps the id of the sweep that began in it. An extension changes what `sweep.json` says the sweep is,
and adds an entry to its list `extensions`: after which event, what changed from what to what, when, which versions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from landslide.settings import ENDING_SCHEDULERS
from results import ResultsStore, StoreError
from search_spaces import Config
from tune.environment import environment
from tune.other_space import outside
from tune.recorder import EXHAUSTED
from tune.reopened import last_event, needed_epochs
from tune.schedulers import PolicyOptions
from tune.schedulers.growth import growth_problems
from tune.schedulers.history import AUDIT, CONFIRM
from tune.sweep import Sweep, derived_options, usual_options

#: What may change, and which way; None is "as many as it takes".
_GROWS = {"configs": 1, "seeds": 1, "max_epochs": 1, "budget_epochs": 1, "confirm": 1, "stop_regret": -1}
_SPACE = "space_id"
#: The same in words.
_TOLD = {
    "max_epochs": "max epochs",
    "budget_epochs": "budget of epochs",
    "confirm": "confirming runs",
    "stop_regret": "stop regret",
    _SPACE: "space",
}
_ALLOWED = (
    "more --configs, --seeds, --max-epochs, --budget-epochs or --confirm, a smaller --stop-regret, and a wider space "
    "in which all recorded configs lie"
)
#: Options whose defaults depend on the policy.
_BY_POLICY = frozenset({"seeds", "budget_epochs", "stop_regret", "confirm"})

Changes = Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Extension:
    """What a sweep is to do beyond what it set out to do.

    Args:
        changed: name in the sweep's identity -> what it was, what it is.
    """

    changed: Changes

    def sentence(self) -> str:
        """`extended: configs 16 -> 24, budget of epochs 960 -> 1440`."""
        parts = [
            f"{_TOLD.get(name, name)} {_shown(there)} -> {_shown(here)}"
            for name, (there, here) in self.changed.items()
        ]
        return f"extended: {', '.join(parts)}"


def changes(sweep: Sweep, stored: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Where a declared sweep differs from the recorded one, by name: there, here.

    Under another policy the defaults of its options differ too, which nobody has given: they are left out.
    """
    declared = sweep.identity(str(stored.get("data_id")))
    names = [*declared, *(name for name in _GROWS if name not in declared)]
    found = {name: (stored.get(name), declared.get(name)) for name in names}
    found = {name: (there, here) for name, (there, here) in found.items() if there != here}
    if "policy" in found:
        unused = usual_options(sweep.policy)
        found = {name: values for name, values in found.items() if name not in {*_BY_POLICY, *unused}}
    return found


def extension_of(sweep: Sweep, stored: Mapping[str, Any], store: ResultsStore) -> Extension | None:
    """The extension that makes the recorded sweep the declared one; None if it is that already.

    Args:
        sweep: what was declared.
        stored: content of `sweep.json`.
        store: with the rows.

    Raises:
        StoreError: the sweep cannot go on so; with everything that is in the way, and what is allowed.
    """
    changed = changes(sweep, stored)
    if not changed:
        return None
    problems = [*_refused(changed)]
    if not problems:  # whatever else is asked compares a sweep with what it has grown to
        problems = [
            *growth_problems(sweep.policy, _options(stored), sweep.policy_options()),
            *_space_problems(sweep, changed, store),
            *_epoch_problems(sweep, changed, store),
            *_audit_problems(store),
        ]
    if problems:
        raise StoreError(
            [*problems, f"allowed: {_ALLOWED}; anything else is another sweep, in another --out"],
            "the sweep cannot go on with this",
        )
    return Extension(changed)


def extend(sweep: Sweep, store: ResultsStore) -> Extension | None:
    """Put on record that a sweep is to do more, if it is. All at once: a crash leaves the old sweep or the new one.

    Args:
        sweep: what was declared.
        store: open for writing.

    Raises:
        StoreError: as `extension_of`; or the disk does not take it.
    """
    stored = store.sweep
    extension = extension_of(sweep, stored, store)
    if extension is None:
        return None
    store.flush()
    declared = sweep.identity(str(stored["data_id"]))
    facts = {
        **declared,
        "replicates": sweep.planned_seeds,
        "space": sweep.space.to_dict(),
        "derived": derived_options(sweep),
    }
    entry = {
        "after_event": last_event(store),
        "changed": {name: list(values) for name, values in extension.changed.items()},
        "timestamp": time.time(),
        "environment": environment(),
    }
    if _SPACE in extension.changed:
        entry["space_before"] = stored["space"]
    store.extend(facts, entry=entry, forget=[EXHAUSTED, *(name for name in _GROWS if name not in declared)])
    return extension


# ---- what is in the way -----------------------------------------------------------------------------------------


def _refused(changed: Changes) -> Iterator[str]:
    """What would shrink, or change what was measured."""
    for name, (there, here) in changed.items():
        told = f"{name}: {there!r} there, {here!r} here; "
        if name == _SPACE:
            continue
        if name not in _GROWS:
            yield told + f"the recorded runs were made with {there!r}: leave it out, or give the same"
        elif not _larger(name, there, here):
            less = "cannot become larger" if _GROWS[name] < 0 else "cannot become less"
            yield (
                told + f"it {less}, because what it was spent on is on record: leave it out, or give the same"
            )


def _larger(name: str, there: Any, here: Any) -> bool:
    if there is None or here is None:
        return here is None
    return bool(_GROWS[name] * (here - there) > 0)


def _options(stored: Mapping[str, Any]) -> PolicyOptions:
    """What the policy was made with."""
    names = ("max_epochs", "seeds", "grace", "eta", "budget_epochs", "configs", "seed")
    return PolicyOptions(**{name: stored[name] for name in names if name in stored})


def _space_problems(sweep: Sweep, changed: Changes, store: ResultsStore) -> Iterator[str]:
    """Why the new space does not hold all recorded configs."""
    if _SPACE not in changed:
        return
    reasons = [*outside(sweep.space, _configs(store))]
    yield from reasons
    if reasons:
        yield (
            "space: the new one must hold every recorded config; to go on with the recorded one, leave NAME_OR_FILE "
            "and --set out; a file of another space needs every value that was fixed then, by --set or by its `set:`"
        )


def _epoch_problems(sweep: Sweep, changed: Changes, store: ResultsStore) -> Iterator[str]:
    """Why runs cannot go on to more epochs."""
    if "max_epochs" not in changed:
        return
    begun = {*store.epochs().column("config_id").to_pylist()}
    ending = [
        (config, scheduler)
        for config in _configs(store)
        if config.config_id in begun and (scheduler := config.get("scheduler")) in ENDING_SCHEDULERS
    ]
    if ending:
        (config, scheduler), n = ending[0], len(ending)
        yield (
            f"max_epochs: {n} of the recorded configs, {config.config_id[:8]} for example, use the scheduler "
            f"{scheduler}, which lets the learning rate end with the last epoch: with more epochs each of their epochs "
            "would have been another one, so such runs cannot go on"
        )
    if sweep.budget_epochs is None or ending:
        return
    search = [stage for stage in store.epochs().column("stage").to_pylist() if stage != CONFIRM]
    least = len(search) + needed_epochs(sweep, store)
    if sweep.budget_epochs < least:
        yield (
            f"budget_epochs: {sweep.budget_epochs} do not pay for what the runs that have had all their epochs still "
            f"need to come to {sweep.max_epochs}; give --budget-epochs {least} or more"
        )


def _audit_problems(store: ResultsStore) -> Iterator[str]:
    if AUDIT in store.decisions().column("policy").to_pylist():
        yield (
            "the sweep was audited: stopped runs of it were brought to their end by a draw, not by its policy, which "
            "could not tell them from its own if it went on"
        )


def _configs(store: ResultsStore) -> list[Config]:
    columns = store.configs().select(["values_json", "label"]).to_pylist()
    return [Config(json.loads(row["values_json"]), row["label"]) for row in columns]


def _shown(value: Any) -> str:
    return "no limit" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
