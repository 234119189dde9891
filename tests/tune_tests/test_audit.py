"""The audit of early stopping: a sample is run to its end in a stage of its own, and changes no verdict."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `stopped_sweeps` lies beside us

from stopped_sweeps import DATA, EPOCHS, a_sweep, fake_trial, run_sweep, use_formula

from results import ResultsStore, RunStatus, judge, rank_store
from results.audited import AUDIT as AUDITED
from results.statistics.proportions import Share
from results.stopping_claims import StoppedRun
from results.stopping_cost import stopping_cost
from tune.audit import Audit
from tune.audit_policy import AuditPolicy
from tune.audit_sample import sample_runs
from tune.cli import main
from tune.progress import Progress
from tune.recorded_sweep import recorded_sweep
from tune.run_dir import resolved
from tune.schedulers import ALLOCATE, SCREEN, Finish, History, Run, Start, Wait
from tune.schedulers.history import AUDIT


@pytest.fixture
def formula(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Trials are a formula."""
    use_formula(monkeypatch)
    return monkeypatch


def audit(run_dir: Path, *words: object) -> Result:
    asked = ["audit", run_dir, "--in-process", "--replays", 5, *words]
    return CliRunner().invoke(main, [str(word) for word in asked])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of twelve configs on two seeds, fifteen of whose runs stay stopped."""
    folder: Path = tmp_path_factory.mktemp("sweep") / "run"
    with pytest.MonkeyPatch.context() as patch:
        use_formula(patch)
        assert run_sweep(folder).complete
    return folder


@pytest.fixture
def run_dir(recorded: Path, tmp_path: Path, formula: pytest.MonkeyPatch) -> Path:
    shutil.copytree(recorded, tmp_path / "run")
    return tmp_path / "run"


def ends(run_dir: Path, stage: str = AUDIT) -> dict[str, dict[str, Any]]:
    rows = ResultsStore.read(run_dir).runs().to_pylist()
    return {row["trial_key"]: row for row in rows if row["stage"] == stage}


def test_drawn_runs_go_on_from_where_they_were_stopped_to_their_end(run_dir: Path) -> None:
    before = {row["trial_key"]: row for row in ResultsStore.read(run_dir).runs().to_pylist()}
    result = audit(run_dir, "--sample", 4)
    assert result.exit_code == 0, result.stderr
    assert "Of 15 stopped runs 4 were run to their end" in result.stdout
    found = ends(run_dir)
    assert len(found) == 4
    for key, end in found.items():
        assert before[key]["status"] == "stopped"
        assert (end["status"], end["epochs"]) == ("finished", EPOCHS)
        rows = [row for row in ResultsStore.read(run_dir).epochs().to_pylist() if row["trial_key"] == key]
        stages = {row["epoch"]: row["stage"] for row in rows}
        stopped_at = before[key]["epochs"]
        assert stages == {e: SCREEN if e <= stopped_at else AUDIT for e in range(1, EPOCHS + 1)}
    decisions = [row for row in ResultsStore.read(run_dir).decisions().to_pylist() if row["policy"] == AUDIT]
    assert {(row["trial_key"], row["action"], row["stage"]) for row in decisions} == {
        (key, "resume", AUDIT) for key in found
    }
    assert all("drawn with seed 0" in row["reason"] for row in decisions)


def test_an_audit_changes_neither_the_verdict_nor_what_a_resume_does(run_dir: Path) -> None:
    def said() -> dict[str, Any]:
        verdict = judge(rank_store(ResultsStore.read(run_dir))).to_dict()
        return {name: value for name, value in verdict.items() if name not in ("n_audits", "notes")}

    verdict, sweep = said(), dict(ResultsStore.read(run_dir).sweep)
    assert audit(run_dir, "--sample", 6).exit_code == 0
    assert said() == verdict
    rows = {
        name: getattr(ResultsStore.read(run_dir), name)().num_rows for name in ("epochs", "runs", "decisions")
    }
    assert run_sweep(run_dir, resume=True).complete
    assert said() == verdict
    assert {name: getattr(ResultsStore.read(run_dir), name)().num_rows for name in rows} == rows
    assert dict(ResultsStore.read(run_dir).sweep) == sweep


def test_a_second_audit_draws_others_and_counts_all(run_dir: Path) -> None:
    audit(run_dir, "--sample", 4)
    first = set(ends(run_dir))
    result = audit(run_dir, "--sample", 5)
    assert first < set(ends(run_dir))
    assert "Of 15 stopped runs 9 were run to their end" in result.stdout
    everything = audit(run_dir, "--sample", 100)
    assert "All 15 stopped runs were run to their end" in everything.stdout
    assert "vs winner: the final score minus" in everything.stdout
    assert audit(run_dir).exit_code == 0  # nothing is left to be drawn
    content = json.loads((run_dir / "audit.json").read_text(encoding="utf-8"))
    assert content["among_top"]["low"] == content["among_top"]["high"] == content["among_top"]["estimate"]
    assert content["replay"]["unseen"] == 0


def test_the_answer_about_all_runs_is_the_truth(run_dir: Path) -> None:
    """All stopped runs are audited, so that the places can be counted by hand."""
    audit(run_dir, "--sample", 15)
    scores = {
        (row["config_id"], row["replicate"]): row["best_value"]
        for row in ResultsStore.read(run_dir).runs().to_pylist()
    }
    cost = stopping_cost(ResultsStore.read(run_dir))
    for run in cost.runs:
        better = sum(
            v > run.score for (_, r), v in scores.items() if r == run.replicate and run.score is not None
        )
        assert run.place == better + 1
    assert (cost.top, {run.runs for run in cost.runs}) == (4, {12})
    assert cost.among_top is not None
    assert cost.among_top.hits == sum(run.place is not None and run.place <= 4 for run in cost.runs)


def test_after_a_costly_audit_a_user_is_told_what_to_change(run_dir: Path) -> None:
    """The slower half of these runs catches up late: stopping early takes good ones."""
    advice = "a higher --grace, a lower --eta or another --policy"
    costly = audit(run_dir, "--sample", 15, "--top", 4)
    assert advice in costly.stderr
    assert f"audit {run_dir} --sample 0 --grace N" in costly.stderr
    cost = stopping_cost(ResultsStore.read(run_dir))
    harmless = replace(
        cost,
        above_winner=Share(0, 15, 15, 0.0, 0.0, 0.05),
        among_top=Share(1, 15, 15, 1 / 15, 1 / 15, 0.05),
    )
    assert not Audit(harmless, None, True, run_dir).costly
    assert not Audit(replace(cost, above_winner=None, among_top=None), None, True, run_dir).costly


def test_the_progress_of_an_audit_counts_its_runs_and_no_budget(
    run_dir: Path, formula: pytest.MonkeyPatch
) -> None:
    headlines: list[str] = []
    real = Progress.headline

    def headline(progress: Progress) -> str:
        headlines.append(real(progress))
        return headlines[-1]

    formula.setattr(Progress, "headline", headline)
    audit(run_dir, "--sample", 3)
    assert headlines[-1] == "auditing · 3 runs started, 3 ended"
    audit(run_dir, "--sample", 2)
    assert headlines[-1] == "auditing · 2 runs started, 2 ended"


def test_what_an_interrupted_audit_has_drawn_comes_first(run_dir: Path, formula: pytest.MonkeyPatch) -> None:
    def interrupted(job: Any) -> Any:
        for event in fake_trial(job):
            yield event
            if not job.checkpoint_dir.endswith(first):
                raise KeyboardInterrupt

    (first, *_) = (
        run.trial_key for run in sample_runs(stopping_cost(ResultsStore.read(run_dir)), sample=4, seed=0)
    )
    formula.setattr("tune.in_process.run_trial", interrupted)
    broken = audit(run_dir, "--sample", 4)
    assert broken.exit_code == 1
    assert "the same command goes on" in broken.stderr
    assert "1 run drawn earlier has not ended yet" in broken.stdout
    formula.setattr("tune.in_process.run_trial", fake_trial)
    begun = {run.trial_key for run in stopping_cost(ResultsStore.read(run_dir)).runs if run.drawn}
    assert audit(run_dir, "--sample", 2).exit_code == 0
    assert begun < set(ends(run_dir))
    assert len(ends(run_dir)) == 3


def test_json_is_the_file(run_dir: Path) -> None:
    result = audit(run_dir, "--sample", 2, "--json", "--policy", "median")
    assert json.loads(result.stdout) | {
        "sweep_id": ResultsStore.read(run_dir).sweep["sweep_id"]
    } == json.loads((run_dir / "audit.json").read_text(encoding="utf-8"))
    assert json.loads(result.stdout)["replay"]["policy"] == "median"


@pytest.mark.parametrize("policy", ["successive-halving", "noise-aware"])
def test_sweeps_of_other_policies_can_be_audited(
    tmp_path: Path, formula: pytest.MonkeyPatch, policy: str
) -> None:
    """Paused runs end as stopped; an adaptive search stops on one seed only."""
    run_dir = tmp_path / "run"
    seeds = None if policy == "noise-aware" else 2
    assert run_sweep(run_dir, policy=policy, seeds=seeds).complete
    before = judge(rank_store(ResultsStore.read(run_dir)))
    result = audit(run_dir, "--sample", 3)
    assert result.exit_code == 0, result.output
    assert len(ends(run_dir)) == 3
    assert judge(rank_store(ResultsStore.read(run_dir))).sentence == before.sentence
    assert run_sweep(run_dir, policy=policy, seeds=seeds, resume=True).complete


def test_a_sweep_that_stopped_nothing_is_replayed_under_the_default_policy(
    tmp_path: Path, formula: pytest.MonkeyPatch
) -> None:
    run_dir = tmp_path / "run"
    run_sweep(run_dir, policy="none", grace=3)
    result = audit(run_dir)
    assert result.exit_code == 0, result.output
    assert "No run was stopped" in result.stdout
    assert "the screening of noise-aware (grace 3, eta 3) stops" in result.stdout
    assert "nothing is missing from the replay" in result.stdout
    asked = audit(run_dir, "--sample", 3)
    assert asked.exit_code == 2
    assert "none was stopped" in asked.stderr


def test_missing_checkpoints_are_named_before_anything_is_trained(run_dir: Path) -> None:
    drawn = sample_runs(stopping_cost(ResultsStore.read(run_dir)), sample=3, seed=0)
    for run in drawn[:2]:
        (run_dir / "checkpoints" / run.trial_key / "last.pt").unlink()
    result = audit(run_dir, "--sample", 3)
    assert result.exit_code == 2
    assert all(run.trial_key in result.stderr for run in drawn[:2])
    assert drawn[2].trial_key not in result.stderr
    assert "--sample 0" in result.stderr
    assert not ends(run_dir)
    assert audit(run_dir, "--sample", 0).exit_code == 0


def test_a_sweep_that_is_not_over_is_refused(tmp_path: Path, formula: pytest.MonkeyPatch) -> None:
    run_dir = tmp_path / "run"
    budget = iter(range(30))

    def killed(job: Any) -> Any:
        for event in fake_trial(job):
            if next(budget, None) is None:
                raise KeyboardInterrupt
            yield event

    formula.setattr("tune.in_process.run_trial", killed)
    assert not run_sweep(run_dir).complete
    result = audit(run_dir)
    assert result.exit_code == 2
    assert "is not over" in result.stderr
    assert audit(run_dir, "--sample", 0).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sample", -1), "sample: -1 is too small"),
        (("--top", 0), "top: 0 is too small"),
        (("--seed", -1), "seed: -1 is too small"),
        (("--replays", 0), "replays: 0 is too small"),
        (("--workers", 0), "workers: 0 is too small"),
        (("--policy", "nothing"), "'nothing' is not known"),
        (("--eta", 1), "eta is 1.0; above 1"),
        (("--gpus-per-trial", 0.5), "trained on cpu"),
        (("--max-concurrent", 0), "max_concurrent: 0 is too small"),
    ],
)
def test_bad_input_is_named_and_nothing_is_run(
    run_dir: Path, words: tuple[object, ...], message: str
) -> None:
    result = audit(run_dir, *words)
    assert result.exit_code == 2
    assert result.stderr.count(message) == 1
    assert result.stdout == ""
    assert not ends(run_dir)


def test_other_data_is_refused(run_dir: Path, formula: pytest.MonkeyPatch) -> None:
    formula.setattr(
        "tune.audit_training.prepare", lambda *_, **__: type(DATA)(**{**vars(DATA), "data_id": "other"})
    )
    result = audit(run_dir)
    assert result.exit_code == 2
    assert "data id other, recorded data0001" in result.stderr


def test_a_folder_that_is_no_run_directory_is_refused(tmp_path: Path) -> None:
    result = audit(tmp_path / "nothing")
    assert result.exit_code == 2
    assert "give the --out folder of a sweep" in result.stderr


# ---- the parts --------------------------------------------------------------------------------------------------


def stopped_run(i: int, *, drawn: bool = False, ended: bool = False, runs: int = 12) -> StoppedRun:
    return StoppedRun(
        trial_key=f"c{i:02d}-r00",
        config_id=f"c{i:02d}",
        name=f"c{i:02d}",
        replicate=0,
        stopped_epoch=3,
        stopped_value=0.3,
        runs=runs,
        drawn=drawn,
        status=RunStatus.FINISHED if ended else None,
        score=0.4 if ended else None,
        place=1.0 if ended else None,
        winner_score=None,
        winner_gap=None,
    )


def known(recorded: Path, *runs: StoppedRun) -> Any:
    return replace(stopping_cost(ResultsStore.read(recorded)), runs=runs)


def test_every_run_is_drawn_equally_often(recorded: Path) -> None:
    cost = known(recorded, *(stopped_run(i) for i in range(10)))
    drawn = Counter(run.trial_key for seed in range(2000) for run in sample_runs(cost, sample=3, seed=seed))
    assert sum(drawn.values()) == 6000
    assert max(abs(n - 600) for n in drawn.values()) < 5 * np.sqrt(2000 * 0.3 * 0.7)


def test_a_draw_is_a_function_of_its_seed_and_of_what_was_drawn(recorded: Path) -> None:
    runs = [stopped_run(i) for i in range(10)]
    first = sample_runs(known(recorded, *runs), sample=4, seed=1)
    assert sample_runs(known(recorded, *reversed(runs)), sample=4, seed=1) == first
    assert sample_runs(known(recorded, *runs), sample=4, seed=2) != first
    done = [
        stopped_run(0, drawn=True, ended=True),
        stopped_run(1, drawn=True),
        *runs[2:9],
        stopped_run(9, runs=4),
    ]
    again = sample_runs(known(recorded, *done), sample=100, seed=1)
    assert again[0].trial_key == "c01-r00"
    assert {run.trial_key for run in again} == {f"c{i:02d}-r00" for i in range(1, 9)}
    assert sample_runs(known(recorded, *done), sample=0, seed=1) == ()


def test_the_policy_brings_drawn_runs_to_their_end_and_nothing_else() -> None:
    history = History()
    for config in range(4):
        history.add_config()
        history.start(Run(config, 0))
    for config, status in enumerate(
        [RunStatus.STOPPED, RunStatus.STOPPED, RunStatus.FINISHED, RunStatus.STOPPED]
    ):
        run = history.run(config, 0)
        assert run is not None
        history.report(run, 0.1)
        history.end(run, status)
    policy = AuditPolicy([(3, 0), (2, 0), (0, 0)], reason="drawn")
    for config in (3, 0):
        move = policy.next_move(history)
        assert isinstance(move, Start)
        assert (move.config, move.stage, move.reason) == (config, AUDIT, "drawn")
        run = history.run(config, 0)
        assert run is not None
        history.reopen(run, move.stage)
        assert policy.judge(run, history).rung is None
    assert isinstance(policy.next_move(history), Wait)
    for run in list(history.pending()):
        history.end(run, RunStatus.FINISHED)
    assert isinstance(policy.next_move(history), Finish)


def test_the_stage_has_one_name_on_both_sides() -> None:
    assert AUDIT == AUDITED
    assert AUDIT not in (SCREEN, ALLOCATE)


@pytest.mark.parametrize(
    "options", [{}, {"policy": "noise-aware", "seeds": None}, {"max_concurrent": 3, "cpus_per_trial": 2}]
)
def test_a_recorded_sweep_is_the_one_that_was_declared(options: dict[str, Any]) -> None:
    sweep = a_sweep(**options)
    again = recorded_sweep(json.loads(json.dumps(resolved(sweep, DATA))))  # type: ignore[arg-type]
    assert again.identity("data0001") == sweep.identity("data0001")
    assert (again.max_concurrent, again.cpus_per_trial) == (sweep.max_concurrent, sweep.cpus_per_trial)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": None}, "space: missing"),
        ({"space_id": "other"}, "space_id: 'other' there"),
        ({"threads": 7}, "threads: 7 there, this version has 1"),
    ],
)
def test_a_sweep_that_cannot_be_declared_again_is_refused(change: dict[str, Any], message: str) -> None:
    from results import StoreError

    stored = {**resolved(a_sweep(), DATA), **change}  # type: ignore[arg-type]
    stored = {name: value for name, value in stored.items() if value is not None}
    with pytest.raises(StoreError, match=message):
        recorded_sweep(stored)
