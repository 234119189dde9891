"""What is measured of a GPU, once, and the shares that follow; on fake cards, without Ray."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `fake_card` lies beside us
import fake_card
import toy_sweeps
from rich.console import Console

from landslide import TrainSettings, open_packed
from landslide.card import CARD_VARIABLE
from results.planning import gpus_of
from search_spaces import Choice, Config, Float, Int, Parameter, SearchSpace
from tune import probe
from tune.allotment import allotted
from tune.demand import Demand, demands_of
from tune.errors import SweepError
from tune.gpu_shares import Shares, announcement, note_shares, refuse_too_large, told
from tune.launch import Place
from tune.prepare import machine_problems
from tune.probe import Answer, answers
from tune.probe_tasks import kinds_of_card
from tune.replicates import replicate
from tune.sweep import Sweep
from tune.trial import RunEnd, TrialJob, run_trial

BACKBONE = "tu-mobilenetv3_small_050"
DATA: Any = SimpleNamespace(bands=14, patch_size=64)
GIB = 2**30


def demand(batch_size: int = 4, **values: Any) -> Demand:
    settings = TrainSettings(backbone=BACKBONE, batch_size=batch_size, **values)
    return Demand.of(settings, SimpleNamespace(bands=3, patch_size=32))  # type: ignore[arg-type]


def a_sweep(*parameters: Parameter, **options: Any) -> Sweep:
    space = SearchSpace("s", parameters, {"backbone": BACKBONE, "encoder_weights": None})
    return Sweep(space, Path("data"), gpus_per_trial="auto", **options)


@pytest.fixture
def fake_cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Children, and this process, compute on fake cards; what they measure is kept in a folder of its own."""
    monkeypatch.setenv(CARD_VARIABLE, "fake_card:make")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("LANDSLIDE_TUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "footprints"


# ---- demands --------------------------------------------------------------------------------------------------------


def test_what_decides_the_memory_is_the_model_the_batch_and_the_precision() -> None:
    same = [
        demand(lr=0.1),
        demand(loss="dice-focal"),
        demand(scheduler="plateau"),
        demand(encoder_weights=None),
    ]
    assert {demand(), *same} == {demand()}
    others = [demand(8), demand(amp=False), demand(ema_decay=0.99), demand(deterministic=True)]
    assert len({demand(), *others}) == 5
    assert demand(ema_decay=0.9) == demand(ema_decay=0.999)


@pytest.mark.parametrize(("batch", "rounded"), [(2, 2), (5, 6), (16, 16), (17, 24), (25, 32), (4000, 4096)])
def test_batches_are_rounded_up_so_that_few_are_measured(batch: int, rounded: int) -> None:
    assert demand(batch).batch_size == rounded


def test_settings_of_a_demand_have_that_demand() -> None:
    data = SimpleNamespace(bands=3, patch_size=32)
    for asked in (demand(), demand(6, amp=False, ema_decay=0.9), demand(deterministic=True)):
        assert Demand.of(asked.settings(), data) == asked  # type: ignore[arg-type]


def test_of_a_search_that_is_foreseen_what_its_configs_have_is_measured_the_most_frequent_first() -> None:
    listed = tuple(Config({"batch_size": batch, "lr": lr}) for batch, lr in ((8, 0.1), (16, 0.1), (16, 0.2)))
    space = SearchSpace("listed", (), {"backbone": BACKBONE, "encoder_weights": None}, listed)
    options: dict[str, Any] = {"searcher": "listed", "gpus_per_trial": "auto"}
    found = demands_of(Sweep(space, Path("data"), configs=3, **options), DATA)
    assert [one.batch_size for one in found] == [16, 8]
    one = Sweep(space, Path("data"), configs=1, **options)
    assert [demand.batch_size for demand in demands_of(one, DATA)] == [8]
    before = [Config({"backbone": BACKBONE, "batch_size": 32})]
    assert demands_of(one, DATA, before)[0].batch_size == 32  # of a sweep that goes on: what it has proposed


def test_of_a_search_that_learns_all_that_it_can_come_to_is_measured() -> None:
    sweep = a_sweep(
        Parameter("batch_size", Int(4, 32)), Parameter("lr", Float(1e-4, 1e-2)), searcher="optuna"
    )
    found = demands_of(sweep, DATA)
    assert {4, 32} <= {one.batch_size for one in found}
    assert len(found) == len(set(found)) <= 9


# ---- shares ---------------------------------------------------------------------------------------------------------


def measured(batch: int, part: float | None, **values: Any) -> Answer:
    settings = TrainSettings(backbone=BACKBONE, batch_size=batch, encoder_weights=None)
    about = {"card": "C", "total_bytes": 8 * GIB, "reserved_bytes": GIB, "context_bytes": GIB}
    return Answer(Demand.of(settings, DATA), part=part, **{**about, **values})


def test_configs_get_the_share_of_their_own_demand() -> None:
    sweep = a_sweep(Parameter("batch_size", Choice((4, 16, 64))))
    found = Shares.of_answers(sweep, DATA, [measured(4, 0.11), measured(16, 0.3)])
    fixed = {"backbone": BACKBONE, "encoder_weights": None}
    shares = {batch: found.of(Config({**fixed, "batch_size": batch})) for batch in (4, 5, 16, 64)}
    assert shares == {4: 0.125, 5: 0.3333, 16: 0.3333, 64: 1.0}  # 5 fits where 16 does; 64 was not measured
    assert found.smallest == 0.125


def test_of_several_kinds_of_cards_the_one_on_which_it_takes_most_counts() -> None:
    found = Shares.of_answers(a_sweep(), DATA, [measured(16, 0.1), measured(16, 0.4, card="small")])
    assert (found.of(Config({"backbone": BACKBONE})), found.smallest) == (0.5, 0.5)


def test_what_could_not_be_measured_gets_a_whole_card() -> None:
    found = Shares.of_answers(a_sweep(), DATA, [measured(16, None, problem="crashed")])
    assert found.of(Config({"backbone": BACKBONE})) == 1.0


def test_by_hand_every_config_gets_the_same() -> None:
    by_hand = Shares(Sweep(a_sweep().space, Path("d"), gpus_per_trial=0.25), DATA)
    assert (by_hand.of(Config({})), by_hand.smallest) == (0.25, 0.25)
    none = Shares(Sweep(a_sweep().space, Path("d")), DATA)
    assert (none.of(Config({})), none.smallest) == (0.0, 0.0)


def test_only_when_nothing_fits_the_sweep_does_not_start() -> None:
    large = [measured(batch, None, out_of_memory=True) for batch in (16, 64)]
    with pytest.raises(
        SweepError, match=r"batches of 64 needs more than the 8 GiB of C; lower batch_size"
    ) as raised:
        refuse_too_large(large)
    assert len(raised.value.problems) == 2
    refuse_too_large([*large, measured(4, 0.9)])


def test_what_is_measured_is_said_before_and_after() -> None:
    assert announcement(3, 0).startswith("GPU shares: measuring 3 models and batch sizes")
    assert "2 more are not measured and begin with a whole GPU" in announcement(3, 2)
    assert "1.0 GiB, and 1.0 GiB beside them, of 8 GiB of C: 0.25 of a GPU (measured in 7 s)" in told(
        measured(16, 0.22, seconds=7.2)
    )
    assert "(measured on 20" in told(measured(16, 0.2, new=False, measured_at=1.7e9))
    assert "more than all of C" in told(measured(16, None, out_of_memory=True))
    assert "not measured, so its trials get a whole GPU: boom" in told(measured(16, None, problem="boom"))


def test_the_shares_are_put_on_record_with_the_resources() -> None:
    class Store:
        def __init__(self) -> None:
            self.sweep: dict[str, Any] = {"resources": {"gpus_per_trial": "auto"}}

        def note(self, facts: Any) -> None:
            self.sweep = {**self.sweep, **facts}

    store: Any = Store()
    note_shares(Shares(a_sweep(), DATA), store)
    assert store.sweep == {"resources": {"gpus_per_trial": "auto"}}
    note_shares(Shares.of_answers(a_sweep(), DATA, [measured(16, 0.2)]), store)
    (entry,) = store.sweep["resources"]["gpu_shares"]
    assert store.sweep["resources"]["gpus_per_trial"] == "auto"
    assert (entry["batch_size"], entry["share"], entry["card"]) == (16, 0.2, "C")
    more = Shares.of_answers(a_sweep(), DATA, [measured(16, 0.2), measured(32, 0.4)])
    note_shares(more, store)
    assert gpus_of(store.sweep["resources"]) == pytest.approx((0.2 + 0.5) / 2)  # what `plan` reckons with
    assert [gpus_of({"gpus_per_trial": given}) for given in (None, 0.25, "auto")] == [0.0, 0.25, 1.0]


# ---- the machine ----------------------------------------------------------------------------------------------------


def test_auto_on_a_machine_without_a_gpu_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landslide.card.find_card", lambda: None)
    (problem,) = machine_problems(a_sweep(cpus_per_trial=0.1))
    assert "auto measures on a GPU, and torch" in problem
    assert "--gpus-per-trial 0 for the CPU, --address for machines that have some" in problem


def test_in_this_process_nothing_is_measured_and_a_trial_has_the_whole_card() -> None:
    with allotted(a_sweep(), Place(in_process=True), data=DATA, out="run", console=Console()) as allotment:
        assert (allotment.slots, allotment.seats) == (None, None)
        assert allotment.shares.of(Config({"backbone": BACKBONE})) == 1.0


def test_each_kind_of_card_is_measured_on_the_node_that_has_most_of_it() -> None:
    nodes = {
        "head": {"CPU": 4.0},
        "one": {"GPU": 1.0, "accelerator_type:H100": 1.0},
        "eight": {"GPU": 8.0, "accelerator_type:H100": 1.0},
        "old": {"GPU": 2.0, "accelerator_type:T4": 1.0},
        "other": {"GPU": 2.0},
    }
    assert kinds_of_card(nodes) == {"H100": ("eight", 8), "T4": ("old", 2), "": ("other", 2)}


# ---- measuring, in real processes -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_demand_is_measured_once_and_kept_in_a_file_for_people(
    fake_cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(fake_card.BROKEN, "12")
    found = {answer.demand: answer for answer in answers([demand(4), demand(12), demand(24)])}
    assert set(found) == {demand(4), demand(12), demand(24)}
    small, broken, large = found[demand(4)], found[demand(12)], found[demand(24)]
    assert (small.card, small.reserved_bytes, small.new) == ("Fake 8", fake_card.need(4), True)
    assert small.part == pytest.approx((fake_card.need(4) * 1.15 + fake_card.CONTEXT) / (8 * GIB))
    assert small.share == 0.1666
    assert broken.problem is not None
    assert "ended with 9" in broken.problem
    assert (broken.share, broken.out_of_memory) == (1.0, False)
    assert (large.share, large.out_of_memory) == (1.0, True)
    (file,) = fake_cards.iterdir()  # what failed is tried again: somebody else may have had the card
    assert file.name.startswith(f"Fake-8-unet-{BACKBONE}-4-")
    assert '"share": 0.1666' in file.read_text("utf-8")
    again = probe._read(demand(4), fake_card.make())
    assert again is not None
    assert (again.new, again.part) == (False, small.part)


@pytest.mark.slow
def test_a_process_that_hangs_is_an_answer(fake_cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.01)
    (found,) = answers([demand()])
    assert found.share == 1.0
    assert "did not end within 0.01 s" in str(found.problem)


def test_a_torn_file_and_another_card_are_measured_again(
    fake_cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SimpleNamespace(name="C", total_bytes=8 * GIB, software="1")
    answer = Answer(demand(), card="C", part=0.1)
    probe._keep(answer, card)  # type: ignore[arg-type]
    assert probe._read(demand(), card) is not None  # type: ignore[arg-type]
    for change in ({"name": "D"}, {"total_bytes": 9 * GIB}, {"software": "2"}):
        assert probe._read(demand(), SimpleNamespace(**{**vars(card), **change})) is None  # type: ignore[arg-type]
    (file,) = fake_cards.iterdir()
    file.write_text(file.read_text("utf-8")[:40], "utf-8")
    assert probe._read(demand(), card) is None  # type: ignore[arg-type]


# ---- enforcing, in this process -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_trial_may_use_its_share_and_the_next_one_in_the_process_its_own(
    fake_cards: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    settings = TrainSettings(backbone=BACKBONE, batch_size=16, epochs=1, augmentation="none").to_dict()
    seeds = replicate(0, 0)

    def ends(share: float, name: str) -> list[str]:
        job = TrialJob(
            settings,
            (seeds.seed_init, seeds.seed_order, seeds.seed_augment),
            str(open_packed(tiny_dataset).path),
            str(tmp_path / name),
            device="cuda",
            threads=1,
            gpu_share=share,
        )
        return [event.status for event in run_trial(job) if isinstance(event, RunEnd)]

    # 16 patches need 1.25 GiB of the 8, and the context 0.625
    assert ends(0.2, "a") == ["out_of_memory"]
    assert ends(0.05, "b") == ["out_of_memory"]
    assert ends(0.25, "c") == ["finished"]
    assert ends(0.2, "d") == ["out_of_memory"]
    assert fake_card.make().allowed is None


# ---- growing --------------------------------------------------------------------------------------------------------


def test_what_one_seed_turned_out_to_need_the_next_ones_begin_with(tmp_path: Path) -> None:
    sweep = toy_sweeps.a_sweep(policy="none", configs=2, seeds=3)
    with toy_sweeps.new_store(tmp_path, sweep) as store:
        execution = toy_sweeps.execution_on(sweep, store, share=0.2)
        first, other = execution.next_trial(), execution.next_trial()
        assert first is not None
        assert other is not None
        execution.on_end(first, RunEnd("out_of_memory", "too small"))
        assert execution.next_trial() == first  # before all that the policy might start
        later = {spec.config: spec for _ in range(2) if (spec := execution.next_trial()) is not None}
        assert execution.share(later[first.config]) == execution.share(first) == 0.3333
        assert execution.share(later[other.config]) == execution.share(other) == 0.2
        execution.flush()
        again = toy_sweeps.execution_on(sweep, store, share=0.2)
        assert [again.share(spec) for spec in (first, later[first.config], other)] == [0.3333, 0.3333, 0.2]
        resumed = {spec: again.share(spec) for _ in range(6) if (spec := again.next_trial()) is not None}
        assert len(resumed) == 6
        assert {share for spec, share in resumed.items() if spec.config == first.config} == {0.3333}
