"""Where a run computes: the device and the number of CPU threads. Nothing here trains."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from landslide.errors import OutOfMemory, SettingsError


def resolve_device(name: str) -> str:
    """The device that a name stands for: "auto" is CUDA where there is one, otherwise the CPU.

    Args:
        name: "auto", "cpu", "cuda" or "cuda:" and an index.

    Raises:
        SettingsError: the name is not a device, or this machine does not have it.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise SettingsError(f"device {name!r} is unknown; allowed are auto, cpu, cuda and cuda:INDEX")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"device {name!r} is not there: torch {torch.__version__} sees {torch.cuda.device_count()} CUDA "
            f"devices on this machine; use cpu or auto, or install a CUDA build of torch and the driver"
        )
    return name


def set_threads(count: int) -> None:
    """Let torch compute with `count` CPU threads from now on, in this whole process.

    The number of threads changes the bits of a result, so it belongs to a run's identity: set it before
    training, to the same number in every run that is to be compared.

    Raises:
        SettingsError: `count` is below 1.
    """
    if count < 1:
        raise SettingsError(f"{count} threads are not possible; allowed is at least 1")
    torch.set_num_threads(count)


def start_counting_memory(device: torch.device) -> None:
    """Forget the peak of a CUDA device so far; the CPU's cannot be forgotten."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: torch.device) -> int | None:
    """Most memory in use, in bytes.

    Of the tensors on a CUDA device since `start_counting_memory`; on the CPU of the whole process since its
    start, and None on Windows, whose standard library does not tell.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


@contextmanager
def out_of_memory_named(what: str, device: str) -> Iterator[None]:
    """Within the block, a lack of memory raises `OutOfMemory` instead of whatever torch has for it.

    Args:
        what: that does not fit, as the subject of a sentence.
        device: that it does not fit.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        told = str(error).lower()
        named = isinstance(error, torch.OutOfMemoryError | MemoryError)
        # On the CPU torch raises a plain RuntimeError; the second wording is that of Windows.
        if not named and "can't allocate memory" not in told and "not enough memory" not in told:
            raise
        raise OutOfMemory(
            f"{what} does not fit the memory of {device}; lower batch_size or choose a smaller backbone"
        ) from error
