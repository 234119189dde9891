"""A recorded search that gave out its seeds by the scores it saw: built through the store, without training.

Beside `recorded_sweeps.py`, whose sweeps have the same number of seeds for every config. Here a config has one stopped
run, or one finished run, or many; some on fresh seeds; failures too.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from recorded_sweeps import SIX_CONFIGS, SWEEP, decision_record, epoch_record, record_counts, run_record

from results import ConfigRecord, ResultsStore, RunStatus

Cell = tuple[int, int]
ENDED = "expected regret 0.0017 is below 0.002"
#: epochs of a run: it is stopped after the third, and its best one is the fifth.
EPOCHS, STOP, BEST = 6, 3, 5


@dataclass(frozen=True)
class Search:
    """What happened.

    Args:
        scores: (config, replicate) -> the score that the run has, or would have.
        stopped: runs that the policy stopped after `STOP` epochs.
        resumed: of the stopped ones, those that were brought to their end in the stage allocate.
        under_way: of the resumed ones, those that have not ended.
        audited: stopped runs that were brought to their end afterwards, to audit the stopping.
        failed: runs that diverged in their second epoch.
        chosen: config that the search chose; None = it has not ended.
        ended: what ended it.
        sweep: changes to sweep.json.
    """

    scores: Mapping[Cell, float]
    stopped: Set[Cell] = field(default_factory=frozenset)
    resumed: Set[Cell] = field(default_factory=frozenset)
    under_way: Set[Cell] = field(default_factory=frozenset)
    audited: Set[Cell] = field(default_factory=frozenset)
    failed: Set[Cell] = field(default_factory=frozenset)
    chosen: int | None = 0
    ended: str | None = ENDED
    sweep: Mapping[str, Any] = field(default_factory=dict)


#: eight configs: four seeds, three, two (one of them resumed), one, two stopped, one that failed once, one that failed.
#: The choice and its rival were confirmed on three fresh seeds, of which the rival failed on one.
SEARCH = Search(
    scores={
        **{(0, j): s for j, s in enumerate((0.481, 0.470, 0.474, 0.466))},
        **{(1, j): s for j, s in enumerate((0.468, 0.462, 0.471))},
        **{(2, 0): 0.462, (2, 1): 0.449, (3, 0): 0.430, (4, 0): 0.420, (5, 0): 0.400},
        **{(6, 0): 0.300, (6, 1): 0.440, (7, 0): 0.300, (7, 1): 0.300},
        **{(0, 1000): 0.470, (0, 1001): 0.465, (0, 1002): 0.473},
        **{(1, 1000): 0.466, (1, 1001): 0.457, (1, 1002): 0.300},
    },
    stopped=frozenset({(2, 0), (4, 0), (5, 0)}),
    resumed=frozenset({(2, 0)}),
    failed=frozenset({(6, 0), (7, 0), (7, 1), (1, 1002)}),
)
#: the same with one seed more for two configs: enough repeats after the first ones for intervals.
ENOUGH = replace(SEARCH, scores={**SEARCH.scores, (1, 3): 0.463, (2, 2): 0.466})


def record_search(run_dir: Path, search: Search = SEARCH, *, counts: bool = False) -> Path:
    """Record a search.

    Args:
        run_dir: where; it must not exist.
        search: what happened.
        counts: whether finished runs of the search have pixel counts by patch and by threshold.
    """
    content = {**SWEEP, "replicates": 0, "policy": "noise-aware", "planned_runs": None, **search.sweep}
    if search.ended:
        content |= {"ended": search.ended, "planned_runs": sum(j < 1000 for _, j in search.scores)}
    values = [*SIX_CONFIGS, *({**c, "batch_size": 64} for c in SIX_CONFIGS[:2])]
    with ResultsStore.create(run_dir, content) as store:
        log = _Log(store, search)
        for i in range(max(config for config, _ in search.scores) + 1):
            store.add_config(ConfigRecord(f"c{i}", values[i % len(values)], "random", None))
        for cell in sorted(search.scores, key=lambda cell: (cell[1], cell[0])):
            log.first_spell(cell)
        for cell in sorted(search.resumed):
            log.second_spell(cell, "allocate")
        if search.chosen is not None:
            log.decide((search.chosen, 0), EPOCHS, action="choose", reason=str(search.ended))
        for cell in sorted(search.audited):
            log.second_spell(cell, "audit")
        if counts:
            for cell, score in search.scores.items():
                if log.ends.get(cell) is RunStatus.FINISHED and cell[1] < 1000:
                    record_counts(store, cell, score)
    return run_dir


class _Log:
    """Writes runs one after the other, with the number of each event."""

    def __init__(self, store: ResultsStore, search: Search) -> None:
        self.store, self.search, self.event = store, search, 0
        self.ends: dict[Cell, RunStatus] = {}

    def first_spell(self, cell: Cell) -> None:
        """From the start of a run to its end, or to where it was stopped."""
        stage = "confirm" if cell[1] >= 1000 else "screen" if self._screened(cell) else "allocate"
        self.decide(cell, 0, action="start", reason=f"config {cell[0]} is run", stage=stage)
        if cell in self.search.failed:
            self._epochs(cell, 1, 2, stage)
            self._end(cell, RunStatus.DIVERGED, 2, stage)
            return
        if cell not in self.search.stopped:
            self._epochs(cell, 1, EPOCHS, stage)
            self._end(cell, RunStatus.FINISHED, EPOCHS, stage)
            return
        self._epochs(cell, 1, STOP, stage)
        reason = (
            f"best value {self.search.scores[cell] - 0.03:.4f} at epoch 3 is below 0.4400, the upper 1/3 of 5"
        )
        self.decide(cell, STOP, action="stop", reason=reason, rung=STOP)
        self._end(cell, RunStatus.STOPPED, STOP, stage)

    def second_spell(self, cell: Cell, stage: str) -> None:
        """From where a run was stopped to its end."""
        reason = f"replicate {cell[1]} of config {cell[0]}, stopped after 3 epochs, is run to the end"
        self.decide(cell, STOP, action="resume", reason=reason, stage=stage)
        if cell in self.search.under_way:
            self._epochs(cell, STOP + 1, STOP + 1, stage)
            return
        self._epochs(cell, STOP + 1, EPOCHS, stage)
        self._end(cell, RunStatus.FINISHED, EPOCHS, stage)

    def decide(self, cell: Cell, epoch: int, *, stage: str = "screen", **what: Any) -> None:
        """A decision of the policy about a run."""
        self.event += 1
        policy = "audit" if stage == "audit" else "noise-aware"
        who = {name: value for name, value in _who(cell).items() if name != "seed_init"}
        about = {"statistic": 0.44, "threshold": None, "n": 0, "rung": None, "policy": policy, **what}
        self.store.add_decision(decision_record(**who, epoch=epoch, stage=stage, event=self.event, **about))

    def _screened(self, cell: Cell) -> bool:
        """A config's first run, and the next one after a failed one."""
        return cell[1] == 0 or (cell[0], cell[1] - 1) in self.search.failed

    def _epochs(self, cell: Cell, first: int, last: int, stage: str) -> None:
        score = self.search.scores[cell]
        curve = score + np.array([-0.1, -0.05, -0.03, -0.01, 0.0, -0.002])
        for epoch in range(first, last + 1):
            self.event += 1
            value, when = float(curve[epoch - 1]), 1.7e9 + self.event
            self.store.add_epoch(
                epoch_record(
                    **_who(cell), epoch=epoch, val_iou=value, stage=stage, event=self.event, timestamp=when
                )
            )

    def _end(self, cell: Cell, status: RunStatus, epochs: int, stage: str) -> None:
        score = self.search.scores[cell]
        value = {RunStatus.FINISHED: score, RunStatus.STOPPED: score - 0.03}.get(status)
        self.ends[cell] = status
        self.store.add_run(
            run_record(
                **_who(cell),
                status=status,
                epochs=epochs,
                best_epoch=None if value is None else min(epochs, BEST),
                best_value=value,
                reason=str(status),
                stage=stage,
                event=self.event,
            )
        )


def _who(cell: Cell) -> dict[str, Any]:
    i, j = cell
    return {"trial_key": f"c{i}-r{j}", "config_id": f"c{i}", "replicate": j, "seed_init": j}
