"""Lack of memory by its names, precision by the card, and reproducible operations for a while."""

from __future__ import annotations

import os

import pytest
import torch

from landslide import ModelError, OutOfMemory
from landslide.device import (
    forward_precision,
    is_lack_of_memory,
    out_of_memory_named,
    reproducible_operations,
)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_lack_of_memory_is_known_by_all_its_names(error: Exception) -> None:
    assert is_lack_of_memory(error)
    named = out_of_memory_named("the batch", "cuda", remedy="buy more")
    with pytest.raises(OutOfMemory, match="the batch does not fit the memory of cuda; buy more"), named:
        raise error


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal memory access"), ValueError("not enough memory")]
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error), match="memory") as caught, out_of_memory_named("the batch", "cuda"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(("in_hardware", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_mixed_precision_is_that_which_the_card_computes_in(
    monkeypatch: pytest.MonkeyPatch, in_hardware: bool, expected: torch.dtype
) -> None:
    # every card from compute capability 5.3 on emulates bfloat16, which torch counts unless told not to
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or in_hardware
    )
    assert forward_precision(torch.device("cuda"), amp=True) is expected
    assert forward_precision(torch.device("cuda"), amp=False) is torch.float32
    assert forward_precision(torch.device("cpu"), amp=True) is torch.float32


def test_reproducible_operations_last_as_long_as_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with reproducible_operations(False):
        assert not torch.are_deterministic_algorithms_enabled()
    with reproducible_operations(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_operation_without_reproducible_form_is_an_error_with_a_way_out() -> None:
    with pytest.raises(ModelError, match="train without `deterministic`"), reproducible_operations(True):
        raise RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation, but you set")
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="something else"), reproducible_operations(True):
        raise RuntimeError("something else")
