"""Moving into place: once on POSIX, patiently on Windows, and the two places that write files agree."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from landslide import moving
from landslide.moving import move


class Busy:
    """`os.replace` of a platform on which the target is held open for the first so many attempts."""

    def __init__(self, attempts: int) -> None:
        self.refusals = attempts
        self.calls = 0
        self._replace = os.replace

    def __call__(self, source: Path, target: Path) -> None:
        self.calls += 1
        if self.calls <= self.refusals:
            raise PermissionError("the file is in use by another process")
        self._replace(source, target)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "new"
    path.write_text("new", encoding="utf-8")
    return path


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(moving, "PAUSES", (0.0, 0.0, 0.0))


def test_windows_is_asked_again_while_somebody_reads_the_old_file(
    on_windows: None, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", busy := Busy(2))
    move(source, tmp_path / "target")
    assert (tmp_path / "target").read_text(encoding="utf-8") == "new"
    assert busy.calls == 3


def test_windows_is_not_asked_for_ever(
    on_windows: None, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", busy := Busy(1000))
    with pytest.raises(PermissionError):
        move(source, tmp_path / "target")
    assert busy.calls == len(moving.PAUSES) + 1
    assert source.exists()


def test_elsewhere_a_refusal_is_final(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "replace", busy := Busy(1))
    with pytest.raises(PermissionError):
        move(source, tmp_path / "target")
    assert busy.calls == 1
