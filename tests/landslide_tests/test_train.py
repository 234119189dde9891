"""The training loop: the same bits every time, also after an interruption, and honest ends."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from landslide import (
    DatasetError,
    Diverged,
    EpochMetrics,
    ModelError,
    OutOfMemory,
    PackedDataset,
    Seeds,
    TrainSettings,
    evaluate,
    load_model,
    open_packed,
    train,
)
from landslide.losses import LOSSES
from landslide.randomness import epoch_order, layer_seed
from landslide.schedules import SCHEDULES
from landslide.train import patience_is_over

SEEDS = Seeds(init=1, order=2, augment=3)
MakeSettings = Callable[..., TrainSettings]
TIMES = ("epoch_seconds", "data_seconds", "patches_per_second", "peak_memory_bytes")


def run(
    settings: TrainSettings, data: PackedDataset, seeds: Seeds = SEEDS, **options: Any
) -> Iterator[EpochMetrics]:
    return train(settings, seeds, data=data, device="cpu", **options)


def bits(history: list[EpochMetrics]) -> list[dict[str, Any]]:
    """The metrics without what the clock measured."""
    return [{k: v for k, v in metrics.to_dict().items() if k not in TIMES} for metrics in history]


def saved_weights(folder: Path, name: str = "last.pt") -> dict[str, torch.Tensor]:
    state = torch.load(folder / name, weights_only=True)
    weights: dict[str, torch.Tensor] = (
        state["parts"]["model"] if name == "last.pt" else state["model_state_dict"]
    )
    return weights


def assert_same_run(first: Path, second: Path) -> None:
    for name in ("last.pt", "best.pt"):
        one, two = saved_weights(first, name), saved_weights(second, name)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
    with np.load(first / "best_patches.npz") as one, np.load(second / "best_patches.npz") as two:
        assert all(np.array_equal(one[key], two[key]) for key in one)


def test_equal_seeds_give_equal_bits_after_the_global_generators_were_disturbed(
    small_data: PackedDataset,
    small_settings: MakeSettings,
    tmp_path: Path,
    disturb_global_generators: Callable[[], None],
) -> None:
    histories = []
    for name in ("one", "two"):
        disturb_global_generators()
        history = []
        for metrics in run(small_settings(), small_data, checkpoint_dir=tmp_path / name):
            history.append(metrics)
            disturb_global_generators()
        histories.append(bits(history))
    assert histories[0] == histories[1]
    assert [metrics["epoch"] for metrics in histories[0]] == [1, 2]
    assert_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("name", ["init", "order", "augment"])
def test_each_seed_changes_the_run(
    small_data: PackedDataset, small_settings: MakeSettings, name: str
) -> None:
    settings, other = small_settings(epochs=1), dataclasses.replace(SEEDS, **{name: 99})
    assert bits(list(run(settings, small_data))) != bits(list(run(settings, small_data, other)))


def test_training_leaves_the_global_generators_alone(
    small_data: PackedDataset, small_settings: MakeSettings
) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002 - what is tested
    for _ in run(small_settings(), small_data):
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1] == random.getstate()
        now = np.random.get_state()  # noqa: NPY002 - as above
        assert all(np.array_equal(a, b) for a, b in zip(before[2], now, strict=True))


FRESH = """
import json, sys, torch
from pathlib import Path
from landslide import Seeds, TrainSettings, load_packed, train
torch.set_num_threads(1)
settings = TrainSettings.from_mapping(json.loads(sys.argv[2]))
for metrics in train(settings, Seeds(1, 2, 3), data=load_packed(Path(sys.argv[1])), device="cpu"):
    print(json.dumps([metrics.train_loss, metrics.val_loss, metrics.val_iou]))
