"""A declared sweep: its identity, its defaults, sweep files, pinned values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landslide import TrainSettings
from tune.errors import SweepError
from tune.schedulers import POLICIES
from tune.sweep import METRICS, OPTIONS, Sweep
from tune.sweep_file import declare, parse_pins


def smoke(**options: Any) -> Sweep:
    return declare("smoke", data_dir=Path("data"), options=options, pins={})


def test_the_identity_covers_what_decides_the_numbers() -> None:
    base = smoke()
    others = [
        smoke(seed=1), smoke(configs=9), smoke(seeds=4), smoke(max_epochs=7), smoke(searcher="grid"),
        smoke(policy="none"), smoke(grace=5), smoke(eta=4), smoke(metric="val_f1"), smoke(cpus_per_trial=2),
        smoke(policy="asha"), smoke(stop_regret=0.01), smoke(confirm=2), smoke(budget_epochs=99),
        smoke(policy="asha", budget_epochs=99),
        declare("smoke", data_dir=Path("data"), options={}, pins={"patience": 4}),
        declare("unet", data_dir=Path("data"), options={}, pins={}),
    ]  # fmt: skip
    ids = {sweep.sweep_id("data-1") for sweep in (base, *others)} | {base.sweep_id("data-2")}
    assert len(ids) == len(others) + 2


def test_the_identity_does_not_depend_on_where_and_how_wide_it_runs() -> None:
    base = smoke().sweep_id("d")
    assert smoke(max_concurrent=1, name="other").sweep_id("d") == base
    of_a_file, of_a_flag = smoke(stop_regret=0), smoke(stop_regret=0.0)
    assert of_a_file.sweep_id("d") == of_a_flag.sweep_id("d")
    assert replace(smoke(), data_dir=Path("elsewhere")).sweep_id("d") == base


def test_an_option_that_says_the_default_changes_nothing() -> None:
    base = smoke(configs=10, max_epochs=20)
    said = smoke(
        configs=10, max_epochs=20, seeds="auto", budget_epochs=2 * 10 * 20, confirm=3, stop_regret=0.002
    )
    assert said.sweep_id("d") == base.sweep_id("d")
    assert smoke(policy="median", seeds=3).sweep_id("d") == smoke(policy="median").sweep_id("d")


def test_a_sweep_of_an_older_version_keeps_its_identity() -> None:
    """What it was computed from before there were budgets; without it no such sweep could be resumed."""
    sweep = smoke(policy="asha")
    assert sweep.identity("d") == {
        "space_id": sweep.space.space_id, "data_id": "d", "configs": 16, "seeds": 3, "max_epochs": 30,
        "searcher": "random", "grid_points": 3, "policy": "asha", "grace": 3, "eta": 3, "metric": "val_iou",
        "seed": 0, "threads": 1, "device": "cpu",
    }  # fmt: skip


def test_the_policy_is_made_with_every_default_in_place() -> None:
    adaptive = smoke(configs=10, max_epochs=20, seed=5).policy_options()
    assert (adaptive.seeds, adaptive.budget_epochs, adaptive.confirm, adaptive.stop_regret) == (
        None,
        400,
        3,
        0.002,
    )
    assert (adaptive.configs, adaptive.max_epochs, adaptive.seed) == (10, 20, 5)
    fixed = smoke(policy="successive-halving").policy_options()
    assert (fixed.seeds, fixed.budget_epochs, fixed.confirm) == (3, None, 0)
    assert (
        smoke().planned_seeds,
        smoke(seeds=4).planned_seeds,
        smoke(policy="asha", seeds=4).planned_seeds,
    ) == (0, 0, 4)


def test_seeds_auto_on_the_command_line_wins_over_a_number_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("sweep: x\nspace: smoke\ndata: d\nseeds: 4\n", encoding="utf-8")
    assert declare(str(file), options={}, pins={}).seeds == 4
    assert declare(str(file), options={"seeds": "auto"}, pins={}).seeds is None
    with pytest.raises(SweepError, match="seeds: 'many' is not a whole number or auto"):
        declare(str(file), options={"seeds": "many"}, pins={})


def test_options_that_the_policy_makes_no_use_of_are_refused_only_when_they_are_given() -> None:
    for policy in POLICIES:
        assert smoke(policy=policy).problems() == []
    with pytest.raises(SweepError) as raised:
        smoke(policy="fixed-repeats", confirm=3, stop_regret=0.01, eta=4, grace=2)
    assert [problem.split(":")[0] for problem in raised.value.problems] == [
        "confirm",
        "eta",
        "grace",
        "stop_regret",
    ]
    assert "use --policy noise-aware" in raised.value.problems[0]
    assert smoke(policy="median", grace=2).grace == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seeds": 1001}, "seeds: 1001 is too many; replicates from 1000 on confirm"),
        ({"confirm": -1}, "confirm: -1 is too small"),
        (
            {"budget_epochs": 29},
            "budget_epochs: 29 is not enough for one run of 30 epochs; at least 30, or lower",
        ),
        ({"stop_regret": float("nan")}, "stop_regret: nan is not a distance"),
        ({"stop_regret": -0.1}, "stop_regret: -0.1 is not a distance"),
        ({"stop_regret": float("inf")}, "stop_regret: inf is not a distance"),
    ],
)
def test_numbers_that_no_search_can_use_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(SweepError, match=told):
        smoke(**options)
    assert smoke(seeds=1, budget_epochs=30, stop_regret=0).problems() == [], (
        "one look at each config is a search"
    )


def test_a_grace_that_no_run_outlives_is_refused_when_it_is_given() -> None:
    for policy in ("noise-aware", "asha", "successive-halving", "median"):
        for grace in (3, 4):
            with pytest.raises(
                SweepError, match=r"no run could ever be stopped; lower --grace, or .*fixed-repeats"
            ):
                smoke(policy=policy, max_epochs=3, grace=grace)
        assert smoke(policy=policy, max_epochs=3).grace == 3  # the default is not a mistake of the caller
        assert smoke(policy=policy, max_epochs=3, grace=2).grace == 2


def test_threads_are_the_whole_part_of_the_cpu_share() -> None:
    assert [smoke(cpus_per_trial=share).threads for share in (0.25, 1, 1.9, 4)] == [1, 1, 1, 4]
    assert (smoke().device, smoke(gpus_per_trial=0.25).device) == ("cpu", "cuda")


def test_a_share_of_a_gpu_is_given_or_measured_and_no_part_of_the_identity() -> None:
    measured = smoke(gpus_per_trial="auto")
    assert (measured.device, measured.gpu_share) == ("cuda", 1.0)
    assert (
        measured.sweep_id("data") == smoke(gpus_per_trial=0.25).sweep_id("data") != smoke().sweep_id("data")
    )
    for wrong in ("all", 1.5, -0.1, float("nan")):
        with pytest.raises(SweepError, match="is not a share; auto, 0 to 1, or a whole number"):
            smoke(gpus_per_trial=wrong)
    with pytest.raises(SweepError, match="is not a number or auto"):
        smoke(gpus_per_trial=True)


def test_settings_of_a_config_have_the_sweeps_epochs_and_the_notes_defaults() -> None:
    sweep = smoke(max_epochs=7)
    config = sweep.space.configs[0] if sweep.space.configs else next(sweep.space.grid(1))
    settings = sweep.settings(config)
    assert settings.epochs == 7
    assert settings.patience == TrainSettings().patience


def test_every_option_has_a_default_and_a_checked_type() -> None:
    assert set(OPTIONS.values()) <= {"str", "int", "float", "int | None", "float | str"}
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


def test_every_option_of_a_sweep_has_its_flag() -> None:
    from tune.cli.sweep import sweep as command

    assert set(OPTIONS) - {"name"} <= {parameter.name for parameter in command.params}


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
