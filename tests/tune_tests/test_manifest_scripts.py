"""The scripts of the manifests, run with other programs in place of what a cluster has; and the image's steps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import yaml

from tune.cli.manifest import manifest_text

sys.path.append(str(Path(__file__).parents[1]))  # importlib mode does not: `command_lines` lies there
sys.path.append(str(Path(__file__).parent))

from command_lines import parse
from toy_sweeps import a_sweep, new_store

ROOT = Path(__file__).resolve().parents[2]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
posix = pytest.mark.skipif(os.name != "posix", reason="the nodes of clusters run Linux")


def shellcheck(script: str, *options: str) -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), *options, "-"],
        input=script, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert checked.stdout + checked.stderr == ""


@pytest.fixture
def toy_run_dir(tmp_path: Path) -> Path:
    """A run directory in which a sweep has been begun."""
    new_store(tmp_path / "begun", a_sweep()).close()
    return tmp_path / "begun"


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., list[list[str]]]:
    """Runs a script with other programs in place of what a cluster has; returns the sweeps that it started."""
    programs = tmp_path / "bin"
    programs.mkdir()
    log = tmp_path / "log"
    note = r'printf "%s\0" "${0##*/}" "$@" >> "$LOG" && echo >> "$LOG"'
    stand_ins = {
        "landslide-tune": f'test "$1" = sweep || exec "$PYTHON" -m tune "$@"\n{note}',
        "ray": note,
        "srun": 'while [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"',
        "scontrol": 'test "$*" = "show hostnames node[1-2]" && printf "node1\\nnode2\\n"',
        "hostname": "echo 10.0.0.1 fe80::1",
    }
    for name, body in stand_ins.items():
        program = programs / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)

    def run(script: Path, **variables: str) -> list[list[str]]:
        log.unlink(missing_ok=True)
        environment = {
            **os.environ, **variables, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "LOG": str(log), "PYTHON": sys.executable, "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        subprocess.run(["bash", script], env=environment, check=True, timeout=120)
        return [line.rstrip("\0").split("\0") for line in log.read_text().splitlines()]

    return run


@posix
@pytest.mark.slow
def test_the_rayjob_starts_a_sweep_and_goes_on_when_it_is_tried_again(
    tmp_path: Path, bench: Callable[..., list[list[str]]], toy_run_dir: Path
) -> None:
    _, maps, job = yaml.safe_load_all(manifest_text("rayjob"))
    script = tmp_path / "run.sh"
    script.write_text(maps["data"]["run.sh"])
    assert job["spec"]["entrypoint"] == "bash /sweep/run.sh"
    shellcheck(script.read_text(), "--shell=bash")
    (first,) = bench(script, DATA="/data", RUN_DIR=str(tmp_path / "new run"))
    (second,) = bench(script, DATA="/data", RUN_DIR=str(toy_run_dir))
    places = ["--data", "/data", "--out", str(tmp_path / "new run"), "--address", "auto"]
    assert first == ["landslide-tune", "sweep", "/sweep/sweep.yaml", *places]
    assert second[-1] == "--resume"
    parse(first)
    parse(second)


@posix
@pytest.mark.slow
def test_the_slurm_script_starts_ray_and_the_sweep_and_goes_on_when_it_is_submitted_again(
    tmp_path: Path, bench: Callable[..., list[list[str]]], toy_run_dir: Path
) -> None:
    text = manifest_text("slurm")
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    shellcheck(text, "--exclude=SC1091")  # what it sources is the user's
    (tmp_path / "bin" / "activate").touch()
    asked = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2"}
    asked |= {"SLURM_CPUS_PER_TASK": "32", "SLURM_GPUS_ON_NODE": "4"}
    lines = []
    for run_dir in (tmp_path / "new run", toy_run_dir):
        script = tmp_path / "slurm.sh"
        places = {"ENVIRONMENT": tmp_path, "RUN_DIR": run_dir}
        changed = text
        for name, value in places.items():
            changed, times = re.subn(rf"^{name}=.*$", f'{name}="{value}"', changed, flags=re.MULTILINE)
            assert times == 1
        script.write_text(changed)
        token, line = bench(script, **asked)
        parse(token)
        parse(line)
        lines.append(line)
    assert lines[0][:4] == ["ray", "symmetric-run", "--address", "10.0.0.1:6379"]
    assert {"--num-cpus=32", "--num-gpus=4"} <= set(lines[0])
    assert lines[0][lines[0].index("--out") + 1] == str(tmp_path / "new run")
    assert "--resume" not in lines[0]
    assert lines[1][-1] == "--resume"


def test_slurm_gives_each_machine_one_task_and_whole_nodes() -> None:
    options = re.findall(r"^#SBATCH (--[a-z-]+)(?:=(\S+))?", manifest_text("slurm"), flags=re.MULTILINE)
    told = dict(options)
    assert told["--ntasks-per-node"] == "1"
    assert {"--exclusive", "--nodes", "--gpus-per-node", "--cpus-per-task", "--time"} <= set(told)


def test_the_image_is_pinned_small_and_not_root() -> None:
    from dockerfile_parse import DockerfileParser

    steps = DockerfileParser(fileobj=BytesIO(manifest_text("dockerfile").encode())).structure
    told = [
        (step["instruction"], step["value"])
        for step in steps
        if step["instruction"] not in ("COMMENT", "ARG")
    ]
    assert told[0] == ("FROM", "python:3.12-slim-bookworm")
    assert {name for name, _ in told} <= {"FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "CMD"}
    assert [value for name, value in told if name == "USER"][-1].isdigit()
    copied = [source for name, value in told if name == "COPY" for source in value.split()[:-1]]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    needed = {*PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], "pyproject.toml"}
    needed |= {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "constraints.txt"}
    assert set(copied) == needed
    installs = [value for name, value in told if name == "RUN" and "pip install" in value]
    assert len(installs) == 2
    for line in installs:
        assert "--no-cache-dir -c constraints.txt" in line
    assert set(re.findall(r"\.\[([a-z]+)\]", installs[-1])) <= set(
        PROJECT["project"]["optional-dependencies"]
    )
    for name, value in told:
        if name == "RUN":
            shellcheck(f"#!/bin/sh\n{value}\n", "--exclude=SC2154")  # TORCH is the build's argument
