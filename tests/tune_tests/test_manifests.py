"""The manifests are in the wheel, can be written out, tell commands that exist, and Ray accepts its cluster file."""

from __future__ import annotations

import json
import re
import shlex
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tune.cli import main
from tune.cli.manifest import MANIFESTS, manifest_text

sys.path.append(str(Path(__file__).parents[1]))  # importlib mode does not: `command_lines` lies there

from command_lines import parse

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_has_every_manifest(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for name, (file, _) in MANIFESTS.items():
            assert archive.read(f"tune/manifests/{file}").decode() == manifest_text(name)
    assert not [name for name in names if name.startswith(("tests/", "runs/"))]


def test_every_file_of_the_folder_can_be_shown() -> None:
    assert {file for file, _ in MANIFESTS.values()} == {
        path.name for path in (ROOT / "tune" / "manifests").iterdir()
    }
    listed = json.loads(CliRunner().invoke(main, ["manifest", "list", "--json"]).stdout)
    assert [entry["name"] for entry in listed] == list(MANIFESTS)
    told = CliRunner().invoke(main, ["manifest", "list"]).stdout
    assert all(name in told for name in MANIFESTS)


def test_a_manifest_is_written_once_and_never_over_changes(tmp_path: Path) -> None:
    out = tmp_path / "slurm.sh"
    first = CliRunner().invoke(main, ["manifest", "show", "slurm", "--out", str(out)])
    assert first.exit_code == 0
    assert out.read_text(encoding="utf-8") == manifest_text("slurm")
    lines = out.read_text(encoding="utf-8").splitlines()
    told = re.findall(r"\d+", first.stderr.rsplit("(", 1)[1])
    assert told
    assert all("CHANGE" in lines[int(number) - 1] for number in told)
    out.write_text("mine", encoding="utf-8")
    again = CliRunner().invoke(main, ["manifest", "show", "slurm", "--out", str(out)])
    assert (again.exit_code, out.read_text(encoding="utf-8")) == (2, "mine")
    lost = CliRunner().invoke(main, ["manifest", "show", "slurm", "--out", str(tmp_path / "no" / "folder")])
    assert (lost.exit_code, "cannot be written" in lost.stderr) == (2, True)


def test_a_manifest_without_a_line_to_change_says_so(tmp_path: Path) -> None:
    out = tmp_path / "Dockerfile"
    written = CliRunner().invoke(main, ["manifest", "show", "dockerfile", "--out", str(out)])
    assert "CHANGE" not in manifest_text("dockerfile")
    assert written.stderr == (f"{out}: nothing in it has to be changed; its first lines say how it is used\n")


def told_commands() -> Iterator[str]:
    """The command lines that the manifests tell their readers to type."""
    for name in MANIFESTS:
        for line in manifest_text(name).splitlines():
            told = re.match(r"# +((?:ray|landslide-tune) .*)$", line)
            if told:
                yield told[1]


@pytest.mark.parametrize("line", [*told_commands()])
def test_a_command_that_a_manifest_tells_to_type_parses(line: str) -> None:
    parse(shlex.split(line, comments=True))


def test_there_are_commands_to_parse() -> None:
    assert len([*told_commands()]) >= 6


def cluster() -> dict[str, Any]:
    return yaml.safe_load(manifest_text("ray-cluster"))  # type: ignore[no-any-return]


def test_ray_accepts_its_cluster_file() -> None:
    """As `ray up` does before it asks the cloud anything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(cluster())
    validate_config(prepared)
    types = prepared["available_node_types"]
    head, gpu = types[prepared["head_node_type"]], types["gpu"]
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert gpu["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert gpu["min_workers"] == 0 < gpu["max_workers"] <= prepared["max_workers"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content.update(worker_types=1),
        lambda content: content.update(head_node_type="none"),
        lambda content: content["available_node_types"]["gpu"].update(min_workers=99),
        lambda content: content.update(idle_timeout_minutes="ten"),
    ],
)
def test_ray_would_refuse_a_cluster_file_with_a_mistake(spoil: Callable[[dict[str, Any]], None]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    content = cluster()
    spoil(content)
    with pytest.raises(Exception, match=r"worker_types|head_node_type|max_workers|is not of type"):
        validate_config(prepare_config(content))


def test_the_machines_install_the_checkout_and_start_ray() -> None:
    content = cluster()
    assert content["file_mounts"] == {"~/landslide-tune": "."}
    installs = [line for line in content["setup_commands"] if "[cluster]" in line]
    assert len(installs) == 1
    assert "-c ~/landslide-tune/constraints.txt" in installs[0]
    for group in ("head", "worker"):
        starts = [*shell_words("; ".join(content[f"{group}_start_ray_commands"]), "ray")]
        assert [words[1] for words in starts] == ["stop", "start"]
        for words in starts:
            parse(words)


def shell_words(script: str, program: str) -> Iterator[list[str]]:
    """The simple commands of a script that run the program."""
    for line in re.split(r"[;\n]|&&", script):
        words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z_]+=", word)]
        if words[:1] == [program]:
            yield words
