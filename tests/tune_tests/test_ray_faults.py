"""What Ray says when a trial breaks off, and what it is taken for. The errors are made by hand, in Ray's words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import cloudpickle
from ray.core.generated.common_pb2 import ActorDiedErrorContext, NodeDeathInfo
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    RuntimeEnvSetupError,
)

from landslide import DatasetError
from results import StoreError
from tune.faults import Cause, Fault
from tune.probe_tasks import problem_of
from tune.ray_faults import Shortage, error_of, fault_of, shortage_in
from tune.ray_trial import Spoilt
from tune.trial import RunEnd
from tune.watchdog import NOTE, take_note

HERE = ("10.0.0.1", "10.0.0.2")
DIED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker "
    "unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was "
    "killed by the OOM killer due to high memory usage."
)
NODE_DIED = "The actor died because its node has died. Node Id: 5d11b6"
DUMP = """Timeout (0:30:00)!
Thread 0x00007f0000000001 (most recent call first):
  File "ray/_private/import_thread.py", line 7 in _run
Thread 0x00007f0000000002 (most recent call first):
  File "landslide/batches.py", line 75 in load_batch
  File "landslide/train.py", line 178 in _train_epoch
"""
SHORT = "3 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.1, ID: 98f9)"
CONSIDERED = """Considered workers: [
Selected to kill: (Actor(435b): job ID=01, lease ID=02, task name=T.__init__, required resources={CPU: 1}, pid=27, \
actual memory used=0.25GB, worker ID=fa38)
Selected to kill: (Task: job ID=01, lease ID=03, task name=_ask, required resources={}, pid=28, \
actual memory used=0.15GB, worker ID=38dc)
Selected to kill: (Actor(5886): job ID=01, lease ID=04, task name=T.__init__, required resources={CPU_group_0_1: 1}, \
pid=29, actual memory used=10.95GB, worker ID=0c04)
]
Top 10 memory users: PID MEM(GB) COMMAND
30281 12.42 python"""


def died(told: str, *, ip: str = "10.0.0.1", preempted: bool = False) -> ActorDiedError:
    """A process that is gone, as Ray tells of it."""
    context = ActorDiedErrorContext(
        class_name="LandslideTrial", actor_id=b"\1" * 16, pid=77, node_ip_address=ip, error_message=told
    )
    if preempted:
        context.node_death_info.CopyFrom(NodeDeathInfo(reason=NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED))
    return ActorDiedError(context)


def raised(cause: Exception) -> RayTaskError:
    """An exception of the trial's own code."""
    return RayTaskError(
        "step", "Traceback (most recent call last):\n  in _step", cause, "ray::T", 77, "10.0.0.1"
    )


def seen(error: BaseException | str | None, hang: str | None = None) -> Fault | RunEnd:
    return fault_of(error, addresses=lambda: HERE, hang=lambda: hang)


@pytest.mark.parametrize(
    ("error", "cause", "detail"),
    [
        (died(DIED), Cause.PROCESS_LOST, "Worker unexpectedly exits with a connection error code 2. End of file"),
        (died(DIED, ip="10.0.0.9"), Cause.NODE_LOST, "Worker unexpectedly exits"),
        (died(DIED, preempted=True), Cause.NODE_LOST, "Worker unexpectedly exits"),
        (died(NODE_DIED), Cause.NODE_LOST, "The actor died because its node has died. Node Id: 5d11b6"),
        (died("Worker exit detail: The process receives a SIGTERM."), Cause.NODE_LOST, "The process receives"),
        (ActorUnavailableError("rpc error: 14", b"\1" * 16), Cause.NODE_LOST, "The actor 0101"),
        (NodeDiedError("the node has died"), Cause.NODE_LOST, "the node has died"),
        (OutOfMemoryError("1 worker was killed due to the node running low on memory."), Cause.HOST_MEMORY, "1 worker"),
        (died("Task was killed due to the node running low on memory."), Cause.HOST_MEMORY, "Task was killed"),
        (RuntimeEnvSetupError("pip failed"), Cause.NOT_STARTED, "Failed to set up runtime environment"),
        ("Failure # 1 (occurred at 2026)\nThe actor is not schedulable\n", Cause.NOT_STARTED, "The actor is not"),
        (None, Cause.NOT_STARTED, "the process broke off, and Ray does not say why"),
        (raised(OSError(28, "No space left on device")), Cause.STORAGE, "OSError: [Errno 28] No space left on device"),
        (raised(DatasetError(["no patches"])), Cause.STORAGE, "DatasetError: "),
        (raised(StoreError("the bucket is gone")), Cause.STORAGE, "StoreError: "),
    ],
)  # fmt: skip
def test_every_error_of_ray_has_a_cause_and_one_line(error: Any, cause: Cause, detail: str) -> None:
    fault = seen(error)
    assert isinstance(fault, Fault)
    assert fault.cause is cause
    assert fault.detail.startswith(detail)
    assert fault.error


