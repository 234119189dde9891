"""What status, report and verdict say of faults and failures: by cause, with the tracebacks, and nothing left out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `toy_sweeps` lies beside us
from toy_sweeps import a_sweep, drive, execution_on, new_store, run_to_its_end

from results import ResultsStore, write_report
from results.faults import Faults, fault_sentences
from tune.cli import main
from tune.execution import Execution
from tune.faults import Cause, Fault
from tune.status import sweep_status
from tune.trial import RunEnd, TrialSpec

TRACEBACK = (
    'Traceback (most recent call last):\n  File "landslide/losses.py", line 7\nZeroDivisionError: a bug'
)


def begun(execution: Execution) -> TrialSpec:
    spec = execution.next_trial()
    assert spec is not None
    return spec


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Three configs on two seeds: one broken, two that met faults, one of them set aside for good."""
    sweep = a_sweep(policy="none", configs=3, seeds=2, max_epochs=3)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store, share=0.5)
        broken = begun(execution)
        execution.on_end(broken, RunEnd("failed", "ZeroDivisionError: a bug", TRACEBACK))
        unlucky = begun(execution)
        for cause in (Cause.NODE_LOST, Cause.NODE_LOST, Cause.GPU_MEMORY):
            execution.on_fault(unlucky, Fault(cause, "it broke off"))
            assert begun(execution) == unlucky
        run_to_its_end(execution, unlucky)
        drive_but_the_last(execution)
    return tmp_path / "run"


def drive_but_the_last(execution: Execution) -> None:
    """The last trial is set aside, after all others have ended."""
    specs = [begun(execution) for _ in range(4)]
    for spec in specs[:-1]:
        run_to_its_end(execution, spec)
    execution.on_fault(specs[-1], Fault(Cause.STORAGE, "OSError: disk full"))
    execution.on_fault(begun(execution), Fault(Cause.STORAGE, "OSError: disk full"))
    assert execution.next_trial() is None
    assert list(execution.lost) == [specs[-1].trial_key]


WENT_ON = (
    "2 trials were taken by faults and went on from the last epoch: "
    "2 lost nodes, 1 out of GPU memory, 1 storage error."
)
WAITS = (
    "1 trial was set aside after several faults in a row and waits for --resume, if the sweep does not run any more: "
    "1 storage error."
)


def test_status_counts_faults_by_cause_and_what_waits(run_dir: Path) -> None:
    status = sweep_status(run_dir)
    assert status.by_status == {"failed": 1, "finished": 4, "set_aside": 1}
    assert status.ended == 5
    assert not status.over
    assert status.faults.retries == {"node lost": 2, "GPU memory": 1, "storage": 1}
    result = CliRunner().invoke(main, ["status", str(run_dir)])
    assert WENT_ON in result.output
    assert WAITS in result.output
    result = CliRunner().invoke(main, ["status", str(run_dir), "--json"])
    assert '"GPU memory": 1' in result.output


def test_the_report_tells_faults_and_the_traceback_and_the_verdict_counts_what_failed(run_dir: Path) -> None:
    report = write_report(run_dir)
    for page in (report.html, report.markdown):
        text = " ".join(page.read_text().split())
        assert WENT_ON in text
        assert WAITS in text
        assert "ZeroDivisionError: a bug" in text
        assert "losses.py" in text, "the traceback"
    assert (report.verdict.n_failed, report.verdict.n_missing) == (1, 1)
    assert "1 failed" in report.verdict.sentence
    assert any(note.startswith("1 config has failed runs, 1 of them scored") for note in report.verdict.notes)


def test_a_trial_that_was_set_aside_and_goes_on_waits_no_longer(run_dir: Path) -> None:
    sweep = a_sweep(policy="none", configs=3, seeds=2, max_epochs=3)
    with ResultsStore.open(run_dir) as store:
        drive(execution_on(sweep, store))
    status = sweep_status(run_dir)
    assert status.by_status == {"failed": 1, "finished": 5}
    assert not status.faults.waiting
    assert sum(status.faults.retries.values()) == 4


def test_a_run_that_was_stopped_and_resumed_stays_resumed_when_a_fault_takes_it(tmp_path: Path) -> None:
    sweep = a_sweep(configs=6, seeds=2)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        while (spec := begun(execution)).stage == "screen":
            run_to_its_end(execution, spec)
        assert execution.known_epochs(spec) > 0, "it was stopped before"
        execution.on_fault(spec, Fault(Cause.NODE_LOST, "preempted"))
    assert sweep_status(tmp_path / "run").by_status["unfinished"] == 1


def test_a_calm_sweep_says_nothing() -> None:
    assert fault_sentences(Faults()) == ()


def test_a_cause_of_a_later_version_is_called_by_its_name() -> None:
    (said,) = fault_sentences(Faults({"solar flare": 3, "hung": 1}, trials=1))
    assert said == "1 trial was taken by faults and went on from the last epoch: 3 solar flare, 1 hung."
