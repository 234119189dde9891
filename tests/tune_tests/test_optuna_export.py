"""A sweep as an Optuna study: states, parameters, curves and dates arrive, and nobody else's study is lost."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from click.testing import CliRunner
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from results import ConfigRecord, ResultsStore, RunStatus, StoreError
from tune.cli import main
from tune.errors import SweepError
from tune.optuna_export import _open, export_study

sys.path.append(str(Path(__file__).parent.parent / "results_tests"))  # importlib mode does not

from recorded_sweeps import SWEEP, epoch_record, record_scores, run_record

SPACE: Mapping[str, Any] = {
    "space": "recorded",
    "constants": {"scheduler": "cosine", "encoder_weights": None},
    "parameters": {
        "loss": {"type": "choice", "values": ["dice-bce", "dice-focal"]},
        "max_pos_weight": {
            "type": "float",
            "low": 1,
            "high": 42,
            "log": True,
            "when": {"loss": ["dice-bce"]},
        },
        "patience": {"type": "int", "low": 1, "high": 64, "log": True},
        "lr": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True},
    },
}
FIXED = {"scheduler": "cosine", "encoder_weights": None}
CONFIGS = (
    {**FIXED, "loss": "dice-bce", "max_pos_weight": 10, "patience": 8, "lr": 1e-3},
    {**FIXED, "loss": "dice-focal", "patience": 16, "lr": 1e-4},
)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Two configs x three replicates: one run stopped, one out of memory, one not started."""
    endings = {(1, 1): RunStatus.STOPPED, (0, 2): RunStatus.OUT_OF_MEMORY}
    scores = [[0.40, 0.42, 0.41], [0.50, 0.51, float("nan")]]
    return record_scores(
        tmp_path / "run", scores, configs=CONFIGS, endings=endings, sweep={"space": SPACE, "configs": 2}
    )


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """A journal file: a database takes a second to make its tables."""
    return str(tmp_path / "study.log")


def load(storage: str, study: str) -> optuna.Study:
    return optuna.load_study(study_name=study, storage=_open(storage))


def trials_of(storage: str, study: str) -> dict[str, optuna.trial.FrozenTrial]:
    """The trials by their run."""
    return {trial.user_attrs["trial_key"]: trial for trial in load(storage, study).trials}


def test_each_run_is_a_trial_with_its_state_value_and_curve(run_dir: Path, storage: str) -> None:
    exported = export_study(run_dir, storage)
    assert exported.states == {"complete": 3, "pruned": 1, "fail": 1}
    trials = trials_of(storage, exported.study)
    assert set(trials) == {"c0-r0", "c0-r1", "c0-r2", "c1-r0", "c1-r1"}
    finished, stopped, failed = trials["c1-r0"], trials["c1-r1"], trials["c0-r2"]
    assert (finished.state, finished.value) == (TrialState.COMPLETE, 0.50)
    assert finished.intermediate_values == pytest.approx(
        {1: 0.40, 2: 0.45, 3: 0.47, 4: 0.49, 5: 0.50, 6: 0.498}
    )
    assert (stopped.state, stopped.value, len(stopped.intermediate_values)) == (TrialState.PRUNED, None, 3)
    assert (failed.state, failed.value) == (TrialState.FAIL, None)
    assert (failed.user_attrs["status"], stopped.user_attrs["status"]) == ("out_of_memory", "stopped")


def test_the_study_knows_its_direction_its_metric_and_the_verdict(run_dir: Path, storage: str) -> None:
    exported = export_study(run_dir, storage)
    study = load(storage, exported.study)
    assert study.direction is optuna.study.StudyDirection.MAXIMIZE
    assert study.metric_names == ["val_iou"]
    assert study.best_trial.user_attrs["trial_key"] == "c1-r0"
    assert study.user_attrs["verdict"] == exported.verdict
    assert "Runs without a score: 1 failed, 1 stopped early" in exported.verdict
    assert "one run" in study.user_attrs["note"]


