"""What a run does with the files of an earlier, interrupted one: it loses no epoch that it need not lose."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landslide import EpochMetrics, ModelError, OutOfMemory, PackedDataset, Seeds, TrainSettings, train
from landslide.resume import saved_epochs

SEEDS = Seeds(init=1, order=2, augment=3)
LOOP = importlib.import_module("landslide.train")  # the name in the package is the function
MakeSettings = Callable[..., TrainSettings]
TIMES = ("epoch_seconds", "data_seconds", "patches_per_second", "peak_memory_bytes")


def run(settings: TrainSettings, data: PackedDataset, folder: Path) -> Iterator[EpochMetrics]:
    return train(settings, SEEDS, data=data, device="cpu", checkpoint_dir=folder)


def bits(history: list[EpochMetrics]) -> list[dict[str, Any]]:
    return [{k: v for k, v in metrics.to_dict().items() if k not in TIMES} for metrics in history]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    last = torch.load(folder / "last.pt", weights_only=True)["parts"]["model"]
    best = torch.load(folder / "best.pt", weights_only=True)["model_state_dict"]
    with np.load(folder / "best_patches.npz") as arrays:
        patches = {f"patches {name}": torch.from_numpy(np.asarray(arrays[name])) for name in arrays}
    named = [
        (f"{where} {name}", value)
        for where, d in (("last", last), ("best", best))
        for name, value in d.items()
    ]
    return {**dict(named), **patches}


def assert_same_files(first: Path, second: Path) -> None:
    one, two = tensors(first), tensors(second)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture
def each_epoch_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    def better() -> Callable[[object], float]:
        values = itertools.count(1)
        return lambda counts: next(values) / 1000

    monkeypatch.setattr(LOOP, "iou", better())


@pytest.fixture
def the_first_epoch_stays_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOOP, "iou", lambda counts: 0.25)


def change_state(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    state = torch.load(folder / "last.pt", weights_only=True)
    change(state)
    torch.save(state, folder / "last.pt")


def test_a_state_that_the_disk_does_not_give_is_an_error_and_is_kept(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(run(small_settings(epochs=1), small_data, tmp_path))
    before = (tmp_path / "last.pt").read_bytes()

    def refuse(path: Path) -> bytes:
        raise PermissionError(f"locked: {path}")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(PermissionError, match="locked"):
            next(run(small_settings(), small_data, tmp_path))
    assert (tmp_path / "last.pt").read_bytes() == before


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory"), MemoryError()],
)
def test_a_state_that_does_not_fit_the_memory_is_out_of_memory_and_is_kept(
    small_data: PackedDataset,
    small_settings: MakeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    list(run(small_settings(epochs=1), small_data, tmp_path))
    before = (tmp_path / "last.pt").read_bytes()

    def fail(*args: object, **kwargs: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", fail)
        with pytest.raises(OutOfMemory):
            next(run(small_settings(), small_data, tmp_path))
    assert (tmp_path / "last.pt").read_bytes() == before


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_torn_state_is_set_aside_and_the_run_starts_over(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path, keep: float
) -> None:
    whole = list(run(small_settings(), small_data, tmp_path))
    content = (tmp_path / "last.pt").read_bytes()
    torn = content[: int(keep * len(content))]
    (tmp_path / "last.pt").write_bytes(torn)
    with pytest.warns(RuntimeWarning, match=r"last\.pt cannot be read .* last\.pt\.unreadable"):
        again = list(run(small_settings(), small_data, tmp_path))
    assert bits(again) == bits(whole)
    assert (tmp_path / "last.pt.unreadable").read_bytes() == torn


def test_more_epochs_than_asked_for_are_refused(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path
) -> None:
    list(run(small_settings(epochs=2), small_data, tmp_path))
    with pytest.raises(ModelError, match=r"has 2 epochs, this run may have 1"):
        next(run(small_settings(epochs=1), small_data, tmp_path))


@pytest.mark.parametrize("interrupted", ["save_model", "save_patches"])
@pytest.mark.usefixtures("each_epoch_is_better")
def test_a_kill_before_the_best_files_were_written_loses_nothing(
    small_data: PackedDataset,
    small_settings: MakeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interrupted: str,
) -> None:
    def power_cut(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    whole = list(run(small_settings(epochs=3), small_data, tmp_path / "whole"))
    broken = run(small_settings(epochs=3), small_data, tmp_path / "broken")
    next(broken)
    with monkeypatch.context() as patch:
        patch.setattr(LOOP, interrupted, power_cut)
        with pytest.raises(KeyboardInterrupt):
            next(broken)
    done = list(run(small_settings(epochs=2), small_data, tmp_path / "broken"))
    for metrics, expected in zip(done, whole, strict=False):  # val_iou is the fixture's
        assert (metrics.train_loss, metrics.val_loss) == (expected.train_loss, expected.val_loss)
    assert torch.load(tmp_path / "broken" / "best.pt", weights_only=True)["training_epochs"] == 2
    list(run(small_settings(epochs=3), small_data, tmp_path / "broken"))
    assert_same_files(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.usefixtures("the_first_epoch_stays_best")
def test_a_file_of_counts_from_before_the_thresholds_is_taken_as_it_is(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path
) -> None:
    """A run begun by an older version goes on; the counts of an epoch whose weights are gone cannot be made anew."""
    list(run(small_settings(epochs=1), small_data, tmp_path))
    path = tmp_path / "best_patches.npz"
    with np.load(path) as arrays:
        old = {name: arrays[name] for name in ("patch_id", "tp", "fp", "fn", "epoch")}
    np.savez(path, **old)
    before = path.read_bytes()
    assert len(list(run(small_settings(epochs=2), small_data, tmp_path))) == 2
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["best.pt", "best_patches.npz"])
@pytest.mark.usefixtures("the_first_epoch_stays_best")
def test_best_files_of_an_older_epoch_that_are_gone_are_an_error_that_says_so(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path, name: str
) -> None:
    list(run(small_settings(epochs=2), small_data, tmp_path))
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match=r"of epoch 1, the best of 2, are not there"):
        next(run(small_settings(epochs=3), small_data, tmp_path))


@pytest.mark.usefixtures("each_epoch_is_better")
def test_best_files_of_an_epoch_to_come_are_those_that_the_run_makes_again(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path
) -> None:
    """A copy of the folder elsewhere may have lost the newest last.pt, which comes after the best files there."""
    list(run(small_settings(epochs=4), small_data, tmp_path / "whole"))
    list(run(small_settings(epochs=2), small_data, tmp_path / "copy"))
    older = (tmp_path / "copy" / "last.pt").read_bytes()
    list(run(small_settings(epochs=4), small_data, tmp_path / "copy"))
    (tmp_path / "copy" / "last.pt").write_bytes(older)
    assert [saved_epochs(tmp_path / name) for name in ("whole", "copy", "none")] == [4, 2, 0]
    assert len(list(run(small_settings(epochs=4), small_data, tmp_path / "copy"))) == 4
    assert_same_files(tmp_path / "whole", tmp_path / "copy")
    (tmp_path / "copy" / "last.pt").write_bytes(older[:-1000])
    assert saved_epochs(tmp_path / "copy") == 0


def test_counts_of_an_epoch_that_comes_out_otherwise_when_it_is_made_again_are_in_nobodys_way(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts come to a bucket before weights and last.pt; and on a GPU the best epoch may not be the best again."""
    value = [0.3]
    monkeypatch.setattr(LOOP, "iou", lambda counts: value[0])
    copied = ("best.pt", "last.pt")
    for epochs, value[0] in ((1, 0.3), (2, 0.2)):
        list(run(small_settings(epochs=epochs), small_data, tmp_path))
    kept = {name: (tmp_path / name).read_bytes() for name in copied}
    with np.load(tmp_path / "best_patches.npz") as arrays:
        counts = {name: arrays[name] for name in arrays}
    value[0] = 0.4
    list(run(small_settings(epochs=3), small_data, tmp_path))
    for name in copied:
        (tmp_path / name).write_bytes(kept[name])
    value[0] = 0.25
    list(run(small_settings(epochs=3), small_data, tmp_path))
    assert len(list(run(small_settings(epochs=4), small_data, tmp_path))) == 4
    with np.load(tmp_path / "best_patches.npz") as arrays:
        assert all(np.array_equal(arrays[name], counts[name]) for name in counts)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.update(format=1), "has format 1"),
        (lambda state: state["parts"]["model"].popitem(), "does not fit the run"),
        (lambda state: state["parts"].pop("schedule"), "does not fit the run"),
        (lambda state: state["parts"]["optimizer"]["param_groups"].clear(), "does not fit the run"),
    ],
)
def test_a_state_of_another_version_or_model_is_refused_by_name(
    small_data: PackedDataset,
    small_settings: MakeSettings,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], object],
    told: str,
) -> None:
    list(run(small_settings(epochs=1), small_data, tmp_path))
    change_state(tmp_path, change)
    with pytest.raises(ModelError, match=rf"last\.pt.*{told}"):
        next(run(small_settings(), small_data, tmp_path))


def test_other_library_versions_are_told_and_the_run_goes_on(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path
) -> None:
    list(run(small_settings(epochs=1), small_data, tmp_path))
    change_state(tmp_path, lambda state: state["versions"].update(torch="2.0.0"))
    with pytest.warns(RuntimeWarning, match=r"torch 2\.0\.0 -> "):
        assert len(list(run(small_settings(epochs=2), small_data, tmp_path))) == 2


@pytest.mark.parametrize("scheduler", ["one-cycle", "cosine-decay"])
def test_a_run_whose_schedule_has_ended_cannot_be_extended(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path, scheduler: str
) -> None:
    list(run(small_settings(epochs=1, scheduler=scheduler), small_data, tmp_path))
    with pytest.raises(ModelError, match="epochs = 1, this run wants 2"):
        next(run(small_settings(epochs=2, scheduler=scheduler), small_data, tmp_path))


def test_deterministic_is_part_of_what_makes_a_run_the_same(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path
) -> None:
    list(run(small_settings(epochs=1), small_data, tmp_path))
    with pytest.raises(ModelError, match="deterministic = False, this run wants True"):
        next(run(dataclasses.replace(small_settings(epochs=2), deterministic=True), small_data, tmp_path))
