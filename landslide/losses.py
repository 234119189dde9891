"""The losses a run can be trained with, by name.

A new loss is one function and one line in `LOSSES`. All are lower-is-better and work on logits in float32.

On a batch without a single landslide pixel, smp's Dice and Tversky terms are exactly 0 and their gradient is
0 too, even if every pixel is predicted as landslide. There "dice-bce" and "dice-focal" still learn from their
pixel-wise term, while "dice-tversky" learns nothing from that batch (the optimiser's momentum and weight
decay still act), and "dice-lovasz" learns from the single worst false alarm alone.
"""

from __future__ import annotations

from collections.abc import Callable

import segmentation_models_pytorch as smp
import torch

from landslide.errors import DatasetError, SettingsError

#: (logits (N,1,H,W) float32, target (N,1,H,W) float32 in {0,1}) -> scalar float32
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

FOCAL_GAMMA = 2.0  # the notes' Run 4; Lin et al. 2017, "Focal Loss for Dense Object Detection", section 5.1
TVERSKY_FALSE_POSITIVES = (
    0.7  # alpha in Salehi et al. 2017, eq. 1: above one half, false alarms cost more than misses
)
TVERSKY_FALSE_NEGATIVES = 0.3  # beta


def pos_weight(positive_ratio: float, cap: float | None) -> float:
    """Weight of a landslide pixel in the cross-entropy: (other pixels) / (landslide pixels), at most `cap`.

    Args:
        positive_ratio: share of landslide pixels in the training split, in (0, 1].
        cap: upper bound, or None for no bound (then 42 on Landslide4Sense, which over-predicts landslides).

    Raises:
        DatasetError: the training split has no landslide pixel.
    """
    if positive_ratio <= 0.0:
        raise DatasetError(
            "the training split has no landslide pixel, so there is nothing to learn; "
            "look at the masks with `landslide-tune data check`"
        )
    raw = (1.0 - positive_ratio) / positive_ratio
    return raw if cap is None else min(raw, cap)


def build_loss(name: str, *, positive_weight: float, device: torch.device) -> Loss:
    """The loss of that name.

    Args:
        name: a key of `LOSSES`.
        positive_weight: see `pos_weight`; only "dice-bce" uses it.
        device: where logits and targets will be.

    Raises:
        SettingsError: there is no loss of that name.
    """
    if name not in LOSSES:
        raise SettingsError(f"there is no loss {name!r}; the losses are {', '.join(sorted(LOSSES))}")
    return LOSSES[name](torch.tensor([positive_weight], dtype=torch.float32, device=device))


def _dice_bce(positive_weight: torch.Tensor) -> Loss:
    return _sum_of(_dice(), smp.losses.SoftBCEWithLogitsLoss(pos_weight=positive_weight))


def _dice_focal(positive_weight: torch.Tensor) -> Loss:
    return _sum_of(_dice(), smp.losses.FocalLoss(mode="binary", gamma=FOCAL_GAMMA))


def _dice_tversky(positive_weight: torch.Tensor) -> Loss:
    tversky = smp.losses.TverskyLoss(
        mode="binary", from_logits=True, alpha=TVERSKY_FALSE_POSITIVES, beta=TVERSKY_FALSE_NEGATIVES
    )
    return _sum_of(_dice(), tversky)


def _dice_lovasz(positive_weight: torch.Tensor) -> Loss:
    """With the Lovász hinge over all pixels of a batch, which bounds 1 - IoU from above.

    Berman et al. 2018, "The Lovász-Softmax loss", eq. 9 and algorithm 1. It asks for logits beyond -1 and 1,
    so its probabilities are no estimates of how often a pixel is a landslide.
    """
    return _sum_of(_dice(), smp.losses.LovaszLoss(mode="binary", per_image=False, from_logits=True))


def _dice() -> Loss:
    dice: Loss = smp.losses.DiceLoss(mode="binary", from_logits=True)
    return dice


def _sum_of(first: Loss, second: Loss) -> Loss:
    def total(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return first(logits, target) + second(logits, target)

    return total


#: name -> function of the landslide pixels' weight (tensor of shape (1,)) that builds the loss.
LOSSES: dict[str, Callable[[torch.Tensor], Loss]] = {
    "dice-bce": _dice_bce,
    "dice-focal": _dice_focal,
    "dice-lovasz": _dice_lovasz,
    "dice-tversky": _dice_tversky,
}
