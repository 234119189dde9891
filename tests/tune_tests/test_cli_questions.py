"""`compare` and `plan`: honest about what was picked after looking, clear about what is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

sys.path.append(str(Path(__file__).parent.parent / "results_tests"))  # importlib mode does not

from recorded_sweeps import record_scores

from results import RunStatus
from tune.cli import main


def invoke(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Four configs on five seeds; the last one was stopped on one of them."""
    rng = np.random.default_rng(4)
    scores = np.array([0.50, 0.46, 0.455, 0.40])[:, None] + rng.normal(0, 0.008, (4, 5))
    return record_scores(tmp_path / "run", scores.tolist(), endings={(3, 2): RunStatus.STOPPED})


def test_two_configs_are_compared_in_a_table_and_a_sentence(run_dir: Path) -> None:
    result = invoke("compare", run_dir, "c0", "c1")
    assert result.exit_code == 0, result.stderr
    assert "c0 (resnet34, dice-bce, lr 1e-4) is better than c1 (" in result.stdout
    assert "on 5 shared seeds" in result.stdout
    assert "Tukey-Kramer over the 4 configs started" in result.stdout


def test_configs_named_before_looking_are_held_to_less(run_dir: Path) -> None:
    picked, planned = (
        json.loads(invoke("compare", run_dir, "c1", "c2", "--json", *flag).stdout)
        for flag in ([], ["--named-before"])
    )
    assert (picked["family"], planned["family"]) == (4, 1)
    assert picked["pairs"][0]["p"] == planned["pairs"][0]["p"] < picked["pairs"][0]["p_holm"]
    assert picked["pairs"][0]["low"] < planned["pairs"][0]["low"]
    assert (planned["pairs"][0]["first"], planned["pairs"][0]["claim"]) == ("c1", "undecided")


def test_without_names_every_pair_is_compared_below_the_verdict(run_dir: Path) -> None:
    text = invoke("compare", run_dir).stdout
    assert "c0 (resnet34, dice-bce, lr 1e-4) is better than each of the other 2 configs" in text
    assert "One seed moves IoU by" in text
    assert len([line for line in text.splitlines() if "better  " in line or "undecided" in line]) == 3


def test_everything_wrong_with_the_names_is_said_at_once(run_dir: Path) -> None:
    result = invoke("compare", run_dir, "c3", "nothing", "c")
    assert result.exit_code == 2
    assert "'c3' has no final score (state: stopped)" in result.stderr
    assert "c3: stopped early, so without a final score; `landslide-tune audit` runs" in result.stderr
    assert "no config matches 'nothing'" in result.stderr
    assert "more than one config matches 'c'" in result.stderr
    assert "a second one" in invoke("compare", run_dir, "c1").stderr
    again = invoke("compare", run_dir, "c1", "c1").stderr
    assert "again" in again
    assert "stopped early" not in again


@pytest.mark.parametrize("words", [[], ["--notes", "--table", "x.csv"]])
def test_one_source_of_runs_is_asked_for(words: list[str]) -> None:
    result = invoke("compare", *words)
    assert result.exit_code == 2
    assert "--notes or --table" in result.stderr


def test_the_notes_are_compared_and_nothing_is_claimed() -> None:
    text = invoke("compare", "--notes").stdout
    assert (
        "0.0184 (sd between runs of one config; 95% interval 0.0096 to 0.1157, 2 degrees of freedom)" in text
    )
    assert text.count("undecided") == 10
    assert "cannot be told apart" in text
    two = invoke("compare", "--notes", "run 4", "run 1", "--named-before")
    assert "run 4 is better than run 1" in two.stdout
    assert "not paired" in two.stdout


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("run,lr,val_iou\na,1e-4,0.50\nb,1e-4,0.51\nc,1e-3,0.30\nd,1e-3,0.31\n", encoding="utf-8")
    assert "runs a, b is better than runs c, d" in invoke("compare", "--table", path).stdout
    assert invoke("compare", "--table", tmp_path / "missing.csv").exit_code == 2


