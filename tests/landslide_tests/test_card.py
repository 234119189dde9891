"""A process takes its share of a card and no more, and what a training takes is measured by training."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from landslide import OutOfMemory, TrainSettings, card
from landslide.card import CARD_VARIABLE, CONTEXT_BYTES, CudaCard, find_card, share_of_card
from landslide.footprint import HEADROOM, STEPS, Footprint, measure_footprint

GIB = 2**30
SMALL = TrainSettings(backbone="tu-mobilenetv3_small_050", batch_size=4)


class Pretended:
    """A card of 8 GiB that writes down what is asked of it; computes on the CPU."""

    name, software, device, count, total_bytes = "Pretended", "1", "cpu", 1, 8 * GIB

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def limit(self, allowed: int | None) -> None:
        self.asked.append(allowed)

    def release(self) -> None:
        self.asked.append("released")

    def start_measuring(self) -> None:
        self.asked.append("measuring")

    def measured(self) -> tuple[int, int]:
        return GIB, 0


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    made = Pretended()
    monkeypatch.setattr(card, "find_card", lambda: made)
    return made


def test_a_share_is_a_limit_below_it_for_as_long_as_the_block(pretended: Pretended) -> None:
    with share_of_card(0.25) as device:
        assert (device, pretended.asked) == ("cpu", [2 * GIB - CONTEXT_BYTES])
    assert pretended.asked[1:] == [None, "released"]


@pytest.mark.parametrize("share", [1.0, 2.0])
def test_a_whole_card_has_no_limit(pretended: Pretended, share: float) -> None:
    with share_of_card(share):
        assert pretended.asked == [None]


def test_the_limit_goes_with_the_run_that_fails(pretended: Pretended) -> None:
    with pytest.raises(ZeroDivisionError), share_of_card(0.5):
        raise ZeroDivisionError
    assert pretended.asked[1:] == [None, "released"]


def test_a_share_that_the_context_takes_is_out_of_memory(pretended: Pretended) -> None:
    with (
        pytest.raises(OutOfMemory, match=r"0\.05 of the 8\.0 GiB of Pretended .* larger share"),
        share_of_card(0.05),
    ):
        pytest.fail("trained without memory")
    assert pretended.asked == []


def test_a_card_too_full_for_a_context_is_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(card, "find_card", full)
    with (
        pytest.raises(OutOfMemory, match=r"context does not fit .* give a trial a larger share"),
        share_of_card(0.5),
    ):
        pytest.fail("trained without memory")


def test_a_machine_that_lost_its_card_is_no_fault_of_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "find_card", lambda: None)
    with pytest.raises(OSError, match="no GPU is visible to torch"), share_of_card(0.5):
        pytest.fail("trained without a card")


def test_a_card_is_found_by_its_name_else_cudas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CARD_VARIABLE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_card() is None
    monkeypatch.setenv(CARD_VARIABLE, "collections:OrderedDict")
    assert find_card() == {}


def test_the_context_is_what_was_free_before_less_what_is_free_now(monkeypatch: pytest.MonkeyPatch) -> None:
    # the driver's part is replaced by numbers; the `gpu` test below asks a real one
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 3 * GIB)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 2 * GIB)
    monkeypatch.setattr(card, "_WITNESS", f"import sys; print({9 * GIB}, flush=True); sys.stdin.read()")
    for free, expected in (
        (6.5, GIB // 2),  # 9 before, 2 reserved: 0.5 are the context's
        (8.9, CONTEXT_BYTES),  # somebody else ended meanwhile
        (1.0, CONTEXT_BYTES),  # somebody else began
    ):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free: (int(free * GIB), 80 * GIB))
        measuring = CudaCard()
        measuring.start_measuring()
        assert measuring.measured() == (3 * GIB, expected)


def test_a_witness_that_hangs_keeps_nobody_waiting_for_the_end_of_our_stderr(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: None)
    monkeypatch.setattr(
        card, "_WITNESS", "import sys; print('has it', file=sys.stderr, flush=True); print(7)"
    )
    measuring = CudaCard()
    measuring.start_measuring()
    assert measuring._free_before == 7
    measuring._dismiss_witness()
    assert capfd.readouterr().err == ""


def test_a_context_that_nobody_could_watch_has_the_stated_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    for name in ("max_memory_reserved", "memory_reserved"):
        monkeypatch.setattr(torch.cuda, name, lambda: GIB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (GIB, 2 * GIB))
    monkeypatch.setattr(card, "_WITNESS", "import sys; sys.exit(3)")
    measuring = CudaCard()
    measuring.start_measuring()
    assert measuring.measured() == (GIB, CONTEXT_BYTES)


def test_a_footprint_is_measured_by_training_and_validating(pretended: Pretended) -> None:
    seen: list[tuple[bool, tuple[int, ...]]] = []

    def before(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        if hasattr(module, "encoder"):
            seen.append((module.training, tuple(arguments[0].shape)))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(before)
    try:
        found = measure_footprint(SMALL, pretended, bands=5, patch_size=32)  # type: ignore[arg-type]
    finally:
        handle.remove()
    steps = [shape for training, shape in seen if training]
    assert steps == [(SMALL.batch_size, 5, 32, 32)] * STEPS
    assert (False, (32, 5, 32, 32)) in seen  # a batch of the evaluation
    assert found == Footprint("Pretended", 8 * GIB, GIB, 0)


def test_the_part_of_a_card_has_room_for_other_steps_and_for_the_context() -> None:
    small, large = (Footprint("c", 8 * GIB, GIB, context) for context in (0, GIB))
    assert small.part == pytest.approx((GIB * HEADROOM + CONTEXT_BYTES) / (8 * GIB))
    assert large.part == pytest.approx((GIB * HEADROOM + GIB) / (8 * GIB))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_card_is_measured_and_limited() -> None:
    real = CudaCard()
    found = measure_footprint(SMALL, real, bands=5, patch_size=64)
    assert 0 < found.reserved_bytes < found.total_bytes
    with pytest.raises(torch.OutOfMemoryError), share_of_card(0.1):
        torch.empty(int(0.2 * real.total_bytes), dtype=torch.uint8, device="cuda")
    torch.empty(int(0.2 * real.total_bytes), dtype=torch.uint8, device="cuda")
