"""The download, against a fake Hub: success, and each way to fail as one error with a way out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from landslide import DatasetError, download


class FakeHub:
    """Stands for the Hub: answers with a status, copies a local dataset, or raises."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.status = 200
        self.unreachable: Exception | None = None
        self.breaks: Exception | None = None
        self.asked: list[tuple[str, float]] = []

    def get(self, url: str, *, timeout: float, headers: dict[str, str]) -> SimpleNamespace:
        self.asked.append((url, timeout))
        if self.unreachable is not None:
            raise self.unreachable
        return SimpleNamespace(status_code=self.status)

    def snapshot_download(self, repo_id: str, *, local_dir: str, **options: Any) -> str:
        assert options["repo_type"] == "dataset"
        if self.breaks is not None:
            raise self.breaks
        shutil.copytree(self.source, local_dir, dirs_exist_ok=True)
        (Path(local_dir) / ".cache").mkdir()
        return local_dir


@pytest.fixture
def hub(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tiny_dataset)
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: fake)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    return fake


def failure(out: Path, **options: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        download(out, **options)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


def test_a_download_is_paired_and_checked(hub: FakeHub, tmp_path: Path) -> None:
    files = download(tmp_path / "out", timeout=3.0)
    assert {split: len(patches) for split, patches in files.splits.items()} == {
        "train": 24,
        "val": 8,
        "test": 8,
    }
    assert files.skipped == {"mask without image": 1, "hidden (such as .cache)": 1}
    url, timeout = hub.asked[0]
    assert url.endswith("/api/datasets/ibm-nasa-geospatial/Landslide4sense")
    assert timeout == 3.0


def test_an_unreachable_hub_is_asked_once_and_the_manual_way_is_named(hub: FakeHub, tmp_path: Path) -> None:
    hub.unreachable = ConnectionError("no route\nand many more lines")
    text = failure(tmp_path / "out")
    assert "cannot be reached (ConnectionError: no route)" in text
    assert "https://huggingface.co/datasets/ibm-nasa-geospatial/Landslide4sense" in text
    assert "landslide-tune data check" in text
    assert len(hub.asked) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_refusal_names_the_repository_and_the_status(hub: FakeHub, tmp_path: Path, status: int) -> None:
    hub.status = status
    text = failure(tmp_path / "out", repo_id="someone/else")
    assert "someone/else" in text
    assert f"HTTP status {status}" in text
    assert "HF_TOKEN" in text


@pytest.mark.parametrize("error", [OSError("No space left"), RuntimeError("cut"), ValueError("odd")])
def test_a_broken_download_says_how_to_continue(hub: FakeHub, tmp_path: Path, error: Exception) -> None:
    hub.breaks = error
    text = failure(tmp_path / "out")
    assert str(error) in text
    assert "run the same command again to continue" in text


def test_another_kind_of_repository_is_refused_as_a_dataset(
    hub: FakeHub, tmp_path: Path, write_h5: Callable[..., Path]
) -> None:
    hub.source = tmp_path / "text"
    hub.source.mkdir()
    (hub.source / "README.md").write_text("no patches", encoding="utf-8")
    assert "holds no known layout" in failure(tmp_path / "out")


def test_a_file_in_the_way_is_refused_before_the_hub_is_asked(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way", encoding="utf-8")
    assert "is a file" in failure(tmp_path / "out")
    assert hub.asked == []
