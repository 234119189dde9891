"""GPUs for a machine that has none: they compute on the CPU, count bytes as a formula, and run out of them.

Named by LANDSLIDE_TUNE_CARD=fake_card:make; the folder of this file has to be on the import path of every process.
What a training needs: a constant, four copies of its weights, and so much per patch of a batch. Environment variables
say how many cards there are, and of which memory; which batch shows only half of its need while it is measured, and
which one ends the process; and into which file it is written who holds which part of a card.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch

GIB = 2**30
CARDS, TOTAL, SHY, BROKEN, DIARY = (
    "FAKE_CARDS",
    "FAKE_GIB",
    "FAKE_SHY_BATCH",
    "FAKE_BROKEN_BATCH",
    "FAKE_DIARY",
)
CONTEXT = 640 * 2**20
PER_PATCH = GIB // 16


def need(batch: int) -> int:
    """Bytes that a step on so many patches reserves; more than 20 are too much for any card."""
    return GIB // 4 + batch * PER_PATCH + (1024 * GIB if batch > 20 else 0)


class FakeCard:
    """One fake card; see the module."""

    name, software, device = "Fake 8", "fake driver 1", "cpu"

    def __init__(self) -> None:
        self.total_bytes = int(float(os.environ.get(TOTAL, "8")) * GIB)
        self.count = int(os.environ.get(CARDS, "2"))
        self.allowed: int | None = None
        self.peak, self.released, self._measuring = 0, 0, False
        self._free = True
        torch.nn.modules.module.register_module_forward_pre_hook(self._before)

    def limit(self, allowed: int | None) -> None:
        self.allowed = allowed
        if allowed is not None or self._free:
            self._write("takes", 1.0 if allowed is None else (allowed + CONTEXT) / self.total_bytes)
        self._free = False

    def release(self) -> None:
        self.released += 1
        self._write("leaves", 0.0)
        self._free = True

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

    def _write(self, what: str, share: float) -> None:
        if path := os.environ.get(DIARY):
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"{time.time()} {what} {os.getpid()} {share}\n")


def diary(path: Path) -> list[tuple[float, str, int, float]]:
    """What was written: when, `takes` or `leaves`, the process, and the share of the card."""
    lines = (line.split() for line in path.read_text("utf-8").splitlines())
    return [(float(when), what, int(process), float(share)) for when, what, process, share in lines]


@cache
def make() -> FakeCard:
    """The card of this process."""
    return FakeCard()
