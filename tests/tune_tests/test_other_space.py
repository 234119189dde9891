"""Why recorded configs do not lie in another space: every reason once, whatever the kind."""

from __future__ import annotations

import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `stopped_sweeps` lies beside us
from stopped_sweeps import a_sweep, use_formula

from results import ResultsStore
from search_spaces import Config, SearchSpace, space_from_mapping
from tune.cli import main
from tune.launch import Place, run
from tune.other_space import outside


def space(**content: Any) -> SearchSpace:
    return space_from_mapping({"space": "new", **content}, source="test")


THERE = [
    Config({"lr": lr, "dropout": lr * 10, "optimizer": "sgd", "patience": 10}, label)
    for lr, label in ((0.1, None), (0.2, "mine"), (0.3, None), (0.4, None), (0.5, None))
]
IDS = [config.config_id[:8] for config in THERE]


def test_each_kind_of_reason_is_told_once_with_how_many_and_three_of_them() -> None:
    lr = {"type": "float", "low": 0.2, "high": 1.0}
    momentum = {"type": "float", "low": 0.0, "high": 0.9}
    here = space(constants={"patience": 20, "swa": True}, parameters={"lr": lr, "momentum": momentum})
    everything = f"(5 of 5 recorded configs: {IDS[0]}, {IDS[1]} (mine), {IDS[2]}, ...)"
    assert [*outside(here, THERE)] == [
        f"space new: patience: 10 there, 20 here {everything}",
        f"space new: swa: not set there, true here {everything}",
        f"space new: dropout: 1, 2, 3, ... there, not set here {everything}",
        f"space new: optimizer: sgd there, not set here; --set optimizer=sgd sets it {everything}",
        f"space new: lr: 0.1 there, is outside; allowed: 0.2 to 1 (1 of 5 recorded configs: {IDS[0]})",
        f"space new: momentum: is missing; allowed: 0 to 0.9 {everything}",
    ]


def test_a_parameter_that_does_not_apply_any_more_is_told_with_where_it_does() -> None:
    optimizer = {"type": "choice", "values": ["sgd", "adam"]}
    patience = {"type": "int", "low": 1, "high": 20, "when": {"optimizer": ["adam"]}}
    lr = {"type": "float", "low": 0.01, "high": 1.0}
    dropout = {"type": "float", "low": 0.1, "high": 9.0}
    names = {"optimizer": optimizer, "patience": patience, "lr": lr, "dropout": dropout}
    (told,) = outside(space(parameters=names), THERE[:1])
    assert told.startswith("space new: patience: 10 there, applies only where optimizer")


def test_of_fixed_configs_the_constants_are_told_too() -> None:
    listed = space(configs=[{"values": dict(config)} for config in THERE])
    assert [*outside(listed, THERE)] == []
    told = [*outside(listed.pin("patience", 20), THERE)]
    assert [reason.partition(" (")[0] for reason in told] == [
        "space new: patience: 10 there, 20 here",
        "space new: is not one of the 5 fixed configs of 'new'",
    ]


def test_values_that_were_fixed_are_told_and_those_of_a_sweep_file_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_formula(monkeypatch)

    def resumed(*words: object) -> Result:
        arguments = ["sweep", "--resume", "--out", str(run_dir), "--in-process", "--json", *map(str, words)]
        return CliRunner().invoke(main, arguments)

    run_dir, space, file = tmp_path / "run", tmp_path / "space.yaml", tmp_path / "sweep.yaml"
    fixed = a_sweep(policy="none", grace=3, seeds=1, configs=5)
    pinned = replace(fixed, space=fixed.space.pin("patience", 10))
    run(pinned, run_dir, place=Place(in_process=True), console=Console(file=StringIO()))
    lr = "{type: float, low: 1e-4, high: 0.5, log: true}"
    constants = "{backbone: tu-mobilenetv3_small_050}"
    space.write_text(f"space: toy\nconstants: {constants}\nparameters:\n  lr: {lr}\n", encoding="utf-8")
    for words, told, times in (
        (["--set", "patience=20"], "space toy: patience: 10 there, 20 here (5 of 5 recorded configs: ", 1),
        ([space], "space toy: patience: 10 there, not set here; --set patience=10 sets it (5 of 5", 2),
    ):
        refused = resumed(*words)
        assert refused.exit_code == 2
        assert told in refused.stderr
        assert refused.stderr.count("patience") == times
    file.write_text(f"sweep: toy\nspace: {space.name}\nset: {{patience: 10}}\nconfigs: 9\n", encoding="utf-8")
    assert resumed(file).exit_code == 0
    store = ResultsStore.read(run_dir)
    assert store.configs().column("patience").to_pylist() == [10] * 9
