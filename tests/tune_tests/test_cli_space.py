"""`landslide-tune space`: data on stdout, errors on stderr with exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from search_spaces import load_space, shipped_spaces, space_from_mapping
from tune.cli import main

BAD = (
    "space: bad\nparameters:\n"
    "  lr: {type: float, low: 0, high: 1, log: true}\n"
    "  los: {type: choice, values: [x]}\n"
)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["space", *arguments], env={"COLUMNS": "100"})


def test_list_names_every_shipped_space() -> None:
    assert all(name in invoke("list").stdout for name in shipped_spaces())
    assert [entry["space"] for entry in json.loads(invoke("list", "--json").stdout)] == list(shipped_spaces())


def test_show_prints_parameters_domains_conditions_constants_and_grid_size() -> None:
    shown = invoke("show", "unet", "--points", "2")
    assert shown.exit_code == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "max_pos_weight float 1 to 42, log scale loss is dice-bce" in lines
    assert "encoder_weights imagenet" in lines
    assert f"grid: {load_space('unet').size(2)} configs (with 2 values per continuous parameter)" in lines
    assert shown.stderr == ""


def test_show_prints_fixed_configs() -> None:
    lines = [" ".join(line.split()) for line in invoke("show", "notes").stdout.splitlines()]
    assert "lr 0.0001 0.0001 0.0001 0.0001 5e-05" in lines
    assert "grid: 5 configs (the fixed configs)" in lines


@pytest.mark.parametrize("name", shipped_spaces())
def test_show_json_holds_the_whole_space(name: str) -> None:
    shown = json.loads(invoke("show", name, "--json").stdout)
    space = load_space(name)
    assert space_from_mapping(shown["definition"], "json") == space
    assert (shown["space_id"], shown["grid_size"]) == (space.space_id, space.size(shown["grid_points"]))
    assert shown["config_ids"] == [config.config_id for config in space.configs]


def test_show_of_an_unknown_name_lists_the_shipped_ones() -> None:
    shown = invoke("show", "smok")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "did you mean 'smoke'? (shipped spaces: notes, smoke, unet)" in shown.stderr


def test_validate_accepts_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(
        "space: good\nparameters:\n  lr: {type: float, low: 1e-5, high: 1e-3, log: true}\n", "utf-8"
    )
    good = invoke("validate", str(file), "--quick")
    assert (good.exit_code, good.stderr) == (0, "")
    assert "valid; space good" in good.stdout
    assert json.loads(invoke("validate", str(file), "--quick", "--json").stdout)["valid"] is True


def test_validate_reports_every_problem_of_a_bad_file(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD, encoding="utf-8")
    bad = invoke("validate", str(file), "--quick")
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert f"{file}, line 3: parameters.lr.low: 0 on a log scale" in bad.stderr


def test_validate_asks_training_too_and_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD.replace("log: true", "log: false"), encoding="utf-8")
    bad = invoke("validate", str(file), "--json", "--quick")
    assert bad.exit_code == 2
    problems = json.loads(bad.stdout)["problems"]
    assert all(problem.startswith(f"{file}: space 'bad', parameters.") for problem in problems)
    assert {problem.split(" = ")[0].split(".")[-1] for problem in problems} == {"lr", "los"}
    assert all(problem in bad.stderr for problem in problems)


@pytest.mark.slow
def test_validate_knows_the_encoders(tmp_path: Path) -> None:
    file = tmp_path / "encoder.yaml"
    file.write_text("space: encoder\nconstants: {backbone: resnet43}\n", encoding="utf-8")
    bad = invoke("validate", str(file))
    assert bad.exit_code == 2
    assert "resnet43" in bad.stderr


@pytest.mark.slow
def test_validate_reports_unknown_encoders_and_bad_numbers_together(tmp_path: Path) -> None:
    file = tmp_path / "both.yaml"
    file.write_text("space: both\nconstants: {backbone: resnet43, lr: -1, los: dice}\n", encoding="utf-8")
    bad = invoke("validate", str(file))
    assert bad.exit_code == 2
    assert all(word in bad.stderr for word in ("resnet43", "'lr' is -1", "'los'"))


@pytest.mark.parametrize("command", ["list", "show", "validate"])
def test_help_has_an_example(command: str) -> None:
    assert f"landslide-tune space {command}" in invoke(command, "--help").stdout.split("Example:")[1]
