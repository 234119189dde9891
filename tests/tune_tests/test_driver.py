"""The driver without a Ray runtime: how many trials fit, which signals end a sweep, and loops of Ray that break off."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `toy_sweeps` lies beside us
from rich.console import Console
from toy_sweeps import a_sweep, drive, execution_on, new_store, trial

from tune import driver
from tune.errors import PolicyError, SweepError
from tune.loggers import logged_sweep
from tune.schedulers import make_policy
from tune.signals import graceful_signals, sigterm_kept
from tune.slots import slots_of
from tune.sweep_file import declare
from tune.workplace import Workplace


def sweep_asking(**resources: Any) -> Any:
    return declare("smoke", data_dir=Path("data"), options=resources, pins={})


def test_trials_are_packed_by_their_shares() -> None:
    assert slots_of(sweep_asking(gpus_per_trial=0.25), [{"CPU": 16, "GPU": 1}]) == 4
    assert slots_of(sweep_asking(gpus_per_trial=0.25), [{"CPU": 2, "GPU": 1}]) == 2
    assert slots_of(sweep_asking(gpus_per_trial=0.6), [{"CPU": 16, "GPU": 2}]) == 2
    assert slots_of(sweep_asking(gpus_per_trial=2.0), [{"CPU": 16, "GPU": 5}]) == 2
    assert slots_of(sweep_asking(cpus_per_trial=0.5), [{"CPU": 2}]) == 4
    assert slots_of(sweep_asking(cpus_per_trial=0.1), [{"CPU": 1}]) == 10
    assert slots_of(sweep_asking(max_concurrent=1), [{"CPU": 8}]) == 1


def test_a_trial_runs_on_one_node() -> None:
    two_small_nodes = [{"CPU": 2.0}, {"CPU": 2.0}]
    assert slots_of(sweep_asking(cpus_per_trial=2), two_small_nodes) == 2
    with pytest.raises(SweepError, match=r"4 CPUs.*on one node.*2 CPUs"):
        slots_of(sweep_asking(cpus_per_trial=4), two_small_nodes)


def test_a_runtime_too_small_for_one_trial_is_an_error_with_its_resources() -> None:
    with pytest.raises(SweepError, match=r"0 GPUs.*lower --cpus-per-trial or --gpus-per-trial"):
        slots_of(sweep_asking(gpus_per_trial=1.0), [{"CPU": 8}])


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="POSIX signals")
def test_sigterm_is_a_keyboard_interrupt_and_the_callers_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]

    def terminated() -> None:
        with graceful_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)  # the signal arrives between two instructions; it never waits this long

    with pytest.raises(KeyboardInterrupt):
        terminated()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == before


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="POSIX signals")
def test_sigterm_ends_a_sweep_also_after_ray_init_has_taken_it() -> None:
    def terminated() -> None:
        with graceful_signals():
            with sigterm_kept():
                signal.signal(signal.SIGTERM, lambda *_: pytest.fail("Ray's own handler"))
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)  # as above

    with pytest.raises(KeyboardInterrupt):
        terminated()


@pytest.mark.ray
@pytest.mark.parametrize("fault", [PolicyError("waits for nothing"), RuntimeError("no more nodes")])
def test_a_fault_of_the_policy_does_not_pass_for_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: RuntimeError
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(driver, "_fit", broken)
    sweep, console = a_sweep(), Console(file=io.StringIO(), width=200)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        workplace = Workplace(sweep, tmp_path / "data", tmp_path / "run")
        where: dict[str, Any] = {"slots": 1, "console": console, "log": logged_sweep((), sweep, store)}
        if isinstance(fault, PolicyError):
            with pytest.raises(PolicyError, match="waits for nothing"):
                driver.run_on_ray(execution, workplace, **where)
        else:
            assert not driver.run_on_ray(execution, workplace, **where)
            assert "Ray gave up: RuntimeError: no more nodes" in console.file.getvalue()


@pytest.mark.ray
def test_what_a_policy_raises_on_a_result_is_no_fault_of_rays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray Tune turns it into a `TuneError` with a text, which alone would be taken for an end of its loop."""
    from ray.tune import TuneError

    from tune.ray_adapter import SpecScheduler

    def reports_once(desk: Any, *_: Any, **__: Any) -> None:
        spec = desk.specs["1"] = desk.execution.next_trial()
        event = next(trial(spec, 0, desk.execution.sweep))
        result = {"metrics": list(event.items()), "node": "here"}
        try:
            SpecScheduler(desk).on_trial_result(None, SimpleNamespace(trial_id="1"), result)
        except Exception:
            raise TuneError(traceback.format_exc())  # noqa: B904 - so does Ray

    def judge(*_: Any) -> Any:
        raise ZeroDivisionError("no rung")

    sweep, console = a_sweep(policy="none"), Console(file=io.StringIO(), width=200)
    policy = make_policy(sweep.policy, sweep.policy_options())
    monkeypatch.setattr(driver, "_fit", reports_once)
    monkeypatch.setattr(type(policy), "judge", judge)
    with new_store(tmp_path / "run", sweep) as store:
        execution, log = execution_on(sweep, store), logged_sweep((), sweep, store)
        workplace = Workplace(sweep, tmp_path / "data", tmp_path / "run")
        with pytest.raises(ZeroDivisionError, match="no rung"):
            driver.run_on_ray(execution, workplace, slots=1, console=console, log=log)
        assert "retry" not in store.decisions().column("action").to_pylist()


