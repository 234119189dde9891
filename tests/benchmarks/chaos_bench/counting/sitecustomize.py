"""In every process of a cluster: tells of each epoch that was computed to its end, and of each dataset that was packed.

Python imports a module of this name at its start. What is told goes through a named pipe, which no full disk hinders.
Two more variables make a process like one of another machine: the dataset is not at its path, or each epoch is copied
to the bucket as soon as it can be.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

PIPE, WITHOUT_DATA, CHECKPOINT_SECONDS = "CHAOS_PIPE", "CHAOS_WITHOUT_DATA", "CHAOS_CHECKPOINT_SECONDS"


class AfterImport(MetaPathFinder):
    """Calls a function with a module once it has been imported."""

    def __init__(self, module: str, change: Callable[[Any], None]) -> None:
        self._module, self._change = module, change

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self._module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_change(module: Any) -> None:
            execute(module)
            self._change(module)

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


def count_epochs(train: Any) -> None:
    compute = train._epoch

    def counted(run: Any, **options: Any) -> Any:
        result = compute(run, **options)
        what = json.dumps([run.settings.to_dict(), run.seeds.to_dict()], sort_keys=True, default=str)
        tell(f"epoch {hashlib.sha256(what.encode()).hexdigest()[:16]} {options['epoch']}\n")
        return result

    train._epoch = counted


def count_packing(packing: Any) -> None:
    build = packing.build

    def counted(files: Any, path: Path, *arguments: Any, **options: Any) -> None:
        build(files, path, *arguments, **options)
        tell(f"packed {path}\n")

    packing.build = counted


def hide_data() -> None:
    is_dir, hidden = Path.is_dir, Path(os.environ[WITHOUT_DATA])
    Path.is_dir = lambda path, **options: path != hidden and is_dir(path, **options)  # type: ignore[method-assign]


def copy_often(checkpoints: Any) -> None:
    checkpoints.CHECKPOINT_SECONDS = float(os.environ[CHECKPOINT_SECONDS])


def tell(line: str) -> None:
    """One write of a short line into a pipe is never torn."""
    pipe = os.open(os.environ[PIPE], os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(pipe, line.encode())
    finally:
        os.close(pipe)


def prepare() -> None:
    changes = {
        PIPE: [("landslide.train", count_epochs), ("landslide.packing", count_packing)],
        CHECKPOINT_SECONDS: [("tune.checkpoints", copy_often)],
    }
    for variable, wanted in changes.items():
        if variable in os.environ:
            sys.meta_path[:0] = [AfterImport(module, change) for module, change in wanted]
    if WITHOUT_DATA in os.environ:
        hide_data()


prepare()
