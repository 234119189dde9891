"""A sweep that is extended: goes on without running anything twice, and its log still says everything."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `toy_sweeps` lies beside us
from toy_sweeps import (
    SPACE,
    TABLES,
    Killed,
    a_sweep,
    copy_as_version_2,
    copy_torn,
    decided,
    drive,
    execution_on,
    rows,
    sickly,
    trial,
)

from landslide.settings import TrainSettings
from results import ResultsStore, RunStatus, StoreError, judge, rank_store
from results.records import EXTENSION
from search_spaces import space_from_mapping
from tune.extension import extend, extension_of
from tune.reopened import patience_was_over, reopen
from tune.run_dir import check_run_dir
from tune.schedulers import CONFIRM, Action, Finish, History, Run, Start, make_policy
from tune.status import sweep_status
from tune.sweep import Sweep, derived_options

#: What can be added under each policy.
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "asha": {"configs": {"configs": 7}, "seeds": {"seeds": 3}, "epochs": {"max_epochs": 10}},
    "fixed-repeats": {"configs": {"configs": 7}, "seeds": {"seeds": 3}, "epochs": {"max_epochs": 8}},
    "median": {"configs": {"configs": 7}, "seeds": {"seeds": 3}, "epochs": {"max_epochs": 8}},
    "noise-aware": {
        "configs": {"configs": 8},
        "epochs": {"max_epochs": 10},
        "budget": {"budget_epochs": 90, "stop_regret": 0},
        "confirm": {"confirm": 5},
    },
    "none": {
        "configs": {"configs": 7},
        "seeds": {"seeds": 3},
        "epochs": {"max_epochs": 8},
        "all": {"configs": 6, "seeds": 3, "max_epochs": 7},
    },
    "successive-halving": {"seeds": {"seeds": 3}},
}
every_growth = pytest.mark.parametrize(
    ("policy", "more"), [(policy, name) for policy, kinds in MORE.items() for name in kinds]
)


def small(policy: str, **options: Any) -> Sweep:
    seeds = None if policy == "noise-aware" else 2
    usual = {"policy": policy, "configs": 5, "seeds": seeds, "max_epochs": 5, "stop_regret": 1e-4}
    return a_sweep(**{**usual, **options})


def store_of(folder: Path, sweep: Sweep) -> ResultsStore:
    """A new store whose sweep.json says what the program would write."""
    about = {"sweep_id": "s", "name": "toy", "mode": "max", "replicates": sweep.planned_seeds}
    told = {"derived": derived_options(sweep), "space": sweep.space.to_dict(), "data_dir": "data"}
    return ResultsStore.create(folder, {**about, **sweep.identity("d"), **told})


def take_up(sweep: Sweep, store: ResultsStore) -> Any:
    """What the program does before it makes an execution."""
    extend(sweep, store)
    reopen(sweep, store)
    return execution_on(sweep, store)


def ran(folder: Path, sweep: Sweep, *, trials: Any = trial, slots: int = 1) -> ResultsStore:
    """A sweep that is over, noted as the program notes it."""
    store = store_of(folder, sweep)
    finish(execution_on(sweep, store), store, trials=trials, slots=slots)
    return store


def finish(execution: Any, store: ResultsStore, *, trials: Any = trial, slots: int = 1) -> None:
    drive(execution, trials=trials, slots=slots)
    store.note({"planned_runs": execution.planned, "ended": execution.ended})


def all_rows(store: ResultsStore) -> dict[str, list[dict[str, Any]]]:
    return {table: rows(store, table) for table in TABLES}


def without(found: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in names} for row in found]


def extended_log(store: ResultsStore, sweep: Sweep, begun: int) -> list[tuple[Any, ...]]:
    """What a policy with the options of an extended sweep decides after event `begun`, told the log event by event.

    An implementation of its own, that shares nothing with how a sweep is resumed.
    """
    policy, history = make_policy(sweep.policy, sweep.policy_options()), History()
    number = {config_id: i for i, config_id in enumerate(store.configs().column("config_id").to_pylist())}
    recorded = {row["event"]: row for row in store.decisions().to_pylist()}
    found: list[tuple[Any, ...]] = []
    log = [
        (row["event"], order, row)
        for order, table in enumerate(("epochs", "decisions", "runs"))
        for row in getattr(store, table)().to_pylist()
    ]
    again = False
    for event, order, row in sorted(log, key=lambda item: item[:2]):
        if event > begun and not again:
            again = True
            history.begin_again()
            history.exhausted = history.configs >= sweep.configs
        run = history.run(number[row["config_id"]], row["replicate"])
        if order == 0:
            assert run is not None
            history.report(run, float("nan") if row["val_iou"] is None else row["val_iou"])
            decision = policy.judge(run, history)
            action = decision.action
            if not again:
                action = Action(recorded[event]["action"]) if event in recorded else Action.CONTINUE
            elif decision.rung is not None:
                found.append((event, row["trial_key"], action.value, decision.rung, decision.reason))
            if action is Action.PAUSE:
                history.pause(run)
            elif action is Action.STOP:
                history.end(run, RunStatus.STOPPED)
        elif order == 2:
            if run is not None and run.status is None:
                history.end(run, RunStatus(row["status"]))
        elif row["policy"] == EXTENSION:
            assert run is not None
            history.go_on(run)
        elif row["action"] in ("start", "resume", "choose"):
            config = number[row["config_id"]]
            if again:
                move = policy.next_move(history)
                if isinstance(move, Start) and move.config is None and config != history.configs:
                    history.exhausted = True
                    move = policy.next_move(history)
                found.append((event, row["trial_key"], row["action"], None, move.reason))
                if isinstance(move, Finish):
                    assert (row["action"], move.chosen) == ("choose", config)
                else:
                    assert (move.replicate, move.stage) == (row["replicate"], row["stage"])
            if row["action"] == "choose":
                continue
            if run is not None:
                history.reopen(run, row["stage"])
                continue
            if config == history.configs:
                history.add_config()
                history.exhausted = history.configs >= sweep.configs
            history.start(Run(config, row["replicate"], row["stage"]))
    return found


@every_growth
@pytest.mark.parametrize("trials", [trial, sickly], ids=["sound", "sickly"])
def test_an_extended_sweep_runs_nothing_twice_and_what_was_recorded_stays(
    tmp_path: Path, policy: str, more: str, trials: Any
) -> None:
    first = small(policy)
    larger = replace(first, **MORE[policy][more])
    with ran(tmp_path / "run", first, trials=trials, slots=2) as store:
        before = all_rows(store)
        begun = max(row["event"] for table in ("epochs", "decisions", "runs") for row in before[table])
        finish(take_up(larger, store), store, trials=trials, slots=2)
        after = all_rows(store)
        for table in ("configs", "epochs", "decisions"):
            assert [row for row in before[table] if row not in after[table]] == []
        assert len(after["epochs"]) > len(before["epochs"])
        assert len({(row["trial_key"], row["epoch"]) for row in after["epochs"]}) == len(after["epochs"])
        assert len({row["event"] for row in after["epochs"]}) == len(after["epochs"])
        ends = {row["trial_key"]: row["epochs"] for row in after["runs"]}
        assert sum(ends.values()) == len(after["epochs"])
        told = [
            entry for entry in decided(store) if entry[0] > begun and "the sweep was given" not in entry[4]
        ]
        assert extended_log(store, larger, begun) == told
        assert sweep_status(store.run_dir).over


@every_growth
def test_an_extended_sweep_killed_anywhere_and_resumed_has_the_rows_of_an_uninterrupted_one(
    tmp_path: Path, policy: str, more: str
) -> None:
    first = small(policy)
    larger = replace(first, **MORE[policy][more])
    with ran(tmp_path / "whole", first) as store:
        done = store.epochs().num_rows
        finish(take_up(larger, store), store)
        expected = all_rows(store)
    for killed_after in range(0, len(expected["epochs"]) - done, 23):
        folder = tmp_path / f"killed-{killed_after}"
        with ran(folder, first) as store, pytest.raises(Killed):
            drive(take_up(larger, store), epochs=killed_after)
        with ResultsStore.open(folder) as store:
            assert extension_of(larger, store.sweep, store) is None
            drive(take_up(larger, store))
            assert all_rows(store) == expected, killed_after


@pytest.mark.parametrize("policy", ["none", "noise-aware", "asha"])
def test_an_unfinished_sweep_is_extended_after_any_epoch(tmp_path: Path, policy: str) -> None:
    first = small(policy)
    larger = replace(first, configs=7, max_epochs=8)
    for killed_after in (0, 9, 26):
        folder = tmp_path / f"killed-{killed_after}"
        with store_of(folder, first) as store, pytest.raises(Killed):
            drive(execution_on(first, store), epochs=killed_after)
        with ResultsStore.open(folder) as store, pytest.raises(Killed):
            drive(take_up(larger, store), epochs=11)
        with ResultsStore.open(folder) as store:
            drive(take_up(larger, store))
            found = all_rows(store)
            assert {row["config_id"] for row in found["epochs"]} == {r["config_id"] for r in found["configs"]}
            assert len({(row["trial_key"], row["epoch"]) for row in found["epochs"]}) == len(found["epochs"])
            assert sum(row["epochs"] for row in found["runs"]) == len(found["epochs"])
            if policy == "none":
                assert {row["epochs"] for row in found["runs"]} == {8}
                assert len(found["runs"]) == 14


def test_extended_epochs_are_those_of_a_sweep_that_was_declared_so_at_once(tmp_path: Path) -> None:
    first = small("none")
    larger = replace(first, configs=7, seeds=3, max_epochs=8)
    with ran(tmp_path / "at-once", larger) as store:
        expected = all_rows(store)
    with ran(tmp_path / "in-steps", first) as store:
        for step in ({"max_epochs": 6}, {"configs": 7}, {"max_epochs": 8, "seeds": 3}):
            finish(take_up(replace(first, **step), store), store)
            first = replace(first, **step)
        found = all_rows(store)
        assert store.sweep["sweep_id"] == "s"
        assert [entry["changed"] for entry in store.sweep["extensions"]] == [
            {"max_epochs": [5, 6]}, {"configs": [5, 7]}, {"seeds": [2, 3], "max_epochs": [6, 8]},
        ]  # fmt: skip
    assert found["configs"] == expected["configs"]
    for table in ("epochs", "runs"):
        assert without(found[table], "event") == without(expected[table], "event")


def test_a_crash_while_runs_are_reopened_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = small("none")
    larger = replace(first, max_epochs=8)
    with ran(tmp_path / "whole", first) as store:
        finish(take_up(larger, store), store)
        expected = all_rows(store)
    for written in (0, 1, 4):
        folder = tmp_path / f"killed-{written}"
        with ran(folder, first) as store:
            extend(larger, store)
            rest, add = count(), ResultsStore.add_decision

            def killed(self: ResultsStore, record: Any) -> None:
                if next(rest) == written:  # noqa: B023 - called within this turn only
                    raise Killed
                add(self, record)  # noqa: B023 - as above

            with monkeypatch.context() as patch:
                patch.setattr(ResultsStore, "add_decision", killed)
                with pytest.raises(Killed):
                    reopen(larger, store)
        with ResultsStore.open(folder) as store:
            assert "ended" not in store.sweep
            finish(take_up(larger, store), store)
            assert all_rows(store) == expected


def test_epochs_whose_judgement_a_crash_has_lost_are_judged_after_an_extension_too(tmp_path: Path) -> None:
    """Rows of reopened runs come after them in the log, and say nothing about them."""
    first = small("asha")
    larger = replace(first, max_epochs=10)
    with store_of(tmp_path / "run", first) as store:
        with pytest.raises(Killed):
            drive(execution_on(first, store), epochs=31)
        log = sorted(store.decisions().to_pylist(), key=lambda row: row["event"])
        stop = next(row for row in log if row["action"] == "stop")
    with ResultsStore.read(tmp_path / "run") as source, store_of(tmp_path / "torn", first) as store:
        copy_torn(source, store, stop["event"])
        assert store.runs().num_rows
        drive(take_up(larger, store))
        (judged,) = (row for row in store.decisions().to_pylist() if row["event"] == stop["event"])
        assert (judged["action"], judged["trial_key"]) == ("stop", stop["trial_key"])
        (end,) = (row for row in store.runs().to_pylist() if row["trial_key"] == stop["trial_key"])
        assert end["event"] == stop["event"] or end["stage"] == "allocate"


@pytest.mark.parametrize("more", [{"configs": 8}, {"max_epochs": 8}], ids=str)
def test_rows_that_were_lost_after_the_extension_came_to_a_bucket_leave_it_where_it_was(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    """An extended `sweep.json` comes there first: what is run anew must not seem to be from before the extension."""
    first = small("noise-aware")
    larger = replace(first, **more)
    with ran(tmp_path / "whole", first) as store:
        last = max(row["event"] for row in store.decisions().to_pylist())
        extend(larger, store)
        told = dict(store.sweep)
    with ResultsStore.read(tmp_path / "whole") as source, store_of(tmp_path / "torn", first) as store:
        copy_torn(source, store, 20)
        store.extend(
            {name: told[name] for name in more},
            entry=told["extensions"][0],
            forget=["configs_exhausted_after"],
        )
        declared = replace(larger, budget_epochs=store.sweep["budget_epochs"])
        finish(take_up(declared, store), store)
        events = [row["event"] for row in store.decisions().to_pylist() if row["event"] > 20]
        assert min(events) > last
        assert rank_store(store).chosen is not None


# ---- runs of unequal length ---------------------------------------------------------------------------------------


def test_runs_that_are_given_more_epochs_have_no_score_until_they_end_again(tmp_path: Path) -> None:
    first = small("none")
    larger = replace(first, max_epochs=9)
    with ran(tmp_path / "run", first) as store, pytest.raises(Killed):
        drive(take_up(larger, store), epochs=4 + 4 + 2)
    found = rank_store(ResultsStore.read(tmp_path / "run"))
    ended = [run for row in found.rows for run in row.runs if run.score is not None]
    assert [run.epochs for run in ended] == [9, 9]
    assert sum(run.extended for row in found.rows for run in row.runs) == 8
    assert found.n_missing == 8
    assert all(row.mean is None or row.n == 1 for row in found.rows)
    assert judge(found).n_missing == 8
    status = sweep_status(tmp_path / "run")
    assert (status.ended, status.by_status, status.over, status.reason) == (
        2, {"finished": 2, "unfinished": 8}, False, None,
    )  # fmt: skip


def test_a_search_on_its_way_to_more_epochs_believes_what_it_knew(tmp_path: Path) -> None:
    """Until they have ended again, its runs are evidence at the epochs that they had."""
    first = small("noise-aware")
    with ran(tmp_path / "run", first) as store:
        before = rank_store(store)
        execution = take_up(replace(first, max_epochs=9), store)
        reopened = [state.run for state in execution.runs.values() if state.run.status is None]
        assert {run.screen_epochs for run in reopened} == {5}
        with pytest.raises(Killed):
            drive(execution, epochs=9)  # two runs have ended again
        after = rank_store(store)
    assert before.chosen is not None
    assert after.chosen is None, (
        "what was chosen before the extension is not the choice of the extended search"
    )
    assert {row.config_id for row in after.rows if row.expected} == {
        row.config_id for row in before.rows if row.expected
    }
    assert not any(run.score is not None and run.epochs < 9 for row in after.rows for run in row.runs)


def test_a_run_that_ended_by_its_patience_is_complete_however_many_epochs_there_are(tmp_path: Path) -> None:
    patience = TrainSettings().patience
    first = small("none", configs=2, seeds=1, max_epochs=patience + 3)

    peaked: list[str] = []

    def peaks(spec: Any, known: int, sweep: Sweep) -> Any:
        """The run of the first config is best at epoch 3, the other one's rises."""
        peaked.append(spec.trial_key)
        for event in trial(spec, known, sweep):
            if isinstance(event, dict):
                epoch = event["epoch"]
                peak = spec.trial_key == peaked[0]
                yield {**event, "val_iou": 0.9 - abs(epoch - 3) / 100 if peak else epoch / 100}
            else:
                yield event

    with store_of(tmp_path / "run", first) as store:
        drive(execution_on(first, store), trials=peaks)
        larger = replace(first, max_epochs=patience + 9)
        finish(take_up(larger, store), store, trials=peaks)
        assert sorted(row["epochs"] for row in store.runs().to_pylist()) == [patience + 3, patience + 9]


