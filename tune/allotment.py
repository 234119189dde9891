"""How much of a machine or a cluster each trial of a sweep gets, and where they fit: known before the first starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from landslide import PackedDataset
from results.storage.location import RunDir
from search_spaces import Config
from tune.demand import demands_of
from tune.gpu_shares import MOST_MEASURED, Shares, announcement, refuse_too_large, told
from tune.slots import Seats, slots_of
from tune.sweep import AUTO, Sweep

if TYPE_CHECKING:
    from tune.launch import Place


@dataclass(frozen=True)
class Allotment:
    """Where trials run, and with how much of it.

    Args:
        shares: of a GPU, for each config.
        slots: trials that can run at a time; None = in this process, one after the other.
        seats: where they fit; None = in this process.
    """

    shares: Shares
    slots: int | None = None
    seats: Seats | None = None


@contextmanager
def allotted(
    sweep: Sweep,
    place: Place,
    *,
    data: PackedDataset,
    out: RunDir,
    console: Console,
    recorded: Sequence[Config] = (),
) -> Iterator[Allotment]:
    """Start or join the runtime on which the sweep runs, for as long as the block, and measure what is to be measured.

    In this process nothing is measured: there, a trial has the GPU to itself.

    Args:
        sweep: that is to be run.
        place: where.
        data: its dataset.
        out: its run directory, which need not exist.
        console: told what is checked and measured, and what came of it.
        recorded: the configs that a sweep that goes on has proposed already.

    Raises:
        SweepError: no runtime can be reached, none of its nodes can hold a trial, one of them lacks something, or no
            config fits a GPU.
    """
    if place.in_process:
        yield Allotment(Shares(sweep, data))
        return
    from tune.runtime import alive_nodes, ray_runtime

    with (
        ray_runtime(sweep, place.address),
        _watch(out, console),
        _room(sweep, place, console) as told_share,
    ):
        nodes = alive_nodes()
        shares = Shares(sweep, data)
        slots_of(sweep, list(nodes.values()))  # before anything is measured: can one trial run at all?
        if place.address is not None:
            from tune.node_tasks import make_nodes_ready

            make_nodes_ready(sweep, out, data, console)
        if sweep.gpus_per_trial == AUTO:
            shares = _measured(shares, recorded, console)
            told_share(shares.smallest)
        slots = slots_of(sweep, list(nodes.values()), share=shares.smallest)
        if sweep.gpus_per_trial == AUTO:
            console.print(f"  up to {slots} trials at a time", highlight=False)
        seats = Seats(sweep.cpus_per_trial, shares.smallest, sweep.max_concurrent)
        seats.refresh(nodes)
        yield Allotment(shares, slots, seats)


def _room(sweep: Sweep, place: Place, console: Console) -> AbstractContextManager[Callable[[float], None]]:
    """A runtime of our own is what it is; one that is joined may grow."""
    if place.address is None:
        return nullcontext(lambda share: None)
    from tune.growing import grown

    return grown(sweep, console)


def _watch(out: RunDir, console: Console) -> AbstractContextManager[None]:
    """Tell the user when the runtime is gone, and how a sweep goes on."""
    import ray

    from tune.runtime_watch import watched

    def warn(text: str) -> None:
        told = f"warning: {text}; a sweep goes on with landslide-tune sweep --resume --out {out}"
        console.print(told, style="yellow", markup=False, highlight=False, soft_wrap=True)

    return watched(ray.get_runtime_context().gcs_address, warn)


def _measured(shares: Shares, recorded: Sequence[Config], console: Console) -> Shares:
    """The shares of a sweep that wants them measured."""
    from tune.probe_tasks import answers_on_ray
    from tune.runtime import alive_nodes

    demands = demands_of(shares.sweep, shares.data, recorded)
    chosen = demands[:MOST_MEASURED]
    console.print(
        announcement(len(chosen), len(demands) - len(chosen)), markup=False, highlight=False, soft_wrap=True
    )
    started, answers = time.monotonic(), []
    for answer in answers_on_ray(chosen, alive_nodes()):
        console.print(told(answer), markup=False, highlight=False, soft_wrap=True)
        answers.append(answer)
    console.print(f"  took {time.monotonic() - started:.0f} s", highlight=False)
    if len(chosen) == len(demands):
        refuse_too_large(answers)
    return Shares.of_answers(shares.sweep, shares.data, answers)
