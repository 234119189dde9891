"""Where a run computes: the device and the number of CPU threads. Nothing here trains."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from landslide.errors import ModelError, OutOfMemory, SettingsError

#: What torch and the libraries below it say, in lower case, in plain RuntimeErrors for want of memory.
_LACKS_OF_MEMORY = (
    "can't allocate memory",  # the CPU
    "not enough memory",  # the CPU on Windows
    "cuda error: out of memory",  # outside torch's own allocator, as torch.AcceleratorError
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)
#: cuBLAS keeps its bits only with a workspace of fixed size; it reads this when it is first used.
_CUBLAS_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


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


@contextmanager
def reproducible_operations(asked: bool) -> Iterator[None]:
    """Within the block torch uses operations with reproducible bits alone, if `asked` to.

    Afterwards torch's own switch is as it was. The environment variable CUBLAS_WORKSPACE_CONFIG stays set,
    because cuBLAS reads it once: it has to be set before the process first multiplies matrices on CUDA.

    Raises:
        ModelError: the model needs an operation that has no reproducible form.
    """
    if not asked:
        yield
        return
    os.environ.setdefault(*_CUBLAS_WORKSPACE)
    before, warned = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        first = str(error).splitlines()[0]
        raise ModelError(
            f"deterministic training is not possible with this model ({first}); "
            f"choose another architecture or loss, or train without `deterministic`"
        ) from error
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


def forward_precision(device: torch.device, *, amp: bool) -> torch.dtype:
    """The type in which a training forward pass computes; float32 means no mixed precision.

    Args:
        device: mixed precision acts on CUDA only.
        amp: whether it is wanted. A card that has bfloat16 in hardware uses it, an older one float16.
    """
    if not amp or device.type != "cuda":
        return torch.float32
    # Emulated bfloat16 counts as support for torch, but is slower than float16 in hardware.
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


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
def out_of_memory_named(
    what: str, device: str, *, remedy: str = "lower batch_size or choose a smaller backbone"
) -> Iterator[None]:
    """Within the block, a lack of memory raises `OutOfMemory` instead of whatever torch has for it.

    Args:
        what: that does not fit, as the subject of a sentence.
        device: that it does not fit.
        remedy: what to do about it.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_lack_of_memory(error):
            raise
        raise OutOfMemory(f"{what} does not fit the memory of {device}; {remedy}") from error


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, in whichever of torch's ways to say so."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    told = str(error).lower()
    return isinstance(error, RuntimeError) and any(wording in told for wording in _LACKS_OF_MEMORY)
