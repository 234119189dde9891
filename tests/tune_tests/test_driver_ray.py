"""The same sweep on a real local Ray runtime: equal to the in-process twin, and unharmed by kill -9 and Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `toy_sweeps` lies beside us
from click.testing import CliRunner
from rich.console import Console
from toy_sweeps import a_sweep, decided, drive, execution_on, new_store, replayed, trial

from results import ResultsStore, StoreError
from tune import driver
from tune.cli import main
from tune.errors import PolicyError, SweepError
from tune.loggers import logged_sweep
from tune.signals import graceful_signals, sigterm_kept
from tune.slots import slots_of
from tune.sweep_file import declare
from tune.workplace import Workplace

WORDS = ("--configs", "2", "--seeds", "2", "--max-epochs", "4", "--policy", "none", "--json")
METRICS = ("train_loss", "val_loss", "val_iou", "val_f1", "best_threshold", "best_threshold_iou", "lr")
LIMIT = 300.0  # seconds in which a tiny sweep must have got somewhere, or something hangs


def start(data: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    """The command line in a process of its own, as a user starts it."""
    command = [
        sys.executable,
        "-m",
        "tune",
        "sweep",
        "smoke",
        "--data",
        str(data),
        "--out",
        str(out),
        *WORDS,
        *words,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True
    )


def run_here(data: Path, out: Path, *words: str, address: str | None = None) -> None:
    """The same sweep in this process, without Ray or on a runtime that is there: Python and Ray need no start."""
    where = ["--in-process"] if address is None else ["--address", address]
    command = ["sweep", "smoke", "--data", str(data), "--out", str(out), *WORDS, *words, *where]
    result = CliRunner().invoke(main, command)
    assert result.exit_code in (0, 1), result.output
    assert "ended" in ResultsStore.read(out).sweep


def finish(process: subprocess.Popen[str]) -> int:
    out, err = process.communicate(timeout=LIMIT)
    assert "Traceback" not in err, err
    return process.returncode if process.returncode in (0, 1) else pytest.fail(f"{out}\n{err}")


def recorded(out: Path) -> dict[tuple[str, int], tuple[Any, ...]]:
    """(trial, epoch) -> its metrics, exactly."""
    rows = ResultsStore.read(out).epochs().to_pylist()
    assert len(rows) == len({(row["trial_key"], row["epoch"]) for row in rows})
    return {(row["trial_key"], row["epoch"]): tuple(row[name] for name in METRICS) for row in rows}


def wait_for_epochs(out: Path, process: subprocess.Popen[str], enough: int) -> None:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ResultsStore.read(out).epochs().num_rows >= enough:
                return
        except StoreError:
            pass
        time.sleep(0.1)
    pytest.fail(
        f"no {enough} epochs: {process.communicate() if process.poll() is not None else 'still running'}"
    )


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A Ray runtime that outlives its drivers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        yield cluster.address
        cluster.shutdown()


@pytest.fixture(scope="module")
def uninterrupted(
    tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, int], tuple[Any, ...]]:
    """The rows of the sweep, run in process from beginning to end."""
    out = tmp_path_factory.mktemp("in-process") / "run"
    run_here(tiny_dataset, out)
    rows = recorded(out)
    assert len(rows) == 2 * 2 * 4
    return rows


@pytest.mark.ray
@pytest.mark.slow
def test_ray_and_the_in_process_twin_record_the_same_bits(
    tiny_dataset: Path, tmp_path: Path, uninterrupted: dict[tuple[str, int], tuple[Any, ...]]
) -> None:
    assert finish(start(tiny_dataset, tmp_path / "run")) == 0
    assert recorded(tmp_path / "run") == uninterrupted
    store = ResultsStore.read(tmp_path / "run")
    assert store.runs().column("status").to_pylist() == ["finished"] * 4
    assert store.patches().num_rows == 4 * 8
    assert store.thresholds().num_rows == 4 * 39
    assert (tmp_path / "run" / "report.html").exists()


#: Small searches that pause, resume, repeat and confirm. One worker: the order of what happens is then one.
HALVING = ("--policy", "successive-halving", "--configs", "4", "--seeds", "1", "--grace", "1", "--eta", "2")
ADAPTIVE = ("--policy", "noise-aware", "--configs", "3", "--seeds", "auto", "--grace", "1", "--budget-epochs", "24",
            "--confirm", "1")  # fmt: skip


def log_of(out: Path) -> dict[str, list[dict[str, Any]]]:
    """All that was decided and measured, in order, without what depends on the clock."""
    store = ResultsStore.read(out)
    timed = {
        "timestamp",
        "wall_seconds",
        "epoch_seconds",
        "data_seconds",
        "patches_per_second",
        "peak_memory_bytes",
    }
    return {
        table: [
            {name: value for name, value in row.items() if name not in timed}
            for row in sorted(getattr(store, table)().to_pylist(), key=lambda row: row["event"])
        ]
        for table in ("decisions", "epochs", "runs")
    }


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("words", [HALVING, ADAPTIVE], ids=["successive-halving", "noise-aware"])
def test_one_worker_on_ray_decides_and_measures_what_the_in_process_twin_does(
    tiny_dataset: Path, tmp_path: Path, address: str, words: tuple[str, ...]
) -> None:
    run_here(tiny_dataset, tmp_path / "ray", *words, "--max-concurrent", "1", address=address)
    run_here(tiny_dataset, tmp_path / "here", *words)
    ray, here = log_of(tmp_path / "ray"), log_of(tmp_path / "here")
    assert ray["decisions"] == here["decisions"]
    assert ray == here
    actions = {row["action"] for row in here["decisions"]}
    assert actions >= ({"pause", "resume"} if words is HALVING else {"start", "stop", "choose"})
    assert (
        ResultsStore.read(tmp_path / "ray").sweep["ended"] == here["decisions"][-1]["reason"]
        or words is HALVING
    )


@pytest.mark.ray
@pytest.mark.slow
def test_decisions_taken_with_several_workers_replay_from_the_log(
    tiny_dataset: Path, tmp_path: Path, address: str
) -> None:
    out = tmp_path / "run"
    words = (*ADAPTIVE, "--configs", "4", "--cpus-per-trial", "0.5", "--max-concurrent", "3")
    run_here(tiny_dataset, out, *words, address=address)
    store = ResultsStore.read(out)
    options = {
        "configs": 4,
        "max_epochs": 4,
        "grace": 1,
        "budget_epochs": 24,
        "confirm": 1,
        "cpus_per_trial": 0.5,
    }
    sweep = declare("smoke", data_dir=tiny_dataset, options=options, pins={})
    assert store.sweep["budget_epochs"] == 24
    assert replayed(store, sweep) == decided(store)


def interrupt(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGINT)


def kill_everything(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)


def terminate(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGTERM)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("stop", "expected"), [(interrupt, 1), (terminate, 1), (kill_everything, -signal.SIGKILL)]
)
def test_a_stopped_sweep_keeps_everything_and_resumes_to_the_same_bits(
    tiny_dataset: Path,
    tmp_path: Path,
    uninterrupted: dict[tuple[str, int], tuple[Any, ...]],
    stop: Callable[[subprocess.Popen[str]], None],
    expected: int,
) -> None:
    out = tmp_path / "run"
    process = start(tiny_dataset, out)
    wait_for_epochs(out, process, 5)
    seen = recorded(out)
    stop(process)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == expected, err
    if expected == 1:
        assert "--resume" in err
    assert seen.items() <= recorded(out).items()
    run_here(tiny_dataset, out, "--resume")
    assert recorded(out) == uninterrupted


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
def test_a_loop_of_rays_that_breaks_off_is_begun_again_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a process that a node has ended for want of memory, which Ray Tune does not expect of a trial."""
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
    assert all(reason.startswith("runtime: RuntimeError: Caught unexpected") for reason in retries)
    assert console.file.getvalue().count("warning: Ray gave up") == 2
