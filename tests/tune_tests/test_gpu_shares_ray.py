"""A whole sweep on Ray with fake GPUs: shares as measured, packed, kept to, and grown where they were wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `fake_card` lies beside us
import fake_card

from landslide.card import CARD_VARIABLE
from results import ResultsStore
from tune.recorded_sweep import recorded_sweep

LIMIT = 500.0  # seconds, or something hangs
SWEEP = """
sweep: shares
space:
  space: batches
  constants: {architecture: unet, backbone: tu-mobilenetv3_small_050, encoder_weights: null, scheduler: constant}
  configs:
  - {values: {batch_size: 4}}
  - {values: {batch_size: 16}}
  - {values: {batch_size: 24, lr: 0.001}}
  - {values: {batch_size: 24, lr: 0.002}}
"""


@dataclass(frozen=True)
class Done:
    """A sweep that is over: its rows, what it printed, and which trials held which share at which time."""

    store: ResultsStore
    stderr: str
    held: list[tuple[float, str, int, float]]


@pytest.fixture(scope="module")
def done(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One runtime for all tests here.

    The card understates batches of 16 by half while it measures, and batches of 24 are more than all of it.
    """
    folder = tmp_path_factory.mktemp("shares")
    (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    command = [
        sys.executable, "-m", "tune", "sweep", str(folder / "sweep.yaml"), "--data", str(tiny_dataset),
        "--out", str(folder / "run"), "--searcher", "listed", "--policy", "none", "--seeds", "1", "--max-epochs", "2",
        "--gpus-per-trial", "auto", "--cpus-per-trial", "0.25", "--json",
    ]  # fmt: skip
    environment = {
        **os.environ,
        CARD_VARIABLE: "fake_card:make",
        "PYTHONPATH": str(Path(__file__).parent),
        "LANDSLIDE_TUNE_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        fake_card.CARDS: "1",
        fake_card.SHY: "16",
        fake_card.DIARY: str(folder / "diary"),
    }
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=LIMIT)
    assert ended.returncode in (0, 1), ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    return Done(ResultsStore.read(folder / "run"), ended.stderr, fake_card.diary(folder / "diary"))


def by_batch(store: ResultsStore, rows: list[dict[str, Any]], batch: int) -> list[dict[str, Any]]:
    ids = [row["config_id"] for row in store.configs().to_pylist() if row["batch_size"] == batch]
    return [row for row in rows if row["config_id"] in ids]


@pytest.mark.ray
@pytest.mark.slow
def test_shares_are_measured_told_and_recorded(done: Done) -> None:
    assert "GPU shares: measuring 3 models and batch sizes" in done.stderr.replace("\n", " ")
    assert "of 8 GiB of Fake 8: 0.1666 of a GPU (measured in" in done.stderr
    resources = done.store.sweep["resources"]
    shares = {entry["batch_size"]: entry["share"] for entry in resources["gpu_shares"]}
    assert shares == {4: 0.1666, 16: 0.2, 24: 1.0}
    assert recorded_sweep(done.store.sweep).gpus_per_trial == resources["gpus_per_trial"] == "auto"


@pytest.mark.ray
@pytest.mark.slow
def test_out_of_memory_in_a_share_is_a_retry_with_a_larger_one_and_no_failed_seed(done: Done) -> None:
    runs = by_batch(done.store, done.store.runs().to_pylist(), 16)
    assert [run["status"] for run in runs] == ["finished"]
    assert [run["epochs"] for run in runs] == [2]
    (retry,) = [row for row in done.store.decisions().to_pylist() if row["action"] == "retry"]
    assert by_batch(done.store, [retry], 16) == [retry]
    assert retry["statistic"] == 0.3333
    assert "GPU memory" in retry["reason"]
    assert "0.3333 of a GPU instead of 0.2" in retry["reason"]


@pytest.mark.ray
@pytest.mark.slow
def test_what_does_not_fit_the_whole_card_ends_out_of_memory_and_takes_nobody_with_it(done: Done) -> None:
    ends = {
        batch: [run["status"] for run in by_batch(done.store, done.store.runs().to_pylist(), batch)]
        for batch in (4, 16, 24)
    }
    assert ends == {4: ["finished"], 16: ["finished"], 24: ["out_of_memory"] * 2}
    assert "ended" in done.store.sweep


@pytest.mark.ray
@pytest.mark.slow
def test_trials_never_hold_more_than_the_card(done: Done) -> None:
    held: dict[int, float] = {}
    shares = set()
    for _, what, process, share in sorted(done.held):
        held[process] = share if what == "takes" else 0.0
        shares.add(round(held[process], 3))
        assert sum(held.values()) <= 1.0 + 1e-6
    assert shares == {0.0, 0.167, 0.2, 0.333, 1.0}  # what each was held to, and that each was let go
    assert not any(held.values())


@pytest.mark.ray
@pytest.mark.slow
def test_trials_run_side_by_side_and_none_is_decided_on_that_could_not_start(done: Done) -> None:
    starts = {
        row["trial_key"]: row["event"]
        for row in done.store.decisions().to_pylist()
        if row["action"] == "start"
    }
    ends = {row["trial_key"]: row["event"] for row in done.store.runs().to_pylist()}
    small, grows, large, last = sorted(starts, key=lambda key: starts[key])
    assert starts[grows] < ends[small]  # together they take a third of the card
    assert starts[large] < ends[small]  # asked for while the smallest share was free, and waits alone
    assert starts[last] > ends[large]  # there was no room before
