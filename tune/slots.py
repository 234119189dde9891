"""How many trials a Ray runtime can hold at a time. Arithmetic only: Ray is not asked anything here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tune.errors import SweepError
from tune.sweep import Sweep


def slots_of(sweep: Sweep, nodes: Sequence[Mapping[str, float]]) -> int:
    """How many trials fit at a time; a trial runs on one node, and its share of a GPU is of one GPU."""
    slots = sum(_on_node(sweep, node) for node in nodes)
    if slots < 1:
        have = "; ".join(f"{n.get('CPU', 0):g} CPUs and {n.get('GPU', 0):g} GPUs" for n in nodes) or "no node"
        raise SweepError(
            f"a trial asks for {sweep.cpus_per_trial:g} CPUs and {sweep.gpus_per_trial:g} GPUs on one node, the Ray "
            f"runtime has {have}: lower --cpus-per-trial or --gpus-per-trial"
        )
    return min(slots, sweep.max_concurrent or slots)


def _on_node(sweep: Sweep, node: Mapping[str, float]) -> int:
    cpus, gpus, share = node.get("CPU", 0.0), node.get("GPU", 0.0), sweep.gpus_per_trial
    by_cpu = int(cpus / sweep.cpus_per_trial + 1e-9)
    if share == 0:
        return by_cpu
    by_gpu = int(gpus) * int(1 / share + 1e-9) if share < 1 else int(gpus / share)
    return min(by_cpu, by_gpu)