def test_a_plan_tells_seeds_what_others_show_and_what_they_cost() -> None:
    words = (
        "plan",
        "--difference",
        0.05,
        "--sd",
        0.02,
        "--configs",
        3,
        "--max-epochs",
        10,
        "--epoch-seconds",
        36,
    )
    text = invoke(*words).stdout
    assert "seeds per config show a true difference of 0.05 between two of 3 configs" in text
    found = json.loads(invoke(*words, "--json", "--gpus-per-trial", 0.5).stdout)
    needed = found["needed"]
    assert needed["runs"] == 3 * needed["seeds"]
    assert needed["hours"] == pytest.approx(needed["epochs"] / 100)
    assert needed["gpu_hours"] == pytest.approx(needed["hours"] / 2)
    assert needed["difference"] <= 0.05 < found["rows"][0]["difference"]
    paired = json.loads(invoke(*words, "--json", "--correlation", 0.8).stdout)
    assert paired["needed"]["seeds"] < needed["seeds"]


def test_a_plan_from_an_earlier_sweep_takes_its_noise_and_its_times(run_dir: Path) -> None:
    found = json.loads(invoke("plan", "--difference", 0.01, "--from", run_dir, "--json").stdout)
    assert found["noise"]["low"] < found["noise"]["residual"] < found["noise"]["high"]
    assert found["seeds_low"] < found["needed"]["seeds"] < found["seeds_high"]
    needed = found["needed"]
    assert needed["epochs"] == 6 * needed["runs"]
    assert needed["hours"] == pytest.approx(needed["epochs"] * 12 / 3600)


def test_a_plan_that_no_seeds_fulfil_says_so() -> None:
    result = invoke("plan", "--difference", 1e-6, "--sd", 0.02)
    assert result.exit_code == 1
    assert "No reasonable number of seeds" in result.stdout


def test_everything_wrong_with_a_plan_is_said_at_once() -> None:
    result = invoke(
        "plan", "--difference", 0, "--sd", -1, "--notes", "--configs", 1, "--power", 2, "--max-epochs", -1
    )
    assert result.exit_code == 2
    for part in ("once:", "--difference", "--sd", "--configs", "--power", "--max-epochs"):
        assert part in result.stderr
    assert "unknown" not in invoke("plan", "--difference", 0.01, "--notes").stderr


def test_a_sweep_without_repeats_has_no_noise_to_plan_with(tmp_path: Path) -> None:
    single = record_scores(tmp_path / "single", [[0.4], [0.5]])
    result = invoke("plan", "--difference", 0.01, "--from", single)
    assert result.exit_code == 2
    assert "no config has two finished runs" in result.stderr


def test_the_json_of_a_pair_says_what_it_rests_on(run_dir: Path) -> None:
    (pair,) = json.loads(invoke("compare", run_dir, "c0", "c1", "--json", "--named-before").stdout)["pairs"]
    assert (pair["n_failed_first"], pair["n_failed_second"]) == (0, 0)
    assert pair["runs_used"] == [f"c{i}-r{j}" for i in range(2) for j in range(5)]
    assert pair["method"].startswith(
        "mean difference on shared seeds, by the residual variance of all configs"
    )


def test_only_runs_on_shared_seeds_are_said_to_be_used_where_only_they_are(tmp_path: Path) -> None:
    path = record_scores(
        tmp_path / "gaps", [[0.4, 0.42, 0.41], [0.5, 0.53, np.nan]], endings={(0, 0): RunStatus.FAILED}
    )
    planned, picked = (
        json.loads(invoke("compare", path, "c0", "c1", "--json", *flag).stdout)["pairs"][0]
        for flag in (["--named-before"], [])
    )
    assert planned["n_failed_first"] == 1
    assert picked["runs_used"] == ["c0-r1", "c0-r2", "c1-r0", "c1-r1"]
    assert planned["runs_used"] == (
        picked["runs_used"] if planned["used"] == "unpaired" else ["c0-r1", "c1-r1"]
    )


def test_few_shared_seeds_are_told_by_what_pairing_was_worth(run_dir: Path, tmp_path: Path) -> None:
    few = record_scores(tmp_path / "few", [[0.40, 0.42, 0.45], [0.41, 0.44, 0.45]])
    assert "x seeds" in invoke("compare", few).stdout
    assert " r 0." not in invoke("compare", few).stdout
    many = invoke("compare", run_dir, "c0", "c1").stdout
    assert " r " in many
    assert "x seeds" not in many


