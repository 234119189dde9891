"""A bucket that fails: no committed row is lost or doubled, the sweep goes on, and the message says what is wrong."""

from __future__ import annotations

import random

import pytest
from bucket_sweeps import assert_bucket_is_like, epochs_of, fill, killed, objects, rows_of
from faulty_s3 import FAULTS, FaultyS3
from recorded_sweeps import SWEEP, epoch_record, run_record

from results import ResultsStore, StoreError
from results.storage.location import local_copy
from results.storage.segments import Segments

pytestmark = pytest.mark.usefixtures("impatient")


class Clock:
    """Seconds that a test moves by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_on(self) -> None:
        """Half a minute: what is recorded is due for a part."""
        self.now += 31


def attempted(store: ResultsStore) -> None:
    """Wait until the background thread has tried what it was asked for."""
    mirror = store._mirror
    assert mirror is not None
    with mirror._changed:
        assert mirror._changed.wait_for(lambda: mirror._tried == mirror._asked, timeout=20)


def record(store: ResultsStore, epoch: int, clock: Clock) -> list[StoreError]:
    """An epoch, its way to disk, and half a minute: everything goes on after an error."""
    errors = []
    for step in (lambda: store.add_epoch(epoch_record(epoch=epoch)), store.flush, clock.pass_on, store.tick):
        try:
            step()
        except StoreError as error:
            errors.append(error)
    return errors


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "truncated"])
def test_a_server_that_fails_for_a_while_gets_everything_later(
    run_url: str, s3_server: FaultyS3, fault: str
) -> None:
    """Rows stay on this machine's disk; the failure is said once, not at every row."""
    clock = Clock()
    store = ResultsStore.create(run_url, SWEEP, clock=clock)
    s3_server.ill(fault, method="PUT")
    errors: list[StoreError] = []
    for epoch in range(1, 6):
        errors += record(store, epoch, clock)
        attempted(store)
        assert epochs_of(store.run_dir) == [("c0-r0", n) for n in range(1, epoch + 1)]
    assert [error.rows_kept for error in errors] == [True]
    assert f"{run_url} does not have all results yet" in str(errors[0])
    assert str(store.run_dir) in str(errors[0])
    s3_server.well()
    clock.now += 31
    store.tick()
    attempted(store)
    assert epochs_of(run_url) == [("c0-r0", n) for n in range(1, 6)]
    store.close()
    assert_bucket_is_like(run_url, store.run_dir)


def test_a_second_failure_is_said_again(run_url: str, s3_server: FaultyS3) -> None:
    clock = Clock()
    store = ResultsStore.create(run_url, SWEEP, clock=clock)
    for epoch in (1, 2):
        s3_server.ill("500")
        store.add_epoch(epoch_record(epoch=epoch))
        clock.now += 31
        store.tick()
        attempted(store)
        with pytest.raises(StoreError, match="does not have all results yet"):
            store.tick()
        store.tick()
        s3_server.well()
        clock.now += 31
        store.tick()
        attempted(store)
        store.tick()
    store.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_is_gone_at_the_end_gets_the_rest_at_the_next_opening(
    run_url: str, s3_server: FaultyS3, fault: str
) -> None:
    store = ResultsStore.create(run_url, SWEEP)
    fill(store)
    s3_server.ill(fault, name="part-" if fault == "half unseen" else "")
    with pytest.raises(StoreError, match="does not have all results yet") as caught:
        store.close()
    assert caught.value.rows_kept
    store.close()  # it is closed: the next writer may come
    s3_server.well()
    with ResultsStore.open(run_url) as store:
        written = rows_of(store)
    assert len(written["epochs"]) == 3
    assert rows_of(ResultsStore.read(run_url)) == written
    assert_bucket_is_like(run_url, store.run_dir)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_fails_the_bucket_ends_like_the_disk(run_url: str, s3_server: FaultyS3, seed: int) -> None:
    """Every third request fails in some way, the process is killed at times, and parts are compacted."""
    chance = random.Random(seed)
    clock, store, expected = Clock(), ResultsStore.create(run_url, SWEEP), []

    def fault(method: str, path: str) -> str | None:
        return chance.choice(FAULTS if "part" in path else FAULTS[:-1]) if chance.random() < 0.3 else None

    for step in range(12):
        if step % 4 == 3:
            s3_server.well()
            killed(store)
            store = ResultsStore.open(run_url, clock=clock)
        s3_server.fault = fault
        expected.append(("c0-r0", step))
        assert all(error.rows_kept for error in record(store, step, clock))
        if step % 5 == 4:
            store.compact()
        attempted(store)
        assert epochs_of(store.run_dir) == expected
    s3_server.well()
    try:
        store.close()
    except StoreError:
        ResultsStore.open(run_url).close()
    assert epochs_of(run_url) == expected
    assert_bucket_is_like(run_url, store.run_dir)


