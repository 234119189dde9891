"""The house: who may import whom, what stands at the top, what importing costs, where output goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("landslide", "results", "search_spaces", "tune")


def tracked_files() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout: nothing is tracked")
    return done.stdout.split("\n")[:-1]


def test_the_two_arrows_hold() -> None:
    """The import contracts of pyproject.toml are kept; the output names the line that breaks one."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_ours_and_not_one_of_the_same_name(name: str) -> None:
    """PyPI has an unrelated distribution `tune`; a folder `tests/tune` would hide ours."""
    module = __import__(name)
    assert Path(str(module.__file__)).resolve().parent == ROOT / name


@pytest.mark.parametrize("name", PACKAGES)
def test_importing_a_package_loads_nothing_heavy(name: str) -> None:
    heavy = "{'torch', 'ray', 'pyarrow', 'matplotlib', 'boto3', 'segmentation_models_pytorch', 'h5py'}"
    code = f"import sys, {name}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_says_what_it_is_for() -> None:
    import ast

    modules = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    assert len(modules) > 50
    silent = [path for path in modules if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


def test_the_packages_hold_code_and_declared_data_only() -> None:
    """`results/` is code: run output never gets tracked."""
    allowed = {".py", ".yaml", ".csv", ".j2", ".css", ".typed", ".md", ".parquet"}
    inside = [Path(name) for name in tracked_files() if name.split("/")[0] in PACKAGES]
    assert inside
    manifests = {Path("tune/manifests/slurm.sh"), Path("tune/manifests/Dockerfile")}
    assert [str(path) for path in inside if path.suffix not in allowed and path not in manifests] == []
    assert [str(path) for path in inside if path.suffix == ".parquet"] == []


def test_the_top_level_is_the_owners() -> None:
    tops = {name.split("/")[0] for name in tracked_files()}
    files = {"pyproject.toml", "README.md", "Makefile", "constraints.txt", "LICENSE", "CHANGELOG.md"}
    assert {name for name in tops if not name.startswith(".")} <= {*PACKAGES, "tests", *files}


def test_importing_ray_tune_never_shadows_our_package() -> None:
    for path in (ROOT / "tune").rglob("*.py"):
        assert "from ray import tune\n" not in path.read_text(encoding="utf-8"), path
