"""The README is held to its word: its commands parse, its YAML loads, its links and paths exist."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from search_spaces import load_space
from tune.sweep_file import declare

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `command_lines` lies beside us

from command_lines import parse

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def command_lines() -> list[str]:
    lines = [
        line for language in ("sh", "powershell") for block in blocks(language) for line in block.splitlines()
    ]
    return [line for line in lines if "landslide-tune " in line or line.startswith("ray ")]


@pytest.mark.parametrize("line", command_lines())
def test_a_command_of_the_readme_parses(line: str) -> None:
    """Each option exists and takes such a value; nothing is run."""
    words = shlex.split(line.replace("\\", "/"), comments=True)
    parse([Path(words[0]).name, *words[1:]])


def test_there_are_commands_to_check() -> None:
    assert len(command_lines()) >= 9


def test_the_space_and_the_sweep_of_the_readme_load(tmp_path: Path) -> None:
    space, sweep = blocks("yaml")
    (tmp_path / "space.yaml").write_text(space, encoding="utf-8")
    (tmp_path / "sweep.yaml").write_text(sweep, encoding="utf-8")
    assert load_space(tmp_path / "space.yaml").name == "unet"
    declared = declare(str(tmp_path / "sweep.yaml"), options={}, pins={})
    assert (declared.title, declared.configs) == ("first-try", yaml.safe_load(sweep)["configs"])


def test_the_table_of_settings_names_every_setting_with_its_default() -> None:
    import json
    from dataclasses import fields

    from landslide import TrainSettings

    table = README.split("| setting |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| ([^|]+) \|", table, flags=re.MULTILINE)
    told = {
        name.strip("` "): yaml.safe_load(default)
        for names, defaults in rows
        for name, default in zip(names.split(","), defaults.split(","), strict=True)
    }
    expected = {field.name: field.default for field in fields(TrainSettings) if field.name != "epochs"}
    told = {name: float(value) if value in ("1e-4",) else value for name, value in told.items()}
    assert json.dumps(told, sort_keys=True) == json.dumps(
        {
            name: int(value) if isinstance(value, float) and value == int(value) else value
            for name, value in expected.items()
        },
        sort_keys=True,
    )


def test_paths_and_links_of_the_readme_exist() -> None:
    paths = re.findall(r"`((?:tune|landslide|search_spaces|results|tests)/[\w/.]+)`", README)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert paths
    assert [path for path in [*paths, *links] if not (ROOT / path).exists()] == []


def test_make_has_the_two_commands_and_ci_uses_them() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"quickstart", "test", "check"} <= set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in ci
    assert "make check" in ci


def test_no_placeholder_is_left() -> None:
    assert "<!--" not in README
