"""The GPU that this process computes on: its name, its memory, and how much of it this process may take.

Trains nothing, and does not know who else uses the card.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import torch

from landslide.device import out_of_memory_named
from landslide.errors import OutOfMemory

#: For tests: ``module:factory`` of a `Card` to be used instead of CUDA's, in this process and in its children.
CARD_VARIABLE = "LANDSLIDE_TUNE_CARD"
#: What a process takes of a card beside torch's own allocator (CUDA's context, the kernels and workspaces of its
#: libraries), where it was not measured: some 300 to 600 MB from what is published for cards since 2018.
CONTEXT_BYTES = 640 * 2**20
#: A measured value outside of this is not ours: somebody else began or ended on the card meanwhile.
_CONTEXT_RANGE = (64 * 2**20, 2 * 2**30)
#: A process that does nothing but hold a context, and tells how much of the card is free beside it.
_WITNESS = "import sys, torch; print(torch.cuda.mem_get_info()[0], flush=True); sys.stdin.read()"
_WITNESS_SECONDS = 60.0
_MORE = "give a trial a larger share"


class Card(Protocol):
    """One GPU, as the process sees it that computes on it."""

    @property
    def name(self) -> str:
        """Of the model, for example ``NVIDIA H100 80GB HBM3``."""

    @property
    def total_bytes(self) -> int:
        """Its memory."""

    @property
    def count(self) -> int:
        """How many cards this process could use."""

    @property
    def software(self) -> str:
        """Versions of what decides how much memory a training takes on it."""

    @property
    def device(self) -> str:
        """What `landslide.train` calls it."""

    def limit(self, allowed: int | None) -> None:
        """Let this process reserve at most so many bytes from now on, its context not counted; None = no limit."""

    def release(self) -> None:
        """Give back what this process holds and does not use."""

    def start_measuring(self) -> None:
        """Asked before this process has anything on the card."""

    def measured(self) -> tuple[int, int]:
        """Bytes: most that was reserved for tensors since `start_measuring`, and what the context takes beside them."""


class CudaCard:
    """The current CUDA device."""

    device = "cuda"

    def __init__(self) -> None:
        self._properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        self._free_before: int | None = None
        self._witness: subprocess.Popen[str] | None = None

    @property
    def name(self) -> str:
        """See `Card`."""
        return str(self._properties.name)

    @property
    def total_bytes(self) -> int:
        """See `Card`."""
        return int(self._properties.total_memory)

    @property
    def count(self) -> int:
        """See `Card`."""
        return torch.cuda.device_count()

    @property
    def software(self) -> str:
        """See `Card`."""
        driver = Path("/proc/driver/nvidia/version")
        told = driver.read_text().splitlines()[0] if driver.is_file() else platform.platform()
        return f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, {told}"  # type: ignore[no-untyped-call]

    def limit(self, allowed: int | None) -> None:
        """See `Card`."""
        torch.cuda.set_per_process_memory_fraction(
            1.0 if allowed is None else min(1.0, allowed / self.total_bytes)
        )

    def release(self) -> None:
        """See `Card`."""
        gc.collect()
        torch.cuda.empty_cache()

    def start_measuring(self) -> None:
        """Start another process on the card: only it can say what was free before this one came.

        CUDA tells the free memory only to who has a context already. The two start up side by side, and the other
        one's context is in both of the numbers whose difference is wanted.
        """
        # Not on our stderr: whoever kills this process for hanging would wait there for a witness that hangs as well.
        self._witness = subprocess.Popen(
            [sys.executable, "-c", _WITNESS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._witness.stdout is not None
        told = self._witness.stdout.readline()
        self._free_before = int(told) if told.strip().isdigit() else None

    def measured(self) -> tuple[int, int]:
        """See `Card`; a context that cannot be told from what others do on the card is `CONTEXT_BYTES`."""
        torch.cuda.synchronize()
        peak, reserved = torch.cuda.max_memory_reserved(), torch.cuda.memory_reserved()
        free, _ = torch.cuda.mem_get_info()
        self._dismiss_witness()
        context = CONTEXT_BYTES if self._free_before is None else self._free_before - free - reserved
        low, high = _CONTEXT_RANGE
        return peak, context if low <= context <= high else CONTEXT_BYTES

    def _dismiss_witness(self) -> None:
        if self._witness is None:
            return
        with suppress(OSError, subprocess.TimeoutExpired):  # it ends when its standard input does
            self._witness.communicate(timeout=_WITNESS_SECONDS)
        if self._witness.poll() is None:
            self._witness.kill()
        self._witness = None


def find_card() -> Card | None:
    """The card of this process; None where there is none.

    Raises:
        ImportError, AttributeError, ValueError: the environment variable LANDSLIDE_TUNE_CARD names no factory.
    """
    if named := os.environ.get(CARD_VARIABLE):
        module, factory = named.split(":")
        card: Card = getattr(importlib.import_module(module), factory)()
        return card
    return CudaCard() if torch.cuda.is_available() else None


@contextmanager
def share_of_card(share: float) -> Iterator[str]:
    """Within the block this process reserves no more than a share of its card; yields what `train` calls the card.

    Args:
        share: above 0; from 1 on there is no limit. The context of the process has to fit into it as well.

    Raises:
        OSError: this machine has no card, or lost it.
        OutOfMemory: the share is no more than what the context of a process takes.
    """
    with out_of_memory_named("CUDA's own context", "the GPU beside what others hold", remedy=_MORE):
        card = find_card()
        if card is None:
            raise OSError(
                errno.ENODEV, f"no GPU is visible to torch {torch.__version__} on {platform.node()}"
            )
        allowed = int(share * card.total_bytes) - CONTEXT_BYTES
        if allowed <= 0:
            raise OutOfMemory(
                f"{share:g} of the {card.total_bytes / 2**30:.1f} GiB of {card.name} is no more than CUDA itself "
                f"needs ({CONTEXT_BYTES / 2**30:.1f} GiB); {_MORE}"
            )
        card.limit(allowed if share < 1 else None)
    try:
        yield card.device
    finally:
        card.limit(None)
        card.release()
