"""`landslide-tune data ...`: results on stdout, one screen and exit code 2 for bad data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from landslide import open_packed
from landslide.synthetic import LAYOUTS as WRITTEN_LAYOUTS
from tune.cli import main
from tune.cli.data import LAYOUTS, data


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *(str(argument) for argument in arguments)])


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A dataset written by the command itself: 6 train patches, 32 pixels, 3 bands."""
    out = tmp_path / "written"
    result = invoke("synth", out, "--patches", 6, "--seed", 3, "--bands", 3, "--size", 32)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    assert "on purpose, as in the original: 1 mask without image" in result.stderr
    return out


def test_what_synth_writes_passes_the_check(written: Path) -> None:
    result = invoke("check", written)
    assert result.exit_code == 0
    assert "train: 6 patches; 3 bands, 32 x 32 pixels" in result.stdout
    assert "skipped 1 (mask without image)" in result.stdout
    assert "no problems found" in result.stdout


def test_synth_refuses_a_folder_with_files(written: Path) -> None:
    result = invoke("synth", written)
    assert result.exit_code == 2
    assert "is not empty" in result.stderr


def test_synth_names_every_bad_option(tmp_path: Path) -> None:
    result = invoke("synth", tmp_path / "out", "--patches", 0, "--bands", 99, "--size", 33)
    assert result.exit_code == 2
    assert all(word in result.stderr for word in ("patches is 0", "bands is 99", "size is 33"))


def test_synth_offers_the_layouts_that_can_be_written() -> None:
    assert tuple(WRITTEN_LAYOUTS) == LAYOUTS


def test_a_bad_file_is_exit_code_2_after_the_report(written: Path) -> None:
    with h5py.File(written / "images/train/image_2.h5", "r+") as file:
        file["img"][0, 0, 0] = np.nan
    result = invoke("check", written)
    assert result.exit_code == 2
    assert "train: 5 patches" in result.stdout
    assert "no problems found" not in result.stdout
    assert "image_2.h5" in result.stderr
    assert "Traceback" not in result.output


def test_check_as_json_is_json_even_with_problems(written: Path) -> None:
    (written / "images/train/image_2.h5").write_bytes(b"\0" * 3000)
    result = invoke("check", written, "--json")
    content = json.loads(result.stdout)
    assert (result.exit_code, content["ok"], len(content["problems"])) == (2, False, 1)


@pytest.mark.parametrize("command", ["check", "stats", "cache"])
def test_a_missing_directory_is_exit_code_2(tmp_path: Path, command: str) -> None:
    result = invoke(command, tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("url", ["s3://bucket/data", "gs://bucket/data"])
def test_check_is_for_folders_and_tells_what_to_do_with_a_url(url: str) -> None:
    result = invoke("check", url)
    assert result.exit_code == 2
    told = " ".join(result.stderr.split())
    assert f"{url} is a URL, and this command reads folders only: copy the dataset into one" in told
    assert (f"aws s3 cp --recursive {url} DIR" in told) == ("`data cache`" in told) == url.startswith("s3")


def test_an_address_without_a_prefix_is_told_as_it_was_typed() -> None:
    result = invoke("stats", "s3://bucket")
    assert result.exit_code == 2
    assert "data: s3://bucket is not a dataset: give a folder or s3://bucket/prefix" in result.stderr


def test_stats_are_those_of_the_train_split(written: Path) -> None:
    content = json.loads(invoke("stats", written, "--json").stdout)
    packed = open_packed(written)
    assert content["means"] == list(packed.statistics.means)
    assert content["stds"] == list(packed.statistics.stds)
    assert content["data_id"] == packed.data_id
    text = invoke("stats", written).stdout
    assert len(text.splitlines()) == 5
    assert f"{packed.statistics.means[2]:.6g}" in text


def test_cache_shows_where_the_packed_dataset_is(written: Path) -> None:
    content = json.loads(invoke("cache", written, "--json").stdout)
    assert Path(content["path"]) == open_packed(written).path
    assert content["patches"] == {"train": 6, "val": 8, "test": 8}
    assert content["bytes"] > 22 * 32 * 32 * 13
    assert content["data_id"] in invoke("cache", written).stdout


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LANDSLIDE_TUNE_CACHE", str(tmp_path / "packed"))
    return tmp_path / "packed"


def packed_elsewhere(dataset: Path, days: float) -> Path:
    """The cache of a dataset, packed by another process and last opened so many days ago."""
    code = "import sys; from tune.cli import main; main(['data', 'cache', sys.argv[1], '--json'])"
    done = subprocess.run([sys.executable, "-c", code, dataset], capture_output=True, text=True, check=True)
    path = Path(json.loads(done.stdout)["path"])
    then = time.time() - days * 24 * 3600
    os.utime(path / "manifest.json", (then, then))
    return path


def test_cache_lists_and_prunes_what_was_packed(written: Path, cache_dir: Path) -> None:
    path = packed_elsewhere(written, days=10)
    listed = invoke("cache", "--list")
    assert listed.exit_code == 0
    assert f"packed from {written.resolve()}, last opened 10.0 days ago" in listed.stdout
    assert f"1 packed datasets, 0.3 MB in {cache_dir}" in listed.stdout
    (entry,) = json.loads(invoke("cache", "--list", "--json").stdout)
    assert (entry["path"], entry["in_use"], entry["root"]) == (str(path), False, str(written.resolve()))

    assert "freed 0.0 MB; kept 1" in invoke("cache", "--prune").stdout  # 30 days
    assert path.exists()
    pruned = invoke("cache", "--prune", 7)
    assert pruned.exit_code == 0
    assert f"removed  {path}" in pruned.stdout
    assert "freed 0.3 MB; kept 0" in pruned.stdout
    assert not path.exists()


def test_prune_keeps_what_this_process_has_open(written: Path, cache_dir: Path) -> None:
    path = open_packed(written).path
    content = json.loads(invoke("cache", "--prune", 0, "--json").stdout)
    assert (content["removed"], content["freed_bytes"]) == ([], 0)
    assert [(entry["path"], entry["in_use"]) for entry in content["kept"]] == [(str(path), True)]
    assert "in use" in invoke("cache", "--list").stdout


@pytest.mark.parametrize("arguments", [[], ["d", "--list"], ["--list", "--prune"], ["d", "--prune"]])
def test_cache_does_one_thing_at_a_time(arguments: list[str]) -> None:
    result = invoke("cache", *arguments)
    assert result.exit_code == 2
    assert "one of: a folder to pack, --list, --prune" in result.stderr


@pytest.mark.parametrize("days", ["-1", "week", "nan"])
def test_days_are_a_number_that_is_not_negative(cache_dir: Path, days: str) -> None:
    assert invoke("cache", "--prune", days).exit_code == 2


def test_download_shows_what_came(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import landslide

    asked: list[tuple[Path, str]] = []

    def fake(out: Path, *, repo_id: str) -> landslide.DatasetFiles:
        asked.append((out, repo_id))
        return landslide.find_dataset(written)

    monkeypatch.setattr(landslide, "download", fake)
    result = invoke("download", tmp_path / "out", "--repo-id", "someone/patches")
    assert result.exit_code == 0
    assert "6 train, 8 val, 8 test patches" in result.stdout
    assert asked == [(tmp_path / "out", "someone/patches")]


@pytest.mark.parametrize("name", sorted(data.commands))
def test_every_command_has_an_example_on_its_own_line(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert any(line.startswith(f"Example:   landslide-tune data {name} ") for line in lines)