@pytest.mark.parametrize("seed", range(20))
def test_patience_is_over_when_training_says_so(seed: int) -> None:
    import random
    from types import SimpleNamespace

    from landslide.train import patience_is_over

    rng = random.Random(seed)
    values = [round(rng.random(), 1) for _ in range(rng.randint(1, 12))]
    history: Any = [SimpleNamespace(epoch=i, val_iou=value) for i, value in enumerate(values, 1)]
    for patience in range(1, 8):
        assert patience_was_over(values, patience) == patience_is_over(history, patience)


# ---- the choice ---------------------------------------------------------------------------------------------------


def confirming(store: ResultsStore) -> dict[str, int]:
    """config_id -> its confirming runs."""
    found: dict[str, int] = {}
    for row in store.runs().to_pylist():
        if row["stage"] == CONFIRM:
            found[row["config_id"]] = found.get(row["config_id"], 0) + 1
    return found


def choices(store: ResultsStore) -> list[dict[str, Any]]:
    found = [row for row in store.decisions().to_pylist() if row["action"] == "choose"]
    return sorted(found, key=lambda row: row["event"])


@pytest.mark.parametrize(("confirm", "told"), [(3, "3 of the runs"), (1, "1 of the runs")])
def test_a_choice_that_stays_keeps_its_confirming_runs(tmp_path: Path, confirm: int, told: str) -> None:
    first = small("noise-aware", stop_regret=0.5, confirm=confirm)
    with ran(tmp_path / "run", first) as store:
        fresh = confirming(store)
        finish(take_up(replace(first, confirm=5), store), store)
        old, new = choices(store)
        assert old["config_id"] == new["config_id"]
        are = "is" if confirm == 1 else "are"
        assert f"{told} that confirm the choice {are} from before the sweep was extended" in new["reason"]
        assert confirming(store) == dict.fromkeys(fresh, 5)
        assert "from before" in store.sweep["ended"]
        assert rank_store(store).chosen == new["config_id"]