def test_parameters_have_the_distributions_of_the_space(run_dir: Path, storage: str) -> None:
    trials = trials_of(storage, export_study(run_dir, storage).study)
    with_weight, without = trials["c0-r0"], trials["c1-r0"]
    assert with_weight.params == {"loss": "dice-bce", "max_pos_weight": 10, "patience": 8, "lr": 1e-3}
    assert without.params == {"loss": "dice-focal", "patience": 16, "lr": 1e-4}
    assert with_weight.distributions == {
        "loss": CategoricalDistribution(("dice-bce", "dice-focal")),
        "max_pos_weight": FloatDistribution(1, 42, log=True),
        "patience": IntDistribution(1, 64, log=True),
        "lr": FloatDistribution(1e-5, 1e-2, log=True),
    }
    assert with_weight.user_attrs["fixed.scheduler"] == "cosine"
    assert with_weight.user_attrs["fixed.encoder_weights"] is None


def test_a_trial_says_which_seeds_it_had_and_when_it_ran(run_dir: Path, storage: str) -> None:
    trial = trials_of(storage, export_study(run_dir, storage).study)["c1-r1"]
    told = {name: trial.user_attrs[name] for name in ("config_id", "replicate", "stage", "seed_init")}
    assert told == {"config_id": "c1", "replicate": 1, "stage": "screen", "seed_init": "1"}
    assert trial.datetime_start == datetime.fromtimestamp(1.7e9 + 1 - 12.0)  # the first epoch took 12 s
    assert trial.datetime_complete == datetime.fromtimestamp(1.7e9)


def test_seeds_keep_all_their_digits(tmp_path: Path, storage: str) -> None:
    """A browser's numbers end at 53 bits."""
    with ResultsStore.create(tmp_path / "run", {**SWEEP, "space": SPACE}) as store:
        store.add_config(ConfigRecord("c0", CONFIGS[0], "random"))
        store.add_epoch(epoch_record(seed_init=2**63 - 1))
    trial = trials_of(storage, export_study(tmp_path / "run", storage).study)["c0-r0"]
    assert trial.user_attrs["seed_init"] == "9223372036854775807"


def test_a_value_outside_the_space_and_a_run_without_a_value_are_kept_apart(
    tmp_path: Path, storage: str
) -> None:
    run_dir = tmp_path / "run"
    with ResultsStore.create(run_dir, {**SWEEP, "space": SPACE}) as store:
        store.add_config(ConfigRecord("c0", {**CONFIGS[1], "lr": 0.5}, "listed", "by hand"))
        store.add_epoch(epoch_record(val_iou=None))
        store.add_run(run_record(best_epoch=None, best_value=None))
    trial = trials_of(storage, export_study(run_dir, storage).study)["c0-r0"]
    assert "lr" not in trial.params
    assert (trial.user_attrs["fixed.lr"], trial.user_attrs["label"]) == (0.5, "by hand")
    assert (trial.state, trial.intermediate_values) == (TrialState.FAIL, {})


def test_what_differs_between_fixed_configs_is_searched(tmp_path: Path, storage: str) -> None:
    values = ({"lr": 1e-3, "batch_size": 16}, {"lr": 1e-4, "batch_size": 16, "max_pos_weight": 10})
    space = {"space": "notes", "configs": [{"label": str(i), "values": v} for i, v in enumerate(values)]}
    run_dir = record_scores(tmp_path / "run", [[0.4], [0.5]], configs=values, sweep={"space": space})
    trials = trials_of(storage, export_study(run_dir, storage).study)
    assert trials["c0-r0"].params == {"lr": 1e-3}
    assert trials["c1-r0"].params == {"lr": 1e-4, "max_pos_weight": 10}
    assert trials["c0-r0"].distributions["lr"] == CategoricalDistribution((1e-3, 1e-4))
    assert trials["c0-r0"].user_attrs["fixed.batch_size"] == 16


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_live_sweep_is_brought_up_to_date_and_an_ended_one_is_left_alone(tmp_path: Path, kind: str) -> None:
    """A trial that was pruned is complete after its config's completion; a second export writes nothing."""
    path = (tmp_path / "study").as_posix()
    storage = f"sqlite:///{path}.db" if kind == "sqlite" else f"{path}.log"
    run_dir = tmp_path / "run"
    with ResultsStore.create(run_dir, {**SWEEP, "space": SPACE}) as store:
        store.add_config(ConfigRecord("c0", CONFIGS[0], "random"))
        store.add_epoch(epoch_record())
        store.flush()
        assert export_study(run_dir, storage).states == {"running": 1}
        store.add_run(run_record(status=RunStatus.STOPPED))
        store.flush()
        assert export_study(run_dir, storage).states == {"pruned": 1}
        store.add_epoch(epoch_record(epoch=2, stage="allocate"))
        store.flush()
        assert export_study(run_dir, storage).states == {"running": 1}
        store.add_run(run_record(stage="allocate", epochs=2))
    last = export_study(run_dir, storage)
    assert (last.states, last.changed) == ({"complete": 1}, True)
    assert export_study(run_dir, storage).changed is False


