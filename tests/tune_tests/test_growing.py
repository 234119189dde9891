"""What the autoscaler of a joined runtime is asked for, and how long its first node is waited for. Without Ray."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tune import growing

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `toy_sweeps` lies beside us
from toy_sweeps import a_sweep

Asked = list[list[dict[str, float]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What Ray was asked for, one entry per call."""
    calls: Asked = []
    monkeypatch.setattr("ray.autoscaler.sdk.request_resources", lambda *, bundles: calls.append(bundles))
    return calls


@pytest.fixture
def nodes_come(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Let a node with 8 CPUs and a GPU come at the n-th look; returns where looks are counted."""

    def come(at: int) -> list[int]:
        looks = [0]

        def alive() -> dict[str, dict[str, float]]:
            looks[0] += 1
            head = {"head": {"CPU": 0.0}}
            return head if looks[0] < at else {**head, "gpu": {"CPU": 8.0, "GPU": 1.0}}

        monkeypatch.setattr(growing, "alive_nodes", alive)
        monkeypatch.setattr(growing.time, "sleep", lambda seconds: None)
        return looks

    return come


def test_room_for_all_trials_is_asked_for_until_the_end(
    asked: Asked, nodes_come: Callable[[int], list[int]]
) -> None:
    looks, told = nodes_come(4), StringIO()
    with growing.grown(a_sweep(max_concurrent=6, gpus_per_trial=0.25), Console(file=told)):
        assert asked == [[{"CPU": 1.0, "GPU": 0.25}] * 6]
        assert looks == [4]
    assert asked[1:] == [[]]
    assert told.getvalue().count("room for 6 is asked for") == 1


def test_a_share_that_is_measured_first_takes_one_node_to_measure_on(
    asked: Asked, nodes_come: Callable[[int], list[int]]
) -> None:
    nodes_come(1)
    with growing.grown(
        a_sweep(max_concurrent=8, gpus_per_trial="auto"), Console(file=StringIO())
    ) as told_share:
        told_share(0.2)
    assert asked == [[{"CPU": 1.0, "GPU": 1.0}], [{"CPU": 1.0, "GPU": 0.2}] * 8, []]


def test_without_a_number_of_trials_nobody_is_asked(
    asked: Asked, nodes_come: Callable[[int], list[int]]
) -> None:
    looks = nodes_come(99)
    with growing.grown(a_sweep(), Console(file=StringIO())) as told_share:
        told_share(0.5)
    assert (asked, looks) == ([], [0])


def test_a_sweep_without_gpus_asks_for_none() -> None:
    assert growing.room_for(a_sweep(cpus_per_trial=2.0), 0.0, 3) == [{"CPU": 2.0}] * 3


def test_the_wait_ends_and_so_does_the_request(
    asked: Asked, nodes_come: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def clock() -> Iterator[float]:
        yield from (0.0, 1.0, 2.0)
        while True:
            yield 60 * growing.NODE_MINUTES + 1

    nodes_come(10**9)
    ticks = clock()
    monkeypatch.setattr(growing.time, "monotonic", lambda: next(ticks))
    with growing.grown(a_sweep(max_concurrent=2), Console(file=StringIO())):
        pass  # that no node can hold a trial is said by who looks next
    assert asked[-1] == []


def test_an_interruption_takes_the_request_back(asked: Asked, nodes_come: Callable[[int], list[int]]) -> None:
    nodes_come(1)
    with (
        pytest.raises(KeyboardInterrupt),
        growing.grown(a_sweep(max_concurrent=2), Console(file=StringIO())),
    ):
        raise KeyboardInterrupt
    assert asked == [[{"CPU": 1.0}] * 2, []]