"""


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_bits(
    tiny_dataset: Path, small_settings: MakeSettings, one_thread: None
) -> None:
    import json

    data, settings = open_packed(tiny_dataset), small_settings(epochs=1, batch_size=8)
    here = [[m.train_loss, m.val_loss, m.val_iou] for m in run(settings, data)]
    arguments = [sys.executable, "-c", FRESH, str(data.path), json.dumps(settings.to_dict())]
    there = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert [json.loads(line) for line in there.splitlines()] == here


def quick_plateau(optimizer: torch.optim.Optimizer, epochs: int) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=0, threshold=10.0)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
@pytest.mark.parametrize("scheduler", ["cosine", "plateau", "one-cycle", "cosine-decay"])
def test_a_run_resumed_after_any_epoch_equals_one_that_never_stopped(
    make_data: Callable[..., PackedDataset],
    small_settings: MakeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: int,
    scheduler: str,
) -> None:
    monkeypatch.setitem(SCHEDULES, "plateau", quick_plateau)  # halves the rate after each epoch but the first
    data, settings = make_data(train=4, val=2), small_settings(epochs=4, scheduler=scheduler)
    whole = list(run(settings, data, checkpoint_dir=tmp_path / "whole"))
    assert len({metrics.lr for metrics in whole}) > 2, "the schedule acts within the test"
    broken = run(settings, data, checkpoint_dir=tmp_path / "broken")
    first = [next(broken) for _ in range(stop_after)]
    broken.close()  # type: ignore[attr-defined]
    rest = list(run(settings, data, checkpoint_dir=tmp_path / "broken", known_epochs=stop_after))
    assert bits(first + rest) == bits(whole)
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_resumed_run_with_average_clipping_and_one_cycle_equals_one_that_never_stopped(
    make_data: Callable[..., PackedDataset], small_settings: MakeSettings, tmp_path: Path, stop_after: int
) -> None:
    options = {"ema_decay": 0.9, "clip_grad_norm": 0.5, "scheduler": "one-cycle", "loss": "dice-lovasz"}
    data, settings = make_data(train=4, val=2), small_settings(epochs=3, **options)
    whole = list(run(settings, data, checkpoint_dir=tmp_path / "whole"))
    broken = run(settings, data, checkpoint_dir=tmp_path / "broken")
    first = [next(broken) for _ in range(stop_after)]
    broken.close()  # type: ignore[attr-defined]
    rest = list(run(settings, data, checkpoint_dir=tmp_path / "broken", known_epochs=stop_after))
    assert bits(first + rest) == bits(whole)
    assert_same_run(tmp_path / "whole", tmp_path / "broken")
    averages = [
        torch.load(tmp_path / name / "last.pt", weights_only=True)["parts"]["average"]
        for name in ("whole", "broken")
    ]
    assert averages[0]["steps"] == averages[1]["steps"] == 3
    assert all(torch.equal(value, averages[1]["model"][key]) for key, value in averages[0]["model"].items())


def test_the_average_is_what_is_validated_and_saved(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path
) -> None:
    plain = list(run(small_settings(epochs=1), small_data, checkpoint_dir=tmp_path / "plain"))
    averaged = list(
        run(small_settings(epochs=1, ema_decay=0.9), small_data, checkpoint_dir=tmp_path / "average")
    )
    assert averaged[0].train_loss == plain[0].train_loss, "the average does not act on training"
    assert averaged[0].val_loss != plain[0].val_loss
    state = torch.load(tmp_path / "average" / "last.pt", weights_only=True)["parts"]
    saved = saved_weights(tmp_path / "average", "best.pt")
    assert all(torch.equal(saved[key], value) for key, value in state["average"]["model"].items())
    assert not all(torch.equal(saved[key], value) for key, value in state["model"].items())
    seen = evaluate(load_model(tmp_path / "average" / "best.pt"), small_data.splits["val"], device="cpu")
    assert seen.iou == averaged[0].val_iou


def test_clipped_gradients_have_at_most_the_norm_asked_for(
    small_data: PackedDataset, small_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    original = torch.optim.AdamW.step

    def record(optimizer: torch.optim.AdamW, *args: Any) -> Any:
        gradients = [
            p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        return original(optimizer, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", record)
    for norm in (None, 0.05):
        list(run(small_settings(epochs=1, clip_grad_norm=norm), small_data))
    free, clipped = norms[:2], norms[2:]
    assert min(free) > 0.05
    assert clipped == pytest.approx([0.05, 0.05], rel=1e-3)


@pytest.mark.slow
def test_a_resumed_encoder_with_stochastic_depth_equals_one_that_never_stopped(
    small_data: PackedDataset,
    small_settings: MakeSettings,
    tmp_path: Path,
    disturb_global_generators: Callable[[], None],
) -> None:
    settings = small_settings(backbone="mit_b0", epochs=3)
    whole = list(run(settings, small_data, checkpoint_dir=tmp_path / "whole"))
    broken = run(settings, small_data, checkpoint_dir=tmp_path / "broken")
    first = [next(broken)]
    broken.close()  # type: ignore[attr-defined]
    disturb_global_generators()
    rest = list(run(settings, small_data, checkpoint_dir=tmp_path / "broken", known_epochs=1))
    assert bits(first + rest) == bits(whole)
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_saved_epochs_that_the_caller_does_not_know_are_told_again_as_they_were(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path
) -> None:
    first = list(run(small_settings(), small_data, checkpoint_dir=tmp_path))
    assert list(run(small_settings(), small_data, checkpoint_dir=tmp_path)) == first
    assert list(run(small_settings(), small_data, checkpoint_dir=tmp_path, known_epochs=1)) == first[1:]
    assert list(run(small_settings(), small_data, checkpoint_dir=tmp_path, known_epochs=2)) == []


def test_more_epochs_continue_a_finished_run(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path
) -> None:
    short = list(run(small_settings(epochs=1), small_data, checkpoint_dir=tmp_path))
    longer = list(run(small_settings(epochs=2), small_data, checkpoint_dir=tmp_path))
    assert longer[0] == short[0]
    assert bits(longer) == bits(list(run(small_settings(epochs=2), small_data)))


def test_a_state_of_another_run_is_refused_with_every_difference(
    make_data: Callable[..., PackedDataset], small_settings: MakeSettings, tmp_path: Path
) -> None:
    data = make_data()
    next(run(small_settings(), data, checkpoint_dir=tmp_path))
    with pytest.raises(ModelError) as caught:
        next(run(small_settings(lr=2e-3), make_data(seed=5), Seeds(1, 9, 3), checkpoint_dir=tmp_path))
    assert len(caught.value.problems) == 3
    for name in ("lr = 0.001", "seed order = 2", "data_id"):
        assert name in str(caught.value)


def test_training_learns_and_the_best_checkpoint_carries_the_metrics_of_its_epoch(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path
) -> None:
    history = list(run(small_settings(epochs=6, loss="dice-focal"), small_data, checkpoint_dir=tmp_path))
    assert history[-1].train_loss < history[0].train_loss
    best = max(history, key=lambda metrics: metrics.val_iou)
    info = load_model(tmp_path / "best.pt").info
    assert info.training_epochs == best.epoch
    assert info.metrics == {name: getattr(best, name) for name in info.metrics}
    assert set(info.metrics) == {"val_iou", "val_f1", "val_precision", "val_recall"}
    assert (info.threshold, info.data_id) == (best.best_threshold, small_data.data_id)
    with np.load(tmp_path / "best_patches.npz") as patches:
        assert all(patches[name].dtype == np.int64 for name in patches if name != "threshold")
        assert patches["patch_id"].tolist() == small_data.splits["val"].ids.tolist()
        assert patches["epoch"] == best.epoch
        tp, fp, fn = (int(patches[name].sum()) for name in ("tp", "fp", "fn"))
        pooled = [patches[f"threshold_{name}"] for name in ("tp", "fp", "fn")]
        half = patches["threshold"].tolist().index(0.5)
    assert tp / (tp + fp + fn) == pytest.approx(best.val_iou, abs=1e-12)
    assert [int(counts[half]) for counts in pooled] == [tp, fp, fn]
    assert max(pooled[0] / sum(pooled)) <= best.best_threshold_iou
    assert best.best_threshold_iou >= best.val_iou


def test_patience_counts_from_the_first_best_epoch() -> None:
    def after(*values: float) -> bool:
        blank = dict.fromkeys((field.name for field in dataclasses.fields(EpochMetrics)), 0)
        return patience_is_over(
            [EpochMetrics(**{**blank, "epoch": i, "val_iou": v}) for i, v in enumerate(values, 1)], 2
        )

    assert not after()
    assert not after(0.0, 0.0)
    assert after(0.0, 0.0, 0.0)
    assert not after(0.1, 0.3, 0.2)
    assert after(0.1, 0.3, 0.2, 0.3)
    assert not after(0.1, 0.3, 0.2, 0.31)


def test_a_run_without_progress_ends_by_patience(
    small_data: PackedDataset, small_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = small_settings(epochs=9, patience=2, lr=1e-12)
    history = list(run(settings, small_data, checkpoint_dir=tmp_path))
    assert len(history) < 9
    assert patience_is_over(history, 2)
    assert list(run(settings, small_data, checkpoint_dir=tmp_path)) == history, "it stays ended"


def test_a_loss_that_is_not_finite_is_divergence_with_its_epoch(
    small_data: PackedDataset, small_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        LOSSES, "dice-bce", lambda weight: lambda logits, target: logits.mean() * float("nan")
    )
    with pytest.raises(Diverged, match="epoch 1 is nan"):
        list(run(small_settings(), small_data))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_lack_of_memory_has_its_own_error(
    small_data: PackedDataset, small_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise error

    monkeypatch.setitem(LOSSES, "dice-bce", lambda weight: fail)
    with pytest.raises(OutOfMemory, match="lower batch_size"):
        list(run(small_settings(), small_data))


def test_a_last_batch_of_a_single_patch_is_left_out(
    make_data: Callable[..., PackedDataset], small_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def record(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if logits.requires_grad:
            sizes.append(len(logits))
        return logits.square().mean()

    monkeypatch.setitem(LOSSES, "dice-bce", lambda weight: record)
    for patches, expected in ((9, [4, 4]), (6, [4, 2])):
        sizes.clear()
        list(run(small_settings(epochs=1), make_data(train=patches)))
        assert sizes == expected


def test_data_without_landslides_or_splits_is_refused_before_a_model_is_built(
    make_data: Callable[..., PackedDataset], small_settings: MakeSettings
) -> None:
    data = make_data()
    empty = dataclasses.replace(data.splits["val"], has_positive=np.zeros(4, dtype=bool))
    for splits, told in (
        ({"train": data.splits["train"]}, "'val'"),
        ({**data.splits, "val": empty}, "landslide"),
    ):
        with pytest.raises(DatasetError, match=told):
            next(run(small_settings(backbone="no such encoder"), dataclasses.replace(data, splits=splits)))


def test_a_constant_band_does_no_harm(
    make_data: Callable[..., PackedDataset], small_settings: MakeSettings, tmp_path: Path
) -> None:
    data = make_data()
    statistics = dataclasses.replace(data.statistics, stds=(*data.statistics.stds[:-1], 0.0))
    list(
        run(
            small_settings(epochs=1),
            dataclasses.replace(data, statistics=statistics),
            checkpoint_dir=tmp_path,
        )
    )
    assert load_model(tmp_path / "best.pt").info.normalisation.stds[-1] == 1.0


@pytest.mark.parametrize("loss", ["dice-focal", "dice-lovasz", "dice-tversky"])
@pytest.mark.parametrize("augmentation", ["none", "notes-clipped"])
def test_other_settings_train_without_a_warning(
    small_data: PackedDataset, small_settings: MakeSettings, loss: str, augmentation: str
) -> None:
    settings = small_settings(
        epochs=1, loss=loss, augmentation=augmentation, scheduler="constant", oversample=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(run(settings, small_data))) == 1


def test_patches_with_landslides_are_drawn_as_often_as_asked() -> None:
    has_positive = np.arange(1000) < 250
    drawn = np.concatenate(
        [epoch_order(0, e, has_positive=has_positive, oversample=3.0) for e in range(1, 21)]
    )
    assert len(drawn) == 20_000
    assert has_positive[drawn].mean() == pytest.approx(0.5, abs=0.02)  # 3 * 250 against 750
    once = epoch_order(0, 1, has_positive=has_positive, oversample=1.0)
    assert sorted(once) == list(range(1000))


def test_the_draws_of_an_epoch_depend_on_seed_and_epoch_alone() -> None:
    has_positive = np.arange(50) < 10
    orders = {
        tuple(epoch_order(seed, epoch, has_positive=has_positive, oversample=2.0).tolist())
        for seed in range(3)
        for epoch in range(1, 4)
        for _ in range(2)
    }
    assert len(orders) == 9
    assert len({layer_seed(seed, epoch) for seed in range(3) for epoch in range(1, 4)}) == 9
