"""A declared sweep: its identity, its defaults, sweep files, pinned values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landslide import TrainSettings
from tune.errors import SweepError
from tune.sweep import METRICS, OPTIONS, Sweep
from tune.sweep_file import declare, parse_pins


def smoke(**options: Any) -> Sweep:
    return declare("smoke", data_dir=Path("data"), options=options, pins={})


def test_the_identity_covers_what_decides_the_numbers() -> None:
    base = smoke()
    others = [
        smoke(seed=1), smoke(configs=9), smoke(seeds=4), smoke(max_epochs=7), smoke(searcher="grid"),
        smoke(policy="none"), smoke(grace=5), smoke(eta=4), smoke(metric="val_f1"), smoke(cpus_per_trial=2),
        declare("smoke", data_dir=Path("data"), options={}, pins={"patience": 4}),
        declare("unet", data_dir=Path("data"), options={}, pins={}),
    ]  # fmt: skip
    ids = {sweep.sweep_id("data-1") for sweep in (base, *others)} | {base.sweep_id("data-2")}
    assert len(ids) == len(others) + 2


def test_the_identity_does_not_depend_on_where_and_how_wide_it_runs() -> None:
    base = smoke().sweep_id("d")
    assert smoke(max_concurrent=1, name="other").sweep_id("d") == base
    assert replace(smoke(), data_dir=Path("elsewhere")).sweep_id("d") == base


def test_threads_are_the_whole_part_of_the_cpu_share() -> None:
    assert [smoke(cpus_per_trial=share).threads for share in (0.25, 1, 1.9, 4)] == [1, 1, 1, 4]
    assert (smoke().device, smoke(gpus_per_trial=0.25).device) == ("cpu", "cuda")


def test_settings_of_a_config_have_the_sweeps_epochs_and_the_notes_defaults() -> None:
    sweep = smoke(max_epochs=7)
    config = sweep.space.configs[0] if sweep.space.configs else next(sweep.space.grid(1))
    settings = sweep.settings(config)
    assert settings.epochs == 7
    assert settings.patience == TrainSettings().patience


def test_every_option_has_a_default_and_a_checked_type() -> None:
    assert set(OPTIONS.values()) <= {"str", "int", "float", "int | None"}
    assert Sweep(space=smoke().space, data_dir=Path("d")).problems() == []


def test_metrics_are_those_that_peak_at_the_epoch_whose_weights_are_kept() -> None:
    assert METRICS == {"val_iou": "max", "val_f1": "max"}


def test_a_list_of_configs_is_tried_as_a_whole() -> None:
    notes = declare("notes", data_dir=Path("data"), options={}, pins={})
    assert notes.configs == len(notes.space.configs) == 5
    assert declare("notes", data_dir=Path("data"), options={"configs": 2}, pins={}).configs == 2


def test_a_sweep_file_gives_options_and_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "my-space.yaml").write_text(
        "space: mine\nparameters:\n  lr: {type: float, low: 1e-4, high: 1e-2, log: true}\n", encoding="utf-8"
    )
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "sweep: first-try\nspace: my-space.yaml\ndata: patches\nconfigs: 7\nseeds: 2\nset: {patience: 4}\n",
        encoding="utf-8",
    )
    sweep = declare(str(file), options={"seeds": 5, "max_epochs": None}, pins={"batch_size": 8})
    assert (sweep.title, sweep.configs, sweep.seeds, sweep.max_epochs) == ("first-try", 7, 5, 30)
    assert sweep.data_dir == tmp_path / "patches"
    assert dict(sweep.space.constants) == {"patience": 4, "batch_size": 8}


def test_a_sweep_file_may_hold_its_space(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "sweep: inline\nspace: {space: two, configs: [{values: {lr: 1e-3}}, {values: {lr: 1e-4}}]}\n",
        encoding="utf-8",
    )
    assert declare(str(file), data_dir=Path("d"), options={}, pins={}).configs == 2


def test_a_sweep_file_that_names_no_space_that_exists(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("sweep: x\nspace: nowhere.yaml\ndata: d\n", encoding="utf-8")
    with pytest.raises(SweepError, match=r"sweep\.yaml: space: .*nowhere"):
        declare(str(file), options={}, pins={})


def test_pins_are_read_as_yaml_values() -> None:
    assert parse_pins(("patience=5", "lr=1e-3", "encoder_weights=null", "loss=dice-bce")) == {
        "patience": 5, "lr": 0.001, "encoder_weights": None, "loss": "dice-bce",
    }  # fmt: skip


def test_all_problems_of_a_declaration_are_told_together() -> None:
    with pytest.raises(SweepError) as raised:
        smoke(policy="ashaa", seeds=0, cpus_per_trial=0, gpus_per_trial=1.5, seed=-1, max_concurrent=0)
    assert len(raised.value.problems) == 6


def test_options_of_a_wrong_type_are_told_with_their_names() -> None:
    with pytest.raises(SweepError) as raised:
        smoke(configs=2.5, seeds=True, searcher=3)
    assert [problem.split(":")[0] for problem in raised.value.problems] == ["configs", "seeds", "searcher"]


def test_the_help_tells_the_defaults_of_the_dataclass() -> None:
    import re
    from dataclasses import fields

    from tune.cli.sweep import sweep as command

    told = {p.name: re.search(r"\[default: (\S+)\]", getattr(p, "help", None) or "") for p in command.params}
    shown = {
        field.name: field.default for field in fields(Sweep) if field.name in OPTIONS and field.name in told
    }
    defaults = {name: default for name, default in shown.items() if default is not None}
    assert len(defaults) > 10
    for name, default in defaults.items():
        found = told[name]
        assert found is not None, name
        assert type(default)(found[1]) == default, name