def test_a_silent_server_delays_nobody(
    run_url: str, s3_server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are recorded while an upload waits for an answer, and a reader of the disk sees them."""
    monkeypatch.setattr("results.storage.object_store.READ_SECONDS", 600)
    clock = Clock()
    store = ResultsStore.create(run_url, SWEEP, clock=clock)
    s3_server.ill("silence")
    for epoch in range(1, 4):
        store.add_epoch(epoch_record(epoch=epoch))
        clock.now += 31
        store.tick()
    assert epochs_of(store.run_dir) == [("c0-r0", 1), ("c0-r0", 2), ("c0-r0", 3)]
    monkeypatch.setattr("results.storage.mirror.STALL_SECONDS", 0.1)
    with pytest.raises(StoreError, match="nothing arrived for 0 seconds"):
        store.close()


def test_a_full_disk_lets_no_end_of_a_run_overtake_its_epochs(
    run_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    store = ResultsStore.create(run_url, SWEEP, clock=clock)
    store.add_epoch(epoch_record())
    store.add_run(run_record())
    rotate = Segments.rotate

    def no_space_for_epochs(self: Segments) -> None:
        if self.table.name == "epochs":
            raise OSError(28, "No space left on device")
        rotate(self)

    with monkeypatch.context() as patch:
        patch.setattr(Segments, "rotate", no_space_for_epochs)
        clock.now += 31
        with pytest.raises(StoreError, match="No space left"):
            store.tick()
    assert list(local_copy(run_url).glob("runs/*.parquet"))
    attempted(store)
    assert ResultsStore.read(run_url).runs().num_rows == 0
    store.close()
    assert ResultsStore.read(run_url).runs().num_rows == ResultsStore.read(run_url).epochs().num_rows == 1


@pytest.mark.parametrize("name", ["epochs/part", "configs.parquet", "sweep.json"])
def test_a_body_that_breaks_off_is_read_again_and_else_named(
    run_url: str, s3_server: FaultyS3, name: str
) -> None:
    with ResultsStore.create(run_url, SWEEP) as store:
        fill(store)
        written = rows_of(store)
    cut: list[str] = []

    def twice(method: str, path: str) -> str | None:
        if method == "GET" and f"first/{name}" in path and len(cut) < 2:
            cut.append(path)
            return "truncated"
        return None

    s3_server.fault = twice
    assert rows_of(ResultsStore.read(run_url)) == written
    assert len(cut) == 2
    s3_server.ill("truncated", method="GET", name=f"first/{name}")
    with pytest.raises(StoreError, match=rf"{run_url}/{name}\S* cannot be read whole"):
        rows_of(ResultsStore.read(run_url))


@pytest.mark.parametrize("name", ["epochs/part-000000.parquet", "configs.parquet", "sweep.json"])
@pytest.mark.parametrize("content", [b"", b"PAR1 nothing PAR1"])
def test_a_damaged_object_is_named(run_url: str, name: str, content: bytes) -> None:
    with ResultsStore.create(run_url, SWEEP) as store:
        fill(store)
    objects(run_url).put(name, content)
    with pytest.raises(StoreError, match=rf"{run_url}/{name} (is damaged|cannot be read)"):
        rows_of(ResultsStore.read(run_url))
