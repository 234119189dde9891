"""The same sweep on a real local Ray runtime: equal to the in-process twin, and unharmed by kill -9 and Ctrl-C."""

from __future__ import annotations

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
from toy_sweeps import decided, replayed

from results import ResultsStore, StoreError
from tune.cli import main
from tune.sweep_file import declare

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
