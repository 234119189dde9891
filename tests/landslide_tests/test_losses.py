"""The losses: their values, what they do without landslides, and the weight of a landslide pixel."""

from __future__ import annotations

import pytest
import torch

from landslide.errors import DatasetError, SettingsError
from landslide.losses import LOSSES, Loss, build_loss, pos_weight

CPU = torch.device("cpu")


def loss_named(name: str, weight: float = 5.0) -> Loss:
    return build_loss(name, positive_weight=weight, device=CPU)


def target(positive: int = 40) -> torch.Tensor:
    flat = torch.zeros(2 * 16 * 16)
    flat[:positive] = 1
    return flat.reshape(2, 1, 16, 16)


def test_the_weight_is_the_ratio_of_the_classes_and_capped() -> None:
    assert pos_weight(0.02, None) == pytest.approx(49.0)
    assert pos_weight(0.02, 10.0) == 10.0
    assert pos_weight(0.5, 10.0) == pytest.approx(1.0)


def test_training_data_without_landslides_is_refused() -> None:
    with pytest.raises(DatasetError, match="no landslide pixel"):
        pos_weight(0.0, 10.0)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_right_answer_costs_less_than_a_wrong_one(name: str) -> None:
    truth, loss = target(), loss_named(name)
    right = loss(10 * (2 * truth - 1), truth)
    unsure = loss(torch.zeros_like(truth), truth)
    wrong = loss(-10 * (2 * truth - 1), truth)
    assert 0 <= right < 0.01 < unsure < wrong


def test_dice_bce_is_the_sum_of_its_formulas() -> None:
    truth, logits = target(), torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    p = torch.sigmoid(logits)
    dice = 1 - 2 * (p * truth).sum() / (p.sum() + truth.sum())
    bce = -(5.0 * truth * p.log() + (1 - truth) * (1 - p).log()).mean()
    assert loss_named("dice-bce")(logits, truth).item() == pytest.approx((dice + bce).item(), rel=1e-5)


def test_tversky_makes_false_alarms_cost_more_than_misses() -> None:
    truth, tversky = target(40), loss_named("dice-tversky")
    alarms, misses = target(60), target(20)
    dice_gap = 2 * 40 / (40 + 60) - 2 * 20 / (40 + 20)  # by Dice alone the misses would cost more
    gap = tversky(20 * (2 * alarms - 1), truth) - tversky(20 * (2 * misses - 1), truth)
    # Tversky index of alarms 40 / (40 + 0.7 * 20), of misses 20 / (20 + 0.3 * 20)
    assert gap.item() == pytest.approx(-dice_gap + 20 / 26 - 40 / 54, abs=1e-3)


@pytest.mark.parametrize("name", ["dice-bce", "dice-focal"])
def test_a_batch_without_landslides_still_teaches_to_predict_none(name: str) -> None:
    logits = torch.zeros(2, 1, 16, 16, requires_grad=True)
    loss_named(name)(logits, target(0)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad > 0).all()  # a step against the gradient lowers every logit


def test_a_batch_without_landslides_teaches_dice_tversky_nothing() -> None:
    logits = torch.full((2, 1, 16, 16), 5.0, requires_grad=True)
    loss = loss_named("dice-tversky")(logits, target(0))
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert loss.item() == 0.0
    assert (logits.grad == 0).all()


def test_lovasz_is_the_extension_of_the_jaccard_loss_by_hand() -> None:
    # hinge errors 1.5 (missed), 1.2 (false alarm), 0.4 (found, but barely), 0 (right): sorted as they stand
    logits = torch.tensor([-0.5, 0.2, 0.6, -3.0]).reshape(1, 1, 2, 2)
    truth = torch.tensor([1.0, 0.0, 1.0, 0.0]).reshape(1, 1, 2, 2)
    # 1 - IoU when the first 1, 2, 3 of them are wrong: 1/2, 2/3, 1; Berman et al., eq. 9
    lovasz = 1.5 * 1 / 2 + 1.2 * (2 / 3 - 1 / 2) + 0.4 * (1 - 2 / 3)
    p = torch.sigmoid(logits)
    dice = 1 - 2 * (p * truth).sum() / (p.sum() + truth.sum())
    assert loss_named("dice-lovasz")(logits, truth).item() == pytest.approx(lovasz + dice.item(), rel=1e-5)


def test_a_batch_without_landslides_teaches_dice_lovasz_its_worst_false_alarm() -> None:
    logits = torch.linspace(-2, 2, 2 * 16 * 16).reshape(2, 1, 16, 16).requires_grad_()
    loss_named("dice-lovasz")(logits, target(0)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.nonzero().tolist() == [[1, 0, 15, 15]]


def test_an_unknown_loss_is_named_with_those_that_exist() -> None:
    with pytest.raises(SettingsError, match="dice-tversky"):
        loss_named("jaccard")