def test_a_new_choice_is_confirmed_by_runs_of_its_own(tmp_path: Path) -> None:
    """One more config that is far better than all before it."""
    first = small("noise-aware", configs=3, stop_regret=0.5)
    with ran(tmp_path / "run", first) as store:
        assert len(choices(store)) == 1
        fresh = confirming(store)
        known = {row["config_id"] for row in rows(store, "configs")}

        def leap(spec: Any, after: int, sweep: Sweep) -> Any:
            for event in trial(spec, after, sweep):
                better = isinstance(event, dict) and spec.config.config_id not in known
                yield {**event, "val_iou": event["val_iou"] + 0.4} if better else event

        finish(take_up(replace(first, configs=6), store), store, trials=leap)
        new = choices(store)[-1]
        assert new["config_id"] not in known
        assert "from before" not in new["reason"]
        assert confirming(store)[new["config_id"]] == 3
        assert {key: n for key, n in confirming(store).items() if key in fresh} == fresh
        found = rank_store(store)
        assert found.chosen == new["config_id"]
        verdict = judge(found)
        assert any(
            note.startswith("The sweep was extended once after it had begun") for note in verdict.notes
        )
        assert verdict.best == new["config_id"]
        assert verdict.confirmed is not None
        assert verdict.confirmed.n == 3
        search = {row["replicate"] for row in store.runs().to_pylist() if row["stage"] != CONFIRM}
        assert max(search) < 1000