@pytest.mark.ray
def test_a_loop_of_rays_that_breaks_off_is_begun_again_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a process that a node has ended for want of memory, which Ray Tune does not expect of a trial."""
    from ray.tune import TuneError

    loops = list[int]()

    def breaks_off(desk: Any, *_: Any, **__: Any) -> None:
        loops.append(len(desk.execution.runs))
        if len(loops) > 2:
            drive(desk.execution)
            return
        for _ in range(2):
            spec = desk.execution.next_trial()
            event = next(trial(spec, desk.execution.known_epochs(spec), desk.execution.sweep))
            desk.execution.on_epoch(spec, event)
        if len(loops) == 1:
            raise TuneError("Traceback (most recent call last):\n  in handle_error\nOSError: no space left")
        raise RuntimeError("Caught unexpected exception: the node is low on memory")

    monkeypatch.setattr(driver, "_fit", breaks_off)
    sweep, console = a_sweep(policy="none"), Console(file=io.StringIO(), width=200)
    with new_store(tmp_path / "calm", sweep) as calm:
        drive(execution_on(sweep, calm))
        expected = {row["trial_key"]: row["best_value"] for row in calm.runs().to_pylist()}
    with new_store(tmp_path / "run", sweep) as store:
        workplace = Workplace(sweep, tmp_path / "data", tmp_path / "run")
        execution, log = execution_on(sweep, store), logged_sweep((), sweep, store)
        assert driver.run_on_ray(execution, workplace, slots=2, console=console, log=log)
        assert {row["trial_key"]: row["best_value"] for row in store.runs().to_pylist()} == expected
        retries = [row["reason"] for row in store.decisions().to_pylist() if row["action"] == "retry"]
    assert loops == [0, 2, 2]
    assert len(retries) == 4
    assert all(reason.startswith("runtime: TuneError: OSError: no space left") for reason in retries[:2])
    assert all(reason.startswith("runtime: RuntimeError: Caught unexpected") for reason in retries[2:])
    assert console.file.getvalue().count("warning: Ray gave up") == 2


@pytest.mark.ray
def test_what_breaks_off_at_rays_end_is_no_trouble_of_the_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a job's working directory has been removed meanwhile, which Ray asks for when it lists its files."""

    def breaks_off_after_the_last(desk: Any, *_: Any, **__: Any) -> None:
        drive(desk.execution)
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(driver, "_fit", breaks_off_after_the_last)
    sweep, console = a_sweep(policy="none"), Console(file=io.StringIO(), width=200)
    with new_store(tmp_path / "run", sweep) as store:
        workplace = Workplace(sweep, tmp_path / "data", tmp_path / "run")
        execution, log = execution_on(sweep, store), logged_sweep((), sweep, store)
        assert driver.run_on_ray(execution, workplace, slots=2, console=console, log=log)
    assert "warning" not in console.file.getvalue()
