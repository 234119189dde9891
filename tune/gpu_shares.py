"""The share of a GPU that each config's trials begin with: what was measured, put into shares and into words.

Values only: measuring is the affair of `tune.probe`, and of `tune.probe_tasks` on the nodes of a Ray runtime.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from landslide import PackedDataset
from results import ResultsStore
from search_spaces import Config
from tune.demand import Demand
from tune.errors import SweepError
from tune.probe import Answer
from tune.sweep import Sweep

#: So many demands are measured at most. Further ones begin with a whole GPU: measuring them could take an hour.
MOST_MEASURED = 32
_GIB = 2**30


@dataclass(frozen=True)
class Shares:
    """The share of a GPU that a trial of each config begins with.

    Args:
        sweep: that is run.
        data: its dataset.
        measured: what demands take, for each kind of card that it was measured on; empty = the sweep's share counts.
    """

    sweep: Sweep
    data: PackedDataset
    measured: Mapping[Demand, Sequence[Answer]] = field(default_factory=dict)

    @classmethod
    def of_answers(cls, sweep: Sweep, data: PackedDataset, answers: Iterable[Answer]) -> Shares:
        """From what was measured, on any number of kinds of cards."""
        measured: dict[Demand, list[Answer]] = {}
        for answer in answers:
            measured.setdefault(answer.demand, []).append(answer)
        return cls(sweep, data, measured)

    def of(self, config: Config) -> float:
        """The share of a config: that of its own demand, else of the next larger batch, else the sweep's.

        Where there are several kinds of cards, a trial can come to any of them, so the largest share counts.
        """
        demand = Demand.of(self.sweep.settings(config), self.data)
        covering = [known for known in self.measured if known.covers(demand)]
        if not covering:
            return self.sweep.gpu_share
        return max(
            answer.share for answer in self.measured[min(covering, key=lambda known: known.batch_size)]
        )

    @property
    def smallest(self) -> float:
        """The smallest share that a trial may begin with; 0 = no GPU."""
        return min(
            (max(answer.share for answer in answers) for answers in self.measured.values()),
            default=self.sweep.gpu_share,
        )

    def to_list(self) -> list[dict[str, Any]]:
        """For `sweep.json`: what was measured and the share that follows from it, one entry per demand and card."""
        names = ("card", "total_bytes", "reserved_bytes", "context_bytes", "problem")
        return [
            {
                **demand.to_dict(),
                "share": answer.share,
                **{name: getattr(answer, name) for name in names},
            }
            for demand, answers in self.measured.items()
            for answer in answers
        ]


def note_shares(shares: Shares, store: ResultsStore) -> None:
    """Put on record, with the sweep's resources, what its shares were measured to be; nothing for shares by hand.

    Raises:
        StoreError: it cannot be written.
    """
    if shares.measured:
        store.note({"resources": {**store.sweep.get("resources", {}), "gpu_shares": shares.to_list()}})


def refuse_too_large(answers: Sequence[Answer]) -> None:
    """Raise a `SweepError` when nothing that a sweep can come to fits any of the cards."""
    if all(answer.out_of_memory for answer in answers):
        raise SweepError(
            [
                f"gpus_per_trial: {answer.demand} needs more than the {answer.total_bytes / _GIB:.0f} GiB of "
                f"{answer.card}; lower batch_size, or choose a smaller backbone"
                for answer in answers
            ]
        )


def announcement(measured: int, left_out: int) -> str:
    """What is about to be done, before it takes its time."""
    more = f"; {left_out} more are not measured and begin with a whole GPU each" if left_out else ""
    return (
        f"GPU shares: measuring {measured} {'model' if measured == 1 else 'models and batch sizes'}, a few training "
        f"steps each on a GPU of its own; what was measured there before is read back{more}"
    )


def told(answer: Answer) -> str:
    """One line about one measurement."""
    if answer.out_of_memory:
        return f"  {answer.demand}: more than all of {answer.card}; its trials get it whole, and may end out of memory"
    if answer.part is None:
        return f"  {answer.demand}: not measured, so its trials get a whole GPU: {answer.problem}"
    when = (
        f"in {answer.seconds:.0f} s"
        if answer.new
        else time.strftime("on %Y-%m-%d", time.localtime(answer.measured_at))
    )
    return (
        f"  {answer.demand}: {answer.reserved_bytes / _GIB:.1f} GiB, and {answer.context_bytes / _GIB:.1f} GiB beside "
        f"them, of {answer.total_bytes / _GIB:.0f} GiB of {answer.card}: {answer.share:g} of a GPU (measured {when})"
    )
