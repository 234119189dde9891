"""A node that runs out of memory: whose memory it was, and that the other trials do not pay for it. No runtime."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `toy_sweeps` lies beside us
from rich.console import Console
from toy_sweeps import a_sweep, execution_on, new_store, trial

from tune import driver
from tune.loggers import logged_sweep
from tune.trial import RunEnd
from tune.workplace import Workplace

pytestmark = pytest.mark.ray

#: In the words of Ray 2.60.0, of actors `hungry` and others.
LOW = """Caught unexpected exception: {n} worker(s) were killed due to the node running low on memory. Memory is
Considered workers: [
{considered}]
Top 10 memory users: PID"""
HELD = "Selected to kill: (Actor({}): task name=T.__init__, pid=7, actual memory used={}GB, worker ID=1)\n"
#: Numbers of the trials of Ray's.
TRIALS = count(100)


class LowOnMemory:
    """A loop of Ray's on three slots: some configs fill the node in their epoch 3, and it breaks off.

    Epochs of the others are so long that none is finished before. Ray ends the youngest process as well, as it does.
    """

    def __init__(self, hungry: Collection[int]) -> None:
        self.hungry, self.loops = hungry, 0

    def __call__(self, desk: Any, *_: Any, **__: Any) -> None:
        from tune.ray_adapter import SpecSearcher, StepCallback

        searcher, callback, running = SpecSearcher(desk), StepCallback(desk), dict[str, Any]()
        self.loops += 1
        assert self.loops < 40, "it goes on for ever"
        while True:
            while len(running) < 3 and isinstance(
                searcher.suggest(name := f"{self.loops}-{next(TRIALS)}"), dict
            ):
                actor = SimpleNamespace(_actor_id=SimpleNamespace(hex=lambda name=name: f"a{name[-3:]}"))
                spec = desk.specs[name]
                running[name] = trial(spec, desk.execution.known_epochs(spec), desk.execution.sweep)
                started = SimpleNamespace(trial_id=name, temporary_state=SimpleNamespace(ray_actor=actor))
                callback.on_trial_start(0, [], started)
            if not running:
                return
            self._step(desk, searcher, running)

    def _step(self, desk: Any, searcher: Any, running: dict[str, Any]) -> None:
        execution = desk.execution
        at = {name: execution.runs[desk.specs[name].trial_key] for name in running}
        full = [name for name, state in at.items() if state.run.config in self.hungry and state.epochs >= 2]
        if full:
            held = [HELD.format(f"a{name[-3:]}", 9.5 if name in full[:1] else 0.5) for name in running]
            raise RuntimeError(LOW.format(n=len(held), considered="".join(held)))
        greedy = [name for name, state in at.items() if state.run.config in self.hungry]
        for name in greedy or list(running):
            event = next(running[name])
            if isinstance(event, RunEnd):
                execution.on_end(desk.specs[name], event)
                searcher.on_trial_complete(name)
                del running[name]
            else:
                execution.on_epoch(desk.specs[name], event)


@pytest.mark.parametrize("hungry", [{1}, {0, 3}, {0, 1, 2, 3, 4}])
def test_a_config_that_fills_a_nodes_memory_ends_for_it_and_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hungry: set[int]
) -> None:
    loop = LowOnMemory(hungry)
    monkeypatch.setattr(driver, "_fit", loop)
    sweep, console = a_sweep(policy="none", seeds=1, configs=6), Console(file=io.StringIO(), width=200)
    with new_store(tmp_path / "run", sweep) as store:
        workplace = Workplace(sweep, tmp_path / "data", tmp_path / "run")
        execution, log = execution_on(sweep, store), logged_sweep((), sweep, store)
        assert driver.run_on_ray(execution, workplace, slots=3, console=console, log=log)
        ends = {execution.runs[row["trial_key"]].run.config: row for row in store.runs().to_pylist()}
        reasons = [row["reason"] for row in store.decisions().to_pylist() if row["action"] != "start"]
    assert {config: row["status"] for config, row in ends.items()} == {
        config: "out_of_memory" if config in hungry else "finished" for config in range(6)
    }
    assert loop.loops == 3 * len(hungry) + 1
    end = ends[min(hungry)]
    assert end["reason"].startswith(
        "host memory: its process held 9.5 GB, the most of all that Ray counted: "
    )
    assert "Considered workers" in end["error"]
    told = [reason.partition(":")[0] for reason in reasons]
    assert set(told) == {"host memory", "neighbour"}, "none was set aside"
    key = next(key for key, state in execution.runs.items() if state.run.config == min(hungry))
    assert any(f"because of the memory of {key}" in reason for reason in reasons)


def test_memory_that_no_trial_of_ours_held_is_nobodys_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks_off(desk: Any, *_: Any, **__: Any) -> None:
        if desk.execution.next_trial() is None:
            return
        desk.began("gone", "a1")
        desk.left("gone")
        raise RuntimeError(LOW.format(n=1, considered=HELD.format("a1", 9.5)))

    monkeypatch.setattr(driver, "_fit", breaks_off)
    sweep, console = a_sweep(policy="none", seeds=1, configs=1), Console(file=io.StringIO(), width=200)
    with new_store(tmp_path / "run", sweep) as store:
        workplace = Workplace(sweep, tmp_path / "data", tmp_path / "run")
        execution, log = execution_on(sweep, store), logged_sweep((), sweep, store)
        assert not driver.run_on_ray(execution, workplace, slots=1, console=console, log=log)
        assert [why.partition(":")[0] for why in execution.lost.values()] == ["runtime"]


def test_a_process_that_found_no_room_beside_a_hungry_one_is_not_the_hungry_one(tmp_path: Path) -> None:
    from tune.ray_adapter import Desk, StepCallback

    sweep, said = a_sweep(policy="none"), list[str]()
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        workplace = Workplace(sweep, tmp_path / "data", tmp_path / "run")
        desk = Desk(execution, workplace, on_step=lambda: None, say=said.append)
        hungry, starting = execution.next_trial(), execution.next_trial()
        assert hungry is not None
        assert starting is not None
        desk.specs.update({"1": hungry, "2": starting})
        desk.began("1", "a1")
        error = tmp_path / "error.txt"
        error.write_text(LOW.format(n=2, considered=HELD.format("a1", 9.5) + HELD.format("a2", 0.1)))
        broken = SimpleNamespace(trial_id="2", pickled_error_file=None, error_file=str(error))
        StepCallback(desk).on_trial_error(0, [], broken)
        assert said[0].startswith(
            f"{starting.trial_key}: not started: {hungry.trial_key} held most of the memory"
        )
        broken.trial_id = "1"
        StepCallback(desk).on_trial_error(0, [], broken)
        assert said[1].startswith(f"{hungry.trial_key}: host memory: ")