# ---- spaces and searchers -----------------------------------------------------------------------------------------


def wider(**lr: float) -> Any:
    parameters = {"lr": {**SPACE["parameters"]["lr"], **lr}}  # type: ignore[index]
    return space_from_mapping({**SPACE, "parameters": parameters}, source="test")


@pytest.mark.parametrize("searcher", ["random", "grid", "optuna"])
def test_a_search_goes_on_in_a_wider_space(tmp_path: Path, searcher: str) -> None:
    if searcher == "optuna":
        pytest.importorskip("optuna")
    first = small("none", searcher=searcher, grid_points=4, configs=12, seeds=1, max_epochs=1)
    with ran(tmp_path / "run", first) as store:
        old = store.configs().num_rows
        larger = replace(first, space=wider(high=1e-1), configs=20)
        finish(take_up(larger, store), store)
        configs = [row["lr"] for row in store.configs().to_pylist()]
        assert len(configs) == len({*configs}) == {"grid": 6}.get(searcher, 20)
        assert max(configs[:old]) <= 1e-2 < max(configs)
        assert store.sweep["space"] == larger.space.to_dict()
        (entry,) = store.sweep["extensions"]
        assert entry["changed"]["space_id"] == [first.space.space_id, larger.space.space_id]
        assert entry["space_before"] == first.space.to_dict()


