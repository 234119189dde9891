"""Every random number of a training run, as a function of its seeds, the epoch and the position.

Nothing in here reads or moves a global generator, and nothing has to be saved to continue a run: whoever
knows (seeds, epoch) knows what the epoch draws. No model and no data are known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

# One number per use, so that equal seeds and epochs do not make two uses draw the same stream.
_ORDER, _AUGMENT, _LAYERS = 1, 2, 3


def epoch_order(
    seed: int, epoch: int, *, has_positive: npt.NDArray[np.bool_], oversample: float
) -> npt.NDArray[np.int64]:
    """The patches that one epoch draws, in their order.

    Args:
        seed: `Seeds.order`.
        epoch: from 1.
        has_positive: which patches have a landslide pixel, shape (N,), bool.
        oversample: weight of those patches against 1 for the others, at least 1.

    Returns:
        N indices in [0, N), int64: a permutation where `oversample` is 1, otherwise draws with replacement.
    """
    rng = _generator(_ORDER, seed, epoch)
    count = len(has_positive)
    if oversample == 1.0:
        return rng.permutation(count).astype(np.int64)
    weights = np.where(has_positive, oversample, 1.0)
    return rng.choice(count, size=count, replace=True, p=weights / weights.sum()).astype(np.int64)


def patch_generator(seed: int, epoch: int, position: int) -> np.random.Generator:
    """The generator that augments the patch drawn at a position (from 0) of an epoch (from 1)."""
    return _generator(_AUGMENT, seed, epoch, position)


def layer_seed(seed: int, epoch: int) -> int:
    """The seed of what layers (dropout, stochastic depth) draw in an epoch, which counts from 1."""
    state = np.random.SeedSequence([_LAYERS, seed, epoch]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))  # torch takes a signed 64-bit number


@contextmanager
def torch_generators_set_to(seed: int, device: torch.device) -> Iterator[None]:
    """Within the block torch draws from `seed`; afterwards its global generators are as they were before.

    Layers offer no way to pass them a generator, so this is the only way to keep their draws out of global
    state.
    """
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(
            seed
        )  # torch.manual_seed would also reseed devices we did not save
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def _generator(*entropy: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(entropy))
