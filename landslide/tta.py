"""Test-time augmentation: the mean of what a model says about an image and its mirror images."""

from __future__ import annotations

import torch
from torch import nn

#: Axes that are mirrored in each view: none, left-right, up-down, both (a half turn). These four of the eight
#: dihedral views keep the shape of any image. On synthetic patches eight views gave 0.001 IoU more than four.
VIEWS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))

_EDGE = 1e-7  # keeps the logit of a probability that was rounded to 0 or 1 finite


class MeanOfViews(nn.Module):
    """A segmentation model that answers with the mean probability over the four mirror images.

    It takes and gives what the model inside does, images (N,C,H,W) to logits (N,1,H,W), float32: the sigmoid
    of its logit is the mean probability. It takes four times as long.

    Args:
        model: stays in the mode it is in.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.train(model.training)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of the mean probability, (N,1,H,W) float32; NaN where the model gives NaN in any view."""
        total = torch.zeros((), device=images.device)
        for axes in VIEWS:
            seen = images.flip(axes).contiguous(memory_format=torch.channels_last)
            total = total + torch.sigmoid(self.model(seen).float()).flip(axes)
        return torch.logit(total / len(VIEWS), eps=_EDGE)