def test_a_finite_space_that_was_exhausted_and_grows_is_asked_again(tmp_path: Path) -> None:
    listed = [{"values": {"backbone": "tu-mobilenetv3_small_050", "lr": lr}} for lr in (1e-3, 2e-3, 3e-3)]
    few, more = (
        space_from_mapping({"space": "listed", "configs": listed[:n]}, source="test") for n in (2, 3)
    )
    first = replace(small("noise-aware", searcher="listed", configs=4), space=few)
    with ran(tmp_path / "run", first) as store:
        assert "configs_exhausted_after" in store.sweep
        finish(take_up(replace(first, space=more, configs=6), store), store)
        assert store.configs().num_rows == 3
        assert store.sweep["configs_exhausted_after"] > store.sweep["extensions"][0]["after_event"]


# ---- what is refused ----------------------------------------------------------------------------------------------


def refusal(sweep: Sweep, store: ResultsStore) -> list[str]:
    before = dict(store.sweep)
    with pytest.raises(StoreError) as raised:
        extend(sweep, store)
    assert dict(store.sweep) == before
    assert raised.value.problems[-1].startswith("allowed: more --configs")
    return list(raised.value.problems[:-1])


def test_everything_that_cannot_grow_is_refused_at_once_with_the_reason(tmp_path: Path) -> None:
    first = small("asha")
    with store_of(tmp_path / "run", first) as store:
        other = replace(
            first, configs=4, seeds=1, max_epochs=4, seed=1, metric="val_f1", eta=4, budget_epochs=40
        )
        told = refusal(other, store)
        assert [problem.split(":")[0] for problem in told] == [
            "configs", "seeds", "max_epochs", "eta", "metric", "seed", "budget_epochs",
        ]  # fmt: skip
        assert told[-1].startswith("budget_epochs: None there, 40 here; it cannot become less")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"configs": 6}, "configs: policy successive-halving cannot go on with 6 instead of 5: the runs of"),
        (
            {"max_epochs": 6},
            "max_epochs: policy successive-halving cannot go on with 6 instead of 5: with more",
        ),
        (
            {"budget_epochs": 70},
            "budget_epochs: policy successive-halving takes as many configs as its budget",
        ),
    ],
)
def test_halving_grows_by_replicates_only(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    first = small("successive-halving", budget_epochs=30)
    with store_of(tmp_path / "run", first) as store:
        (problem,) = refusal(replace(first, **changes), store)
        assert problem.startswith(told)


def test_a_space_that_leaves_recorded_configs_out_is_refused_with_the_reason(tmp_path: Path) -> None:
    first = small("none")
    with ran(tmp_path / "run", first) as store:
        lrs = sorted(store.configs().column("lr").to_pylist())
        told = refusal(replace(first, space=wider(low=(lrs[1] + lrs[2]) / 2)), store)
        assert len(told) == 2
        assert " there, is outside; allowed: " in told[0]
        assert "(2 of 5 recorded configs: " in told[0]
        assert "leave NAME_OR_FILE and --set out" in told[1]


def test_runs_whose_learning_rate_ends_with_their_last_epoch_cannot_go_on(tmp_path: Path) -> None:
    constants = {**SPACE["constants"], "scheduler": "one-cycle"}  # type: ignore[dict-item]
    space = space_from_mapping({**SPACE, "constants": constants}, source="test")
    first = replace(small("none"), space=space)
    with ran(tmp_path / "run", first) as store:
        (problem,) = refusal(replace(first, max_epochs=6), store)
        assert problem.startswith("max_epochs: 5 of the recorded configs")
        assert "the scheduler one-cycle, which lets the learning rate end" in problem
        finish(take_up(replace(first, configs=6), store), store)


def test_a_budget_that_does_not_pay_for_more_epochs_is_refused_with_one_that_does(tmp_path: Path) -> None:
    first = small("none", budget_epochs=50)
    with ran(tmp_path / "run", first) as store:
        (problem,) = refusal(replace(first, max_epochs=8), store)
        assert problem.endswith("come to 8; give --budget-epochs 80 or more")
        finish(take_up(replace(first, max_epochs=8, budget_epochs=80), store), store)
        assert {row["epochs"] for row in store.runs().to_pylist()} == {8}


def test_an_audited_sweep_is_not_extended(tmp_path: Path) -> None:
    from tune.audit_policy import AuditPolicy

    first = small("asha")
    with ran(tmp_path / "run", first) as store:
        execution = execution_on(first, store)
        stopped = next(state.run for state in execution.runs.values() if state.status is RunStatus.STOPPED)
        audit = AuditPolicy([(stopped.config, stopped.replicate)], reason="drawn")
        drive(execution_on(first, store, policy=audit))
        (problem,) = refusal(replace(first, configs=7), store)
        assert problem.startswith("the sweep was audited")


def test_what_follows_from_other_options_follows_the_new_ones_unless_it_was_given(tmp_path: Path) -> None:
    from tune.recorded_sweep import recorded_sweep

    for given, expected in ((None, 80), (50, 50)):
        first = small("noise-aware", budget_epochs=given)
        with store_of(tmp_path / f"run-{given}", first) as store:
            again = recorded_sweep(store.sweep)
            extension = extend(replace(again, configs=8), store)
            assert extension is not None
            assert store.sweep["budget_epochs"] == expected
            told = "extended: configs 5 -> 8" + (", budget of epochs 50 -> 80" if given is None else "")
            assert extension.sentence() == told


@pytest.mark.parametrize("more", [{"configs": 6}, {"max_epochs": 7}, {"seeds": 3}], ids=str)
@pytest.mark.parametrize("policy", ["asha", "none"])
def test_a_sweep_of_an_older_version_is_extended(tmp_path: Path, policy: str, more: dict[str, Any]) -> None:
    """Its rows have no place in a log: they come before everything that follows."""
    first = small(policy)
    with ran(tmp_path / "whole", first) as whole:
        last = max(row["event"] for row in whole.runs().to_pylist())
        for event in (last // 2, last):
            with store_of(tmp_path / f"old-{event}", first) as old:
                copy_as_version_2(whole, old, event)
                larger = replace(first, **more)
                drive(take_up(larger, old))
                found = all_rows(old)
                assert len({(r["trial_key"], r["epoch"]) for r in found["epochs"]}) == len(found["epochs"])
                assert sum(row["epochs"] for row in found["runs"]) == len(found["epochs"])
                again = take_up(larger, old)
                drive(again)
                assert all_rows(old) == found
                if policy == "none":
                    assert len(found["runs"]) == larger.configs * (larger.seeds or 0)
                    assert {row["epochs"] for row in found["runs"]} == {larger.max_epochs}


def test_nothing_is_missing_is_known_before_anything_is_opened(tmp_path: Path) -> None:
    first = small("none")
    with ran(tmp_path / "run", first) as store:
        ended = store.sweep["ended"]
    assert check_run_dir(first, tmp_path / "run", resume=True).ended == ended
    larger = replace(first, configs=6)
    found = check_run_dir(larger, tmp_path / "run", resume=True)
    assert found.ended is None
    assert len(found.configs) == 5
    with ResultsStore.open(tmp_path / "run") as store:
        extend(larger, store)
    assert check_run_dir(larger, tmp_path / "run", resume=True).ended is None
