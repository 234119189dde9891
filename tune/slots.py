"""Which trials fit on the nodes of a Ray runtime, and whether one more does. Arithmetic only: Ray is not asked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tune.errors import SweepError
from tune.sweep import Sweep

Resources = Mapping[str, float]
#: Shares are counted to 1/10,000, as Ray does; half of that is rounding.
_ROUNDING = 5e-5


def slots_of(sweep: Sweep, nodes: Sequence[Resources], *, share: float | None = None) -> int:
    """How many trials fit at a time; a trial runs on one node, and its share of a GPU is of one GPU.

    Args:
        sweep: what a trial asks for.
        nodes: what each has.
        share: of a GPU that trials ask for; None = what the sweep says by itself.

    Raises:
        SweepError: none fits.
    """
    share = sweep.gpu_share if share is None else share
    slots = sum(_on_node(sweep.cpus_per_trial, share, node) for node in nodes)
    if slots < 1:
        have = "; ".join(f"{n.get('CPU', 0):g} CPUs and {n.get('GPU', 0):g} GPUs" for n in nodes) or "no node"
        raise SweepError(
            f"a trial asks for {sweep.cpus_per_trial:g} CPUs and {share:g} GPUs on one node, the Ray "
            f"runtime has {have}: lower --cpus-per-trial or --gpus-per-trial"
        )
    return min(slots, sweep.max_concurrent or slots)


def fits(sweep: Sweep, node: Resources) -> bool:
    """Whether a node can hold a trial at all."""
    return _on_node(sweep.cpus_per_trial, sweep.gpu_share, node) > 0


def _on_node(cpus_per_trial: float, share: float, node: Resources) -> int:
    cpus, gpus = node.get("CPU", 0.0), node.get("GPU", 0.0)
    by_cpu = int(cpus / cpus_per_trial + 1e-9)
    if share == 0:
        return by_cpu
    by_gpu = int(gpus) * int(1 / share + 1e-9) if share < 1 else int(gpus / share)
    return min(by_cpu, by_gpu)


@dataclass
class _Node:
    """What is free of a node: CPUs, and the part of each of its GPUs."""

    cpus: float
    gpus: list[float]

    @classmethod
    def empty(cls, resources: Resources) -> _Node:
        return cls(resources.get("CPU", 0.0), [1.0] * int(resources.get("GPU", 0.0)))

    def place(self, cpus: float, share: float) -> tuple[int, ...] | None:
        """The GPUs on which a trial fits best: the fullest that still has room; None when it does not fit."""
        if self.cpus < cpus - 1e-9:
            return None
        if share >= 1:
            whole = [i for i, free in enumerate(self.gpus) if free >= 1 - _ROUNDING]
            return tuple(whole[: int(share)]) if len(whole) >= int(share) else None
        fitting = [i for i, free in enumerate(self.gpus) if free >= share - _ROUNDING]
        if share == 0:
            return ()
        return (min(fitting, key=lambda i: self.gpus[i]),) if fitting else None

    def take(self, cpus: float, share: float, gpus: tuple[int, ...]) -> None:
        """Hand out (or, negative, take back) CPUs, and a share of each of the GPUs."""
        self.cpus -= cpus
        for i in gpus:
            self.gpus[i] -= max(-1.0, min(1.0, share))


@dataclass(frozen=True)
class _Seat:
    """Where a trial sits; on no node while it waits."""

    share: float
    node: str | None = None
    gpus: tuple[int, ...] = ()


@dataclass
class Seats:
    """The trials that were handed to Ray, and where they sit: Ray, too, fills the fullest GPU first.

    A trial is decided on when it is asked for, and the later the more is known. So none is asked for that could not
    start: while one waits for room, or when not even the smallest share is free. One that turns out larger than what
    was free waits alone, and what ends next makes room for it.

    Args:
        cpus: of a trial.
        smallest: share of a GPU that a trial may ask for; 0 = none.
        most: trials at a time, in any case; None = as many as fit.
    """

    cpus: float
    smallest: float
    most: int | None = None
    _nodes: dict[str, _Node] = field(default_factory=dict)
    _seats: dict[str, _Seat] = field(default_factory=dict)

    def refresh(self, nodes: Mapping[str, Resources]) -> None:
        """The nodes are these now. Trials of a node that is gone sit nowhere until they leave, and take no room."""
        self._nodes = {
            name: self._nodes.get(name) or _Node.empty(resources) for name, resources in nodes.items()
        }
        self._seat_waiting()

    def take(self, trial: str, share: float) -> None:
        """A trial was handed out.

        Args:
            trial: its name at Ray.
            share: GPUs that it asks for.
        """
        self._seats[trial] = self._seat(share)

    def leave(self, trial: str) -> None:
        """A trial has ended, whichever way; one that never came is fine."""
        seat = self._seats.pop(trial, None)
        if seat is not None and seat.node in self._nodes:
            self._nodes[seat.node].take(-self.cpus, -seat.share, seat.gpus)
        self._seat_waiting()

    def room(self) -> bool:
        """Whether a further trial should be asked for now."""
        if not self._seats:
            return True  # even on no node: what waits then is what an autoscaler brings a node for
        if self.most is not None and len(self._seats) >= self.most:
            return False
        if any(seat.node is None for seat in self._seats.values()):
            return False
        return any(node.place(self.cpus, self.smallest) is not None for node in self._nodes.values())

    @property
    def held(self) -> float:
        """GPUs that the trials hold that sit somewhere."""
        return sum(seat.share for seat in self._seats.values() if seat.node is not None)

    def _seat(self, share: float) -> _Seat:
        """Sit down on the fullest node that has room, or wait."""
        fitting = [
            (sum(node.gpus), node.cpus, name, gpus)
            for name, node in self._nodes.items()
            if (gpus := node.place(self.cpus, share)) is not None
        ]
        if not fitting:
            return _Seat(share)
        *_, name, gpus = min(fitting)
        self._nodes[name].take(self.cpus, share, gpus)
        return _Seat(share, name, gpus)

    def _seat_waiting(self) -> None:
        for trial, seat in list(self._seats.items()):
            if seat.node is None:
                self._seats[trial] = self._seat(seat.share)
