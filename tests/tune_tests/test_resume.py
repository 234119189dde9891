"""Resuming and extending through the program: what is told, what is refused, and that trainings go on bit for bit."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `stopped_sweeps` lies beside us
from stopped_sweeps import a_sweep, fake_trial, run_sweep, use_formula

from results import ResultsStore
from search_spaces import space_from_mapping
from tune import load_sweep
from tune.cli import main
from tune.launch import Outcome, Place, run
from tune.sweep import Sweep
from tune.sweep_file import declare_again


@pytest.fixture
def formula(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    use_formula(monkeypatch)
    return monkeypatch


def resumed(run_dir: Path, *words: object) -> Result:
    arguments = ["sweep", "--resume", "--out", str(run_dir), "--in-process", "--json", *map(str, words)]
    return CliRunner().invoke(main, arguments)


def said(sweep: Sweep, out: Path, **words: Any) -> tuple[Outcome, str]:
    text = StringIO()
    console = Console(file=text, width=200)
    outcome = run(sweep, out, place=Place(in_process=True), console=console, **words)
    return outcome, text.getvalue()


def unlike(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def test_resume_needs_nothing_but_the_run_directory(formula: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"

    def killed(job: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    with formula.context() as patch:
        patch.setattr("tune.in_process.run_trial", killed)
        assert not run_sweep(run_dir).complete
    assert resumed(run_dir).exit_code == 0
    assert ResultsStore.read(run_dir).runs().num_rows == 24
    assert load_sweep(run_dir) == replace(a_sweep(), name="toy", data_dir=load_sweep(run_dir).data_dir)


def test_nothing_missing_is_said_at_once_and_the_report_is_written_anew(
    formula: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_sweep(tmp_path / "run")

    def prepared(*_: object, **__: object) -> None:
        raise AssertionError("the dataset was opened")

    formula.setattr("tune.launch.prepare", prepared)
    written = []
    formula.setattr("tune.launch.write_report", lambda run_dir: written.append(run_dir) or _report(run_dir))
    outcome, text = said(a_sweep(), tmp_path / "run", resume=True)
    assert text.startswith("nothing is missing: the plan is done: 12 config(s), 24 run(s)")
    assert outcome.complete
    assert written == [tmp_path / "run"]


def test_other_data_are_refused_although_nothing_is_missing(
    formula: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_sweep(tmp_path / "run")
    opened = []

    def at(data_dir: Path, **_: object) -> SimpleNamespace:
        opened.append(data_dir)
        return SimpleNamespace(data_id="data0001" if data_dir.name == "moved" else "other")

    formula.setattr("tune.run_dir.open_dataset", at)
    refused = resumed(tmp_path / "run", "--data", tmp_path / "other")
    assert refused.exit_code == 2
    assert "nothing is missing" not in refused.stderr
    assert f"data_id: 'data0001' there, 'other' here: {tmp_path / 'other'} is not" in refused.stderr
    for words in (["--data", tmp_path / "moved"], ["--data", "data"], []):
        assert "nothing is missing" in resumed(tmp_path / "run", *words).stderr
    assert opened == [tmp_path / "other", tmp_path / "moved"]


def _report(run_dir: Path) -> Any:
    from stopped_sweeps import _report as report

    return report(run_dir)


def test_larger_numbers_extend_and_are_told(formula: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_sweep(run_dir, policy="noise-aware", seeds=None, configs=4)
    first = ResultsStore.read(run_dir)
    result = resumed(run_dir, "--configs", 6, "--max-epochs", 12)
    assert result.exit_code == 0, result.output
    told = " ".join(result.stderr.split())
    assert "extended: configs 4 -> 6, max epochs 9 -> 12, budget of epochs 72 -> 144" in told
    assert "run(s) that had all their epochs go on to 12" in told
    store = ResultsStore.read(run_dir)
    assert store.sweep["sweep_id"] == first.sweep["sweep_id"]
    assert {row["epochs"] for row in store.runs().to_pylist() if row["status"] == "finished"} == {12}
    again = resumed(run_dir)
    assert "nothing is missing" in again.stderr


def test_a_space_is_widened_by_its_file_and_options_are_still_the_recorded_ones(
    formula: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_dir, file = tmp_path / "run", tmp_path / "space.yaml"
    run_sweep(run_dir, policy="none", grace=3, seeds=1, configs=3)
    lr = "{type: float, low: 1e-4, high: 0.5, log: true}"
    constants = "{backbone: tu-mobilenetv3_small_050}"
    file.write_text(f"space: toy\nconstants: {constants}\nparameters:\n  lr: {lr}\n", encoding="utf-8")
    result = resumed(run_dir, file, "--configs", 9)
    assert result.exit_code == 0, result.output
    store = ResultsStore.read(run_dir)
    assert (store.sweep["policy"], store.sweep["seeds"], store.configs().num_rows) == ("none", 1, 9)
    assert max(store.configs().column("lr").to_pylist()) > 1e-2
    file.write_text(file.read_text(encoding="utf-8").replace("high: 0.5", "high: 1e-3"), encoding="utf-8")
    refused = resumed(run_dir, file)
    assert refused.exit_code == 2
    assert "is outside; allowed: 0.0001 to 0.001" in refused.stderr
    assert "of 9 recorded configs" in refused.stderr


@pytest.mark.parametrize(
    ("first", "policy"), [("noise-aware", "asha"), ("noise-aware", "fixed-repeats"), ("asha", "none")]
)
def test_another_policy_is_refused_for_that_and_nothing_that_follows_from_it(
    formula: pytest.MonkeyPatch, tmp_path: Path, first: str, policy: str
) -> None:
    options = {"confirm": 2, "stop_regret": 0.01} if first == "noise-aware" else {}
    run_sweep(tmp_path / "run", policy=first, seeds=4, configs=3, grace=2, eta=2, **options)
    refused = resumed(tmp_path / "run", "--policy", policy)
    assert refused.exit_code == 2
    (told,) = (line for line in refused.stderr.splitlines() if "here" in line)
    assert f"policy: '{first}' there, '{policy}' here; the recorded runs were made with '{first}'" in told
    assert "makes no use of it" not in refused.stderr
    given = resumed(tmp_path / "run", "--policy", policy, "--confirm", 4)
    assert f"confirm: policy {policy} makes no use of it" in given.stderr


def test_options_that_are_given_again_or_grow_win_over_the_recorded_ones(
    formula: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_sweep(tmp_path / "run", policy="noise-aware", seeds=5, configs=4)
    there = ResultsStore.read(tmp_path / "run").sweep

    def again(**options: Any) -> Sweep:
        return declare_again(there, options=options, pins={})

    assert (again().seeds, again(seeds="auto").seeds, again(seeds=7).seeds) == (5, None, 7)
    assert again(configs=6).policy_options().budget_epochs == 2 * 6 * 9
    assert again(data_dir=None).data_dir == load_sweep(tmp_path / "run").data_dir


def test_runs_whose_checkpoint_is_gone_are_told_before_they_are_trained_again(
    formula: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def saved(folder: Path) -> int:
        return 9 if (folder / "last.pt").is_file() else 0  # that of the formula is empty

    formula.setattr("landslide.resume.saved_epochs", saved)
    run_dir = tmp_path / "run"
    run_sweep(run_dir, policy="none", grace=3, seeds=1, configs=3)
    (gone,) = list((run_dir / "checkpoints").iterdir())[:1]
    shutil.rmtree(gone)
    larger = a_sweep(policy="none", grace=3, seeds=1, configs=3, max_epochs=12)
    outcome, text = said(larger, run_dir, resume=True)
    assert outcome.complete
    warning = " ".join(text.split())
    assert "1 run(s) that go on have no last.pt" in warning
    assert gone.name in warning
    assert "train 9 epochs again" in warning
    assert "stop now with Ctrl-C" in warning


def test_an_extension_through_the_api_is_the_same_as_by_the_command(
    formula: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("api", "command"):
        run_sweep(tmp_path / name)
    run(
        replace(load_sweep(tmp_path / "api"), configs=15, seeds=3),
        tmp_path / "api",
        place=Place(in_process=True),
        resume=True,
        console=Console(file=StringIO()),
    )
    assert resumed(tmp_path / "command", "--configs", 15, "--seeds", 3).exit_code == 0
    for table in ("epochs", "runs", "decisions", "configs"):
        found = [
            getattr(ResultsStore.read(tmp_path / name), table)().to_pylist() for name in ("api", "command")
        ]
        plain = [[unlike(row, "timestamp") for row in part] for part in found]
        assert plain[0] == plain[1]


def test_a_trial_that_was_killed_in_an_extension_goes_on(formula: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_sweep(run_dir, policy="none", grace=3, seeds=1, configs=3)
    asked: list[int] = []

    def killed(job: Any) -> Iterator[Any]:
        asked.append(job.known_epochs)
        for event in fake_trial(job):
            yield event
            if len(asked) == 2:
                raise KeyboardInterrupt

    with formula.context() as patch:
        patch.setattr("tune.in_process.run_trial", killed)
        assert resumed(run_dir, "--max-epochs", 12).exit_code == 1
    assert asked == [9, 9]
    result = resumed(run_dir)
    assert result.exit_code == 0, result.output
    assert "extended" not in result.stderr
    assert {row["epochs"] for row in ResultsStore.read(run_dir).runs().to_pylist()} == {12}


CONFIGS = [
    {
        "values": {
            "backbone": "tu-mobilenetv3_small_050",
            "encoder_weights": None,
            "scheduler": name,
            "lr": 2e-3,
        }
    }
    for name in ("constant", "cosine")
]
#: How long it took, where and when: not what was measured.
VOLATILE = (
    "timestamp",
    "event",
    "sweep_id",
    "epoch_seconds",
    "data_seconds",
    "patches_per_second",
    "peak_memory_bytes",
    "wall_seconds",
)


@pytest.mark.slow
def test_trainings_that_are_extended_have_the_bits_of_trainings_declared_so_at_once(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a last.pt is gone, and another one is torn: then they train again what is on record."""
    monkeypatch.setattr("tune.launch.write_report", _report)
    space = space_from_mapping({"space": "two", "configs": CONFIGS}, source="test")
    sweep = Sweep(space, tiny_dataset, configs=2, seeds=1, max_epochs=3, policy="none", searcher="listed")
    said(sweep, tmp_path / "at-once")
    said(replace(sweep, max_epochs=1), tmp_path / "in-steps")
    said(replace(sweep, max_epochs=2), tmp_path / "in-steps", resume=True)
    folders = sorted((tmp_path / "in-steps" / "checkpoints").iterdir())
    (folders[0] / "last.pt").unlink()
    (folders[1] / "last.pt").write_bytes((folders[1] / "last.pt").read_bytes()[:1000])
    with pytest.warns(RuntimeWarning, match="the run starts over"):
        _, text = said(sweep, tmp_path / "in-steps", resume=True)
    assert "2 run(s) that go on have no last.pt" in " ".join(text.split())
    assert "train 4 epochs again" in " ".join(text.split())

    def measured(name: str, table: str) -> dict[Any, dict[str, Any]]:
        found = getattr(ResultsStore.read(tmp_path / name), table)().to_pylist()
        return {(row["trial_key"], row.get("epoch")): unlike(row, *VOLATILE) for row in found}

    for table in ("epochs", "runs", "patches", "thresholds"):
        assert measured("in-steps", table) == measured("at-once", table)
