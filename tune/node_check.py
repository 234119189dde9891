"""Compares what the nodes of a runtime say of themselves with the driver, and says what is wrong, where, what to do.

Pure: asks no node. See `tune.node_tasks` for who asks, and `tune.node_facts` for what is answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from tune.node_facts import NodeFacts

#: Of these another version gives other numbers, or is not understood.
_DECISIVE = (
    "landslide-tune",
    "ray",
    "torch",
    "torchvision",
    "segmentation-models-pytorch",
    "timm",
    "numpy",
)
_LISTED = 5  # names of nodes per problem; the rest is counted
_SPARE_BYTES = 2**30  # beside the packed dataset


@dataclass(frozen=True)
class Node:
    """A node that can hold trials.

    Args:
        name: for people.
        gpus: that Ray counts there.
        facts: what it says; or
        silence: why it said nothing, one sentence.
    """

    name: str
    gpus: float
    facts: NodeFacts | None = None
    silence: str = ""


def problems_of(nodes: Sequence[Node], driver: NodeFacts, *, data_bytes: int) -> list[str]:
    """Everything for which the sweep cannot start, the same problem of several nodes in one sentence.

    Args:
        nodes: all that can hold trials.
        driver: what the driver runs.
        data_bytes: of the packed dataset.
    """
    found: dict[str, list[str]] = {}
    for node in nodes:
        for problem in _problems(node, driver, data_bytes):
            found.setdefault(problem, []).append(node.name)
    builds = _builds(nodes)
    if len(builds) > 1:
        told = "; ".join(f"{build} on {_listed(names)}" for build, names in sorted(builds.items()))
        found["the nodes have different builds of torch, which give different numbers: " + told] = []
    return [f"{_label(names)}{problem}" for problem, names in found.items()]


def warnings_of(nodes: Sequence[Node], driver: NodeFacts) -> list[str]:
    """What is worth knowing, and keeps nothing from working."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        if node.facts is not None and node.facts.python != driver.python:
            told = f"Python {node.facts.python} there, {driver.python} here"
            found.setdefault(told, []).append(node.name)
    return [f"{_label(names)}{told}" for told, names in found.items()]


def table_of(nodes: Sequence[Node]) -> Table:
    """One line per node."""
    table = Table("node", "python", "torch", "GPUs", "dataset", "free disk", box=None, pad_edge=False)
    for node in nodes:
        facts = node.facts
        if facts is None:
            table.add_row(node.name, "no answer", "", f"{node.gpus:g}", "", "")
            continue
        gpus = f"{node.gpus:g}" if facts.gpus is None else f"{node.gpus:g} (torch sees {facts.gpus})"
        data = "packed" if facts.packed else "missing" if facts.data_problem else "to be packed"
        torch = facts.packages.get("torch") or "none"
        table.add_row(node.name, facts.python, torch, gpus, data, f"{facts.free_bytes / 1e9:.0f} GB")
    return table


def _problems(node: Node, driver: NodeFacts, data_bytes: int) -> list[str]:
    facts = node.facts
    if facts is None:
        return [node.silence]
    found = _software_problems(facts, driver)
    if facts.data_problem is not None:
        found.append(f"data: {facts.data_problem}")
    needed = data_bytes + _SPARE_BYTES
    if not facts.packed and facts.data_problem is None and facts.free_bytes < needed:
        found.append(
            f"data: the packed dataset needs {needed / 1e9:.1f} GB in {facts.cache_dir}, free are "
            f"{facts.free_bytes / 1e9:.1f} GB: free some, or set LANDSLIDE_TUNE_CACHE there before Ray is started"
        )
    if facts.out_problem is not None:
        found.append(facts.out_problem)
    if facts.gpus is not None and facts.gpus < node.gpus:
        found.append(
            f"GPUs: Ray counts {node.gpus:g}, torch {facts.packages.get('torch')} can use {facts.gpus}: install a CUDA "
            "build of torch that fits the driver of the card, or start Ray there with --num-gpus"
        )
    return found


def _software_problems(facts: NodeFacts, driver: NodeFacts) -> list[str]:
    here, there = driver.packages, facts.packages
    different = [
        f"{name} {there.get(name) or 'is missing'} there, {here.get(name) or 'none'} here"
        for name in _DECISIVE
        if _public(there.get(name)) != _public(here.get(name))
    ]
    found = []
    if different:
        found.append(
            f"{'; '.join(different)}: install the same versions (constraints.txt), or use one image for all nodes"
        )
    elif facts.code != driver.code:
        found.append(
            f"another state of this program's code is in {facts.code_from} there (here in {driver.code_from}): update "
            "it, or send the code along with `ray job submit --working-dir`"
        )
    return found


def _builds(nodes: Sequence[Node]) -> Mapping[str, list[str]]:
    """Builds of the same version of torch, such as 2.8.0+cpu and 2.8.0+cu128: build -> nodes."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        if node.facts is not None and (version := node.facts.packages.get("torch")):
            found.setdefault(version, []).append(node.name)
    return found if len({_public(version) for version in found}) == 1 else {}


def _public(version: str | None) -> str | None:
    """A version without the name of its build."""
    return version and version.partition("+")[0]


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _label(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f"node{'s' if len(names) > 1 else ''} {_listed(names)}: "
