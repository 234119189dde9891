"""A search with unequal seeds, fresh seeds and an audit, as the command line and Optuna's tools are shown it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from optuna.trial import TrialState

from tune.cli import main

sys.path.append(str(Path(__file__).parent.parent / "results_tests"))  # importlib mode does not

from recorded_searches import SEARCH, record_search

SPACE = {
    "space": "recorded",
    "parameters": {"lr": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True}},
}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    search = replace(SEARCH, audited={(4, 0)}, sweep={"space": SPACE, "configs": 8})
    return record_search(tmp_path / "run", search)


def said(*arguments: Any) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_report_prints_the_ranking_and_what_ended_the_search(run_dir: Path) -> None:
    text = said("report", run_dir)
    heading, first = (line.split() for line in text.splitlines()[:2])
    assert [word for word in heading if word in ("seeds", "fresh", "expected")] == [
        "seeds",
        "fresh",
        "expected",
    ]
    assert first[:2] == ["1", "c0"]
    assert "The search ended because expected regret 0.0017 is below 0.002." in text
    assert "Quote 0.4693 [" in text
    assert "the mean of c0 on 3 fresh seeds that took no part in the choice" in text
    verdict = json.loads(said("report", run_dir, "--json"))
    assert (verdict["best"], verdict["chosen"], verdict["n_audits"]) == ("c0", "c0", 1)


def test_status_counts_the_search_and_says_what_ended_it(run_dir: Path) -> None:
    text = said("status", run_dir)
    assert "16 of 16 runs ended" in text
    assert "expected regret 0.0017 is below 0.002" in text


def test_compare_and_plan_take_what_the_search_has(run_dir: Path) -> None:
    assert "cannot be told apart" in said("compare", run_dir, "c0", "c1")
    assert "the search ran c3" in said("compare", run_dir, "c0", "c3")
    assert "seeds per config show" in said("plan", "--difference", "0.02", "--from", run_dir)


def test_optuna_shows_every_run_with_its_stage(run_dir: Path) -> None:
    from results import ResultsStore
    from results.snapshot import snapshot
    from tune.optuna_trials import study_trials

    trials = {
        trial.user_attrs["trial_key"]: trial for trial in study_trials(snapshot(ResultsStore.read(run_dir)))
    }
    assert len(trials) == len(SEARCH.scores)
    fresh, audited, resumed = trials["c0-r1000"], trials["c4-r0"], trials["c2-r0"]
    assert (fresh.state, fresh.user_attrs["stage"], fresh.value) == (TrialState.COMPLETE, "confirm", 0.47)
    assert (audited.state, len(audited.intermediate_values)) == (TrialState.PRUNED, 3)
    assert (resumed.state, resumed.user_attrs["stage"]) == (TrialState.COMPLETE, "allocate")
    assert trials["c1-r1002"].state is TrialState.FAIL
