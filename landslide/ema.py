"""An exponential moving average of a model's weights, which is often better than the last weights.

The average follows the model step by step and never acts back on it. No loss and no data are known here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class WeightAverage:
    """A copy of a model whose weights are the moving average of the model's.

    Polyak and Juditsky 1992 average weights; the exponential form, with a decay that warms up as
    min(decay, (1 + steps) / (10 + steps)), is that of TensorFlow's `ExponentialMovingAverage`. Without the
    warm-up the average would be the random weights of the start for the first 1 / (1 - decay) steps. Running
    statistics of batch normalisation are averaged too, counters are copied.

    Args:
        model: copied as it is; its device and memory format are kept.
        decay: share of the old average in the new one, in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights of the model after one more step."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        new = model.state_dict()
        pairs = [(average, new[name]) for name, average in self.model.state_dict().items()]
        moving = [(average, value) for average, value in pairs if average.is_floating_point()]
        torch._foreach_lerp_([average for average, _ in moving], [value for _, value in moving], 1.0 - decay)
        for average, value in pairs:
            if not average.is_floating_point():
                average.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs: the averages and the number of steps."""
        return {"model": self.model.state_dict(), "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a saved average was.

        Raises:
            RuntimeError: the averages are of another model.
        """
        self.model.load_state_dict(state["model"])
        self._steps = int(state["steps"])
