"""The numbers of the training notes' recipe, each held by what a run does and not by how it is written."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from landslide import PackedDataset, Seeds, TrainSettings, augment, train
from landslide.augment import warp
from landslide.losses import LOSSES, build_loss
from landslide.randomness import epoch_order, patch_generator
from landslide.run import prepare_run
from landslide.schedules import build_schedule, step_schedule

SEEDS = Seeds(init=1, order=2, augment=3)
LOOP = importlib.import_module("landslide.train")  # the name in the package is the function
MakeSettings = Callable[..., TrainSettings]


def rates(name: str, values: list[float], *, lr: float = 1e-4, epochs: int = 100) -> list[float]:
    """The learning rate of each epoch, where `values` are the validation IoUs after each."""
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule, seen = build_schedule(name, optimizer, epochs=epochs), []
    for value in values:
        seen.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        step_schedule(schedule, val_iou=value)
    return seen


def test_cosine_restarts_after_20_epochs_and_then_after_40_more() -> None:
    expected = [1e-4 * (1 + math.cos(math.pi * e / 20)) / 2 for e in range(20)]
    expected += [1e-4 * (1 + math.cos(math.pi * e / 40)) / 2 for e in range(40)]
    expected += [1e-4 * (1 + math.cos(math.pi * e / 80)) / 2 for e in range(5)]
    assert rates("cosine", [0.0] * 65) == pytest.approx(expected, abs=1e-12)


def test_plateau_halves_after_five_epochs_without_a_better_iou_and_stops_at_1e_6() -> None:
    seen = rates("plateau", [0.4] * 60)
    # the first value is the best, five bad epochs are borne, the sixth halves: epoch 8 is the first at half
    assert seen[:14] == [1e-4] * 7 + [5e-5] * 6 + [2.5e-5]
    assert seen[-1] == 1e-6
    assert rates("plateau", [0.1 + 0.01 * e for e in range(20)]) == [1e-4] * 20, "higher is better"


@pytest.mark.parametrize("epochs", [1, 2, 7, 50])
def test_cosine_decay_falls_to_0_at_the_last_epochs_end(epochs: int) -> None:
    expected = [1e-4 * (1 + math.cos(math.pi * e / epochs)) / 2 for e in range(epochs)]
    assert rates("cosine-decay", [0.0] * epochs, epochs=epochs) == pytest.approx(expected, abs=1e-12)


def test_one_cycle_climbs_for_three_tenths_and_falls_to_the_end() -> None:
    seen = rates("one-cycle", [0.0] * 100, epochs=100)
    peak = seen.index(max(seen))
    assert peak in (29, 30)
    assert seen[: peak + 1] == sorted(seen[: peak + 1])
    assert seen[peak:] == sorted(seen[peak:], reverse=True)
    assert seen[0] == pytest.approx(1e-4 / 25, rel=0.02)
    assert max(seen) == pytest.approx(1e-4, rel=0.01)
    assert 1e-8 <= seen[-1] < 3e-8
    assert rates("one-cycle", [0.0], epochs=1)[0] > 5e-5, "a run of one epoch learns too"


def test_a_constant_rate_is_constant() -> None:
    assert rates("constant", [0.1] * 5) == [1e-4] * 5


def test_the_optimizer_is_adamw_with_the_settings_rate_and_decay(
    small_data: PackedDataset, small_settings: MakeSettings
) -> None:
    settings = small_settings(weight_decay=0.03, lr=2e-3)
    run = prepare_run(settings, SEEDS, data=small_data, device=torch.device("cpu"))
    assert type(run.optimizer) is torch.optim.AdamW
    assert [(group["weight_decay"], group["lr"]) for group in run.optimizer.param_groups] == [(0.03, 2e-3)]


def test_dice_focal_is_dice_and_focal_with_gamma_2_by_hand() -> None:
    logits, truth = torch.tensor([0.5, -1.0, 2.0, -3.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    p = [1 / (1 + math.exp(-x)) for x in logits.tolist()]
    right = [p[0], p[1], 1 - p[2], 1 - p[3]]
    focal = sum(-((1 - q) ** 2) * math.log(q) for q in right) / 4
    dice = 1 - 2 * (p[0] + p[1]) / (sum(p) + 2)
    loss = build_loss("dice-focal", positive_weight=1.0, device=torch.device("cpu"))
    assert loss(logits.reshape(1, 1, 2, 2), truth.reshape(1, 1, 2, 2)).item() == pytest.approx(
        dice + focal, rel=1e-5
    )


def test_a_run_draws_and_weighs_landslides_as_its_settings_say(
    small_data: PackedDataset, small_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights: list[float] = []
    oversampled: list[float] = []
    original = LOSSES["dice-bce"]

    def weigh(weight: torch.Tensor) -> Any:
        weights.append(float(weight))
        return original(weight)

    def draw(seed: int, epoch: int, *, has_positive: Any, oversample: float) -> Any:
        oversampled.append(oversample)
        return epoch_order(seed, epoch, has_positive=has_positive, oversample=oversample)

    monkeypatch.setitem(LOSSES, "dice-bce", weigh)
    monkeypatch.setattr(LOOP, "epoch_order", draw)
    for values in ({"max_pos_weight": 2.5}, {}):
        list(train(small_settings(epochs=1, oversample=3.5, **values), SEEDS, data=small_data, device="cpu"))
    ratio = small_data.positive_ratio
    assert weights == pytest.approx([2.5, (1 - ratio) / ratio])
    assert oversampled == [3.5, 3.5]


def test_every_drawn_patch_of_an_epoch_is_augmented_by_a_generator_of_its_own(
    small_data: PackedDataset, small_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int]] = []

    def record(seed: int, epoch: int, position: int) -> np.random.Generator:
        asked.append((seed, epoch, position))
        return patch_generator(seed, epoch, position)

    monkeypatch.setattr(LOOP, "patch_generator", record)
    list(train(small_settings(epochs=2, batch_size=3), SEEDS, data=small_data, device="cpu"))
    assert asked == [(SEEDS.augment, epoch, position) for epoch in (1, 2) for position in range(8)]


def test_the_precision_of_a_run_reaches_its_forward_pass(
    small_data: PackedDataset, small_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []

    def half(device: torch.device, *, amp: bool) -> torch.dtype:
        asked.append((device.type, amp))
        return torch.bfloat16 if amp else torch.float32

    monkeypatch.setattr("landslide.run.forward_precision", half)
    seen: list[bool] = []

    def watch(model: torch.nn.Module, inputs: Any) -> None:
        seen.append(torch.is_autocast_enabled("cpu") if model.training else False)

    for amp in (True, False):
        with torch.nn.modules.module.register_module_forward_pre_hook(watch):
            list(train(small_settings(epochs=1, amp=amp), SEEDS, data=small_data, device="cpu"))
        assert any(seen) is amp
        seen.clear()
    assert asked == [("cpu", True), ("cpu", False)]


def sources(draws: int, *, strength: float, size: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles in degrees, zooms and shifts in patch sides that `warp` draws, read from where pixels come from."""
    line = torch.arange(size, dtype=torch.float32)
    image, target = torch.stack(torch.meshgrid(line, line, indexing="xy")), torch.zeros(size, size)
    middle, angles, zooms, shifts = size // 2, [], [], []
    for position in range(draws):
        moved = warp(image, target, patch_generator(0, 1, position), strength=strength)[0].numpy()
        x, y = moved[:, middle - 1 : middle + 1, middle - 1 : middle + 1]
        across, down = x[0, 1] - x[0, 0], y[0, 1] - y[0, 0]
        angles.append(math.degrees(math.atan2(down, across)))
        zooms.append(1 / math.hypot(across, down))
        shifts.append([(x.mean() - (size - 1) / 2) / size, (y.mean() - (size - 1) / 2) / size])
    return np.array(angles), np.array(zooms), np.array(shifts)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_affine_moves_have_the_notes_ranges_times_the_strength(
    monkeypatch: pytest.MonkeyPatch, strength: float
) -> None:
    monkeypatch.setattr(augment, "AFFINE_PROBABILITY", 1.0)
    monkeypatch.setattr(augment, "ELASTIC_PROBABILITY", 0.0)
    angles, zooms, shifts = sources(1500, strength=strength)
    for values, reach in ((angles, 15), (zooms - 1, 0.1), (shifts, 0.0625)):
        low, high = -reach * strength, reach * strength
        span = high - low
        assert low - 0.01 * span <= values.min() <= low + 0.02 * span
        assert high - 0.02 * span <= values.max() <= high + 0.01 * span
