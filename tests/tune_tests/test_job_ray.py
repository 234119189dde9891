"""A sweep on a running cluster: submitted as a job, as the README says, and joined from this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from results import Claim, ResultsStore
from tune.status import sweep_status

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `ray_head` lies beside us
from ray_head import PROGRAMS, Head, ray_head

pytestmark = [pytest.mark.ray, pytest.mark.slow]

#: The user's own file: what travels with a job. Two configs, one seed, two epochs.
SWEEP = """
sweep: submitted
space: smoke
configs: 2
max_epochs: 2
policy: none
seeds: 1
"""


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outside the checkout, so that the nodes use the installed package."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "work").mkdir()
    (folder / "work" / "my-sweep.yaml").write_text(SWEEP)
    return folder


def run(head: Head, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    program, *rest = words
    return subprocess.run(
        [PROGRAMS / program, *rest],
        env={**head.environment, **variables}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def submit(head: Head, folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """`ray job submit`, and its log to the end."""
    where = ("--address", head.jobs, "--working-dir", folder / "work")
    return run(head, "ray", "job", "submit", *where, "--", "landslide-tune", *words)


def ended_runs(run_dir: Path) -> set[str]:
    return set(ResultsStore.read(run_dir).runs().column("trial_key").to_pylist())


def test_a_submitted_sweep_runs_to_its_verdict(head: Head, folder: Path, tiny_dataset: Path) -> None:
    out = folder / "out"
    done = submit(head, folder, "sweep", "my-sweep.yaml", "--data", tiny_dataset, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 runs started" in done.stdout
    assert "vs best" in done.stdout  # the ranking
    verdict = json.loads((out / "verdict.json").read_text())
    assert verdict["claim"] == Claim.TOO_LITTLE  # one seed
    epochs = ResultsStore.read(out).epochs()
    assert sorted(epochs.column("epoch").to_pylist()) == [1, 1, 2, 2]
    assert len(ended_runs(out)) == 2
    assert sweep_status(out).over


def test_the_sweep_is_extended_from_this_machine(head: Head, folder: Path, tiny_dataset: Path) -> None:
    """What was run as a job is not run again; the runtime is the one that RAY_ADDRESS names."""
    out = folder / "out"
    before = ended_runs(out)
    done = run(
        head, "landslide-tune", "sweep", "--resume", "--out", out, "--configs", "3", RAY_ADDRESS=head.address
    )
    assert done.returncode == 0, done.stderr
    assert before < ended_runs(out)
    assert len(ended_runs(out)) == 3
    nodes = set(ResultsStore.read(out).epochs().column("node").to_pylist())
    assert len(nodes) == 1


def test_a_job_that_would_lose_its_rows_fails_and_says_why(
    head: Head, folder: Path, tiny_dataset: Path
) -> None:
    """No --out is a folder below the working directory, which in a job is a copy that goes with the cluster."""
    done = submit(head, folder, "sweep", "my-sweep.yaml", "--data", tiny_dataset, "--address", "auto")
    assert done.returncode == 1
    assert "is lost with the cluster" in done.stdout
    assert "Traceback" not in done.stdout