def test_a_package_that_a_node_lacks_is_named() -> None:
    missing = raised(ModuleNotFoundError("No module named 'timm'"))
    missing.traceback_str += (
        "\n\x1b[36mray::T.__init__()\x1b[39m\nModuleNotFoundError: No module named 'timm'"
    )
    fault = seen(ActorDiedError.from_task_error(missing))
    assert isinstance(fault, Fault)
    assert (fault.cause, fault.detail) == (Cause.NOT_STARTED, "ModuleNotFoundError: No module named 'timm'")
    assert "\x1b" not in str(fault.error)


def test_an_exception_of_the_trials_own_code_is_an_end_with_its_traceback() -> None:
    end = seen(raised(ZeroDivisionError("a bug")))
    assert isinstance(end, RunEnd)
    assert (end.status, end.reason) == ("failed", "ZeroDivisionError: a bug")
    assert "in _step" in str(end.error)


def test_an_end_that_spoils_its_process_is_that_end() -> None:
    end = RunEnd("out_of_memory", "batches of 16", "a traceback")
    assert seen(raised(Spoilt({"status": end.status, "reason": end.reason, "error": end.error}))) == end


def test_a_shortage_is_of_the_actor_that_held_most() -> None:
    """In the words of Ray 2.60.0."""
    told = f"{SHORT}\nOOM kill reason: too much\n{CONSIDERED}"
    assert shortage_in(f"Caught unexpected exception: {told}") == Shortage("5886", 10.95, SHORT)
    assert shortage_in(told.replace("0.15GB", "20GB")) == Shortage(None, 20.0, SHORT), "not a trial's"
    assert shortage_in(SHORT) is None, "it does not say what each process held"
    assert shortage_in(CONSIDERED) is None
    assert shortage_in(DIED) is None


def test_a_note_of_the_watchdog_turns_a_lost_process_into_a_hung_one() -> None:
    fault = seen(died(DIED), hang=DUMP)
    assert isinstance(fault, Fault)
    assert (fault.cause, fault.error) == (Cause.HUNG, DUMP)
    assert fault.detail.endswith('File "landslide/batches.py", line 75 in load_batch'), "of the main thread"
    lost = seen(died(DIED, ip="10.0.0.9"), hang=DUMP)
    assert isinstance(lost, Fault)
    assert lost.cause is Cause.NODE_LOST


def test_a_runtime_that_knows_no_node_any_more_blames_none() -> None:
    fault = fault_of(died(DIED), addresses=list, hang=lambda: None)
    assert isinstance(fault, Fault)
    assert fault.cause is Cause.PROCESS_LOST


def test_the_error_is_read_where_ray_has_written_it(tmp_path: Path) -> None:
    pickled, text = tmp_path / "error.pkl", tmp_path / "error.txt"
    trial = SimpleNamespace(pickled_error_file=str(pickled), error_file=str(text))
    assert error_of(trial) is None
    text.write_text("Failure # 1\nThe actor is not schedulable")
    assert error_of(trial) == "Failure # 1\nThe actor is not schedulable"
    pickled.write_bytes(b"torn")
    assert error_of(trial) == "Failure # 1\nThe actor is not schedulable"
    pickled.write_bytes(cloudpickle.dumps(raised(OSError("gone"))))
    error = error_of(trial)
    assert isinstance(error, RayError)
    assert isinstance(seen(error), Fault)
    assert error_of(SimpleNamespace(pickled_error_file=None, error_file=None)) is None


def test_a_note_is_taken_once_and_an_empty_one_is_none(tmp_path: Path) -> None:
    assert take_note(tmp_path) is None
    (tmp_path / NOTE.format(1)).write_text(DUMP)
    assert take_note(tmp_path) == DUMP
    assert take_note(tmp_path) is None
    (tmp_path / NOTE.format(1)).touch()
    assert take_note(tmp_path) is None


def test_of_a_measurement_that_raised_on_its_node_the_cause_is_told() -> None:
    error = RayTaskError("_ask", "\x1b[36mray::_ask()\x1b[39m (pid=7)\nOSError: no fork", OSError("no fork"))
    assert problem_of(error.as_instanceof_cause()) == "OSError: no fork"
    assert problem_of(OSError()) == "OSError: "
