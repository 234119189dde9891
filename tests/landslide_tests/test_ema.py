"""The moving average of weights: its formula, its warm-up, its state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landslide.ema import WeightAverage


def small_model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2))


def set_to(model: nn.Module, value: float) -> None:
    for tensor in model.state_dict().values():
        tensor.fill_(value)


def test_the_average_follows_its_formula_in_weights_and_running_statistics() -> None:
    model = small_model()
    set_to(model, 0.0)
    average, expected = WeightAverage(model, 0.5), 0.0
    for step in range(1, 12):
        set_to(model, float(step))
        average.update(model)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        for name, tensor in average.model.state_dict().items():
            wanted = step if name.endswith("num_batches_tracked") else expected
            assert tensor.float().flatten().tolist() == pytest.approx([wanted] * tensor.numel(), rel=1e-5)


def test_the_average_never_acts_on_the_model() -> None:
    model = small_model()
    average = WeightAverage(model, 0.9)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    average.update(model)
    set_to(average.model, 7.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_restored_average_goes_on_as_if_nothing_had_happened() -> None:
    model = small_model()
    one, two = WeightAverage(model, 0.99), WeightAverage(small_model(), 0.99)
    set_to(model, 1.0)
    one.update(model)
    two.load_state_dict(one.state_dict())
    set_to(model, 2.0)
    for average in (one, two):
        average.update(model)
    assert all(torch.equal(tensor, two.model.state_dict()[n]) for n, tensor in one.model.state_dict().items())
