"""A file is replaced as a whole, also on Windows while somebody reads the old one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from results.storage import atomic
from results.storage.atomic import leftover_of, remove_leftovers, remove_together, replace_file, replace_text


@pytest.mark.parametrize(
    ("platform", "refusals", "works"), [("win32", 2, True), ("win32", 9, False), ("linux", 1, False)]
)
def test_only_windows_is_asked_again_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, refusals: int, works: bool
) -> None:
    replace, calls = os.replace, []

    def busy(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) <= refusals:
            raise PermissionError("the file is in use by another process")
        replace(source, target)

    target = tmp_path / "file.json"
    target.write_text("old", encoding="utf-8")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(atomic, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(os, "replace", busy)
    if works:
        replace_text(target, "new")
    else:
        with pytest.raises(PermissionError):
            replace_text(target, "new")
    assert target.read_text(encoding="utf-8") == ("new" if works else "old")
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]


def test_leftovers_of_a_killed_process_are_known_by_their_names(tmp_path: Path) -> None:
    for name in ("sweep.json", "report.html"):
        temporary: list[str] = []
        replace_file(tmp_path / name, lambda file, names=temporary: names.append(file.name))
        (tmp_path / name).unlink()
        Path(temporary[0]).touch()
    (tmp_path / ".mine.tmp").touch()
    assert {leftover_of(path.name) for path in tmp_path.iterdir()} == {"sweep.json", "report.html", None}
    remove_leftovers(tmp_path, ("sweep.json",))
    assert {leftover_of(path.name) for path in tmp_path.iterdir()} == {"report.html", None}
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mine.tmp"]
    remove_leftovers(tmp_path / "not there")


def test_files_leave_the_folder_together_and_one_that_is_held_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"part-{i}.parquet" for i in range(3)]
    for path in paths:
        path.touch()
    seen, rename = [], Path.rename

    def renamed(self: Path, target: Path) -> Path:
        if self == paths[0]:
            raise PermissionError(13, "being used by another process")
        return rename(self, target)

    def removed(self: Path) -> None:
        seen.append(sorted(tmp_path.glob("*.parquet")))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", renamed)
        patch.setattr(Path, "unlink", removed)
        remove_together(paths)
    assert seen == [paths[:1], paths[:1]]
    assert {leftover_of(path.name) for path in tmp_path.iterdir()} == {
        None,
        "part-1.parquet",
        "part-2.parquet",
    }
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == paths[:1]
