"""A dataset on the node of a trial: in a folder, or in a bucket, from which each machine fetches it once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faulty_s3 import FaultyS3

from landslide import DatasetError, PackedDataset, load_packed, open_packed, synthesize
from landslide.packed import default_cache_dir
from results import StoreError
from results.storage.downloads import listed_files
from results.storage.location import RunUrl, locate
from results.storage.object_store import RunObjects, Stored
from tune.dataset import data_source, dataset_here, open_dataset
from tune.errors import SweepError
from tune.recorded_sweep import recorded_sweep
from tune.sweep_file import declare
from tune.trial import TrialJob

#: faults of a request that only asks.
ANSWERS = ("500", "503", "reset", "lost", "silence", "truncated")
SECRET = "very-secret-value"


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "dataset"
    synthesize(out, patches=4, seed=3, size=32, bands=3)
    for kind in ("images", "annotations"):
        shutil.rmtree(out / kind / "test")
        for path in (out / kind).rglob("*.h5"):
            if int(path.stem.rpartition("_")[2]) > 3:
                path.unlink()
    return out


@pytest.fixture
def url(bucket: str, small_dataset: Path) -> str:
    """The dataset in a bucket, among other things."""
    place = f"{bucket}/data/first"
    objects = objects_of(place)
    for path in sorted(small_dataset.rglob("*.h5")):
        objects.put(path.relative_to(small_dataset).as_posix(), path.read_bytes())
    for name in ("README.md", ".cache/x.h5", "images/"):
        objects.put(name, b"")
    return place


def objects_of(url: str) -> RunObjects:
    place = locate(url)
    assert isinstance(place, RunUrl)
    return RunObjects(place)


def job_of(data: PackedDataset, source: str | Path) -> TrialJob:
    return TrialJob(
        {},
        (1, 2, 3),
        str(data.path),
        "unused",
        "cpu",
        1,
        data_source=data_source(source),
        data_id=data.data_id,
    )


def bodies(server: FaultyS3) -> list[str]:
    return [path for method, path in server.seen if method == "GET" and path.endswith(".h5")]


def no_folder_left_over() -> bool:
    return not [path for path in default_cache_dir().iterdir() if path.is_dir() and "." in path.name]


def test_each_machine_fetches_once(
    url: str, small_dataset: Path, s3_server: FaultyS3, at: Callable[[str], None]
) -> None:
    there = open_packed(small_dataset)
    spellings: tuple[Path | RunUrl | str, ...] = (url, Path(url), locate(url))
    for machine, spelled in enumerate(spellings):
        at(f"{machine}")
        s3_server.seen.clear()
        assert open_dataset(spelled).data_id == there.data_id
        assert len(bodies(s3_server)) == len(list(small_dataset.rglob("*.h5")))
        s3_server.seen.clear()
        open_dataset(spelled)
        assert not bodies(s3_server)
        assert no_folder_left_over()


def test_a_fault_at_any_request_costs_nothing_but_time(
    url: str, s3_server: FaultyS3, at: Callable[[str], None]
) -> None:
    """Every fifth request is spoiled, whatever it is: each is asked for again."""

    def spoiled(fault: str) -> Callable[[str, str], str | None]:
        requests = count()
        return lambda method, path: fault if next(requests) % 5 == 3 else None

    for fault in ANSWERS:
        at(fault)
        s3_server.seen.clear()
        s3_server.fault = spoiled(fault)
        data = open_dataset(url)
        assert len(s3_server.seen) > 13, f"{fault} was not noticed"
        assert (data.bands, data.patch_size, len(data.splits["train"])) == (3, 32, 3)
        assert no_folder_left_over()


def test_a_server_that_stays_ill_is_said_in_plain_words_and_the_fetch_goes_on_later(
    url: str, s3_server: FaultyS3, at: Callable[[str], None]
) -> None:
    for fault in ("503", "silence", "truncated"):
        at(fault)
        s3_server.ill(fault, method="GET", name="validation/image_3.h5")  # the last
        with pytest.raises(DatasetError, match="s3://tune") as caught:
            open_dataset(url)
        assert SECRET not in str(caught.value)
        s3_server.well()
        s3_server.seen.clear()
        open_dataset(url)
        assert 0 < len(bodies(s3_server)) < 12, "all 12 were fetched again"
        assert no_folder_left_over()


@pytest.mark.parametrize(
    "name",
    [
        "../escaped_1.h5",
        "/etc/x_1.h5",
        "a//b_1.h5",
        "a/./b_1.h5",
        "C:/x_1.h5",
        "a\\..\\..\\x_1.h5",
        "a/../../x_1.h5",
    ],
)
def test_names_that_would_leave_the_folder_are_refused(name: str) -> None:
    """Clients that tidy paths cannot store such objects, and others can."""
    objects: Any = SimpleNamespace(
        names=lambda: {name: Stored(1, "x"), "fine_1.h5": Stored(1, "x")}, url="s3://b/data"
    )
    with pytest.raises(StoreError, match=r"names that no folder can have"):
        listed_files(objects, lambda _: True)
    assert listed_files(objects, lambda found: found != name).keys() == {"fine_1.h5"}


def test_a_place_without_a_dataset_is_an_error_that_says_so(bucket: str) -> None:
    with pytest.raises(DatasetError, match=r"/nothing holds no file that ends in \.h5"):
        open_dataset(f"{bucket}/nothing")
    with pytest.raises(DatasetError, match="the bucket does not exist"):
        open_dataset("s3://no-such-bucket/data")
    for wrong in ("s3://bucket", "gs://bucket/data"):
        with pytest.raises(
            SweepError, match=r"data: .* is not a dataset: give a folder or s3://bucket/prefix"
        ):
            declare("smoke", data_dir=wrong, options={}, pins={})


def test_a_sweep_keeps_the_url(tmp_path: Path) -> None:
    for given in ("s3://bucket/data", Path("s3://bucket/data")):
        sweep = declare("smoke", data_dir=given, options={}, pins={})
        assert data_source(sweep.data_dir) == "s3://bucket/data"
    file = tmp_path / "sweep.yaml"
    file.write_text("sweep: x\nspace: smoke\ndata: s3://bucket/data\n")
    assert data_source(declare(str(file), options={}, pins={}).data_dir) == "s3://bucket/data"
    stored = {"space": sweep.space.to_dict(), "data_dir": "s3://bucket/data", "data_id": "x", "sweep_id": "y"}
    assert data_source(recorded_sweep(stored).data_dir) == "s3://bucket/data"


# ---- in a worker -----------------------------------------------------------------------------------------------------


@pytest.fixture
def never_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object, **__: object) -> Iterator[None]:
        pytest.fail("it was packed, though a packed copy was there")

    monkeypatch.setattr("landslide.packing.build", build)


def test_a_trial_takes_the_packed_copy_of_the_driver_where_it_sees_it(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    data = open_packed(small_dataset, cache_dir=tmp_path / "shared")
    request.getfixturevalue("never_packed")
    monkeypatch.delenv("LANDSLIDE_TUNE_CACHE")
    assert dataset_here(job_of(data, small_dataset)).path == data.path
    assert dataset_here(replace(job_of(data, small_dataset), data_source="", data_id="")).path == data.path


def test_another_node_uses_its_own_copy_and_makes_it_when_it_has_none(
    small_dataset: Path, at: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    at("a")
    data = open_packed(small_dataset)
    job = job_of(data, small_dataset)
    at("b")
    made = dataset_here(job)
    assert made.data_id == data.data_id
    assert made.path.is_relative_to(default_cache_dir())
    request.getfixturevalue("never_packed")
    assert dataset_here(job).path == made.path
    shutil.rmtree(data.path)
    assert dataset_here(job).path == made.path


def test_another_node_fetches_from_the_bucket(
    url: str, at: Callable[[str], None], s3_server: FaultyS3
) -> None:
    job = job_of(open_dataset(url), url)
    at("b")
    assert dataset_here(job).data_id == job.data_id
    s3_server.seen.clear()
    dataset_here(job)
    assert not s3_server.seen, "a trial asks no server for what is here"


def test_other_data_on_a_node_are_refused(
    small_dataset: Path, tmp_path: Path, at: Callable[[str], None]
) -> None:
    other = tmp_path / "other"
    synthesize(other, patches=4, seed=4, size=32, bands=3)
    at("a")
    job = replace(job_of(open_packed(small_dataset), small_dataset), data_source=str(other))
    at("b")
    with pytest.raises(
        DatasetError, match=rf"node .*: {other} holds other data .* \(data id .*, not {job.data_id}\)"
    ):
        dataset_here(job)


def test_a_node_without_the_folder_says_which_node_and_takes_the_drivers_copy_if_it_sees_that(
    small_dataset: Path, at: Callable[[str], None]
) -> None:
    at("a")
    data = open_packed(small_dataset)
    job = replace(job_of(data, small_dataset), data_source="/not/here")
    at("b")
    assert dataset_here(job).path == data.path
    gone = replace(job, cache_path=str(data.path.with_name("gone")))
    with pytest.raises(DatasetError, match=r"node .*: /not/here: /not/here does not exist"):
        dataset_here(gone)
    with pytest.raises(DatasetError, match="no complete packed cache"):
        dataset_here(replace(gone, data_source=""))
    assert load_packed(data.path).data_id == data.data_id
