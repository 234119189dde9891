"""A small sweep with one random fault of every kind loses nothing, doubles nothing, and says the same at its end.

The large one is `tests/benchmarks/chaos.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tune.cli import main

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("benchmarks", "results_tests")]
from chaos_bench.plan import KINDS, Planned, plan
from chaos_bench.size import Size

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="needs /proc, prlimit and a cluster of raylets"
)
LIMIT = 480.0  # seconds after which something hangs
SIZE = Size(configs=4, seeds=2, epochs=5, patches=24)


@pytest.mark.ray
@pytest.mark.slow
def test_faults_of_every_kind_lose_and_double_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run directory and dataset are in a bucket, so that no node sees a file of another one."""
    from chaos_bench.course import run_sweep
    from chaos_bench.evidence import differences, record_of
    from chaos_bench.faults import Faults
    from chaos_bench.stage import stage, upload_data

    planned = plan(3, faults=len(KINDS), kinds=list(KINDS), epochs=SIZE.trials * SIZE.epochs)
    assert {fault.kind for fault in planned} == KINDS.keys()
    monkeypatch.setenv("CHAOS_CHECKPOINT_SECONDS", "0")
    with stage(SIZE, nodes=2) as place:
        calm, out = place.out("calm", bucket=False), place.out("disturbed", bucket=True)
        told = CliRunner().invoke(main, ["sweep", *place.words(SIZE, calm), "--in-process"])
        assert told.exit_code == 0, told.output
        user = place.user(place.words(SIZE, out, data=upload_data(place)))
        faults = Faults(place.nodes, user, place.server)
        course = run_sweep(user, place.pipe, faults=faults, planned=planned, limit_seconds=LIMIT, say=print)
        place.server.well()
        assert course.complete, "".join(user.stderr[-40:])
        expected, found = record_of(calm), record_of(out)
    assert differences(expected, found) == {"lost": [], "unexpected": [], "different": []}
    assert found.doubled == 0
    assert "".join(user.stdout) == told.stdout
    assert not course.left, "every fault has happened"
    assert faults.spoilt > 0
    # A node that dies may hold no trial at that moment, or its processes are missed before it is.
    assert found.retries.keys() & {"process lost", "node lost"}
    assert place.pipe.twice <= 2 * len(planned), "trials went on from their checkpoints"


@pytest.mark.parametrize("faults", [5, 7, 30, 100])
def test_a_plan_follows_from_its_seed_and_has_every_kind(faults: int) -> None:
    def drawn(seed: int) -> list[Planned]:
        return plan(seed, faults=faults, kinds=list(KINDS), epochs=240)

    found = drawn(1)
    assert found == drawn(1)
    assert found != drawn(2)
    assert len(found) == faults
    assert len({fault.kind for fault in found}) == min(faults, len(KINDS))
    assert [fault.epochs for fault in found] == sorted(fault.epochs for fault in found)
    assert all(1 <= fault.epochs <= 216 for fault in found)