def test_nothing_to_compare_is_incomplete_and_no_usage_error(tmp_path: Path) -> None:
    alone = record_scores(tmp_path / "alone", [[0.4, 0.5]])
    result = invoke("compare", alone, "--json")
    assert (result.exit_code, json.loads(result.stdout)["pairs"]) == (1, [])
    assert "fewer than two configs have final scores" in result.stderr
    assert invoke("compare", alone).exit_code == 1
    assert invoke("compare", alone, "c0", "c1").exit_code == 2


def test_a_table_is_compared_by_the_metric_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("run,lr,val_f1\na,1,0.50\nb,1,0.51\nc,2,0.30\nd,2,0.31\n", encoding="utf-8")
    found = json.loads(invoke("compare", "--table", path, "--metric", "val_f1", "--json").stdout)
    assert (found["metric"], found["pairs"][0]["claim"]) == ("val_f1", "better")
    assert "no column 'val_iou'" in invoke("compare", "--table", path).stderr
    wrong = invoke("compare", "--notes", "--metric", "val_f1")
    assert wrong.exit_code == 2
    assert "is for --table" in wrong.stderr


def test_the_commands_know_the_metrics_and_the_error_rate_of_the_results() -> None:
    from results import curves, ranking
    from tune.cli import questions

    assert (questions.SIDE_METRICS, questions.ALPHA) == (curves.SIDE_METRICS, ranking.ALPHA)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--power", value) for value in ("0.05", "1", "nan")),
        *(("--epoch-seconds", value) for value in ("nan", "inf", "0", "-1")),
        ("--max-epochs", "0"),
        *(("--gpus-per-trial", value) for value in ("nan", "-0.5")),
    ],
)
def test_a_number_that_makes_no_plan_is_refused_in_a_sentence(option: str, value: str) -> None:
    result = invoke("plan", "--difference", 0.05, "--sd", 0.02, option, value)
    assert result.exit_code == 2
    assert f"{option}: {value}" in result.stderr.replace("1.0", "1").replace("0.0 ", "0 ").replace(
        "-1.0", "-1"
    )


def test_repeats_that_are_all_the_same_are_no_noise_to_plan_with(tmp_path: Path) -> None:
    same = record_scores(tmp_path / "same", [[0.4, 0.4], [0.5, 0.5]])
    result = invoke("plan", "--difference", 0.01, "--from", same)
    assert result.exit_code == 2
    assert "every repeat gave the same score: check that the seeds reach the training" in result.stderr


def test_the_noise_of_a_comparison_is_told_apart_from_that_of_a_score(run_dir: Path) -> None:
    """Also when pairing cost: then it is more than the seed sd, and no part of it."""
    alike = invoke("plan", "--difference", 0.05, "--sd", 0.02).stdout
    assert "noise of a comparison" not in alike
    assert "if the seeds move the configs independently" in alike
    for correlation, told in ((0.75, "0.0100"), (-0.5625, "0.0250")):
        text = invoke("plan", "--difference", 0.05, "--sd", 0.02, "--correlation", correlation).stdout
        assert f"seed sd 0.0200 (as stated), noise of a comparison on shared seeds {told}" in text
        assert "independently" not in text


def test_shared_seeds_tell_less_of_the_noise() -> None:
    """Simulated: as many degrees of freedom as the scatter of the estimated variance shows."""
    from results.planning import KnownNoise

    rng, configs, seeds = np.random.default_rng(0), 6, 8
    shared, own = rng.normal(0, 0.03, (20_000, 1, seeds)), rng.normal(0, 0.02, (20_000, configs, seeds))
    variances = (shared + own).var(axis=2, ddof=1).mean(axis=1)
    df = 2 * variances.mean() ** 2 / variances.var()
    noise = KnownNoise(float(np.hypot(0.03, 0.02)), 0.02, None, None, "simulated")
    assert noise.independent_configs(configs) * (seeds - 1) == pytest.approx(df, rel=0.04)
    assert KnownNoise(0.02, 0.02, None, None, "").independent_configs(6) == pytest.approx(6)
    assert KnownNoise(0.02, 1e-9, None, None, "").independent_configs(6) == pytest.approx(1)


def test_printed_json_has_no_number_that_json_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    from tune.cli.terminal import print_json

    print_json({"a": [float("nan"), 1.5, (float("inf"),)], "b": "滑坡"})
    printed = "".join(capsys.readouterr().out.split())
    assert printed == '{"a":[null,1.5,[null]],"b":"滑坡"}'
