"""Several raylets on this machine, each with caches of its own: a node goes in mid-sweep, another one comes.

Run directory and dataset are folders that all nodes see. Where no node sees a file of another one: `test_chaos.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tune.cli import main

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("benchmarks", "results_tests")]
from chaos_bench.plan import Planned
from chaos_bench.size import Size

if TYPE_CHECKING:
    from chaos_bench.evidence import Record
    from chaos_bench.stage import Stage

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="a cluster of raylets, and /proc"),
]
LIMIT = 300.0  # seconds after which something hangs
SIZE = Size(configs=2, seeds=3, epochs=12, patches=24)
#: As soon as six epochs are computed, the oldest node dies; a second later another one is added.
NODE_LOST = Planned("node", epochs=6, delay=0.0, lasts=1.0, draw=0.0)


@pytest.fixture(scope="module")
def place() -> Iterator[Stage]:
    """A cluster of two nodes."""
    from chaos_bench.stage import stage

    with stage(SIZE, nodes=2) as made:
        yield made


@pytest.fixture(scope="module")
def calm(place: Stage) -> Record:
    """The same sweep in this process, without faults."""
    from chaos_bench.evidence import record_of

    out = place.out("calm", bucket=False)
    told = CliRunner().invoke(main, ["sweep", *place.words(SIZE, out), "--in-process"])
    assert told.exit_code == 0, told.output
    return record_of(out)


def test_a_node_that_goes_and_one_that_comes_leave_the_rows_of_a_calm_sweep(
    place: Stage, calm: Record
) -> None:
    from chaos_bench.course import run_sweep
    from chaos_bench.evidence import differences, record_of
    from chaos_bench.faults import Faults

    out, before = place.out("disturbed", bucket=False), place.nodes.names
    user = place.user(place.words(SIZE, out))
    faults = Faults(place.nodes, user, place.server)
    course = run_sweep(user, place.pipe, faults=faults, planned=[NODE_LOST], limit_seconds=LIMIT, say=print)
    assert course.complete, "".join(user.stderr)
    assert user.endings == [0], "nobody had to type --resume"
    assert [struck.planned for struck in course.struck] == [NODE_LOST]
    assert place.nodes.names != before
    told = "".join(user.stderr)
    assert all(f"/{short(place, name)} " in told for name in before), "the nodes are listed at the start"
    found = record_of(out)
    assert differences(calm, found) == {"lost": [], "unexpected": [], "different": []}
    assert found.doubled == 0
    assert found.retries == {"node lost": 1}, "one trial ran there"
    assert place.pipe.twice <= 2, "it went on from its checkpoint"
    assert set(place.pipe.packed.values()) == {1}, "a machine packs once"
    packed = {name for name, cache in place.nodes.caches.items() if list(cache.glob("*/manifest.json"))}
    assert packed >= {*before, *place.nodes.names}, "all of them trained"


def test_what_the_nodes_lack_is_said_before_anything_is_trained(place: Stage) -> None:
    words = place.words(SIZE, place.out("refused", bucket=False))
    told = refused(place, [*words, "--cpus-per-trial", "4"])
    assert "a trial asks for 4 CPUs" in told
    assert "lower --cpus-per-trial" in told
    data = place.folder / "data"
    node = short(place, place.nodes.add({"CHAOS_WITHOUT_DATA": str(data)}))
    told = refused(place, words)
    assert f"/{node}: data: {data} is not a folder there: give all nodes the dataset" in told
    assert not Path(place.out("refused", bucket=False)).exists()


def short(place: Stage, name: str) -> str:
    """As nodes of one host are told apart."""
    return place.nodes.ids[name][:6]


def refused(place: Stage, words: list[str]) -> str:
    """What the command says before it ends as one that was given bad input. In this process: it starts faster."""
    told = CliRunner().invoke(main, ["sweep", *words, "--address", place.nodes.address])
    assert told.exit_code == 2, told.output
    return " ".join(told.output.split())
