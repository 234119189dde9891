"""GPUs for a machine that has none: they compute on the CPU, count bytes as a formula, and run out of them.

Named by LANDSLIDE_TUNE_CARD=fake_card:make; the folder of this file has to be on the import path of every process.
What a training needs: a constant, four copies of its weights, and so much per patch of a batch. Environment variables
say how many cards there are, and of which memory, and which encoder shows only half of its need while it is measured.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import torch

GIB = 2**30
CARDS, TOTAL, SHY, BROKEN = "FAKE_CARDS", "FAKE_GIB", "FAKE_SHY_BATCH", "FAKE_BROKEN_BATCH"
CONTEXT = 640 * 2**20
PER_PATCH = GIB // 16


def need(batch: int) -> int:
    """Bytes that a step on so many patches reserves."""
    return GIB // 4 + batch * PER_PATCH


class FakeCard:
    """One fake card; see the module."""

    name, software, device = "Fake 8", "fake driver 1", "cpu"

    def __init__(self) -> None:
        self.total_bytes = int(float(os.environ.get(TOTAL, "8")) * GIB)
        self.count = int(os.environ.get(CARDS, "2"))
        self.allowed: int | None = None
        self.peak, self.released, self._measuring = 0, 0, False
        torch.nn.modules.module.register_module_forward_pre_hook(self._before)

    def limit(self, allowed: int | None) -> None:
        self.allowed = allowed

    def release(self) -> None:
        self.released += 1

    def start_measuring(self) -> None:
        self.peak, self._measuring = 0, True

    def measured(self) -> tuple[int, int]:
        return self.peak, CONTEXT

    def _before(self, module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        """Called before every module: the whole model is the one that has an encoder, and it trains."""
        if not hasattr(module, "encoder") or not module.training:
            return
        batch = len(arguments[0])
        if self._measuring and batch == int(os.environ.get(BROKEN, "0")):
            os._exit(9)
        wanted = need(batch // 2 if self._measuring and batch == int(os.environ.get(SHY, "0")) else batch)
        if wanted > min(self.total_bytes - CONTEXT, self.allowed or self.total_bytes):
            raise torch.OutOfMemoryError(f"CUDA out of memory. Fake: {wanted} bytes for {batch} patches")
        self.peak = max(self.peak, wanted)


@cache
def make() -> FakeCard:
    """The card of this process."""
    return FakeCard()