def test_trials_are_in_the_order_in_which_the_runs_began(tmp_path: Path, storage: str) -> None:
    run_dir = tmp_path / "run"
    with ResultsStore.create(run_dir, {**SWEEP, "space": SPACE}) as store:
        store.add_config(ConfigRecord("c0", CONFIGS[0], "random"))
        for r, began in enumerate((300.0, 100.0, 200.0)):
            store.add_epoch(epoch_record(trial_key=f"c0-r{r}", replicate=r, timestamp=1.7e9 + began))
    study = load(storage, export_study(run_dir, storage).study)
    assert [trial.user_attrs["replicate"] for trial in study.trials] == [1, 2, 0]


def test_a_study_that_is_not_ours_is_replaced_only_on_demand(run_dir: Path, storage: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(study_name="mine", storage=_open(storage)).optimize(
        lambda t: t.suggest_float("x", 0, 1), 2
    )
    with pytest.raises(SweepError, match=r"'mine' is there already and was not exported.*--overwrite"):
        export_study(run_dir, storage, study="mine")
    assert len(load(storage, "mine").trials) == 2
    assert export_study(run_dir, storage, study="mine", overwrite=True).changed
    assert len(trials_of(storage, "mine")) == 5


def test_what_was_added_to_our_study_is_not_lost_either(run_dir: Path, storage: str) -> None:
    name = export_study(run_dir, storage).study
    study = load(storage, name)
    study.enqueue_trial({"lr": 1e-3})
    with pytest.raises(SweepError, match="has trials that are not from the sweep"):
        export_study(run_dir, storage)
    export_study(run_dir, storage, overwrite=True)
    place = _open(storage)
    place.set_study_system_attr(place.get_study_id_from_name(name), "dashboard:note:text", "look here")
    with pytest.raises(SweepError, match="notes or settings made in optuna-dashboard"):
        export_study(run_dir, storage)


def test_another_run_directory_of_the_same_sweep_is_another_study(tmp_path: Path, storage: str) -> None:
    one, other = (
        record_scores(tmp_path / name, [[0.4]], configs=CONFIGS[:1], sweep={"space": SPACE})
        for name in ("one", "other")
    )
    export_study(one, storage)
    with pytest.raises(SweepError, match=r"exported from sweep sweep0001 in .*one"):
        export_study(other, storage)
    assert export_study(other, storage, study="second").changed


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("study.db", "write sqlite:///study.db"),
        ("sqlite:///no-such-folder/study.db", "unable to open database file"),
        ("nonsense://host/db", "nonsense"),
        ("postgresql://me:secret@localhost:1/db", r"me:\*\*\*@localhost"),
    ],
)
def test_a_storage_that_cannot_be_used_is_one_sentence(run_dir: Path, storage: str, told: str) -> None:
    with pytest.raises(SweepError, match=told) as raised:
        export_study(run_dir, storage)
    assert "secret" not in str(raised.value)


def test_a_run_directory_without_its_space_is_refused(tmp_path: Path, storage: str) -> None:
    run_dir = record_scores(tmp_path / "run", [[0.4]])
    with pytest.raises(StoreError, match=r"sweep\.json has no `space`"):
        export_study(run_dir, storage)


def test_the_command_prints_the_study_and_what_to_type_next(run_dir: Path, storage: str) -> None:
    result = CliRunner().invoke(main, ["optuna", str(run_dir), "--storage", storage])
    assert result.exit_code == 0, result.output
    assert result.stdout == "recorded-sweep0001\n"
    assert "written: 3 complete, 1 fail, 1 pruned" in result.stderr
    assert f"optuna-dashboard {storage}" in result.stderr
    again = CliRunner().invoke(main, ["optuna", str(run_dir), "--storage", storage, "--json"])
    assert '"changed": false' in again.stdout


def test_without_optuna_the_command_says_what_to_install(
    run_dir: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.cli.interop.find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["optuna", str(run_dir), "--storage", storage])
    assert result.exit_code == 2
    assert "pip install 'landslide-tune[optuna]'" in result.stderr
